"""The service's keys: versioned roots, and what is derived from them.

One JSON file, mode 0600, or the same text in an environment variable; either may be in an envelope that only an HSM or
a key service opens (custody/envelope.py)::

    {"current": 1, "roots": {"1": "<32 bytes, base64url>"}, "index": "<32 bytes>", "signing": ["<32 bytes>", …],
     "log": ["<32 bytes>", …]}

`roots` protect codes and personal data; `current` is used, older ones still open what they closed, and a newer one
waits until every replica has it (docs/operations.md). `index` makes pseudonyms and key hashes, so it outlives rotation:
what is looked up must be found again. `signing` holds Ed25519 seeds; the first signs, all are published. `log` holds
those that sign the audit log's checkpoints, the newest first; all of them sign, so that whoever knows an older one can
follow. Without it there is one, made from `index`.
"""

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from sca_service.kernel.errors import ConfigurationError, ScaError
from sca_service.kernel.mac import Mac
from sca_service.kernel.secret import Secret

_KEY_BYTES = 32
_NONCE_BYTES = 12
_MOST_VERSIONS = 255
"""A version is one byte of what is sealed, and two digits of a challenge's id."""


class SealBroken(ScaError):
    """Sealed bytes do not open: altered, moved to another record, or sealed under a key that is gone."""


class Keyring:
    """Derives every key the service uses; nothing else in the service sees a root (RTS Art. 22(3)).

    A class because the derived keys are computed once and kept.
    """

    __slots__ = (
        "_code_keys",
        "_index",
        "_roots",
        "_seal_keys",
        "current",
        "log_signing_keys",
        "signing_keys",
    )

    def __init__(
        self,
        *,
        current: int,
        roots: Mapping[int, bytes],
        index: bytes,
        signing: Sequence[bytes],
        log: Sequence[bytes] = (),
    ) -> None:
        """Take the keys as they stand in the file.

        Raises ConfigurationError when a key is missing, has not 32 bytes, or looks like a placeholder.
        """
        for key in (*roots.values(), index, *signing, *log):
            if len(key) != _KEY_BYTES or len(set(key)) < 8:
                raise ConfigurationError("keyring: every key needs 32 random bytes")
        if current not in roots or not signing or not all(0 < version <= _MOST_VERSIONS for version in roots):
            raise ConfigurationError(
                "keyring: `current` must name a root from 1 to 255, and `signing` hold a key"
            )
        self.current = current
        self._roots = dict(roots)
        self._index = Mac(index)
        self._code_keys = {version: Mac(_derive(root, b"one-time code")) for version, root in roots.items()}
        self._seal_keys = {version: Mac(_derive(root, b"seal")) for version, root in roots.items()}
        self.signing_keys = tuple(Ed25519PrivateKey.from_private_bytes(seed) for seed in signing)
        self.log_signing_keys = tuple(
            Ed25519PrivateKey.from_private_bytes(seed) for seed in log or (self._index.of(b"log key"),)
        )

    def __repr__(self) -> str:
        return f"Keyring(current={self.current}, versions={sorted(self._roots)})"

    @property
    def older_versions(self) -> tuple[int, ...]:
        """The versions before the current one: what lies under them is sealed anew (custody/resealing.py)."""
        return tuple(version for version in self.versions if version < self.current)

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions of the roots, the oldest first."""
        return tuple(sorted(self._roots))

    @classmethod
    def parse(cls, text: str) -> "Keyring":
        """Read the JSON form. Raises ConfigurationError without quoting any of it."""
        try:
            content = json.loads(text)
            return cls(
                current=int(content["current"]),
                roots={int(version): _decode(key) for version, key in content["roots"].items()},
                index=_decode(content["index"]),
                signing=[_decode(seed) for seed in content["signing"]],
                log=[_decode(seed) for seed in content.get("log", ())],
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError("keyring: not the JSON it should be; see `sca keys create`") from error

    def code_key(self, version: int, record: bytes) -> bytes:
        """A key of 256 bits for one one-time code, derived from the root `version` and what the code is for.

        Raises SealBroken when that root is no longer in the keyring.
        """
        try:
            return self._code_keys[version].of(record)
        except KeyError as error:
            raise SealBroken("the key version is not in the keyring") from error

    def seal(self, plain: bytes, record_id: str) -> str:
        """Encrypt for rest with AES-256-GCM, bound to `record_id`; text in base64url.

        The key is derived per record, so random nonces never get near their limit (NIST SP 800-38D, 8.3).
        """
        nonce = os.urandom(_NONCE_BYTES)
        closed = self._record_cipher(self.current, record_id).encrypt(nonce, plain, record_id.encode())
        return base64.urlsafe_b64encode(bytes((self.current,)) + nonce + closed).decode()

    def open(self, sealed: str, record_id: str) -> bytes:
        """Decrypt what `seal` closed for the same record. Raises SealBroken."""
        try:
            raw = base64.urlsafe_b64decode(sealed)
            nonce, closed = raw[1 : 1 + _NONCE_BYTES], raw[1 + _NONCE_BYTES :]
            return self._record_cipher(raw[0], record_id).decrypt(nonce, closed, record_id.encode())
        except (InvalidTag, LookupError, ValueError) as error:
            raise SealBroken("sealed bytes do not open") from error

    @staticmethod
    def version_of(sealed: str) -> int:
        """The root that a sealed text lies under: its first byte. Raises SealBroken when it is none at all."""
        try:
            return base64.urlsafe_b64decode(sealed[:4])[0]
        except (LookupError, ValueError) as error:
            raise SealBroken("sealed bytes have no version") from error

    def _record_cipher(self, version: int, record_id: str) -> AESGCM:
        return AESGCM(self._seal_keys[version].of(record_id.encode()))

    def pseudonym(self, kind: str, *parts: str) -> str:
        """A stable name for something personal or secret: 128 bits of HMAC-SHA256 in hexadecimal.

        `kind` keeps the name of a payer, a phone line and an API key apart even where their texts agree.
        """
        return self._index.of("\0".join((kind, *parts)).encode())[:16].hex()

    def key_hash(self, api_key: str) -> bytes:
        """The keyed hash under which an API key is stored: 32 bytes."""
        return self._index.of(b"api key\0" + api_key.encode())

    @property
    def pin_pepper(self) -> Secret[bytes]:
        """The key that PINs are bound to before they are hashed: who steals the hashes alone cannot guess."""
        return Secret(self._index.of(b"pin pepper"))

    def channel_key(self, name: str) -> bytes:
        """A key of 256 bits shared between two of our own roles, such as a sandbox supplier's receipts."""
        return self._index.of(b"channel\0" + name.encode())


