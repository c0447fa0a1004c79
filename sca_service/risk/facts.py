"""The facts of a request: from the order, the bank's marks, what is remembered, and what operators say."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Final

import msgspec

from sca_service.kernel.addresses import networks_around, site_of
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.money import MICROS, MINOR_DIGITS, Amount
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.transaction import Payee, Transaction
from sca_service.policy.risk import LineQuestion
from sca_service.policy.words import Purpose
from sca_service.risk.memory import AGENTS, COUNTRIES, DEVICES, PAYEES, Location, PayerMemory, SubjectMemory
from sca_service.risk.model import Facts, LineAnswer
from sca_service.risk.redis_store import Memory, SubjectKind, Subjects, short

FEWEST_PAYMENTS: Final = 5
"""So many approved amounts make a history that another can be held against."""
FEWEST_APPROVALS_FOR_HOURS: Final = 10
_DAY_SECONDS: Final = 86_400
_SHORTEST_JOURNEY_HOURS: Final = 1 / 60
_DEVICE_NAME: Final = f"risk {SubjectKind.DEVICE}"
_PAYEE_NAME: Final = f"risk {SubjectKind.PAYEE}"

_Word = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
_Country = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}$")]
_Days = Annotated[int, msgspec.Meta(ge=0, le=100_000)]


class Marks(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What the bank says of a request; everything may be left out. `compromised` are kinds of elements: `phone`, …

    `payee_check` is the verification of payee: `match`, `close_match`, `no_match`, `not_possible` (Regulation (EU)
    2024/886 Art. 5c).
    """

    ip: Annotated[str, msgspec.Meta(max_length=45)] | None = None
    device_id: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    user_agent: Annotated[str, msgspec.Meta(max_length=512)] | None = None
    malware: bool | None = None
    scenarios: Annotated[tuple[_Word, ...], msgspec.Meta(max_length=16)] | None = None
    compromised: Annotated[tuple[_Word, ...], msgspec.Meta(max_length=16)] | None = None
    payee_check: _Word | None = None
    payee_country: _Country | None = None
    device_tampered: bool | None = None
    remote_access: bool | None = None
    app_abnormal: bool | None = None
    ip_anonymous: bool | None = None
    ip_country: _Country | None = None
    payer_country: _Country | None = None
    number_age_days: _Days | None = None
    account_age_days: _Days | None = None
    latitude: Annotated[float, msgspec.Meta(ge=-90, le=90)] | None = None
    longitude: Annotated[float, msgspec.Meta(ge=-180, le=180)] | None = None
    card_ref: Annotated[str, msgspec.Meta(max_length=128)] | None = None

    def __repr__(self) -> str:
        return "Marks()"

    @property
    def location(self) -> Location | None:
        """Where the payer is, None unless both degrees were given."""
        if self.latitude is None or self.longitude is None:
            return None
        return Location(round(self.latitude, 2), round(self.longitude, 2))


class RiskOrder(msgspec.Struct, frozen=True):
    """One request to assess; `payer` is the payer's pseudonym.

    `line_known_since` is the day on which the payer last proved to hold the phone line, None where nobody saw that.
    """

    client: str
    payer: str
    purpose: Purpose
    marks: Marks
    transaction: Transaction | None = None
    phone: PhoneNumber | None = None
    line_known_since: date | None = None


def subjects_of(order: RiskOrder, keyring: Keyring) -> Subjects:
    """Pseudonyms of who and what the request comes from and goes to, each within its client."""

    def named(kind: str, text: str) -> str:
        return keyring.pseudonym(f"risk {kind}", order.client, text)

    marks, payee = order.marks, _one_payee(order.transaction)
    network = site_of(marks.ip or "") or ""
    given = {
        SubjectKind.DEVICE: marks.device_id or "",
        SubjectKind.PAYEE: _account_text(payee) if payee else "",
        SubjectKind.IP: network,
        SubjectKind.PHONE: order.phone.e164 if order.phone else "",
    }
    return Subjects(
        payer=order.payer,
        others={kind: named(kind, text) for kind, text in given.items() if text},
        agent=named("agent", marks.user_agent) if marks.user_agent else "",
        country=marks.payer_country or marks.ip_country or "",
        around=_around(order, keyring),
    )


