"""Signs messages as Standard Webhooks says: `v1` by HMAC-SHA256, `v1a` by Ed25519, and both keys while one is replaced.

What is signed is `{webhook-id}.{webhook-timestamp}.{body}`. https://www.standardwebhooks.com
"""

import base64
import hmac
import secrets

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sca_service.kernel.keyring import Keyring
from sca_service.kernel.secret import Secret
from sca_service.webhooks.model import Scheme

_KEY_BYTES = 32
_MOST_SIGNATURES = 4
"""That are looked at: of a key, and of the one before it, in both schemes."""
_SECRET_PREFIX = "whsec_"  # noqa: S105 - what Standard Webhooks begins every secret with
_PUBLIC_PREFIX = "whpk_"


class _Held(msgspec.Struct, frozen=True):
    """What is sealed of an endpoint: the key that signs, and for some hours the one before it."""

    current: bytes
    before: bytes = b""
    before_ends_at_ms: int = 0


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Held).decode


class SigningKeys:
    """An endpoint's keys. A class because it holds them, and shows them to nobody but the client that it is for."""

    def __init__(
        self,
        scheme: Scheme,
        current: Secret[bytes],
        before: Secret[bytes] | None = None,
        before_ends_at_ms: int = 0,
    ) -> None:
        self._scheme = scheme
        self._current = current
        self._before = before
        self.before_ends_at_ms = before_ends_at_ms

    @classmethod
    def new(cls, scheme: Scheme) -> "SigningKeys":
        """A first key: 256 random bits."""
        return cls(scheme, Secret(secrets.token_bytes(_KEY_BYTES)))

    @classmethod
    def opened(cls, keyring: Keyring, sealed: str, endpoint: str, scheme: Scheme) -> "SigningKeys":
        """What is sealed of an endpoint. Raises SealBroken when it was altered or its root is gone."""
        held = _decode(keyring.open(sealed, endpoint))
        before = Secret(held.before) if held.before else None
        return cls(scheme, Secret(held.current), before, held.before_ends_at_ms)

    def sealed(self, keyring: Keyring, endpoint: str) -> str:
        """The keys as they are stored for this endpoint."""
        before = self._before.reveal() if self._before else b""
        held = _Held(self._current.reveal(), before, self.before_ends_at_ms)
        return keyring.seal(_encode(held), endpoint)

    def rotated(self, *, before_ends_at_ms: int) -> "SigningKeys":
        """A new key; the current one signs beside it until then, and the one before that no more."""
        return SigningKeys(
            self._scheme, Secret(secrets.token_bytes(_KEY_BYTES)), self._current, before_ends_at_ms
        )

    @property
    def secret(self) -> Secret[str] | None:
        """`whsec_…`, by which a `v1` signature is verified; there is none for `v1a`."""
        if self._scheme is not Scheme.V1:
            return None
        return Secret(_SECRET_PREFIX + base64.b64encode(self._current.reveal()).decode())

    @property
    def public_key(self) -> str | None:
        """`whpk_…`, by which a `v1a` signature is verified; there is none for `v1`."""
        if self._scheme is not Scheme.V1A:
            return None
        public = Ed25519PrivateKey.from_private_bytes(self._current.reveal()).public_key()
        return _PUBLIC_PREFIX + base64.b64encode(public.public_bytes_raw()).decode()

    def sign(self, *, message: str, at_s: int, body: str, now_ms: int) -> str:
        """The value of `webhook-signature`: one signature, or two while a key is being replaced."""
        content = f"{message}.{at_s}.{body}".encode()
        keys = [self._current]
        if self._before and now_ms < self.before_ends_at_ms:
            keys.append(self._before)
        return " ".join(f"{self._scheme},{self._signature(key, content)}" for key in keys)

    def signed(self, header: str, *, message: str, at_s: int, body: bytes, now_ms: int) -> bool:
        """Whether whoever knows the secret signed this: the current key, or the one before it while that holds.

        `header` is the value of `webhook-signature`. Never true for `v1a`, whose private key nobody else has.
        """
        if self._scheme is not Scheme.V1:
            return False
        content = f"{message}.{at_s}.".encode() + body
        keys = [self._current]
        if self._before and now_ms < self.before_ends_at_ms:
            keys.append(self._before)
        ours = [f"{self._scheme},{self._signature(key, content)}".encode() for key in keys]
        presented = header.encode().split(b" ")[:_MOST_SIGNATURES]
        return any(hmac.compare_digest(one, other) for one in ours for other in presented)

    def _signature(self, key: Secret[bytes], content: bytes) -> str:
        if self._scheme is Scheme.V1:
            signed = hmac.digest(key.reveal(), content, "sha256")
        else:
            signed = Ed25519PrivateKey.from_private_bytes(key.reveal()).sign(content)
        return base64.b64encode(signed).decode()