def create_keyring_text() -> str:
    """A new keyring with one root, one index key and one key of each kind that signs, as JSON."""
    return json.dumps(
        {
            "current": 1,
            "roots": {"1": _encode(secrets.token_bytes(_KEY_BYTES))},
            "index": _encode(secrets.token_bytes(_KEY_BYTES)),
            "signing": [_encode(secrets.token_bytes(_KEY_BYTES))],
            "log": [_encode(secrets.token_bytes(_KEY_BYTES))],
        },
        indent=2,
    )


def write_keyring(path: Path) -> None:
    """Create a new keyring file, readable by its owner only. Raises FileExistsError rather than replace keys."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(create_keyring_text())
        file.flush()
        os.fsync(descriptor)


def add_root(text: str) -> str:
    """The keyring with one more root, which nothing uses yet. Raises ConfigurationError when 255 were made before."""
    newest = Keyring.parse(text).versions[-1]
    if newest == _MOST_VERSIONS:
        raise ConfigurationError("keyring: there is no version after 255")
    content = json.loads(text)
    content["roots"][str(newest + 1)] = _encode(secrets.token_bytes(_KEY_BYTES))
    return json.dumps(content, indent=2)


def use_newest_root(text: str) -> str:
    """The keyring whose newest root is the current one. Raises ConfigurationError when it is so already."""
    keyring = Keyring.parse(text)
    newest = keyring.versions[-1]
    if newest == keyring.current:
        raise ConfigurationError(
            f"keyring: root {newest}, the newest, is current already; `sca keys add-root` adds one"
        )
    return json.dumps({**json.loads(text), "current": newest}, indent=2)


def remove_root(text: str, version: int) -> str:
    """The keyring without one of its older roots. Raises ConfigurationError for any other: a number is never reused."""
    keyring = Keyring.parse(text)
    if version not in keyring.older_versions:
        raise ConfigurationError(
            f"keyring: only a root older than the current one, {keyring.current}, can be taken out"
        )
    content = json.loads(text)
    content["roots"] = {name: root for name, root in content["roots"].items() if int(name) != version}
    return json.dumps(content, indent=2)


def key_id(public_key: bytes) -> str:
    """The `kid` of a signing key: the first 16 hexadecimal digits of SHA-256 over the raw public key."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def _derive(root: bytes, purpose: bytes) -> bytes:
    return HKDFExpand(hashes.SHA256(), _KEY_BYTES, b"sca-service " + purpose).derive(root)


def _encode(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text)
