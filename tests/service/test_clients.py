"""Clients: who may call what, and the commands that create, rotate and revoke their keys while the api runs."""

import asyncio
import os
import re
import time
from typing import Any

import pytest

from tests import warm
from tests.harness import PATIENCE_SECONDS, Bank, Deployment, order

KEY = re.compile(r"sca_[A-Za-z0-9_-]{43}")
UNKNOWN = "chl_0020160123456789abcdef0123456789abcdef"


async def sca(service: Deployment, *arguments: str) -> tuple[int, str, str]:
    """Run a command of `sca` against the service's configuration: exit status, output, errors."""
    command = ("sca_service", *arguments, "--config", str(service.config(service.api.port)))
    done = await asyncio.to_thread(warm.run, *command, env={**os.environ, "NO_COLOR": "1"})
    return done.returncode, done.stdout, done.stderr


async def printed(service: Deployment, *arguments: str) -> str:
    """What `sca clients …` prints; asserts that it was carried out."""
    status, output, errors = await sca(service, "clients", *arguments)
    assert (status, errors) == (0, "")
    return output.strip()


async def status_of(service: Deployment, key: str) -> int:
    """What a key is answered when it asks for a challenge that does not exist: 404 when it is good."""
    async with Bank(service.api.url, key) as bank:
        return (await bank.http.get(f"/v1/challenges/{UNKNOWN}")).status_code


