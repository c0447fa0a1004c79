"""A webhook is believed when Standard Webhooks says so, and not otherwise."""

import json
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from sca_service.client import WebhookRefused, read_webhook
from sca_service.webhooks.model import Scheme
from sca_service.webhooks.signature import SigningKeys

BODY = json.dumps({"type": "challenge.approved", "timestamp": "2026-11-28T10:15:00Z", "data": {"index": 7}})
AT = 1_780_000_000


def called(keys: SigningKeys, *, body: str = BODY, at_s: int = AT) -> dict[str, str]:
    """The headers of a call."""
    return {
        "Webhook-Id": "msg_1",
        "Webhook-Timestamp": str(at_s),
        "Webhook-Signature": keys.sign(message="msg_1", at_s=at_s, body=body, now_ms=at_s * 1000),
    }


def key_of(keys: SigningKeys) -> str:
    """What a receiver verifies by."""
    secret = keys.secret
    return secret.reveal() if secret else keys.public_key or ""


@pytest.mark.parametrize("scheme", list(Scheme))
def test_what_the_service_signs_is_believed(scheme: Scheme) -> None:
    """By a shared secret and by a public key; also while a key is being replaced."""
    keys = SigningKeys.new(scheme)
    notice = read_webhook(key_of(keys), called(keys), BODY.encode(), now_seconds=AT + 299)
    assert (notice.id, notice.type, notice.members) == ("msg_1", "challenge.approved", {"index": 7})
    rotated = keys.rotated(before_ends_at_ms=(AT + 60) * 1000)
    for key in (key_of(keys), key_of(rotated)):
        assert read_webhook(key, called(rotated), BODY.encode(), now_seconds=AT).id == "msg_1"


def test_what_another_library_signs_is_believed() -> None:
    """The standard's own library signs as the service does."""
    keys = SigningKeys.new(Scheme.V1)
    at = datetime.fromtimestamp(AT, UTC)
    headers = called(keys) | {"Webhook-Signature": Webhook(key_of(keys)).sign("msg_1", at, BODY)}
    assert read_webhook(key_of(keys), headers, BODY.encode(), now_seconds=AT).id == "msg_1"


@pytest.mark.parametrize("scheme", list(Scheme))
@pytest.mark.parametrize(
    ("change", "late_seconds"),
    [
        ({"body": BODY + " "}, 0),
        ({"Webhook-Id": "msg_2"}, 0),
        ({"Webhook-Timestamp": str(AT + 1)}, 0),
        ({"Webhook-Timestamp": "soon"}, 0),
        ({"Webhook-Signature": "v1,AAAA v1a,AAAA v2,x y"}, 0),
        ({}, 301),
        ({}, -301),
    ],
)
def test_anything_else_is_refused(scheme: Scheme, change: dict[str, str], late_seconds: int) -> None:
    """Another body, name, time or signature, and what is too old or from the future."""
    keys = SigningKeys.new(scheme)
    headers = called(keys) | {name: value for name, value in change.items() if name != "body"}
    body = change.get("body", BODY).encode()
    with pytest.raises(WebhookRefused):
        read_webhook(key_of(keys), headers, body, now_seconds=AT + late_seconds)


def test_another_key_and_another_shape_are_refused() -> None:
    """A key of another endpoint or scheme, no headers at all, and a signed body that is no notice."""
    keys, other = SigningKeys.new(Scheme.V1), SigningKeys.new(Scheme.V1A)
    for key in (key_of(SigningKeys.new(Scheme.V1)), key_of(other), "whsec_?", ""):
        with pytest.raises(WebhookRefused):
            read_webhook(key, called(keys), BODY.encode(), now_seconds=AT)
    with pytest.raises(WebhookRefused):
        read_webhook(key_of(keys), {}, BODY.encode(), now_seconds=AT)
    with pytest.raises(WebhookRefused):
        read_webhook(key_of(keys), called(keys, body="[]"), b"[]", now_seconds=AT)
