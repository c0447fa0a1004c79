"""The envelope around a keyring: JSON that says who opens it, by which key, and holds the rest sealed.

It stands where the keyring's own JSON would, in the file or in the environment variable::

    {"wrapped_by": "pkcs11", "key": "sca-keyring", "wrapped": "<base64url>"}

`key` names the key that never leaves its keeper: a label in the HSM, an ARN or alias of AWS KMS. What `wrapped` holds
is the keeper's own affair (pkcs11.py, aws_kms.py). Whoever copies the file or a backup of it cannot open it.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from sca_service.kernel.custody import aws_kms, pkcs11
from sca_service.kernel.custody.model import CustodySettings, Keeper
from sca_service.kernel.errors import ConfigurationError

_Cipher = Callable[[bytes, str, CustodySettings], bytes]


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one keeper closes and opens: bytes, the key's name, and the settings; both raise ConfigurationError."""

    wrap: _Cipher
    unwrap: _Cipher


_KINDS: Mapping[Keeper, _Kind] = {
    Keeper.PKCS11: _Kind(pkcs11.wrap, pkcs11.unwrap),
    Keeper.AWS_KMS: _Kind(aws_kms.wrap, aws_kms.unwrap),
}


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An envelope as it is written."""

    wrapped_by: Keeper
    key: str
    wrapped: str


def parse(text: str) -> Envelope | None:
    """The envelope that a keyring's text is, None when it is none. Raises ConfigurationError for a broken one."""
    try:
        content = json.loads(text)
    except ValueError:
        return None
    if not isinstance(content, dict) or "wrapped_by" not in content:
        return None
    try:
        return msgspec.convert(content, Envelope)
    except msgspec.ValidationError as error:
        kinds = ", ".join(Keeper)
        raise ConfigurationError(
            f"keyring: an envelope has wrapped_by (one of {kinds}), key and wrapped, and nothing else"
        ) from error


def unwrap(text: str, settings: CustodySettings) -> str:
    """The keyring's own JSON: opened where it is in an envelope, else as it stands.

    Raises ConfigurationError when the keeper is not reached, refuses, or the envelope does not open; quotes no secret.
    """
    envelope = parse(text)
    if envelope is None:
        return text
    try:
        closed = base64.b64decode(envelope.wrapped, altchars=b"-_", validate=True)
    except ValueError as error:
        raise ConfigurationError("keyring: `wrapped` of the envelope is no base64url") from error
    plain = _KINDS[envelope.wrapped_by].unwrap(closed, envelope.key, settings)
    try:
        return plain.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError("keyring: the envelope holds no text") from error


def wrap(plain: str, keeper: Keeper, key: str, settings: CustodySettings) -> str:
    """An envelope around the keyring's JSON, which was opened once to see that it does. Raises ConfigurationError."""
    closed = _KINDS[keeper].wrap(plain.encode(), key, settings)
    envelope = Envelope(keeper, key, base64.urlsafe_b64encode(closed).decode())
    text = json.dumps(msgspec.to_builtins(envelope), indent=2)
    if unwrap(text, settings) != plain:
        raise ConfigurationError(f"keyring: what {keeper} closed it does not open again")
    return text


def wrap_as(before: str, plain: str, settings: CustodySettings) -> str:
    """`plain` as `before` was: bare, or in an envelope of the same keeper and key. Raises ConfigurationError."""
    envelope = parse(before)
    return plain if envelope is None else wrap(plain, envelope.wrapped_by, envelope.key, settings)
