"""What a bank decides about challenges: values, and the pure decisions that follow from them.

Where these values come from and what the law lets them be, `load.py` and `bounds.py` know.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sca_service.policy.alerts import AlertPolicy
from sca_service.policy.analytics import AnalyticsPolicy
from sca_service.policy.exemptions import ExemptionPolicy
from sca_service.policy.notices import Notice
from sca_service.policy.pumping import PumpingPolicy
from sca_service.policy.replies import Replies
from sca_service.policy.risk import RiskPolicy
from sca_service.policy.supply import SupplyPolicy
from sca_service.policy.template import Template
from sca_service.policy.webhooks import WebhookPolicy
from sca_service.policy.words import Channel, Occasion, Purpose

__all__ = ["Channel", "Occasion", "Purpose"]
"""Named here too: most who know the policy know its words from here."""


class Until(StrEnum):
    """What has to be known of a message for the ladder to stay on its channel."""

    SENT = "sent"  # the supplier took it
    DELIVERED = "delivered"  # a receipt says that it arrived, or that the call was answered


class StepReason(StrEnum):
    """Why a ladder goes on to its next channel."""

    UNDELIVERED = "undelivered"  # a receipt says that the message never arrived
    TIMEOUT = "timeout"  # nothing was heard of it in time
    NO_ANSWER = "no_answer"  # nobody took the call
    SUPPLIER_DOWN = "supplier_down"  # no supplier took the message
    NO_DEVICE = "no_device"  # the payer has nothing that this channel reaches
    USER_REQUEST = "user_request"  # the payer asked for it
    SIM_SWAP = "sim_swap"  # the SIM was changed lately: nothing is sent to it


class LimitedAction(StrEnum):
    """What a limit counts."""

    ISSUE = "issue"  # a new challenge
    RESEND = "resend"  # the next message of one, at request
    SEND = "send"  # each message that is handed to a supplier
    VERIFY = "verify"  # a wrong answer; an approval takes one back
    ENROL = "enrol"  # a new authenticator
    PROVE = "prove"  # a device's request that neither its key nor the activation code bears out


class LimitScope(StrEnum):
    """Whose actions a limit counts together."""

    PAYER = "payer"
    PHONE = "phone"
    CLIENT = "client"
    DEVICE = "device"  # as the client names it
    IP = "ip"  # IPv4, or the /64 of an IPv6 address; as the client names it
    ADDRESS = "address"  # the same, where the request itself came from; known behind trusted proxies only
    PREFIX = "prefix"  # the number without its last four digits
    COUNTRY = "country"  # of the number
    SUPPLIER = "supplier"  # in money: `count` is units of the bank's own currency


class AtLimit(StrEnum):
    """What happens when a limit is spent."""

    REFUSE = "refuse"
    NEXT_CHANNEL = (
        "next_channel"  # this message is not sent this way: another supplier, else the next channel
    )
    OBSERVE = "observe"  # let through, but counted and logged: how a new limit is tried out


@dataclass(frozen=True, slots=True)
class CodePolicy:
    """How long a code is (digits) and how long it lives (seconds), by default and at a client's wish."""

    digits: int
    lifetime_seconds: int
    shortest_lifetime_seconds: int
    longest_lifetime_seconds: int

    def allows_lifetime(self, seconds: int) -> bool:
        """Whether a client may ask for this lifetime."""
        return self.shortest_lifetime_seconds <= seconds <= self.longest_lifetime_seconds


@dataclass(frozen=True, slots=True)
class LockoutPolicy:
    """When a payer is blocked, and for how long (RTS Art. 4(3)(b) and 4(4)).

    `most_failures` consecutive failures within `window_seconds`, over all challenges and channels, block the
    payer. `block_seconds` are the blocks in their order; they grow, and the last one repeats.
    """

    most_failures: int
    window_seconds: int
    block_seconds: tuple[int, ...]

    def block_after(self, earlier_blocks: int) -> int:
        """The seconds of the next block of a payer who has had so many before."""
        return self.block_seconds[min(earlier_blocks, len(self.block_seconds) - 1)]


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How many years the audit log keeps what it says (Directive (EU) 2015/2366 Art. 21)."""

    years: int


@dataclass(frozen=True, slots=True)
class GeneratorPolicy:
    """The codes of generators: how long, how often they change (0 when they are counted), and which are taken.

    `look_back_steps` are periods before the current one, `look_ahead_counters` counters after the next one.
    """

    digits: int
    period_seconds: int = 0
    look_back_steps: int = 0
    look_ahead_counters: int = 0


@dataclass(frozen=True, slots=True)
class OcraPolicy:
    """Which answers of generators that sign are taken: counters after the next one, time steps before the current."""

    look_ahead_counters: int
    look_back_steps: int


@dataclass(frozen=True, slots=True)
class DeviceKeyPolicy:
    """How many challenges may be pushed to a payer's devices before one is approved, and how long they count."""

    most_unanswered: int
    counted_seconds: int


@dataclass(frozen=True, slots=True)
class AuthenticatorPolicy:
    """What payers may enrol, how many of it, and how long after it they may activate it."""

    issuer_name: str
    most_of_a_payer: int
    pending_seconds: int
    totp: GeneratorPolicy
    hotp: GeneratorPolicy
    ocra: OcraPolicy
    pin_shortest: int
    device_key: DeviceKeyPolicy


class Regime(StrEnum):
    """By which law two elements are strong customer authentication."""

    PSD2 = "psd2"  # of two categories (PSD2 Art. 4(30))
    PSR = "psr"  # independent of each other, of one category too (COM(2023)367, Art. 85(12))


class Reach(StrEnum):
    """What an approval has to reach."""

    SCA = "sca"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class ElementsPolicy:
    """Which elements make strong customer authentication, and what each purpose requires."""

    regime: Regime
    required: Mapping[Purpose, Reach]