async def becomes(service: Deployment, key: str, status: int) -> bool:
    """Whether a key comes to be answered like this: the api reads its clients anew every second."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if await status_of(service, key) == status:
            return True
        await asyncio.sleep(0.05)
    return False


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer x",
        "Bearer sca_" + "A" * 43,
        "Basic sca_{key}",
        "{key}",
        "Token {key}",
        "Bearer {key}x",
        "Bearer {key} {key}",
        "Bearer {cut}",
        "Bearer {lower}",
    ],
)
async def test_no_key_or_a_wrong_one_is_401(
    service: Deployment, bank: Bank, authorization: str | None
) -> None:
    """Both the hot routes and the others ask for a valid key, say how to send it, and do not repeat what was sent."""
    key = service.keys["bank"]
    headers: dict[str, Any] = {}
    if authorization is not None:
        said = authorization.format(key=key, cut=key[:-1], lower=key.lower())
        headers["Authorization"] = said.encode()
    for method, path in (
        ("POST", "/v1/challenges"),
        ("POST", f"/v1/challenges/{UNKNOWN}/verify"),
        ("GET", "/v1/challenges"),
        ("GET", f"/v1/challenges/{UNKNOWN}/events"),
        ("GET", "/v1/psus/nobody"),
        ("GET", "/v1/audit/events"),
        ("GET", "/v1/audit/export?format=jsonl"),
    ):
        request = bank.http.build_request(method, path)
        del request.headers["authorization"]
        request.headers.update(headers)
        response = await bank.http.send(request)
        assert response.status_code == 401
        assert response.json()["code"] == "unauthorized"
        assert response.headers["www-authenticate"].startswith("Bearer")
        assert key[:-1] not in response.text


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_scheme_is_read_in_any_case(service: Deployment, bank: Bank, scheme: str) -> None:
    """The word Bearer may be written in any case (RFC 9110, section 11.1), on the hot routes and the others."""
    headers = {"Authorization": f"{scheme} {service.keys['bank']}"}
    created = await bank.http.post("/v1/challenges", json=order(), headers=headers)
    listed = await bank.http.get("/v1/challenges", headers=headers)

    assert [created.status_code, listed.status_code] == [201, 200]


CALLS = {
    "challenges": (
        ("POST", "/v1/challenges"),
        ("POST", f"/v1/challenges/{UNKNOWN}/verify"),
        ("GET", f"/v1/challenges/{UNKNOWN}"),
        ("GET", "/v1/challenges"),
        ("POST", f"/v1/challenges/{UNKNOWN}/next"),
        ("POST", f"/v1/challenges/{UNKNOWN}/cancel"),
        ("GET", "/v1/psus/nobody"),
    ),
    "authenticators": (
        ("POST", "/v1/psus/nobody/authenticators"),
        ("GET", "/v1/psus/nobody/authenticators"),
        ("DELETE", "/v1/psus/nobody/authenticators/aut_1"),
        ("POST", "/v1/psus/nobody/authenticators/aut_1/activate"),
        ("POST", "/v1/psus/nobody/authenticators/aut_1/resynchronise"),
        ("POST", "/v1/psus/nobody/authenticators/aut_1/suspend"),
        ("POST", "/v1/psus/nobody/authenticators/aut_1/resume"),
        ("POST", "/v1/psus/nobody/push-subscriptions"),
        ("GET", "/v1/psus/nobody/push-subscriptions"),
        ("DELETE", "/v1/psus/nobody/push-subscriptions/psb_1"),
    ),
    "alerts": (
        ("POST", "/v1/alerts"),
        ("PUT", "/v1/cards/nobody/balance"),
        ("GET", "/v1/cards/nobody"),
        ("DELETE", "/v1/cards/nobody"),
        ("POST", "/v1/cards/nobody/upcoming-charges"),
        ("GET", "/v1/cards/nobody/upcoming-charges"),
        ("DELETE", "/v1/cards/nobody/upcoming-charges/chg_1"),
        ("POST", "/v1/cards/nobody/charges"),
        ("POST", "/v1/alerts/batch"),
        ("GET", "/v1/alerts"),
        ("GET", "/v1/alerts/alt_1"),
        ("GET", "/v1/psus/nobody/alert-consent"),
        ("PUT", "/v1/psus/nobody/alert-consent"),
    ),
    "analytics": (
        ("GET", "/v1/analytics/deliveries"),
        ("GET", "/v1/analytics/deliveries/list"),
        ("GET", "/v1/analytics/challenges"),
        ("GET", "/v1/analytics/alerts"),
    ),
    "exemptions": (
        ("POST", "/v1/exemptions/assess"),
        ("GET", "/v1/exemptions/ass_1"),
        ("POST", "/v1/exemptions/ass_1/executed"),
        ("POST", "/v1/exemptions/ass_1/cancel"),
        ("POST", "/v1/fraud-reports"),
        ("GET", "/v1/fraud-reports/frd_1"),
        ("POST", "/v1/fraud-reports/frd_1/withdraw"),
        ("POST", "/v1/risk-listings"),
        ("GET", "/v1/risk-listings"),
        ("POST", "/v1/risk-listings/lst_1/remove"),
        ("GET", "/v1/reports/fraud-rates"),
        ("GET", "/v1/reports/quarterly?quarter=2026Q4"),
        ("POST", "/v1/psus/nobody/trusted-beneficiaries"),
        ("GET", "/v1/psus/nobody/trusted-beneficiaries"),
        ("POST", "/v1/psus/nobody/trusted-beneficiaries/tbn_1/remove"),
    ),
    "admin": (
        ("POST", "/v1/psus/nobody/unblock"),
        ("GET", "/v1/blocks"),
        ("POST", "/v1/blocks/blk_1/lift"),
        ("GET", "/v1/allow-list"),
        ("POST", "/v1/allow-list"),
        ("POST", "/v1/allow-list/alw_1/remove"),
    ),
    "audit": (("GET", "/v1/audit/events"), ("GET", "/v1/audit/export?format=jsonl")),
}
"""The calls of each scope."""
SCOPED = [(scope, method, path) for scope, calls in CALLS.items() for method, path in calls]
HOLDERS = {
    "challenges": ("bank",),
    "authenticators": ("bank",),
    "alerts": ("issuer",),
    "analytics": ("bank", "issuer", "operator"),
    "exemptions": ("bank",),
    "admin": ("operator",),
    "audit": ("auditor",),
}


@pytest.mark.parametrize(("scope", "method", "path"), SCOPED)
async def test_missing_scope_is_403(service: Deployment, scope: str, method: str, path: str) -> None:
    """A valid key without the scope is told which one is missing, before anything of the request is read."""
    for client in ("bank", "issuer", "auditor", "operator"):
        async with service.bank(client=client) as caller:
            response = await caller.http.request(
                method, path, content=b"{" if method in ("POST", "PUT") else None
            )
        if client in HOLDERS[scope]:
            assert response.status_code in (200, 404, 422)
        else:
            assert response.status_code == 403
            assert response.json()["code"] == "missing-scope"
            assert scope in response.json()["detail"]


async def test_open_endpoints_need_no_key(bank: Bank) -> None:
    """What operators, verifiers and readers ask needs no key."""
    for path in (
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/docs",
        "/problems",
        "/.well-known/jwks.json",
    ):
        assert (await bank.http.get(path, headers={"Authorization": ""})).status_code == 200


async def test_commands_take_effect_while_the_api_runs(service: Deployment, auditor: Bank) -> None:
    """A new key works at once, an old one until its overlap is over, a revoked one no more; all of it on record."""
    name = f"bank-{os.urandom(4).hex()}"
    first = await printed(service, "create", name, "--scopes", "challenges", "--scopes", "audit")
    assert await becomes(service, first, 404)
    second = await printed(service, "rotate", name)
    assert await becomes(service, second, 404)
    assert await status_of(service, first) == 404
    third = await printed(service, "rotate", name, "--overlap", "0")
    assert await becomes(service, third, 404)
    assert await becomes(service, first, 401)
    assert await becomes(service, second, 401)
    listed = await printed(service, "list")
    await printed(service, "revoke", name)
    assert await becomes(service, third, 401)
    events = (await auditor.http.get("/v1/audit/events", params={"client": name})).json()["data"]

    assert all(KEY.fullmatch(key) for key in (first, second, third))
    assert len({first, second, third}) == 3
    assert [line for line in listed.splitlines() if line.startswith(name)] == [
        f"{name}\tactive\taudit challenges"
    ]
    assert [event["type"] for event in events] == [
        f"client.{verb}" for verb in ("created", "rotated", "rotated", "revoked")
    ]
    assert events[0]["scopes"] == ["challenges", "audit"]
    assert [event.get("overlap_seconds") for event in events] == [None, 3600, 0, None]
    assert {event["actor"] for event in events} == {"operator"}
    assert not any(key in str(events) + listed for key in (first, second, third))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("revoke", "nobody-at-all"), "no such client"),
        (("create", "bank", "--scopes", "audit"), "is taken"),
    ],
)
async def test_commands_say_what_is_wrong(service: Deployment, arguments: tuple[str, ...], said: str) -> None:
    """A command that cannot be carried out ends with a status of its own and a sentence, not with a traceback."""
    status, output, errors = await sca(service, "clients", *arguments)

    assert status != 0
    assert said in output + errors
    assert "Traceback" not in errors
