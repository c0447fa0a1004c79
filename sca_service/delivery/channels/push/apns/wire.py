"""APNs on the wire: `POST /3/device/{device}` over HTTP/2, and what its errors say.

https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
"""

import uuid

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from sca_service.delivery.channels.push.model import ApnsAddress
from sca_service.delivery.channels.push.wake_up import WakeUp
from sca_service.delivery.http_client import HttpAnswer

_GONE_REASONS = frozenset({"BadDeviceToken", "Unregistered", "ExpiredToken"})
_EXPIRED_SIGNATURE = "ExpiredProviderToken"
_NAMES = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")  # RFC 9562 section 6.6: names that are URLs


class _Refused(msgspec.Struct, frozen=True):
    reason: str = ""


def signing_key(pem: str) -> ECKey:
    """Apple's `.p8` as a key; line breaks may be written `\\n`. Raises ValueError without quoting it."""
    try:
        key = ECKey.import_key(pem.replace("\\n", "\n"))
    except (JoseError, ValueError, TypeError) as error:
        raise ValueError("is not a private key of P-256 in PEM") from error
    if not key.is_private or key.curve_name != "P-256":
        raise ValueError("is not a private key of P-256 in PEM")
    return key


def signature(key: ECKey, *, key_id: str, team: str, now_seconds: int) -> str:
    """The JWT (ES256) that says which team sends; Apple takes it for an hour."""
    return jwt.encode({"alg": "ES256", "kid": key_id}, {"iss": team, "iat": now_seconds}, key)


def headers_of(
    wake_up: WakeUp, address: ApnsAddress, *, topic: str, signed: str, now_seconds: int
) -> dict[str, str]:
    """The headers of one request. `apns-id` follows from delivery and device, so a repetition has the same one."""
    return {
        "authorization": f"bearer {signed}",
        "apns-topic": topic,
        "apns-push-type": "alert",
        "apns-priority": "10" if wake_up.is_urgent else "5",
        "apns-expiration": str(wake_up.expires_at_seconds or now_seconds + wake_up.lifetime_seconds),
        "apns-collapse-id": wake_up.delivery_id,
        "apns-id": str(uuid.uuid5(_NAMES, f"{wake_up.delivery_id}/{address.device}")),
        "content-type": "application/json",
    }


def body_of(wake_up: WakeUp) -> bytes:
    """The notification: a neutral title, and what lets the app run, fetch the message and put it in its place."""
    aps: dict[str, object] = {
        "alert": {"title": wake_up.title},
        "sound": "default",
        "content-available": 1,
        "mutable-content": 1,
    }
    if wake_up.is_urgent:
        aps["interruption-level"] = "time-sensitive"
    return msgspec.json.encode({"aps": aps, "sca": wake_up.members})


def is_gone(answer: HttpAnswer) -> bool:
    """Whether a refusal says that this device is of no more use to us."""
    return answer.status == 410 or (answer.status == 400 and _reason(answer) in _GONE_REASONS)


def is_signature_expired(answer: HttpAnswer) -> bool:
    """Whether Apple finds our signature too old, whatever our clock says."""
    return answer.status == 403 and _reason(answer) == _EXPIRED_SIGNATURE


def _reason(answer: HttpAnswer) -> str:
    try:
        return msgspec.json.decode(answer.body, type=_Refused).reason
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
