"""What a challenge is: its states, what one answer comes to, and what is kept of it.

State of a challenge::

    pending ──▶ approved      the right answer, once
            ├─▶ rejected      the transaction differed
            ├─▶ blocked       attempts used up, or the payer is blocked
            ├─▶ declined      the payer said no
            ├─▶ cancelled     by the client, or superseded
            ├─▶ undeliverable every channel failed
            └─▶ expired       its time is over
    refused                   never pending: nothing was sent

Every state but `pending` is final.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

import msgspec

from sca_service.authenticators.model import AuthenticatorType, Element, SigningQuestion
from sca_service.delivery.model import DeliveryState, DeliveryStatus
from sca_service.kernel.clock import timestamp
from sca_service.kernel.ids import new_digits
from sca_service.kernel.phone import NumberKind, PhoneNumber
from sca_service.policy.bounds import bound_for
from sca_service.policy.model import Channel, Purpose, StepReason
from sca_service.risk.facts import Marks

__all__ = ["Element"]
"""Named here too: whoever knows challenges knows their elements from here."""

PARTITIONS = 64
_EVERY_REASON = " ".join(StepReason)
_PURPOSES = tuple(Purpose)
_ASKS_PIN = 8
"""Set in an id's digit of the purpose when the payer's PIN is asked beside the code."""
_DIGITS = bound_for("code.toml", "digits")
_CHALLENGE_ID = re.compile(r"chl_[0-9a-f]{38}", re.ASCII)


_STEP_REASONS = {str(reason): reason for reason in (StepReason.TIMEOUT, StepReason.NO_DEVICE)}
"""Reasons of failed deliveries that a policy knows by the same name; `ladder.lua` holds the same table."""


class Status(StrEnum):
    """Where a challenge stands."""

    PENDING = "pending"
    APPROVED = "approved"
    DECLINED = "declined"
    REJECTED = "rejected"
    BLOCKED = "blocked"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    UNDELIVERABLE = "undeliverable"
    REFUSED = "refused"

    @property
    def is_final(self) -> bool:
        """Whether nothing can change it any more."""
        return self is not Status.PENDING


class Outcome(StrEnum):
    """What one answer came to. It never says which element was wrong (RTS Art. 4(3)(a))."""

    APPROVED = "approved"
    INCORRECT = "incorrect"
    TRANSACTION_MISMATCH = "transaction_mismatch"
    EXPIRED = "expired"
    BLOCKED = "blocked"
    ALREADY_USED = "already_used"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    UNDELIVERABLE = "undeliverable"
    DECLINED = "declined"


class Method(StrEnum):
    """How a payer answers."""

    ONE_TIME_CODE = "one_time_code"  # derived for the challenge, sent to the payer
    TOTP = "totp"  # shown by a generator that the payer has enrolled
    HOTP = "hotp"
    OCRA = "ocra"  # answered by a generator that signs what the challenge asks it
    DEVICE_SIGNATURE = "device_signature"  # signed in the bank's app, where the payer sees what
    PASSKEY = "passkey"  # signed by a passkey, in the bank's page

    @property
    def authenticator(self) -> AuthenticatorType | None:
        """The type of authenticator that answers, None for a code that is sent."""
        return _ANSWERED_BY.get(self)

    @property
    def links_transaction(self) -> bool:
        """Whether an answer is specific to amount and payee, as that of a payment has to be (RTS Art. 5(1)(b))."""
        return self not in (Method.TOTP, Method.HOTP)

    @property
    def is_counted(self) -> bool:
        """Whether a generator answers that shows one code for everything: by the time, or by a counter."""
        return self in (Method.TOTP, Method.HOTP)

    @property
    def is_typed(self) -> bool:
        """Whether the payer types a code into the bank's page."""
        return self not in (Method.DEVICE_SIGNATURE, Method.PASSKEY)


_ANSWERED_BY = {
    Method.TOTP: AuthenticatorType.TOTP,
    Method.HOTP: AuthenticatorType.HOTP,
    Method.OCRA: AuthenticatorType.OCRA,
    Method.DEVICE_SIGNATURE: AuthenticatorType.DEVICE_KEY,
    Method.PASSKEY: AuthenticatorType.PASSKEY,
}


OUTCOME_OF_FINAL = {
    Status.APPROVED: Outcome.ALREADY_USED,
    Status.DECLINED: Outcome.DECLINED,
    Status.REJECTED: Outcome.TRANSACTION_MISMATCH,
    Status.BLOCKED: Outcome.BLOCKED,
    Status.EXPIRED: Outcome.EXPIRED,
    Status.CANCELLED: Outcome.CANCELLED,
    Status.UNDELIVERABLE: Outcome.UNDELIVERABLE,
    Status.REFUSED: Outcome.REFUSED,
}
"""What an answer to a challenge in a final state comes to; `verify.lua` holds the same table."""


