"""What an authenticator is: its type, its life, and what is kept of it.

Life of an authenticator::

    pending ──▶ active ◀──▶ suspended   by the bank, or a passkey that seems to be copied
            │          └─▶ revoked ◀─┘  by the bank, or replaced
            └─▶ revoked                 too many wrong codes at activation
    pending that nobody activates in time is as good as none, and goes with the next enrolment
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

import msgspec

from sca_service.kernel.hotp import OtpAlgorithm
from sca_service.kernel.phone import PhoneNumber


class Element(StrEnum):
    """The three categories of PSD2 Art. 4(30)."""

    KNOWLEDGE = "knowledge"
    POSSESSION = "possession"
    INHERENCE = "inherence"


class AuthenticatorType(StrEnum):
    """What carries the element (NIST SP 800-63)."""

    PHONE = "phone"  # a phone line: whoever gets its messages has the SIM
    DEVICE_KEY = "device_key"  # a key in the bank's app, which signs what it shows
    TOTP = "totp"  # a generator of time-based codes (RFC 6238)
    HOTP = "hotp"  # a generator of counter-based codes (RFC 4226)
    OCRA = "ocra"  # a generator that signs: it answers a question made from the transaction (RFC 6287)
    PIN = "pin"  # what only the payer knows (RTS Art. 6)
    PASSKEY = (
        "passkey"  # a key in a browser or a stick (WebAuthn), which signs after it has verified the payer
    )


ELEMENT_OF = {
    AuthenticatorType.PHONE: Element.POSSESSION,  # EBA Q&A 2018_4039
    AuthenticatorType.DEVICE_KEY: Element.POSSESSION,
    AuthenticatorType.TOTP: Element.POSSESSION,  # EBA-Op-2019-06, table 2: evidence of possession by an OTP
    AuthenticatorType.HOTP: Element.POSSESSION,
    AuthenticatorType.OCRA: Element.POSSESSION,
    AuthenticatorType.PIN: Element.KNOWLEDGE,
    AuthenticatorType.PASSKEY: Element.POSSESSION,
}
"""The element that each type carries (RTS Art. 6 to 8)."""


class AuthenticatorState(StrEnum):
    """Where an authenticator stands."""

    PENDING = "pending"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"


class ActivationOutcome(StrEnum):
    """What one try to activate came to."""

    ACTIVATED = "activated"
    INCORRECT = "incorrect"
    EXPIRED = "expired"  # not activated in time
    NOT_PENDING = "not_pending"  # active before, or revoked


class ResyncOutcome(StrEnum):
    """What one try to find a generator's counter came to."""

    RESYNCHRONISED = "resynchronised"
    INCORRECT = "incorrect"
    NOT_ACTIVE = "not_active"  # pending, or revoked


@dataclass(frozen=True, slots=True)
class Authenticator:
    """An authenticator as its client may see it: nothing that it authenticates by. Times are ms since the epoch.

    `unlocked_by` is the element that a device or passkey asks for before its key signs, where there is one.
    """

    id: str
    type: AuthenticatorType
    state: AuthenticatorState
    label: str
    created_at_ms: int
    activated_at_ms: int = 0
    used_at_ms: int = 0
    unlocked_by: Element | None = None

    @property
    def element(self) -> Element:
        """The category of element that it carries."""
        return ELEMENT_OF[self.type]


@dataclass(frozen=True, slots=True)
class Authorisation:
    """An approval that allows one more authenticator: the id of its event, and when it was given (seconds)."""

    approval: str
    at_s: int


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """An authenticator that is revoked or suspended; `remaining` are the payer's others of its type, active still."""

    id: str
    type: AuthenticatorType
    remaining: frozenset[str]

    def was_all_of(self, asked: Collection[str]) -> bool:
        """Whether none is left of those that were asked; of nobody in particular, none of its type."""
        return not (self.remaining & set(asked) if asked else self.remaining)


class KnownLine(msgspec.Struct, frozen=True):
    """A payer's phone line, and on which day (UTC) the payer proved to hold it; None where nobody saw that."""

    number: PhoneNumber
    since: date | None = None


@dataclass(frozen=True, slots=True)
class SigningQuestion:
    """What a challenge asks (RFC 6287), and the id of the one authenticator that it asks."""

    authenticator: str
    text: str


@dataclass(frozen=True, slots=True)
class Asked:
    """Which of a payer's devices or passkeys a challenge asks: any of `authenticators` may answer, and no other.

    All of them carry possession, and the element that unlocks them, if any.
    """

    authenticators: tuple[str, ...]
    unlocked_by: Element | None


@dataclass(frozen=True, slots=True)
class OtpShape:
    """How a generator makes its codes; `period_seconds` is 0 for one that counts."""

    digits: int
    period_seconds: int
    algorithm: OtpAlgorithm = OtpAlgorithm.SHA1