def learned_of(order: RiskOrder, keyring: Keyring) -> Subjects:
    """Of those that `subjects_of` names what an approval is learned from: nobody looks an address up for it."""
    marks, payee = order.marks, _one_payee(order.transaction)
    others: dict[SubjectKind, str] = {}
    if marks.device_id:
        others[SubjectKind.DEVICE] = keyring.pseudonym(_DEVICE_NAME, order.client, marks.device_id)
    if payee:
        others[SubjectKind.PAYEE] = keyring.pseudonym(_PAYEE_NAME, order.client, _account_text(payee))
    return Subjects(
        payer=order.payer,
        others=others,
        agent=keyring.pseudonym("risk agent", order.client, marks.user_agent) if marks.user_agent else "",
        country=marks.payer_country or marks.ip_country or "",
    )


def network_pseudonym(keyring: Keyring, client: str, network: str) -> str:
    """The pseudonym of an address or of a network, as `network_of` writes it."""
    return keyring.pseudonym(f"risk {SubjectKind.IP}", client, network)


def _around(order: RiskOrder, keyring: Keyring) -> tuple[tuple[SubjectKind, str], ...]:
    """Of what only a list is asked: the card, the networks that the address lies in, every payee of a batch."""
    marks, client = order.marks, order.client
    found = [
        (SubjectKind.IP, network_pseudonym(keyring, client, one)) for one in networks_around(marks.ip or "")
    ]
    if marks.card_ref:
        found.append((SubjectKind.CARD, subject_pseudonym(keyring, client, SubjectKind.CARD, marks.card_ref)))
    if order.transaction is not None and _one_payee(order.transaction) is None:
        accounts = dict.fromkeys(_account_text(share.payee) for share in order.transaction.shares)
        found += [
            (SubjectKind.PAYEE, subject_pseudonym(keyring, client, SubjectKind.PAYEE, one))
            for one in accounts
        ]
    return tuple(found)


def subject_pseudonym(keyring: Keyring, client: str, kind: SubjectKind, text: str) -> str:
    """The pseudonym under which one is remembered, so that it can be reported or listed.

    `text` is an IP address, an IBAN without spaces, a number in E.164, or the bank's own id of a device.
    """
    return keyring.pseudonym(
        f"risk {kind}", client, (site_of(text) or "") if kind is SubjectKind.IP else text
    )


def payee_subject(keyring: Keyring, client: str, transaction: Transaction) -> str | None:
    """The pseudonym under which the one payee is remembered among a client's; None for a batch."""
    payee = _one_payee(transaction)
    return subject_pseudonym(keyring, client, SubjectKind.PAYEE, _account_text(payee)) if payee else None


def facts_of(
    order: RiskOrder,
    subjects: Subjects,
    memory: Memory,
    answers: Mapping[LineQuestion, LineAnswer],
    *,
    amount_minor: int | None,
) -> Facts:
    """Every fact of one request. `amount_minor` is its total by `OwnCurrency`, None without one."""
    marks, payer = order.marks, memory.payer
    payee_country = _payee_country(order)
    distance_km, speed_kmh = _journey(payer, marks.location)
    return Facts(
        purpose=order.purpose.value,
        hour_utc=_hour(payer.now),
        payees=len(order.transaction.shares) if order.transaction else 0,
        amount_minor=amount_minor,
        payee_country=payee_country,
        payee_foreign=payee_country != order.phone.country if payee_country and order.phone else None,
        payer_failures=memory.failures,
        malware=marks.malware,
        scenarios=marks.scenarios,
        compromised=marks.compromised,
        payee_check=marks.payee_check,
        device_tampered=marks.device_tampered,
        remote_access=marks.remote_access,
        app_abnormal=marks.app_abnormal,
        ip_anonymous=marks.ip_anonymous,
        ip_country=marks.ip_country,
        payer_country=marks.payer_country,
        phone_country=order.phone.country if order.phone else None,
        number_age_days=marks.number_age_days,
        account_age_days=marks.account_age_days,
        listed=_listed(memory),
        distance_km=distance_km,
        speed_kmh=speed_kmh,
        **_of_line(answers),
        **_of_payer(payer, subjects, amount_minor),
        **_of_others(memory.others),
    )


class OwnCurrency:
    """The bank's own currency, whose rate is 1,000,000. A class because it holds what each rate comes to."""

    def __init__(self, exchange: Mapping[str, int]) -> None:
        """`exchange` are rates in millionths, by currency; where none is 1,000,000 there is no own currency."""
        own = next((currency for currency, rate in exchange.items() if rate == MICROS), None)
        self._parts = (
            {}
            if own is None
            else {
                currency: (rate * 10 ** MINOR_DIGITS[own], MICROS * 10 ** MINOR_DIGITS[currency])
                for currency, rate in exchange.items()
            }
        )

    def minor(self, amount: Amount) -> int | None:
        """An amount in minor units of it, rounded down; None without a rate."""
        part = self._parts.get(amount.currency)
        return amount.minor * part[0] // part[1] if part else None


