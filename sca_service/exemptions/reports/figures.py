"""The figures of RTS Art. 21: per type of payment, remote or not, by authentication and by each exemption. Pure.

They are kept as payments are executed, and can be made of the audit log alone: both ways give the same, to the cent.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sca_service.exemptions.events import EXECUTED, FRAUD_REPORTED, FRAUD_WITHDRAWN
from sca_service.exemptions.model import Article, Context, PaymentType
from sca_service.exemptions.reports.fraud_rate import FraudRate
from sca_service.exemptions.reports.quarter import Quarter
from sca_service.exemptions.rows import NEITHER, SCA

ALL = "all"
_COUNTED = (EXECUTED, FRAUD_REPORTED, FRAUD_WITHDRAWN)
BASES = (SCA, *(article.value for article in Article), NEITHER)
"""What payments rest on, in the order in which a report lists them."""


@dataclass(frozen=True, slots=True)
class Key:
    """What one line of a report is about. `basis` is `sca`, an article, `none`, or `all` of them."""

    payment_type: PaymentType
    is_remote: bool
    basis: str


@dataclass(frozen=True, slots=True)
class Sums:
    """How many payments, of which value in cents of a euro; and the fraudulent ones among them."""

    payments: int = 0
    cents: int = 0
    fraud_payments: int = 0
    fraud_cents: int = 0

    def plus(self, other: "Sums") -> "Sums":
        """Both together."""
        return Sums(
            self.payments + other.payments,
            self.cents + other.cents,
            self.fraud_payments + other.fraud_payments,
            self.fraud_cents + other.fraud_cents,
        )

    @property
    def rate(self) -> FraudRate:
        """The value of the fraudulent payments out of the value of all (Art. 19(1))."""
        return FraudRate(self.fraud_cents, self.cents)

    @property
    def average_cents(self) -> int | None:
        """The value of one payment, rounded half up (Art. 21(1)(b)); None without payments."""
        return (2 * self.cents + self.payments) // (2 * self.payments) if self.payments else None

    def share_of(self, all_payments: int) -> str | None:
        """The number of payments in per cent of all, with six digits (Art. 21(1)(c)); None without payments."""
        return FraudRate(self.payments, all_payments).percent


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a report: `all_payments` is the number of those of its type, remote or not."""

    key: Key
    sums: Sums
    all_payments: int


@dataclass(frozen=True, slots=True)
class QuarterlyReport:
    """The figures of one client's quarter."""

    client: str
    quarter: Quarter
    lines: tuple[Line, ...]


def is_remote(context: Context) -> bool:
    """Whether a payment is remote (RTS Art. 21(1)): all but those at a terminal."""
    return context is Context.REMOTE


def report_of(client: str, quarter: Quarter, sums: Mapping[Key, Sums]) -> QuarterlyReport:
    """The report: what has payments or fraud, and a total for each type, remote and not."""
    lines: list[Line] = []
    for kind in PaymentType:
        for remote in (True, False):
            found = {basis: sums[key] for basis in BASES if (key := Key(kind, remote, basis)) in sums}
            total = sum_of(found.values())
            lines += [Line(Key(kind, remote, basis), one, total.payments) for basis, one in found.items()]
            lines.append(Line(Key(kind, remote, ALL), total, total.payments))
    return QuarterlyReport(client, quarter, tuple(lines))


def sum_of(sums: Iterable[Sums]) -> Sums:
    """All together."""
    total = Sums()
    for one in sums:
        total = total.plus(one)
    return total


class Recomputation:
    """Makes the sums of what was executed from `first` to `last` of leaves of the audit log, and of nothing else.

    A class because it collects. Leaves of other clients and kinds may be among them; one that comes twice counts once.
    """

    def __init__(self, client: str, first: date, last: date) -> None:
        self.sums: dict[Key, Sums] = {}
        self._client = client
        self._first = first
        self._last = last
        self._seen: set[str] = set()

    def add(self, leaf: Mapping[str, Any]) -> None:
        """Take one leaf. Raises KeyError, ValueError for one of ours that lacks what figures are made of."""
        if leaf["type"] not in _COUNTED or leaf.get("client") != self._client:
            return
        day = date.fromisoformat(leaf["executed_on"])
        if leaf["id"] in self._seen or not self._first <= day <= self._last:
            return
        self._seen.add(leaf["id"])
        key = Key(PaymentType(leaf["payment_type"]), is_remote(Context(leaf["context"])), leaf["basis"])
        self.sums[key] = self.sums.get(key, Sums()).plus(_of_leaf(leaf))


def _of_leaf(leaf: Mapping[str, Any]) -> Sums:
    cents, payments = (
        int(leaf["euro_cents"]),
        int(leaf.get("payments", 1)),
    )  # older leaves do not tell how many
    if leaf["type"] == FRAUD_REPORTED:
        return Sums(fraud_payments=payments, fraud_cents=cents)
    if leaf["type"] == FRAUD_WITHDRAWN:
        return Sums(fraud_payments=-payments, fraud_cents=-cents)
    return Sums(payments=payments, cents=cents)