class ChallengeId(msgspec.Struct, frozen=True):
    """`chl_ppukkdr…`: partition (2 hex digits), purpose (1), keyring version (2), digits of the code (1), then 32 more.

    These tell when it was made, and 80 bits of them are chance (kernel/ids.py). An answer finds its Redis slot, its key
    and its length without a look-up; 0 digits claim that an authenticator of the payer answers, a purpose of 8 and more
    that the payer's PIN is asked too. To callers the id is opaque.
    """

    text: str
    partition: int
    purpose: Purpose
    key_version: int
    digits: int
    asks_pin: bool = False

    @classmethod
    def new(
        cls,
        *,
        partition: int,
        purpose: Purpose,
        key_version: int,
        digits: int,
        asks_pin: bool = False,
        unique: str | None = None,
    ) -> "ChallengeId":
        """A fresh id; `unique` (32 hexadecimal digits) are its last ones for a repeated idempotent request."""
        tail = unique or new_digits()
        what = _PURPOSES.index(purpose) | (_ASKS_PIN if asks_pin else 0)
        text = f"chl_{partition:02x}{what:x}{key_version:02x}{digits:x}{tail}"
        return cls(text, partition, purpose, key_version, digits, asks_pin)

    def otherwise(self, key_versions: Iterable[int]) -> "list[ChallengeId]":
        """The other ids that the same request may have been given: if the PIN stood otherwise, or under another key."""
        versions = {self.key_version, *key_versions}
        every = [
            ChallengeId.new(
                partition=self.partition,
                purpose=self.purpose,
                key_version=version,
                digits=self.digits,
                asks_pin=asks_pin,
                unique=self.text[-32:],
            )
            for version in sorted(versions)
            for asks_pin in (False, True)
        ]
        return [one for one in every if one.text != self.text]

    @classmethod
    def parse(cls, text: str) -> "ChallengeId | None":
        """The id in its parts, or None when no challenge can be called that."""
        if not _CHALLENGE_ID.fullmatch(text):
            return None
        partition, purpose = int(text[4:6], 16), int(text[6], 16) & ~_ASKS_PIN
        digits = int(text[9], 16)
        is_length = digits == 0 or _DIGITS.least <= digits <= _DIGITS.most
        if partition >= PARTITIONS or purpose >= len(_PURPOSES) or not is_length:
            return None
        asks_pin = bool(int(text[6], 16) & _ASKS_PIN)
        return cls(text, partition, _PURPOSES[purpose], int(text[7:9], 16), digits, asks_pin)


def partition_of(payer: str) -> int:
    """The partition (0 to 63) of a payer's pseudonym: all of a payer's keys live on one Redis slot."""
    return int(payer[:2], 16) % PARTITIONS


class PhoneRange(NamedTuple):
    """What the range of a number tells of it, see PhoneNumber."""

    country: str
    kind: NumberKind
    calling_code: str