def _of_payer(payer: PayerMemory, subjects: Subjects, amount_minor: int | None) -> dict[str, Any]:
    """What is remembered of the payer. Nothing is new to somebody of whom nothing was ever approved."""

    def is_new(prefix: str, name: str) -> bool | None:
        return not payer.knows(prefix, name) if name and payer.approvals else None

    facts: dict[str, Any] = {
        "payer_age_days": (payer.now - payer.first_seen_at) // _DAY_SECONDS if payer.first_seen_at else None,
        "payer_payments": payer.payments,
        "payer_requests_hour": payer.requests_hour,
        "payer_requests_day": payer.requests_day,
        "payer_amount_day_minor": payer.amount_day_minor,
        "payer_ips": payer.ips,
        "payer_reports": payer.reports,
        "device_new": is_new(DEVICES, short(subjects.others.get(SubjectKind.DEVICE, ""))),
        "payee_new": is_new(PAYEES, short(subjects.others.get(SubjectKind.PAYEE, ""))),
        "agent_new": is_new(AGENTS, short(subjects.agent)),
        "country_new": is_new(COUNTRIES, subjects.country) if payer.seen.get(COUNTRIES) else None,
    }
    if amount_minor is not None and payer.payments >= FEWEST_PAYMENTS:
        spread = max(
            payer.deviation_minor, payer.mean_minor / 10, 1.0
        )  # those who always pay alike may vary a little
        facts["amount_deviation"] = (amount_minor - payer.mean_minor) / spread
        facts["amount_ratio"] = amount_minor / max(payer.mean_minor, 1.0)
    if payer.approvals >= FEWEST_APPROVALS_FOR_HOURS:
        near = [(_hour(payer.now) + away) % 24 for away in (-1, 0, 1)]
        facts["hour_unusual"] = not any(payer.hours >> hour & 1 for hour in near)
    return facts


def _of_others(others: Mapping[SubjectKind, SubjectMemory]) -> dict[str, Any]:
    """What is remembered of device, payee and address; of the phone line only whether it is listed."""
    facts = {}
    for kind in (SubjectKind.DEVICE, SubjectKind.PAYEE, SubjectKind.IP):
        if kind in others:
            facts[f"{kind}_payers"] = others[kind].payers
            facts[f"{kind}_requests_hour"] = others[kind].requests_hour
            facts[f"{kind}_reports"] = others[kind].reports
    return facts


_OF_LINE: Final = {
    LineQuestion.SIM_SWAP: "sim_swapped",
    LineQuestion.DEVICE_SWAP: "device_swapped",
    LineQuestion.CALL_FORWARDING: "call_forwarded",
    LineQuestion.NUMBER_RECYCLING: "number_recycled",
}


def _of_line(answers: Mapping[LineQuestion, LineAnswer]) -> dict[str, Any]:
    """What each operator found, and what came of asking: that there is no answer is a fact too."""
    facts: dict[str, Any] = {}
    for question, answer in answers.items():
        facts[_OF_LINE[question]] = answer.found
        facts[f"{question}_answer"] = answer.state.value
    return facts


def _listed(memory: Memory) -> tuple[str, ...]:
    kinds = {kind for kind, one in memory.others.items() if one.is_listed} | memory.listed_around
    found = [kind.value for kind in SubjectKind if kind in kinds]
    return ("payer", *found) if memory.payer.is_listed else tuple(found)


def _journey(payer: PayerMemory, here: Location | None) -> tuple[float | None, float | None]:
    """Kilometres from where the payer was last, and how fast that would have been (km/h)."""
    if here is None or payer.location is None:
        return None, None
    distance = payer.location.distance_km(here)
    hours = max((payer.now - payer.located_at) / 3600, _SHORTEST_JOURNEY_HOURS)
    return distance, distance / hours


def _hour(now: int) -> int:
    return now // 3600 % 24


def _one_payee(transaction: Transaction | None) -> Payee | None:
    """The payee, where there is one only: of a batch no single payee is learned."""
    return transaction.shares[0].payee if transaction and len(transaction.shares) == 1 else None


def _account_text(payee: Payee) -> str:
    account = payee.account
    return (account.iban or account.bban or payee.name) if account else payee.name


def _payee_country(order: RiskOrder) -> str | None:
    """What the bank says, else the country of the payee's IBAN."""
    payee = _one_payee(order.transaction)
    if order.marks.payee_country or payee is None:
        return order.marks.payee_country
    return payee.account.iban[:2] if payee.account and payee.account.iban else None
