"""A keyring that a hardware security module protects: AES-256-GCM inside the module, reached by PKCS #11.

The key is made in the HSM, never leaves it, and is found by its label. `wrapped` is a nonce of 12 bytes, then what
CKM_AES_GCM gives (PKCS #11 v3.0 section 6.13.3); key label and deployment are authenticated beside it. The HSM is
asked once, when a role or a command starts. The library is the extra `hsm`.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

from sca_service.kernel.custody.model import NONCE_BYTES, CustodySettings
from sca_service.kernel.errors import ConfigurationError

_KEY_BITS = 256
_TAG_BYTES = 16


def wrap(plain: bytes, key: str, settings: CustodySettings) -> bytes:
    """Close under the key with this label. Raises ConfigurationError."""
    nonce = os.urandom(NONCE_BYTES)
    with _cipher(key, nonce, settings) as (aes_key, parameters):
        return nonce + bytes(_told(lambda: aes_key.encrypt(plain, **parameters)))


def unwrap(closed: bytes, key: str, settings: CustodySettings) -> bytes:
    """Open what `wrap` closed for the same deployment. Raises ConfigurationError."""
    if len(closed) < NONCE_BYTES + _TAG_BYTES:
        raise ConfigurationError("keyring: the envelope is cut off")
    with _cipher(key, closed[:NONCE_BYTES], settings) as (aes_key, parameters):
        try:
            return bytes(aes_key.decrypt(closed[NONCE_BYTES:], **parameters))
        except _library().PKCS11Error as error:
            raise ConfigurationError(
                "keyring: the envelope does not open: it was altered, or made with another key or for another"
                f" custody.deployment (the HSM says {type(error).__name__})"
            ) from None


@contextlib.contextmanager
def _cipher(key: str, nonce: bytes, settings: CustodySettings) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The key in an open session, and how it ciphers.

    Afterwards the module is finalised, since nothing else needs it, and stays loaded: the library's objects call into
    it when they are collected.
    """
    library = _library()
    missing = [
        name
        for name, value in (
            ("custody.pkcs11_module", settings.pkcs11_module),
            ("custody.pkcs11_slot", settings.pkcs11_slot),
            ("SCA_PKCS11_PIN", settings.pkcs11_pin),
        )
        if not value
    ]
    if missing or settings.pkcs11_pin is None:
        raise ConfigurationError(f"keyring: an HSM protects it, so set {', '.join(missing)}")
    parameters = {
        "mechanism": library.Mechanism.AES_GCM,
        "mechanism_param": library.GCMParams(
            nonce, f"sca keyring\0{key}\0{settings.deployment}".encode(), 8 * _TAG_BYTES
        ),
    }
    pin = settings.pkcs11_pin.reveal()
    module = _told(lambda: library.lib(settings.pkcs11_module))
    try:
        slot = _told(lambda: module.get_token(token_label=settings.pkcs11_slot))
        with _told(lambda: slot.open(user_pin=pin)) as session:
            yield _told(lambda: _key(library, session, key)), parameters
    finally:
        with contextlib.suppress(library.PKCS11Error):
            module.finalize()


def _key(library: Any, session: Any, label: str) -> Any:
    wanted = {
        library.Attribute.CLASS: library.ObjectClass.SECRET_KEY,
        library.Attribute.KEY_TYPE: library.KeyType.AES,
        library.Attribute.LABEL: label,
    }
    found = list(
        session.get_objects(wanted)
    )  # to the end: a search that is left open is closed after the module is
    if len(found) != 1:
        raise ConfigurationError(
            f"keyring: the HSM has {'several' if found else 'no'} AES key{'s' if found else ''} with this label"
        )
    if found[0].key_length != _KEY_BITS:
        raise ConfigurationError(f"keyring: the HSM's key with this label has not {_KEY_BITS} bits")
    return found[0]


def _told(act: Callable[[], Any]) -> Any:
    """What the HSM answers; what goes wrong is said in plain words. Raises ConfigurationError.

    The library's own words are left out: they may quote what it was called with.
    """
    library = _library()
    words = {
        library.NoSuchToken: "no slot of the HSM has the label custody.pkcs11_slot",
        library.MultipleTokensReturned: "several slots of the HSM have the label custody.pkcs11_slot",
        library.PinIncorrect: "the HSM refuses the PIN in SCA_PKCS11_PIN",
        library.PinInvalid: "the HSM refuses the PIN in SCA_PKCS11_PIN",
        library.PinLenRange: "the HSM refuses the PIN in SCA_PKCS11_PIN",
        library.PinLocked: "the HSM has locked the PIN: it was wrong too often",
        library.PinExpired: "the PIN in SCA_PKCS11_PIN has expired",
        library.ArgumentsBad: "the HSM takes no such PIN or label",
    }
    try:
        return act()
    except library.PKCS11Error as error:
        told = words.get(
            type(error), f"the HSM or its module custody.pkcs11_module fails ({type(error).__name__})"
        )
        raise ConfigurationError(f"keyring: {told}") from None


def _library() -> Any:
    try:
        import pkcs11  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            "keyring: an HSM protects it; install the extra `hsm` (python-pkcs11)"
        ) from error
    return pkcs11
