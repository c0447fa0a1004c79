"""A card processor hears something within two seconds, whatever takes longer behind."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from standardwebhooks import Webhook

from sca_service.api.device_door import DeviceDoor
from sca_service.api.idempotency import Idempotency
from sca_service.challenges.issue import Issuer
from sca_service.compat.issuer.hooks import IssuerHooks, Signed
from sca_service.kernel.addresses import Proxies
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.errors import InvalidInput, Overloaded
from sca_service.kernel.keyring import Keyring, create_keyring_text
from sca_service.limits.redis_store import LimitStore
from sca_service.policy.load import load
from sca_service.settings import shipped_policies
from sca_service.webhooks.model import Endpoint, EndpointStatus, Scheme
from sca_service.webhooks.postgres_store import EndpointStore
from sca_service.webhooks.signature import SigningKeys

ENDPOINT = "whk_" + "1" * 32
KEYRING = Keyring.parse(create_keyring_text())


class OneEndpoint:
    """The endpoints, of which there is one."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    async def of_any(self, endpoint: str, scope: str) -> Endpoint | None:
        """It, whatever the scope."""
        return self.endpoint if endpoint == self.endpoint.id else None


class OnceEach:
    """Runs every request."""

    async def once(self, caller: Any, key: str, request: bytes, create: Any) -> Any:
        """Run it."""
        return await create("0" * 32)


class SlowIssuer:
    """Issues nothing before it is let."""

    def __init__(self) -> None:
        self.may_go_on = asyncio.Event()
        self.is_done = asyncio.Event()

    async def issue(self, caller: Any, order: Any, *, unique: str | None) -> Any:
        """Wait, and find no device."""
        await self.may_go_on.wait()
        self.is_done.set()
        raise InvalidInput.at("/method", "has no device")


async def test_what_takes_too_long_is_told_so_and_goes_on() -> None:
    """The processor falls back in time; what was begun is finished, for its repetition to find."""
    keys, issuer = SigningKeys.new(Scheme.V1), SlowIssuer()
    endpoint = Endpoint(
        id=ENDPOINT,
        client="bank",
        url="https://processor.example",
        description="",
        types=(),
        scheme=Scheme.V1,
        sealed=keys.sealed(KEYRING, ENDPOINT),
        status=EndpointStatus.ACTIVE,
        reason="",
        created_at=datetime.now(UTC),
    )
    prompt, patient = (hooks_for(endpoint, issuer, answer_seconds=seconds) for seconds in (0.05, 60.0))
    assert keys.secret
    signed = signed_by(keys.secret.reveal())

    with pytest.raises(Overloaded):
        await prompt.challenge(ENDPOINT, signed, "req_1")
    issuer.may_go_on.set()
    await asyncio.wait_for(issuer.is_done.wait(), 30)
    assert json.loads((await patient.challenge(ENDPOINT, signed, "req_2")).body)["reason"] == "no_device"


def hooks_for(endpoint: Endpoint, issuer: SlowIssuer, *, answer_seconds: float) -> IssuerHooks:
    """Hooks with that much time for an answer."""
    return IssuerHooks(
        endpoints=cast("EndpointStore", OneEndpoint(endpoint)),
        issuer=cast("Issuer", issuer),
        idempotency=cast("Idempotency", OnceEach()),
        door=DeviceDoor(
            policy=load(shipped_policies()),
            keyring=KEYRING,
            limits=cast("LimitStore", None),
            proxies=Proxies(()),
        ),
        keyring=KEYRING,
        clock=SystemClock(),
        answer_seconds=answer_seconds,
    )


def signed_by(secret: str) -> Signed:
    """A request that is signed now."""
    at = datetime.now(UTC)
    amount = {"currency": "EUR", "amount": "1.00"}
    body = json.dumps(
        {"reference": "acs_1", "cardholder": "cust_1", "amount": amount, "merchant": {"name": "ACME"}}
    )
    signature = Webhook(secret).sign("req_00000001", at, body)
    return Signed("req_00000001", str(int(at.timestamp())), signature, body.encode(), "127.0.0.1", ())
