"""What is sealed of an authenticator, by its type: what it authenticates by, and its label."""

import msgspec

from sca_service.authenticators.device_key.jwk import DeviceKey
from sca_service.authenticators.model import AuthenticatorType, Element, OtpShape
from sca_service.authenticators.passkey.registration import Passkey
from sca_service.authenticators.postgres_store import AuthenticatorRow
from sca_service.kernel.hotp import OtpAlgorithm
from sca_service.kernel.keyring import Keyring


class OtpSealed(msgspec.Struct, frozen=True):
    """Of a generator: the seed in clear, so only ever inside a sealed text."""

    seed: bytes
    digits: int
    period_seconds: int
    label: str
    algorithm: OtpAlgorithm = OtpAlgorithm.SHA1

    def __repr__(self) -> str:
        return "OtpSealed()"

    @property
    def shape(self) -> OtpShape:
        """How it makes its codes."""
        return OtpShape(self.digits, self.period_seconds, self.algorithm)


class OcraSealed(msgspec.Struct, frozen=True):
    """Of a generator that signs: the key in clear, so only ever inside a sealed text, and what it answers by."""

    key: bytes
    suite: str
    label: str

    def __repr__(self) -> str:
        return "OcraSealed()"


class PinSealed(msgspec.Struct, frozen=True):
    """Of a PIN: its hash (pin/hashing.py)."""

    hash: str
    label: str

    def __repr__(self) -> str:
        return "PinSealed()"


class PhoneSealed(msgspec.Struct, frozen=True):
    """Of a phone line: its number (E.164), and the language of who reads there."""

    number: str
    locale: str
    label: str

    def __repr__(self) -> str:
        return "PhoneSealed()"


class DeviceSealed(msgspec.Struct, frozen=True):
    """Of a device: its public key once it has shown one, and until then the code that it shows it with."""

    label: str
    unlocked_by: Element | None
    code: str = ""
    jwk: bytes = b""

    def __repr__(self) -> str:
        return "DeviceSealed()"

    @property
    def key(self) -> DeviceKey:
        """The device's key. Raises InvalidInput while it is pending."""
        return DeviceKey.parse(self.jwk)


class PasskeySealed(msgspec.Struct, frozen=True):
    """Of a passkey: what a browser made, and until then what it is asked."""

    label: str
    unlocked_by: Element
    handle: bytes
    for_payments: bool
    challenge: bytes = b""
    made: Passkey | None = None

    def __repr__(self) -> str:
        return "PasskeySealed()"


Content = OtpSealed | OcraSealed | PinSealed | PhoneSealed | DeviceSealed | PasskeySealed
"""What is sealed of an authenticator, whatever its type."""

_KIND_OF: dict[AuthenticatorType, type[Content]] = {
    AuthenticatorType.TOTP: OtpSealed,
    AuthenticatorType.HOTP: OtpSealed,
    AuthenticatorType.OCRA: OcraSealed,
    AuthenticatorType.PIN: PinSealed,
    AuthenticatorType.PHONE: PhoneSealed,
    AuthenticatorType.DEVICE_KEY: DeviceSealed,
    AuthenticatorType.PASSKEY: PasskeySealed,
}


def sealed(keyring: Keyring, content: Content, authenticator_id: str) -> str:
    """The content as it is stored for this authenticator."""
    return keyring.seal(msgspec.msgpack.encode(content), authenticator_id)


def content_of(keyring: Keyring, row: AuthenticatorRow) -> Content:
    """What is sealed of an authenticator. Raises SealBroken when it was altered or its key is gone."""
    return msgspec.msgpack.decode(keyring.open(row.sealed, row.id), type=_KIND_OF[row.type])


def generator_of(keyring: Keyring, row: AuthenticatorRow) -> OtpSealed:
    """What is sealed of a generator. Raises SealBroken when it was altered or its key is gone."""
    return msgspec.msgpack.decode(keyring.open(row.sealed, row.id), type=OtpSealed)


def signer_of(keyring: Keyring, row: AuthenticatorRow) -> OcraSealed:
    """What is sealed of a generator that signs. Raises SealBroken when it was altered or its key is gone."""
    return msgspec.msgpack.decode(keyring.open(row.sealed, row.id), type=OcraSealed)


def pin_of(keyring: Keyring, row: AuthenticatorRow) -> PinSealed:
    """What is sealed of a PIN. Raises SealBroken when it was altered or its key is gone."""
    return msgspec.msgpack.decode(keyring.open(row.sealed, row.id), type=PinSealed)


def line_of(keyring: Keyring, row: AuthenticatorRow) -> PhoneSealed:
    """What is sealed of a phone line. Raises SealBroken when it was altered or its key is gone."""
    return msgspec.msgpack.decode(keyring.open(row.sealed, row.id), type=PhoneSealed)


def device_of(keyring: Keyring, row: AuthenticatorRow) -> DeviceSealed:
    """What is sealed of a device. Raises SealBroken when it was altered or its key is gone."""
    return msgspec.msgpack.decode(keyring.open(row.sealed, row.id), type=DeviceSealed)


def passkey_of(keyring: Keyring, row: AuthenticatorRow) -> PasskeySealed:
    """What is sealed of a passkey. Raises SealBroken when it was altered or its key is gone."""
    return msgspec.msgpack.decode(keyring.open(row.sealed, row.id), type=PasskeySealed)


def shown_of(keyring: Keyring, row: AuthenticatorRow) -> tuple[str, Element | None]:
    """An authenticator's label, and what unlocks it; a revoked one has neither any more. Raises SealBroken."""
    if not row.sealed:
        return "", None
    content = content_of(keyring, row)
    unlocked_by = content.unlocked_by if isinstance(content, DeviceSealed | PasskeySealed) else None
    return content.label, unlocked_by
