"""When something is pumped: counts in, a reason out; and what of a request is counted.

`ask.lua` holds the same few lines; `tests/properties` compares the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from sca_service.kernel.addresses import site_of
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import PhoneNumber
from sca_service.policy.pumping import BudgetRule, PumpingPolicy, PumpingScope

MINUTE_SECONDS: Final = 60
HOUR_SECONDS: Final = 3_600
DAY_SECONDS: Final = 86_400
_TRIES: Final = 4
"""So many messages to one line count as one; counters.lua holds the same number."""
_LONG: Final = frozenset({PumpingScope.PREFIX, PumpingScope.COUNTRY, PumpingScope.CLIENT})
"""Of these a history is kept; hundreds of numbers and addresses are too many, and are forgotten after two days."""


class PumpingReason(StrEnum):
    """What gave it away."""

    BUDGET = "budget"  # more messages are unanswered than may be
    CONVERSION = "conversion"  # too few of them were answered
    COUNTRIES = "countries"  # one address, many countries
    RANGE = "range"  # a number that nothing is ever sent to


@dataclass(frozen=True, slots=True)
class Subject:
    """What is counted under one name: a prefix, a country and a client as they are, an address as a pseudonym.

    A prefix stands for ten thousand numbers, so it is no person. Neighbours are named by their prefix and a pseudonym.
    """

    scope: PumpingScope
    name: str


@dataclass(frozen=True, slots=True)
class Counts:
    """One subject within the window: messages to new lines as they count, the answered ones of them, all approvals.

    `waiting` are those that are not answered, and whose payers have not had the time to.
    """

    sent: int = 0
    answered: int = 0
    waiting: int = 0
    verified_hour: int = 0
    verified_day: int = 0
    best_day: int = 0

    @property
    def unanswered(self) -> int:
        """Never negative: an answer may come after its message has left the window."""
        return max(0, self.sent - self.answered)


@dataclass(frozen=True, slots=True)
class Asked:
    """One message that would be paid for. `line` is the pseudonym of its number; subjects the narrowest first."""

    line: str
    country: str
    subjects: tuple[Subject, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A block, or something that is allowed: times are seconds since the epoch.

    `why` is a block's PumpingReason, or what an operator wrote. `event` is the id of the event that puts a block on
    record, `refused` how many messages it stopped.
    """

    id: str
    scope: PumpingScope
    subject: str
    why: str
    since: int
    until: int
    event: str = ""
    is_recorded: bool = True
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Passed:
    """Sent and counted in this hour; `observed` is what would have stopped it."""

    asked: Asked = field(repr=False)
    hour: int
    observed: PumpingReason | None = None


def counted(messages: int) -> int:
    """How many of the messages to one line count: a payer whose code does not come asks again, and is one payer still.

    Counted each by itself, the four tries of one dead phone would block its range for whoever lives there too.
    """
    return max(1, messages - _TRIES + 1) if messages else 0


def budget(counts: Counts, rule: BudgetRule) -> int:
    """How many messages may be unanswered, besides those that may wait."""
    return max(
        rule.floor,
        counts.best_day * rule.best_day_percent // 100,
        counts.verified_day * rule.day_percent // 100,
        counts.verified_hour * rule.hour_percent // 100,
    )


def reason_against(counts: Counts, rule: BudgetRule, conversion_percent: int) -> PumpingReason | None:
    """Why one more message must not be sent; None when it may.

    Messages that nobody has had the time to answer would speak against whoever begins. So they are not judged, but only
    as many of them as may wait: an attack that is faster than payers answer must end too.
    """
    judged = max(0, counts.sent - min(counts.waiting, rule.waiting))
    if judged - counts.answered >= budget(counts, rule):
        return PumpingReason.BUDGET
    if judged >= rule.least_sent and counts.answered * 100 < conversion_percent * judged:
        return PumpingReason.CONVERSION
    return None


def kept_seconds(scope: PumpingScope, policy: PumpingPolicy) -> int:
    """How long a subject's counts are kept after they last changed."""
    return (policy.history_days + 1) * DAY_SECONDS if scope in _LONG else 2 * DAY_SECONDS


def history_days(scope: PumpingScope, policy: PumpingPolicy) -> int:
    """Among how many days before this one the best is looked for."""
    return policy.history_days if scope in _LONG else 1


def counts_all_approvals(scope: PumpingScope) -> bool:
    """Whether approvals are counted of a subject that nothing was counted of before."""
    return scope in _LONG


def asked_of(number: PhoneNumber, *, ip: str, client: str, keyring: Keyring) -> Asked:
    """What is counted for a message to this number; `ip` is empty where the bank named none."""
    prefix, hundred = number.e164[:-4], number.e164[:-2]
    neighbours = f"{prefix}-{keyring.pseudonym('pumping neighbours', hundred)[:16]}"
    subjects = [
        Subject(PumpingScope.NEIGHBOURS, neighbours),
        Subject(PumpingScope.PREFIX, prefix),
        Subject(PumpingScope.COUNTRY, number.country),
    ]
    if address := address_name(ip, client=client, keyring=keyring):
        subjects.append(Subject(PumpingScope.IP, address))
    subjects.append(Subject(PumpingScope.CLIENT, client))
    return Asked(line_name(number, keyring), number.country, tuple(subjects))


def line_name(number: PhoneNumber, keyring: Keyring) -> str:
    """The pseudonym of a phone line, with whatever client."""
    return keyring.pseudonym("phone", number.e164)


def address_name(ip: str, *, client: str, keyring: Keyring) -> str:
    """The pseudonym of an address of one client's, an IPv6 one by its /64; empty for what is none."""
    site = site_of(ip)
    return keyring.pseudonym("pumping address", client, site) if site else ""


def is_never_sent_to(e164: str, beginnings: Sequence[str]) -> bool:
    """Whether the policy has nothing sent to this number."""
    return e164.startswith(tuple(beginnings))


def allowing(asked: Asked, subject: Subject) -> Subject:
    """The subject whose place on the allow-list counts for this one: neighbours are allowed by their prefix."""
    if subject.scope is not PumpingScope.NEIGHBOURS:
        return subject
    return next(one for one in asked.subjects if one.scope is PumpingScope.PREFIX)
