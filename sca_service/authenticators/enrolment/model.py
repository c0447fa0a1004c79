"""What is wished for at an enrolment, what proves it, and what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sca_service.authenticators.device_key.jwk import DeviceKey
from sca_service.authenticators.model import (
    ActivationOutcome,
    Authenticator,
    AuthenticatorType,
    Authorisation,
    Element,
    Withdrawn,
)
from sca_service.authenticators.ocra.suite import OcraSuite
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.secret import Secret


@dataclass(frozen=True, slots=True)
class Whose:
    """A client's payer, and what the events say of the request that speaks of them."""

    client: str
    psu_id: str
    origin: Mapping[str, object]


@dataclass(frozen=True, slots=True, eq=False)
class Wish:
    """What is to be enrolled. `authorisation` is the approval of an enrolment challenge (RTS Art. 24).

    Only a payer's first authenticator does without. `unique` (32 hexadecimal digits) names a repeated request. What
    follows it is there for one type only: `pin` for a PIN; `suite`, and the `key` of a device that has one already, for
    OCRA; `unlocked_by` for a device and a passkey, `for_payments` for a passkey; `phone` and `locale` for a phone line.
    """

    kind: AuthenticatorType
    label: str
    authorisation: Authorisation | None = None
    unique: str | None = None
    pin: Secret[str] | None = None
    suite: OcraSuite | None = None
    key: Secret[bytes] | None = None
    unlocked_by: Element | None = None
    for_payments: bool = False
    phone: PhoneNumber | None = None
    locale: str = ""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A pending authenticator, with what activates it. What is secret is there only when it was enrolled just now.

    `uri` holds the seed of a generator, `key` that of one that signs, in base32; `question` is what that has to answer,
    `activation_code` what a device shows its key with, `options` what a browser is asked for a passkey (JSON).
    """

    authenticator: Authenticator
    is_new: bool = True
    uri: Secret[str] | None = None
    key: Secret[str] | None = None
    question: str | None = None
    activation_code: Secret[str] | None = None
    options: bytes | None = None


@dataclass(frozen=True, slots=True)
class WithdrawnLine:
    """A phone line that is revoked or suspended: its number (E.164), "" where that is not kept any more.

    Then it was revoked by an earlier request, at `revoked_at_ms`: that may have been cut off before it voided anything.
    """

    number: str = field(repr=False)
    revoked_at_ms: int = field(default=0, compare=False)


Withdrawal = Withdrawn | WithdrawnLine
"""What does not answer any more. Nobody is asked on a line: codes travel to its number, also where a bank vouched for
that."""


@dataclass(frozen=True, slots=True)
class Activation:
    """What a try to activate came to, and how many are left; `replaced` is the line that a new one put out."""

    outcome: ActivationOutcome
    tries_left: int
    authenticator: Authenticator
    replaced: WithdrawnLine | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ShownCode:
    """What a generator shows."""

    code: Secret[str]


@dataclass(frozen=True, slots=True, eq=False)
class KnownPin:
    """The PIN, once more."""

    pin: Secret[str]


@dataclass(frozen=True, slots=True, eq=False)
class HeldKey:
    """A key that signed the request, and the code that the bank handed to the device."""

    key: DeviceKey
    code: Secret[str]


@dataclass(frozen=True, slots=True)
class MadePasskey:
    """What a browser answered to the options: JSON."""

    response: bytes


@dataclass(frozen=True, slots=True)
class ReachedLine:
    """The code that was sent to a phone line came back: the challenge that asked for it is approved."""

    challenge: str


Proof = ShownCode | KnownPin | HeldKey | MadePasskey | ReachedLine
"""What proves possession or knowledge at an activation (RTS Art. 24(2)(b))."""
