"""OpenID CIBA in poll mode: a payer is asked on the own device, and the caller asks until there is an answer."""

import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from sca_service.compat.short_id import lengthened
from tests.device import Device, claims_of, enrolled
from tests.harness import Bank, Deployment, unique_psu
from tests.service.situations import age

GRANT = "urn:openid:params:grant-type:ciba"


@dataclass
class OpenIdParty:
    """A bank's own OpenID Provider, which leaves the asking to the service."""

    bank: Bank
    auth: httpx.BasicAuth
    psu: dict[str, str] = field(default_factory=unique_psu)

    async def authorize(self, **parameters: str) -> httpx.Response:
        """Have the payer asked."""
        sent = {"scope": "openid", "login_hint": self.psu["id"]} | parameters
        return await self.post("/bc-authorize", {name: value for name, value in sent.items() if value})

    async def asked(self, **parameters: str) -> dict[str, Any]:
        """Have the payer asked; asserts that this was acknowledged."""
        response = await self.authorize(**parameters)
        assert response.status_code == 200, response.text
        assert response.headers["cache-control"] == "no-store"
        acknowledged: dict[str, Any] = response.json()
        return acknowledged

    async def poll(self, auth_req_id: str, *, grant: str = GRANT) -> tuple[int, dict[str, Any]]:
        """Ask for the result."""
        sent = {"grant_type": grant, "auth_req_id": auth_req_id}
        response = await self.post("/bc-token", sent)
        return response.status_code, response.json()

    async def post(self, path: str, sent: dict[str, str]) -> httpx.Response:
        """Send a form."""
        return await self.bank.http.post(path, data=sent, auth=self.auth)


@pytest.fixture
def party(service: Deployment, bank: Bank) -> OpenIdParty:
    """The bank as an OpenID party, with a payer of its own."""
    return OpenIdParty(bank, httpx.BasicAuth("bank", service.keys["bank"]))


async def shown_on(device: Device) -> dict[str, Any]:
    """The one thing that a device is asked."""
    (shown,) = await device.asked()
    return shown


async def test_an_auth_req_id_is_chance_alone(bank: Bank, party: OpenIdParty) -> None:
    """128 random bits (CIBA Core 1.0, section 7.3): it does not begin with its time, as other ids do."""
    await enrolled(bank, party.psu)
    challenge = lengthened((await party.asked())["auth_req_id"])
    assert challenge is not None
    began_ms = int(challenge.text[-32:-20], 16)
    assert abs(began_ms - time.time() * 1000) > 3_600_000


async def test_a_payer_approves_on_the_device(bank: Bank, party: OpenIdParty) -> None:
    """Pending, then the authentication code as a signed JWT, told once."""
    device = await enrolled(bank, party.psu)
    acknowledged = await party.asked(binding_message="W4SCT")
    name = acknowledged["auth_req_id"]
    assert (acknowledged["interval"], acknowledged["expires_in"]) == (5, 300)

    status, told = await party.poll(name)
    assert (status, told["error"]) == (400, "authorization_pending")
    shown = await shown_on(device)
    assert shown["message_shown"].endswith(": W4SCT")
    approval = device.approval(shown, acknowledged["matching_digits"])
    assert (await device.answered(shown["id"], approval))[0] == "approved"
    status, told = await party.poll(name)
    assert status == 200, told
    assert (told["token_type"], told["issued_token_type"]) == ("N_A", "urn:ietf:params:oauth:token-type:jwt")
    claims = claims_of(told["access_token"])
    assert (claims["sub"], claims["challenge"], claims["purpose"]) == (party.psu["id"], shown["id"], "login")
    assert "id_token" not in told


async def test_an_approval_is_told_once(bank: Bank, party: OpenIdParty, redis: Redis) -> None:
    """An auth_req_id is good for one result; who lost it reads the challenge."""
    device = await enrolled(bank, party.psu)
    acknowledged = await party.asked()
    shown = await shown_on(device)
    await device.answered(shown["id"], device.approval(shown, acknowledged["matching_digits"]))

    assert (await party.poll(acknowledged["auth_req_id"]))[0] == 200
    status, told = await party.poll(acknowledged["auth_req_id"])
    assert (status, told["error"]) == (400, "invalid_grant")
    assert (await bank.get(shown["id"]))["authentication_code"]


async def test_whoever_asks_too_often_slows_down(bank: Bank, party: OpenIdParty) -> None:
    """However many ask at once, not more than two within the interval are told."""
    await enrolled(bank, party.psu)
    name = (await party.asked())["auth_req_id"]
    began = time.monotonic()
    words = [(await party.poll(name))[1]["error"] for _ in range(12)]

    assert words[:2] == ["authorization_pending"] * 2
    allowed = 2 + int((time.monotonic() - began) / 4.5)
    assert words.count("authorization_pending") <= allowed
    assert "slow_down" in words or allowed >= len(words)


async def test_what_was_not_approved(bank: Bank, party: OpenIdParty, redis: Redis) -> None:
    """Declined is denied, and late is expired."""
    device = await enrolled(bank, party.psu)
    declined = (await party.asked())["auth_req_id"]
    shown = await shown_on(device)
    await device.answered(shown["id"], device.refusal(shown))
    late = (await party.asked())["auth_req_id"]
    challenge = lengthened(late)
    assert challenge
    await age(redis, challenge.text, 301)

    assert (await party.poll(declined))[1]["error"] == "access_denied"
    assert (await party.poll(late))[1]["error"] == "expired_token"


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"scope": "profile"}, "invalid_scope"),
        ({"login_hint": ""}, "invalid_request"),
        ({"id_token_hint": "x.y.z"}, "invalid_request"),
        ({"login_hint": "", "login_hint_token": "x"}, "invalid_request"),
        ({"binding_message": "x" * 65}, "invalid_binding_message"),
        ({"binding_message": "a\nb"}, "invalid_binding_message"),
        ({"requested_expiry": "-1"}, "invalid_request"),
        ({"requested_expiry": "5"}, "invalid_request"),
        ({"request": "x.y.z"}, "invalid_request"),
        ({}, "unknown_user_id"),
    ],
)
async def test_what_cannot_be_asked(party: OpenIdParty, parameters: dict[str, str], error: str) -> None:
    """In CIBA's words; a payer without a device cannot be asked."""
    response = await party.authorize(**parameters)

    assert (response.status_code, response.json()["error"]) == (400, error)
    assert response.json()["error_description"]


async def test_others_learn_nothing(bank: Bank, service: Deployment, party: OpenIdParty) -> None:
    """Another client, another grant, an id that names nothing, or a challenge that came in otherwise."""
    await enrolled(bank, party.psu)
    name = (await party.asked())["auth_req_id"]
    async with service.bank(client="other-bank") as other:
        stranger = OpenIdParty(other, httpx.BasicAuth("other-bank", service.keys["other-bank"]))
        assert (await stranger.poll(name))[1]["error"] == "invalid_grant"
    assert (await party.poll("x"))[1]["error"] == "invalid_grant"
    assert (await party.poll(name, grant="password"))[1]["error"] == "unsupported_grant_type"
    party.auth = httpx.BasicAuth("bank", "wrong")
    assert (await party.poll(name)) == (
        401,
        {
            "error": "invalid_client",
            "error_description": "the Authorization header has no API key of this service",
        },
    )