@dataclass(frozen=True, slots=True)
class LadderStep:
    """One channel of a ladder.

    Unless the message is `until` within `timeout_seconds`, the next channel follows. The last step has no
    timeout (None): nothing follows it.
    """

    channel: Channel
    timeout_seconds: int | None
    until: Until


@dataclass(frozen=True, slots=True)
class Ladder:
    """The channels for one purpose in their order, none of them twice.

    `phone_vouched_by_client` claims that the client may name the phone number with the challenge; otherwise
    only the payer's enrolled phone line is used. `step_on` are the reasons for which the next channel follows; for any
    other the ladder ends where it is.
    """

    purpose: Purpose
    steps: tuple[LadderStep, ...]
    phone_vouched_by_client: bool
    step_on: tuple[StepReason, ...] = tuple(StepReason)

    def step(self, channel: Channel) -> LadderStep | None:
        """The step over this channel, or None when the ladder does not have it."""
        for step in self.steps:
            if step.channel is channel:
                return step
        return None


@dataclass(frozen=True, slots=True)
class ResendPolicy:
    """How long a payer waits for the next message at their own request: longer each time, up to a bound."""

    first_seconds: int
    factor: int
    most_seconds: int

    def wait_seconds(self, resends: int) -> int:
        """Seconds from the latest of `resends` messages (one or more) until the next is allowed."""
        wait = self.first_seconds
        for _ in range(resends - 1):
            if wait >= self.most_seconds or self.factor == 1:
                break
            wait *= self.factor
        return min(wait, self.most_seconds)


@dataclass(frozen=True, slots=True)
class LimitRule:
    """How often: `count` actions per `per_seconds`, spread evenly, of which `burst` may come at once."""

    name: str
    on: LimitedAction
    scope: LimitScope
    count: int
    per_seconds: int
    burst: int
    at_limit: AtLimit

    @property
    def is_of_sending(self) -> bool:
        """Whether it keeps a message from being sent, rather than a request from being answered."""
        return self.on is LimitedAction.SEND and self.at_limit is AtLimit.NEXT_CHANNEL


@dataclass(frozen=True, slots=True)
class OccasionTexts:
    """The texts for one occasion: one per channel, and `shown`, the bank's summary without a code."""

    shown: Template
    sms: Template
    voice: Template
    push: Template

    def over(self, channel: Channel) -> Template:
        """The text for a channel: RCS and WhatsApp read like an SMS. Raises ValueError for e-mail."""
        match channel:
            case Channel.VOICE:
                return self.voice
            case Channel.PUSH:
                return self.push
            case Channel.EMAIL:
                raise ValueError("no code travels by e-mail")
            case _:
                return self.sms


@dataclass(frozen=True, slots=True)
class LanguageTexts:
    """All texts of one language (a BCP 47 tag such as `de`); `payee_spoken` is one payee for the ear.

    Every language has every occasion, and the same notices.
    """

    language: str
    payee_spoken: Template
    occasions: Mapping[Occasion, OccasionTexts]
    notices: Mapping[str, Notice]

    def about(self, occasion: Occasion) -> OccasionTexts:
        """The texts for an occasion; every language has every occasion."""
        return self.occasions[occasion]


@dataclass(frozen=True, slots=True)
class Autofill:
    """What lets a handset fill in the code of an SMS; empty where it is not wanted.

    `domain` is where the payer types the code (WICG origin-bound one-time codes); `android_hash` are the 11 characters
    of the bank's Android app (SMS Retriever), and `android_prefix` claims that its messages begin with `<#>`.
    """

    domain: str = ""
    android_hash: str = ""
    android_prefix: bool = False


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of every language, and the language of those whose own is not among them.

    `most_sms_segments` is how many parts an SMS may have before a payee's name is shortened.
    """

    default_language: str
    languages: tuple[LanguageTexts, ...]
    most_sms_segments: int
    autofill: Autofill
    replies: Replies

    def language_for(self, locale: str) -> LanguageTexts:
        """The texts for a locale: its own, else its language's, else the default's. Never raises."""
        tag = locale.replace("_", "-").lower()
        while tag:
            for texts in self.languages:
                if texts.language.lower() == tag:
                    return texts
            tag = tag.rpartition("-")[0]
        return next(texts for texts in self.languages if texts.language == self.default_language)


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything a bank decides, as one value.

    `most_pending` is how many challenges of one payer may be pending; issuing one more supersedes the oldest.
    `digest` (`sha256:` and 64 hexadecimal digits) names this set in every decision and audit event. `next_risk` is what
    a folder `next` holds: scored beside and reported, never applied, and no part of the digest.
    """

    code: CodePolicy
    lockout: LockoutPolicy
    ladders: tuple[Ladder, ...]
    resend: ResendPolicy
    limits: tuple[LimitRule, ...]
    most_pending: int
    retention: RetentionPolicy
    alerts: AlertPolicy
    analytics: AnalyticsPolicy
    authenticators: AuthenticatorPolicy
    elements: ElementsPolicy
    exemptions: ExemptionPolicy
    pumping: PumpingPolicy
    texts: Texts
    supply: SupplyPolicy
    risk: RiskPolicy
    digest: str
    webhooks: WebhookPolicy
    next_risk: RiskPolicy | None = None

    def ladder(self, purpose: Purpose) -> Ladder:
        """The ladder for a purpose; every purpose has one."""
        return next(ladder for ladder in self.ladders if ladder.purpose is purpose)

    def limits_on(self, action: LimitedAction) -> tuple[LimitRule, ...]:
        """The limits that count this action, in the order of the file."""
        return tuple(limit for limit in self.limits if limit.on is action)
