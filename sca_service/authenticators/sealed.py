"""What is sealed of an authenticator, by its type: what it authenticates by, and its label."""

import msgspec

from sca_service.authenticators.model import AuthenticatorType, OtpShape
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


Content = OtpSealed | OcraSealed | PinSealed
"""What is sealed of an authenticator, whatever its type."""


def sealed(keyring: Keyring, content: Content, authenticator_id: str) -> str:
    """The content as it is stored for this authenticator."""
    return keyring.seal(msgspec.msgpack.encode(content), authenticator_id)


def generator_of(keyring: Keyring, row: AuthenticatorRow) -> OtpSealed:
    """What is sealed of a generator. Raises SealBroken when it was altered or its key is gone."""
    return msgspec.msgpack.decode(keyring.open(row.sealed, row.id), type=OtpSealed)


def signer_of(keyring: Keyring, row: AuthenticatorRow) -> OcraSealed:
    """What is sealed of a generator that signs. Raises SealBroken when it was altered or its key is gone."""
    return msgspec.msgpack.decode(keyring.open(row.sealed, row.id), type=OcraSealed)


def pin_of(keyring: Keyring, row: AuthenticatorRow) -> PinSealed:
    """What is sealed of a PIN. Raises SealBroken when it was altered or its key is gone."""
    return msgspec.msgpack.decode(keyring.open(row.sealed, row.id), type=PinSealed)


def label_of(keyring: Keyring, row: AuthenticatorRow) -> str:
    """An authenticator's label; a revoked one has none any more. Raises SealBroken."""
    if not row.sealed:
        return ""
    match row.type:
        case AuthenticatorType.TOTP | AuthenticatorType.HOTP:
            return generator_of(keyring, row).label
        case AuthenticatorType.OCRA:
            return signer_of(keyring, row).label
        case AuthenticatorType.PIN:
            return pin_of(keyring, row).label