class Private(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is personal about a challenge; at rest only ever sealed.

    `own_text` is the client's own text with a place for the code, empty where the policy's is sent.
    """

    psu_id: str
    locale: str
    message_shown: str
    phone: str | None = None
    phone_masked: str | None = None
    transaction: str | None = None
    reference: str | None = None
    metadata: dict[str, str] | None = None
    signals: dict[str, str] | None = None
    phone_range: PhoneRange | None = None
    seed: str = ""
    instrument: tuple[str, str] | None = None
    passkey_request: str | None = None
    payment_request: str | None = None
    marks: Marks | None = None
    own_text: str = ""

    @property
    def number(self) -> PhoneNumber | None:
        """The payer's number. It was parsed at issue; parsing it once more would take longer than all the rest."""
        if self.phone is None:
            return None
        if self.phone_range is None:
            return PhoneNumber.parse(self.phone)
        country, kind, calling_code = self.phone_range
        return PhoneNumber(e164=self.phone, country=country, kind=kind, calling_code=calling_code)


class Fixed(msgspec.Struct, frozen=True, omit_defaults=True):
    """What never changes after issue. Redis holds it as one text that no script looks into.

    `asked` are the devices or passkeys that may answer, `nonce` is in what a passkey signs (base64). `sca` claims that
    an approval is strong; None in a challenge of before that was kept.
    """

    purpose: Purpose
    method: Method
    elements: tuple[Element, ...]
    policy: str
    sealed: str
    risk_reasons: tuple[str, ...] = ()
    risk_score: int = 0
    risk_decision: str = "challenge"
    question: SigningQuestion | None = None
    asked: tuple[str, ...] = ()
    nonce: str = ""
    sca: bool | None = None

    @property
    def is_sca(self) -> bool:
        """Whether an approval is strong customer authentication (PSD2 Art. 4(30), RTS Art. 4(1))."""
        return len(set(self.elements)) >= 2 if self.sca is None else self.sca


class PushRule(msgspec.Struct, frozen=True):
    """How many challenges a payer's devices may be asked before one is approved, and for how long they count."""

    most: int
    counted_ms: int


class LadderState(msgspec.Struct, frozen=True):
    """One step of the ladder as the scripts see it; `until_status` names the delivery status that ends the waiting."""

    channel: Channel
    timeout_ms: int
    until_status: str


class ChallengeState(msgspec.Struct):
    """A challenge as it lies in Redis: one MessagePack map, read and written by the scripts.

    Times are milliseconds since the epoch by Redis `TIME`; 0 means not yet. `revision` grows by one with each change.
    `session` and `transaction` are what the log calls them by: a pseudonym, and the commitment (RTS Art. 29). `signed`
    is what the payer's device signed, sealed, for as long as it may not be on record; PostgreSQL does not get it here.
    The scripts keep one member more for themselves, `epoch` (epoch.lua).
    """

    id: str
    client: str
    payer: str
    status: Status
    revision: int
    digest: str
    created_at: int
    expires_at: int
    attempts_left: int
    ladder: list[LadderState]
    step: int
    deliveries: list[DeliveryState]
    fixed: str
    settled_at: int = 0
    next_at: int = 0
    resend_at: int = 0
    resends: int = 0
    blocked_until: int = 0
    answer_event: str = ""
    answer_key: str = ""
    why: str = ""
    step_on: str = _EVERY_REASON
    session: str = ""
    transaction: str = ""
    signed: str = ""

    def status_at(self, now_ms: int) -> Status:
        """The status as of `now_ms`: a pending challenge whose time is over is expired, whoever notices first."""
        if self.status is Status.PENDING and now_ms >= self.expires_at:
            return Status.EXPIRED
        return self.status

    @property
    def references(self) -> dict[str, str]:
        """What every event about it names: its session and transaction, as far as it has them (RTS Art. 29)."""
        named = {"session": self.session, "transaction": self.transaction}
        return {name: text for name, text in named.items() if text}

    @property
    def purpose(self) -> Purpose:
        """What the challenge is for; its id tells."""
        return _PURPOSES[int(self.id[6], 16) & ~_ASKS_PIN]

    @property
    def asks_pin(self) -> bool:
        """Whether an answer needs the payer's PIN beside the code; its id tells."""
        return bool(int(self.id[6], 16) & _ASKS_PIN)

    @property
    def awaits_release(self) -> bool:
        """Whether a new delivery waits for its decision to be on record."""
        if self.status is not Status.PENDING or not self.deliveries:
            return False
        newest = self.deliveries[-1]
        return newest.status is DeliveryStatus.QUEUED and newest.tries == 0

    @property
    def newest_arrived(self) -> DeliveryState | None:
        """The newest delivery that a supplier took, and of which nothing bad was heard."""
        arrived = (DeliveryStatus.SENT, DeliveryStatus.DELIVERED, DeliveryStatus.ANSWERED)
        return next((one for one in reversed(self.deliveries) if one.status in arrived), None)

    def channel_due(self, now_ms: int, *, most_tries: int) -> Channel | None:
        """The channel over which a worker that advances it now would send, None when it would not.

        What `advance.lua` decides; it decides again, and sends nothing over another channel than this one.
        """
        if self.status is not Status.PENDING or now_ms >= self.expires_at or not self.deliveries:
            return None
        current = self.deliveries[-1]
        if current.status is DeliveryStatus.QUEUED and current.tries >= most_tries:
            reason = _STEP_REASONS.get("" if current.is_in_hand else current.reason, StepReason.SUPPLIER_DOWN)
        elif current.tries and self.next_at and now_ms >= self.next_at:
            reason = StepReason.TIMEOUT
        else:
            return current.channel if current.status is DeliveryStatus.QUEUED else None
        if self.step >= len(self.ladder) or reason not in self.step_on.split():
            return None
        return self.ladder[self.step].channel

    @property
    def details(self) -> Fixed:
        """What was fixed at issue."""
        return msgspec.json.decode(self.fixed, type=Fixed)

    @property
    def next_channel_at(self) -> str | None:
        """When the ladder steps on by itself (RFC 3339), or None when it will not."""
        return timestamp(self.next_at) if self.next_at and self.status is Status.PENDING else None


_decode_state = msgspec.msgpack.Decoder(ChallengeState).decode


def decode_state(raw: bytes) -> ChallengeState:
    """The state in its packed form. Raises msgspec.DecodeError when Redis holds something else."""
    return _decode_state(raw)
