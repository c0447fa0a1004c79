"""Signatures as Standard Webhooks has them: verified by the official package, and by its vectors."""

import base64
import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from sca_service.kernel.keyring import Keyring, SealBroken, create_keyring_text
from sca_service.kernel.secret import Secret
from sca_service.webhooks.model import Scheme
from sca_service.webhooks.signature import SigningKeys

BODY = '{"type":"challenge.approved","timestamp":"2026-11-28T10:00:00.000Z","data":{"challenge":"chl_é"}}'
HOUR_MS = 3_600_000


def now_ms() -> int:
    """The time, which the official package compares with its own."""
    return time.time_ns() // 1_000_000


def headers(keys: SigningKeys, at_ms: int, body: str = BODY) -> dict[str, str]:
    """The three headers of a message."""
    at_s = at_ms // 1000
    signature = keys.sign(message="msg_1", at_s=at_s, body=body, now_ms=at_ms)
    return {"webhook-id": "msg_1", "webhook-timestamp": str(at_s), "webhook-signature": signature}


def secret_of(keys: SigningKeys) -> str:
    """What the bank was told."""
    assert keys.secret is not None
    return keys.secret.reveal()


def test_the_vector_that_was_published() -> None:
    """The signature that the specification's own libraries test with."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    keys = SigningKeys(Scheme.V1, Secret(key))
    signed = keys.sign(
        message="msg_p5jXN8AQM9LWM0D4loKWxJek", at_s=1614265330, body='{"test": 2432232314}', now_ms=0
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_official_package_verifies() -> None:
    """And refuses a changed body, another secret, and what is old."""
    keys = SigningKeys.new(Scheme.V1)
    said = headers(keys, now_ms())
    assert Webhook(secret_of(keys)).verify(BODY, said) == json.loads(BODY)
    for body, sent, secret in (
        (BODY + " ", said, secret_of(keys)),
        (BODY, said, secret_of(SigningKeys.new(Scheme.V1))),
        (BODY, headers(keys, now_ms() - HOUR_MS), secret_of(keys)),
        (BODY, said | {"webhook-id": "msg_2"}, secret_of(keys)),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, sent)


def test_our_signature_is_the_one_the_package_makes() -> None:
    """To the letter."""
    keys = SigningKeys.new(Scheme.V1)
    at = datetime(2026, 11, 28, 10, tzinfo=UTC)
    made = Webhook(secret_of(keys)).sign("msg_1", at, BODY)
    assert keys.sign(message="msg_1", at_s=int(at.timestamp()), body=BODY, now_ms=0) == made


def test_both_secrets_verify_while_one_is_replaced() -> None:
    """Until the overlap is over; the secret before the one before never does again."""
    first = SigningKeys.new(Scheme.V1)
    ends_at = now_ms() + HOUR_MS
    second = first.rotated(before_ends_at_ms=ends_at)
    during = headers(second, now_ms())
    assert len(during["webhook-signature"].split(" ")) == 2
    for secret in (secret_of(first), secret_of(second)):
        Webhook(secret).verify(BODY, during)
    after = second.sign(message="msg_1", at_s=1, body=BODY, now_ms=ends_at)
    assert after == second.sign(message="msg_1", at_s=1, body=BODY, now_ms=ends_at + 1)
    assert len(after.split(" ")) == 1
    third = headers(second.rotated(before_ends_at_ms=ends_at), now_ms())
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_of(first)).verify(BODY, third)


def test_an_asymmetric_signature_is_verified_by_the_public_key() -> None:
    """`v1a`: Ed25519 over the same content; there is no secret to tell."""
    keys = SigningKeys.new(Scheme.V1A)
    assert keys.secret is None
    assert keys.public_key is not None
    raw = base64.b64decode(keys.public_key.removeprefix("whpk_"))
    scheme, _, signature = keys.sign(message="msg_1", at_s=7, body=BODY, now_ms=0).partition(",")
    assert scheme == "v1a"
    public = Ed25519PublicKey.from_public_bytes(raw)
    public.verify(base64.b64decode(signature), f"msg_1.7.{BODY}".encode())
    with pytest.raises(InvalidSignature):
        public.verify(base64.b64decode(signature), f"msg_1.8.{BODY}".encode())


@pytest.mark.parametrize("scheme", list(Scheme))
def test_keys_are_sealed_for_their_endpoint(scheme: Scheme) -> None:
    """Sealed and opened they sign alike; no other endpoint's name opens them."""
    keyring = Keyring.parse(create_keyring_text())
    keys = SigningKeys.new(scheme).rotated(before_ends_at_ms=1_000)
    sealed = keys.sealed(keyring, "whk_1")
    again = SigningKeys.opened(keyring, sealed, "whk_1", scheme)
    said = [one.sign(message="m", at_s=1, body=BODY, now_ms=999) for one in (keys, again)]
    assert said[0] == said[1]
    assert again.before_ends_at_ms == 1_000
    with pytest.raises(SealBroken):
        SigningKeys.opened(keyring, sealed, "whk_2", scheme)


def test_what_the_page_tells_banks_to_do() -> None:
    """The snippet of docs/webhooks.md takes what we sign, also while a secret is replaced, and nothing else."""
    page = (Path(__file__).parents[3] / "docs" / "webhooks.md").read_text("utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    told: dict[str, Any] = {}
    exec(snippet, told)  # noqa: S102 - the page's own
    verify = told["verify"]
    first = SigningKeys.new(Scheme.V1)
    second = first.rotated(before_ends_at_ms=now_ms() + HOUR_MS)
    said = headers(second, now_ms())
    for keys in (first, second):
        verify(secret_of(keys), said, BODY.encode())
    for secret, sent, body in (
        (secret_of(SigningKeys.new(Scheme.V1)), said, BODY),
        (secret_of(first), said, BODY + " "),
        (secret_of(first), headers(first, now_ms() - HOUR_MS), BODY),
    ):
        with pytest.raises(ValueError, match=r"signed|old"):
            verify(secret, sent, body.encode())
