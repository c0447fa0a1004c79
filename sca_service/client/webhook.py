"""Believes a webhook: its signature and its age, as Standard Webhooks has them. https://www.standardwebhooks.com"""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_TOLERANCE_SECONDS = 300
_SECRET_PREFIX = "whsec_"  # noqa: S105 - what Standard Webhooks begins every secret with
_PUBLIC_PREFIX = "whpk_"


class WebhookRefused(Exception):
    """What was called is not what the service sent, or it is too old."""


class Notice(msgspec.Struct, frozen=True):
    """What a webhook tells. `id` is the same in each call of one message: remember it, for one may come twice."""

    type: str
    timestamp: str
    members: dict[str, Any] = msgspec.field(name="data", default_factory=dict)
    id: str = ""


def read_webhook(
    key: str, headers: Mapping[str, str], body: bytes, *, now_seconds: float | None = None
) -> Notice:
    """The notice in a call that the service made with this `secret` (`whsec_…`) or `public_key` (`whpk_…`).

    `body` is as it came, before anything parsed it. Raises WebhookRefused for another signature, and for a call
    that is more than five minutes old or early.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        name, sent_at = given["webhook-id"], given["webhook-timestamp"]
        age_seconds = (time.time() if now_seconds is None else now_seconds) - int(sent_at)
        signatures = given["webhook-signature"].split(" ")
    except (KeyError, ValueError):
        raise WebhookRefused("not a webhook") from None
    if abs(age_seconds) > _TOLERANCE_SECONDS:
        raise WebhookRefused("too old, or from the future")
    signed = f"{name}.{sent_at}.".encode() + body
    if not any(_is_signed(key, signed, signature) for signature in signatures):
        raise WebhookRefused("not signed by the service")
    try:
        return msgspec.structs.replace(msgspec.json.decode(body, type=Notice), id=name)
    except msgspec.DecodeError:
        raise WebhookRefused("of another shape") from None


def _is_signed(key: str, signed: bytes, signature: str) -> bool:
    scheme, _, text = signature.partition(",")
    try:
        raw = base64.b64decode(text, validate=True)
        if scheme == "v1" and key.startswith(_SECRET_PREFIX):
            secret = base64.b64decode(key.removeprefix(_SECRET_PREFIX), validate=True)
            return hmac.compare_digest(raw, hmac.digest(secret, signed, hashlib.sha256))
        if scheme == "v1a" and key.startswith(_PUBLIC_PREFIX):
            public = base64.b64decode(key.removeprefix(_PUBLIC_PREFIX), validate=True)
            Ed25519PublicKey.from_public_bytes(public).verify(raw, signed)
            return True
    except (binascii.Error, ValueError, InvalidSignature):
        return False
    return False
