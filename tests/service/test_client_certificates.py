"""Keys that are bound to certificates: over HTTP, from a proxy that is believed and from elsewhere, and by commands."""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from sca_service.api.certificates.postgres_store import BindingStore
from sca_service.api.certificates.registry import BindingRegistry
from sca_service.api.clients import ClientRegistry, Scope
from sca_service.api.postgres_store import ClientStore
from sca_service.kernel.clock import SystemClock
from tests.certificates import Issued, TestAuthority
from tests.harness import PATIENCE_SECONDS, Bank, Deployment, Role, order
from tests.service.test_clients import printed, sca

PROXY, ELSEWHERE = "127.0.0.2", "127.0.0.1"
AUTHORITY = TestAuthority.make()
ORGANISATION = "PSDDE-BAFIN-123456"
PATHS = ("/v1/challenges", "/v1/challenges/")
"""Creating goes the short way, and with a slash the framework's."""


@pytest.fixture(scope="module")
def api(service: Deployment) -> Iterator[Role]:
    """An api that believes a proxy at 127.0.0.2."""
    before = service.more_settings
    service.more_settings = (*before, f'clients.certificate_proxies = ["{PROXY}"]')
    role = service.start("api")
    service.more_settings = before
    yield role
    role.stop()
    service.forget(role)


@asynccontextmanager
async def registries(service: Deployment) -> AsyncIterator[tuple[ClientRegistry, BindingRegistry]]:
    """What commands work with."""
    async with asyncpg.create_pool(service.servers.postgres.url, min_size=1, max_size=1) as pool:
        clients = ClientRegistry(ClientStore(pool), service.keyring)
        yield clients, BindingRegistry(BindingStore(pool), SystemClock())


async def bound(service: Deployment, issued: Issued, *scopes: Scope, authority: bool = False) -> str:
    """The key of a new client that is bound to a certificate, or to its subject and authority."""
    name = f"bound-{secrets.token_hex(6)}"
    async with registries(service) as (clients, bindings):
        key = await clients.create(name, list(scopes or (Scope.CHALLENGES,)))
        root = AUTHORITY.issued.pem if authority else None
        await bindings.bind(name, issued.pem, authority=root, overlap_seconds=None)
    return key.reveal()


def caller(role: Role, key: str, *, source: str = PROXY) -> httpx.AsyncClient:
    """Whoever sends requests from this address with this key."""
    return httpx.AsyncClient(
        base_url=role.url,
        headers={"Authorization": f"Bearer {key}"},
        timeout=PATIENCE_SECONDS,
        transport=httpx.AsyncHTTPTransport(local_address=source),
    )


async def post(
    role: Role, key: str, issued: Issued | None, path: str = PATHS[0], *, source: str = PROXY
) -> httpx.Response:
    """Issue a challenge, as the proxy that saw this certificate, or as somebody elsewhere who says so."""
    async with caller(role, key, source=source) as http:
        return await http.post(path, json=order(), headers={"Client-Cert": issued.header} if issued else {})


async def comes_to(role: Role, key: str, issued: Issued | None, status: int) -> httpx.Response:
    """The answer once it has this status: the api reads its clients anew every second."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (response := await post(role, key, issued)).status_code != status:
        assert time.monotonic() < deadline, response.text
        await asyncio.sleep(0.05)
    return response


async def events_of(auditor: Bank, **wanted: str) -> list[dict[str, Any]]:
    """What is on record, all pages of it."""
    events: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await auditor.http.get("/v1/audit/events", params={**wanted, **cursor})).json()
        events += page["data"]
        if not page["next_cursor"]:
            return events
        cursor = {"cursor": page["next_cursor"]}


async def test_a_bound_key_is_nothing_without_its_certificate(service: Deployment, api: Role) -> None:
    """By either way: no certificate, another one, and the right one in a header that no proxy of ours wrote are 401."""
    issued, other = AUTHORITY.issue(), AUTHORITY.issue()
    key = await bound(service, issued)
    await comes_to(api, key, issued, 201)
    for path in PATHS:
        assert (await post(api, key, issued, path)).status_code == 201
        for refused in (
            await post(api, key, None, path),
            await post(api, key, other, path),
            await post(api, key, issued, path, source=ELSEWHERE),
            await post(service.api, key, issued, path),
        ):
            assert refused.status_code == 401
            assert refused.json()["code"] == "unauthorized"
            assert "certificate" in refused.json()["detail"]
            assert refused.headers["www-authenticate"].startswith("Bearer")


async def test_a_proxy_that_adds_its_header_to_the_callers_is_refused(service: Deployment, api: Role) -> None:
    """Two certificates, or one that cannot be read, let nobody in: not even a client that is bound to none."""
    issued = AUTHORITY.issue()
    async with caller(api, service.keys["bank"]) as http:
        for path in PATHS:
            twice = await http.post(path, json=order(), headers=[("Client-Cert", issued.header)] * 2)
            unreadable = await http.post(path, json=order(), headers={"Client-Cert": "rubbish"})
            assert [twice.status_code, unreadable.status_code] == [401, 401]


async def test_events_name_the_certificate(service: Deployment, api: Role, auditor: Bank) -> None:
    """A bound client's with its PSD2 identifier; of one that is bound to none, the thumbprint alone."""
    issued = AUTHORITY.issue(organisation=ORGANISATION, roles=["PSP_PI"])
    key = await bound(service, issued, Scope.CHALLENGES, Scope.AUDIT)
    challenge = (await comes_to(api, key, issued, 201)).json()["id"]
    async with caller(api, key) as http:
        shown = {"Client-Cert": issued.header}
        await http.post(f"/v1/challenges/{challenge}/cancel", headers=shown)
        read = await http.get("/v1/audit/events", params={"challenge": challenge}, headers=shown)
        await http.get("/v1/audit/export?format=jsonl", headers=shown)
        client = read.json()["data"][0]["client"]
    unbound = (await post(api, service.keys["bank"], issued)).json()["id"]
    plain = (await post(api, service.keys["bank"], None)).json()["id"]

    of_client = [
        event for event in await events_of(auditor, client=client) if event["actor"] == f"client:{client}"
    ]
    assert {"challenge.issued", "challenge.cancelled", "audit.read", "audit.exported"} <= {
        event["type"] for event in of_client
    }
    for event in of_client:
        assert event["certificate"] == issued.thumbprint, event
        assert event["organisation"] == ORGANISATION
    (first, *_), (other, *_) = [await events_of(auditor, challenge=one) for one in (unbound, plain)]
    assert (first["certificate"], first.get("organisation")) == (issued.thumbprint, None)
    assert "certificate" not in other


