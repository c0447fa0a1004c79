"""Web Push on the wire: the message as JSON, encrypted for one browser (RFC 8291), in one request (RFC 8030, 8292).

What a service worker finds in `event.data.json()`::

    {"delivery": "dlv_…", "title": "Bestätigung erforderlich", "text": "… with amount, payee and code",
     "shown": "49,99 € an ACME GmbH …3000", "expires": "2026-11-22T10:20:00.000Z",
     "receipt": {"url": "https://…/receipts/web-push", "mac": "…"}}

It is encrypted from here to the browser: the push service in between sees its length only, which is the same for most.
"""

import base64
import hashlib
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwt
from joserfc.jwk import ECKey

from sca_service.delivery.channels.push.device_words import ReplyTo
from sca_service.delivery.channels.push.model import WebPushAddress
from sca_service.delivery.supplier import Message
from sca_service.kernel.clock import timestamp

MOST_PLAIN_BYTES = 3_993
"""What a push service has to take (RFC 8291 section 4): 4,096 less header, authentication tag and padding delimiter."""

_RECORD_SIZE = 4_096
_STEP_BYTES = 1_024
_LAST_RECORD = b"\x02"


class _Receipt(msgspec.Struct, frozen=True):
    url: str
    mac: str


class _Content(msgspec.Struct, frozen=True, omit_defaults=True):
    delivery: str
    title: str
    text: str
    receipt: _Receipt
    shown: str = ""
    expires: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Vapid:
    """The key that push services know us by: the private one, and the public one as browsers subscribe with it."""

    private: ECKey
    public: str

    @classmethod
    def parse(cls, text: str) -> "Vapid":
        """Read a private key of P-256, PEM or 32 bytes in base64url. Raises ValueError without quoting it.

        Line breaks may be written `\\n`, as an environment often has them.
        """
        key = _private_key(text.strip().replace("\\n", "\n"))
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("is not a private key of P-256")
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return cls(ECKey.import_key(pem), encoded(_point(key.public_key())))

    def authorization(self, *, origin: str, contact: str, until_seconds: int) -> str:
        """The header `Authorization` for one push service until a moment at most 24 h away (RFC 8292 section 2)."""
        claims = {"aud": origin, "exp": until_seconds, "sub": contact}
        signed = jwt.encode({"typ": "JWT", "alg": "ES256"}, claims, self.private)
        return f"vapid t={signed}, k={self.public}"


def content_of(message: Message, title: str, reply_to: ReplyTo) -> bytes:
    """What the service worker gets, as JSON."""
    return msgspec.json.encode(
        _Content(
            delivery=message.delivery_id,
            title=title,
            text=message.text.reveal(),
            shown=message.shown.reveal(),
            expires=timestamp(message.expires_at_ms) if message.expires_at_ms else "",
            receipt=_Receipt(reply_to.url, reply_to.mac),
        )
    )


def padding_for(plain_bytes: int) -> int:
    """How many zeros go with a text of this length, so that its length tells nothing of amount and payee."""
    return min(-(-plain_bytes // _STEP_BYTES) * _STEP_BYTES, MOST_PLAIN_BYTES) - plain_bytes


def encrypted(
    plain: bytes,
    address: WebPushAddress,
    *,
    ours: ec.EllipticCurvePrivateKey,
    salt: bytes,
    padding: int = 0,
) -> bytes:
    """The body for one browser: `aes128gcm` (RFC 8188) with a single record, its key agreed as in RFC 8291 section 3.

    `ours` and `salt` (16 bytes) are fresh for every body. Raises ValueError for a text over 3,993 bytes.
    """
    if len(plain) + padding > MOST_PLAIN_BYTES:
        raise ValueError("the text does not fit into a push message")
    theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), address.public_key)
    our_point = _point(ours.public_key())
    agreed = _derived(
        ours.exchange(ec.ECDH(), theirs),
        salt=address.auth,
        about=b"WebPush: info\0" + address.public_key + our_point,
        size=32,
    )
    key = _derived(agreed, salt=salt, about=b"Content-Encoding: aes128gcm\0", size=16)
    nonce = _derived(agreed, salt=salt, about=b"Content-Encoding: nonce\0", size=12)
    header = salt + _RECORD_SIZE.to_bytes(4, "big") + bytes((len(our_point),)) + our_point
    return header + AESGCM(key).encrypt(nonce, plain + _LAST_RECORD + bytes(padding), None)


def topic_of(delivery_id: str) -> str:
    """The `Topic` (RFC 8030 section 5.4): a repeated message replaces the one before if that still waits.

    At most 32 characters of base64url; a hash, because the push service needs to know no id of ours.
    """
    return encoded(hashlib.sha256(delivery_id.encode()).digest()[:18])


def origin_of(endpoint: str) -> str:
    """Scheme, host and, unless it is the usual one, port (RFC 6454): whom a VAPID signature is for."""
    url = urlsplit(endpoint)
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    usual = {"https": 443, "http": 80}.get(url.scheme)
    return f"{url.scheme}://{host}" + (f":{url.port}" if url.port not in (None, usual) else "")


def encoded(raw: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _derived(secret: bytes, *, salt: bytes, about: bytes, size: int) -> bytes:
    return HKDF(hashes.SHA256(), size, salt, about).derive(secret)


def _point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def _private_key(text: str) -> object:
    try:
        if text.startswith("-----"):
            return serialization.load_pem_private_key(text.encode(), password=None)
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return ec.derive_private_key(int.from_bytes(raw, "big"), ec.SECP256R1()) if len(raw) == 32 else None
    except (ValueError, TypeError) as error:
        raise ValueError("is not a private key") from error
