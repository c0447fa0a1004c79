"""What payers hold, and how somebody proves it to the service: rightly, wrongly, or in a way that is another's."""

import base64
import secrets
from collections.abc import Sequence

import pyotp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sca_service.authenticators.device_key.jwk import DeviceKey
from sca_service.authenticators.enrolment.model import (
    Enrolled,
    HeldKey,
    KnownPin,
    Proof,
    ReachedLine,
    ShownCode,
    Wish,
    Withdrawal,
    WithdrawnLine,
)
from sca_service.authenticators.model import AuthenticatorState, Withdrawn
from sca_service.kernel.secret import Secret
from tests.harness import wrong
from tests.properties.authenticator_model import (
    ACTIVE,
    DEVICE,
    HOTP,
    PHONE,
    REVOKED,
    SUSPENDED,
    TOTP,
    Book,
    Kept,
    ProofKind,
    Shown,
)

_MISTAKEN = {
    ProofKind.CODE: ProofKind.PIN,
    ProofKind.PIN: ProofKind.CODE,
    ProofKind.KEY: ProofKind.LINE,
    ProofKind.LINE: ProofKind.KEY,
}


def new_key() -> DeviceKey:
    """A key that no device has shown yet."""
    raw = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return DeviceKey.parse({"kty": "OKP", "crv": "Ed25519", "x": x})


def kept_of(enrolled: Enrolled, wish: Wish, payer: str) -> Kept:
    """A new one, and what its payer holds: a generator, a device's code, a PIN, a line that a challenge was sent to."""
    word = wish.authorisation.approval if wish.authorisation else None
    one = Kept(enrolled.authenticator.id, payer, wish.kind, word)
    assert (enrolled.uri is not None) is (wish.kind in {TOTP, HOTP})
    assert (enrolled.activation_code is not None) is (wish.kind is DEVICE)
    if enrolled.uri:
        otp = pyotp.parse_uri(enrolled.uri.reveal())
        assert isinstance(otp, pyotp.TOTP | pyotp.HOTP)
        one.otp = otp
    elif enrolled.activation_code:
        one.secret = enrolled.activation_code.reveal()
    elif wish.phone:
        one.secret, one.line = f"chl_{secrets.token_hex(8)}", wish.phone.e164
        one.last_challenge = one.secret
    elif wish.pin:
        one.secret = wish.pin.reveal()
    return one


def withdrawal_of(one: Kept, was: AuthenticatorState, book: Book) -> Withdrawal:
    """What is told of one that does not answer any more, from the state it was in: a line tells its number once."""
    if one.kind is PHONE:
        return WithdrawnLine("" if was is REVOKED else one.line)
    remaining = book.of(one.payer, ACTIVE, kind=one.kind)
    return Withdrawn(one.id, one.kind, frozenset(other.id for other in remaining))


def line_before(one: Kept, book: Book) -> WithdrawnLine | None:
    """The line that this one puts out once it is active."""
    held = book.of(one.payer, ACTIVE, SUSPENDED, kind=PHONE)
    return WithdrawnLine(held[0].line) if one.kind is PHONE and held else None


def mistaken(kind: ProofKind) -> ProofKind:
    """Another way to prove something, for the same text."""
    return _MISTAKEN[kind]


def spoiled(text: str) -> str:
    """Something else that could be in its place."""
    return wrong(text) if text.isdecimal() else f"{text}A"


def proof_from(shown: Shown, keys: Sequence[DeviceKey]) -> Proof:
    """What is sent; an activation code as somebody types it."""
    match shown.kind:
        case ProofKind.CODE:
            return ShownCode(Secret(shown.text))
        case ProofKind.PIN:
            return KnownPin(Secret(shown.text))
        case ProofKind.KEY:
            return HeldKey(keys[shown.key], Secret(shown.text.lower().replace("-", " ")))
        case ProofKind.LINE:
            return ReachedLine(shown.text)