async def test_a_subject_lets_renewed_certificates_in(service: Deployment, api: Role) -> None:
    """Nobody has to tell us of a renewal; another authority's certificate of the same name stays out."""
    key = await bound(service, AUTHORITY.issue(), authority=True)
    assert (await comes_to(api, key, AUTHORITY.issue(), 201)).status_code == 201
    assert (await post(api, key, TestAuthority.make().issue())).status_code == 401
    assert (await post(api, key, AUTHORITY.issue("other.example"))).status_code == 401


async def test_commands_bind_renew_and_let_go(
    service: Deployment, api: Role, auditor: Bank, tmp_path: Path
) -> None:
    """The old certificate ends with its overlap; without any the client stays bound, until it is let go."""
    name, pems = f"bank-{os.urandom(4).hex()}", {}
    first = AUTHORITY.issue(organisation=ORGANISATION, roles=["PSP_AS"])
    renewed = AUTHORITY.issue(organisation=ORGANISATION, roles=["PSP_AS"])
    for file, pem in (("first", first.pem), ("renewed", renewed.pem), ("authority", AUTHORITY.issued.pem)):
        pems[file] = tmp_path / f"{file}.pem"
        pems[file].write_bytes(pem)
    async with registries(service) as (clients, _):
        key = (await clients.create(name, [Scope.CHALLENGES])).reveal()
    assert (await comes_to(api, key, None, 201)).status_code == 201
    await printed(service, "bind", name, str(pems["first"]))
    await comes_to(api, key, None, 401)
    await comes_to(api, key, first, 201)
    made = await printed(service, "bind", name, str(pems["renewed"]), "--overlap", "0")
    await comes_to(api, key, first, 401)
    await comes_to(api, key, renewed, 201)
    listed = await printed(service, "list")
    async with registries(service) as (_, bindings):
        await bindings.unbind(name, made.rpartition(" ")[2])
    await comes_to(api, key, renewed, 401)
    assert (await post(api, key, None)).status_code == 401
    await printed(service, "unbind", name, "--all")
    await comes_to(api, key, None, 201)

    lines = listed.splitlines()
    at = lines.index(f"{name}\tactive\tchallenges\tbound")
    assert renewed.thumbprint in lines[at + 1]
    assert f"{ORGANISATION} PSP_AS" in lines[at + 1]
    events = [event for event in await events_of(auditor, client=name) if event["actor"] == "operator"]
    assert [event["type"] for event in events] == [
        f"client.{verb}" for verb in ("created", "bound", "bound", "unbound", "released")
    ]
    assert (events[1]["certificate"], events[1]["organisation"]) == (first.thumbprint, ORGANISATION)
    assert key not in str(events) + listed


async def test_a_command_says_what_is_wrong(service: Deployment) -> None:
    """In a sentence, without a traceback."""
    status, output, errors = await sca(service, "clients", "unbind", "bank")
    assert status != 0
    assert "name one, or --all" in output + errors
    assert "Traceback" not in errors


async def test_the_desk_asks_for_the_certificate_too(service: Deployment, api: Role) -> None:
    """To sign in and on every page after it."""
    issued = AUTHORITY.issue()
    key = await bound(service, issued, Scope.AUDIT)
    async with caller(api, key) as http:
        http.headers["Origin"] = api.url
        del http.headers["authorization"]
        deadline, shown = time.monotonic() + PATIENCE_SECONDS, {"Client-Cert": issued.header}
        while (
            signed := await http.post("/desk/sign-in", data={"key": key}, headers=shown)
        ).status_code != 303:
            assert time.monotonic() < deadline, signed.text
            await asyncio.sleep(0.5)
        without = await http.post("/desk/sign-in", data={"key": key})
        pages = [(await http.get("/desk", headers=headers)).status_code for headers in (shown, {})]

    assert without.status_code == 401
    assert pages == [200, 303]
