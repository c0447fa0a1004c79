"""The values of this room: the facts of one request, and the assessment that comes of them."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import msgspec

from sca_service.policy.conditions import FactValue
from sca_service.policy.risk import AnswerMethod, Decision, Factor
from sca_service.policy.verdicts import Verdict
from sca_service.policy.words import Channel


class AnswerState(StrEnum):
    """What came of asking the operator of a phone line."""

    NOT_ASKED = "not_asked"
    ANSWERED = "answered"
    NOT_APPLICABLE = "not_applicable"  # the operator says that it cannot tell for this line
    NO_ANSWER = "no_answer"  # none in time, or none that can be read


class LineAnswer(msgspec.Struct, frozen=True):
    """One answer; `found` is what was asked about, None unless it was answered."""

    state: AnswerState = AnswerState.NOT_ASKED
    found: bool | None = None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known of one request, by the names that conditions use (`policy.risk.FACTS`); None: not supplied.

    docs/risk.md says what each means. Amounts are minor units of the bank's own currency.
    """

    purpose: str
    hour_utc: int
    payees: int = 0
    amount_minor: int | None = None
    payee_country: str | None = None
    payee_foreign: bool | None = None
    payer_failures: int | None = None
    malware: bool | None = None
    scenarios: tuple[str, ...] | None = None
    compromised: tuple[str, ...] | None = None
    payee_check: str | None = None
    device_tampered: bool | None = None
    remote_access: bool | None = None
    app_abnormal: bool | None = None
    ip_anonymous: bool | None = None
    ip_country: str | None = None
    payer_country: str | None = None
    phone_country: str | None = None
    number_age_days: int | None = None
    account_age_days: int | None = None
    listed: tuple[str, ...] = ()
    payer_age_days: int | None = None
    payer_payments: int = 0
    payer_requests_hour: int = 0
    payer_requests_day: int = 0
    payer_amount_day_minor: int = 0
    payer_ips: int = 0
    payer_reports: int = 0
    amount_deviation: float | None = None
    amount_ratio: float | None = None
    hour_unusual: bool | None = None
    device_new: bool | None = None
    agent_new: bool | None = None
    device_payers: int | None = None
    device_requests_hour: int | None = None
    device_reports: int | None = None
    payee_new: bool | None = None
    payee_payers: int | None = None
    payee_requests_hour: int | None = None
    payee_reports: int | None = None
    ip_payers: int | None = None
    ip_requests_hour: int | None = None
    ip_reports: int | None = None
    country_new: bool | None = None
    distance_km: float | None = None
    speed_kmh: float | None = None
    sim_swapped: bool | None = None
    sim_swap_answer: str = AnswerState.NOT_ASKED.value
    device_swapped: bool | None = None
    device_swap_answer: str = AnswerState.NOT_ASKED.value
    call_forwarded: bool | None = None
    call_forwarding_answer: str = AnswerState.NOT_ASKED.value
    number_recycled: bool | None = None
    number_recycling_answer: str = AnswerState.NOT_ASKED.value

    def supplied(self) -> dict[str, FactValue]:
        """Those that were supplied, by name, as conditions take them."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}


FACT_NAMES: Final = Facts.__struct_fields__


class FactorState(StrEnum):
    """What was found on one factor."""

    FOUND = "found"
    CLEAR = "clear"
    NOT_SUPPLIED = "not_supplied"


class FactorResult(msgspec.Struct, frozen=True):
    """One factor: found by these signals, clear, or not supplied. `missing` are its signals that nobody could judge.

    "Clear" with something missing was looked at in part: whoever must be able to exclude it cannot.
    """

    factor: Factor
    state: FactorState
    found: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def is_excluded(self) -> bool:
        """Whether every signal on it was judged and none holds (RTS Art. 18(2)(c): a missing fact excludes nothing)."""
        return self.state is FactorState.CLEAR and not self.missing


class Reason(msgspec.Struct, frozen=True):
    """One signal, or a step-up rule (weight 0): its name and reason, what it added to the score, and on what ground."""

    name: str
    reason: str
    weight: int
    verdict: Verdict


class Assessment(msgspec.Struct, frozen=True, cache_hash=True):
    """What a risk policy makes of some facts. `digest` names the file that it was made by.

    `reasons` are the signals that changed the score, the heaviest first; `step_ups` the rules that left something out.
    """

    decision: Decision
    score: int
    reasons: tuple[Reason, ...]
    step_ups: tuple[Reason, ...]
    factors: tuple[FactorResult, ...]
    leave_out_channels: frozenset[Channel]
    leave_out_methods: frozenset[AnswerMethod]
    digest: str

    @property
    def words(self) -> tuple[str, ...]:
        """The reasons as the bank is told them: each word once, and none that speaks for the payer."""
        told = (*(reason for reason in self.reasons if reason.weight >= 0), *self.step_ups)
        return tuple(dict.fromkeys(reason.reason for reason in told))

    def factor(self, factor: Factor) -> FactorResult:
        """What was found on a factor; every assessment has all of them (RTS Art. 2(2))."""
        return next(result for result in self.factors if result.factor is factor)


class MarkedKind(StrEnum):
    """What can be on a list, or reported."""

    PAYER = "payer"
    DEVICE = "device"
    PAYEE = "payee"
    IP = "ip"  # an address, or a network around it
    PHONE = "phone"
    CARD = "card"


@dataclass(frozen=True, slots=True)
class Standing:
    """How one stands. Times are seconds since the epoch, 0 for never. Of two standings the higher version counts."""

    kind: MarkedKind
    subject: str = field(repr=False)
    version: int
    listed_until: int = 0
    reports: int = 0
    reports_until: int = 0


class Assessed(msgspec.Struct, frozen=True):
    """What applies, and what the policy that is being tried out would have said."""

    facts: Facts
    applied: Assessment
    shadow: Assessment | None = None
