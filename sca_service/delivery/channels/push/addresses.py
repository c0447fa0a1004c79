"""What a client says of a device becomes an address or is refused: bad keys, hosts that are no push service."""

import base64
import ipaddress
import re
from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit

from cryptography.hazmat.primitives.asymmetric import ec

from sca_service.delivery.channels.push.model import ApnsAddress, FcmAddress, WebPushAddress
from sca_service.kernel.errors import InvalidInput, Mistake

PUSH_SERVICES = (
    "fcm.googleapis.com",
    "updates.push.services.mozilla.com",
    "*.notify.windows.com",
    "web.push.apple.com",
)
"""The push services of the browsers there are. A browser names its own, so without a list of them a client could make
us call whatever it likes from inside our network (server-side request forgery)."""

_LONGEST_ENDPOINT = 2_048
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}", re.ASCII)
_REGISTRATION = re.compile(r"[A-Za-z0-9_:.=-]{20,4096}", re.ASCII)
_DEVICE = re.compile(r"(?:[0-9a-f]{2}){32,128}", re.ASCII)
_POINT_BYTES, _AUTH_BYTES = 65, 16  # RFC 8291 section 3.1 and 3.2


def web_push_address(
    *, endpoint: str, public_key: str, auth: str, push_services: Collection[str] = PUSH_SERVICES
) -> WebPushAddress:
    """A browser's subscription, its keys in base64url as `PushSubscription.toJSON()` writes them.

    Raises InvalidInput with every mistake, at `/endpoint`, `/keys/p256dh` and `/keys/auth`.
    """
    mistakes = []
    if not is_push_service(endpoint, push_services):
        mistakes.append(Mistake("/endpoint", "must be an https URL of a push service that is allowed here"))
    point, secret = _bytes_of(public_key), _bytes_of(auth)
    if len(point) != _POINT_BYTES or not _is_on_curve(point):
        mistakes.append(Mistake("/keys/p256dh", "must be an uncompressed point of P-256 in base64url"))
    if len(secret) != _AUTH_BYTES:
        mistakes.append(Mistake("/keys/auth", "must be 16 bytes in base64url"))
    if mistakes:
        raise InvalidInput(*mistakes)
    return WebPushAddress(endpoint, point, secret)


def fcm_address(registration: str) -> FcmAddress:
    """What Firebase calls an app's registration. Raises InvalidInput at `/registration`."""
    if not _REGISTRATION.fullmatch(registration):
        raise InvalidInput.at("/registration", "must be what Firebase gave the app: 20 to 4096 characters")
    return FcmAddress(registration)


def apns_address(device: str) -> ApnsAddress:
    """What Apple gave an app, in hexadecimal. Raises InvalidInput at `/device`."""
    device = device.lower()
    if not _DEVICE.fullmatch(device):
        raise InvalidInput.at("/device", "must be what Apple gave the app: 32 to 128 bytes in hexadecimal")
    return ApnsAddress(device)


def is_push_service(endpoint: str, push_services: Collection[str]) -> bool:
    """Whether a URL leads to a push service of the list: https, its usual port, a host that is listed.

    `*.example` stands for every host below `example`. A loopback address may be listed too (tests, `sca dev`); that one
    may have any port and do without TLS.
    """
    if len(endpoint) > _LONGEST_ENDPOINT or not endpoint.isascii() or not endpoint.isprintable():
        return False
    if " " in endpoint or "\\" in endpoint:
        return False  # parsers disagree on what a host is then
    try:
        url = urlsplit(endpoint)
        port = url.port
    except ValueError:
        return False
    host = url.hostname or ""
    if url.username is not None or url.password is not None or url.fragment:
        return False
    if not any(_matches(host, pattern) for pattern in push_services):
        return False
    return _is_loopback(host) or (url.scheme == "https" and port in (None, 443) and _is_name(url, host))


def _matches(host: str, pattern: str) -> bool:
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) > len(pattern) - 1
    return bool(host) and host == pattern


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_name(url: SplitResult, host: str) -> bool:
    """A name and nothing but: no trailing dot, no percent signs, no brackets."""
    return url.netloc.lower() in (host, f"{host}:443") and re.fullmatch(r"[a-z0-9.-]+", host) is not None


def _bytes_of(text: str) -> bytes:
    if not _BASE64URL.fullmatch(text) or len(text) > 256:
        return b""
    unpadded = text.rstrip("=")
    try:
        return base64.urlsafe_b64decode(unpadded + "=" * (-len(unpadded) % 4))
    except ValueError:
        return b""


def _is_on_curve(point: bytes) -> bool:
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        return False
    return True
