"""OAuth2 client credentials over HTTP, mostly by a client that others wrote (authlib)."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from sca_service.api.certificates.postgres_store import BindingStore
from sca_service.api.certificates.registry import BindingRegistry
from sca_service.api.clients import ClientRegistry, Scope
from sca_service.api.oauth.assertion import ASSERTION_TYPE
from sca_service.api.oauth.postgres_store import CredentialStore
from sca_service.api.oauth.registry import CredentialRegistry, secret_hasher
from sca_service.api.postgres_store import ClientStore
from sca_service.kernel.clock import SystemClock
from tests.certificates import Issued, TestAuthority
from tests.harness import PATIENCE_SECONDS, Bank, Deployment, Role, order
from tests.service.test_clients import UNKNOWN, printed

PROXY = "127.0.0.2"
ISSUER = "https://sca.example"
AUTHORITY = TestAuthority.make()
PATHS = ("/v1/challenges", "/v1/challenges/")
"""Creating goes the short way, and with a slash the framework's."""


@pytest.fixture(scope="module")
def api(service: Deployment) -> Iterator[Role]:
    """An api that gives access, and believes a proxy at 127.0.0.2."""
    before = service.more_settings
    service.more_settings = (*before, f'clients.certificate_proxies = ["{PROXY}"]', "clients.oauth = true")
    role = service.start("api")
    service.more_settings = before
    yield role
    role.stop()
    service.forget(role)


@asynccontextmanager
async def registries(
    service: Deployment,
) -> AsyncIterator[tuple[ClientRegistry, CredentialRegistry, BindingRegistry]]:
    """What commands work with."""
    hasher = secret_hasher(service.keyring)
    async with asyncpg.create_pool(service.servers.postgres.url, min_size=1, max_size=1) as pool:
        yield (
            ClientRegistry(ClientStore(pool), service.keyring),
            CredentialRegistry(CredentialStore(pool), hasher),
            BindingRegistry(BindingStore(pool), SystemClock()),
        )
    await hasher.close()


async def new_client(service: Deployment, *scopes: Scope) -> tuple[str, str]:
    """A client with a secret; by default it may issue and audit."""
    name = f"oauth-{secrets.token_hex(6)}"
    async with registries(service) as (clients, credentials, _):
        await clients.create(name, list(scopes or (Scope.CHALLENGES, Scope.AUDIT)))
        return name, (await credentials.give_secret(name, overlap_seconds=0)).reveal()


def caller(role: Role, *, source: str = "127.0.0.1") -> httpx.AsyncClient:
    """Whoever calls from this address."""
    return httpx.AsyncClient(
        base_url=role.url, timeout=PATIENCE_SECONDS, transport=httpx.AsyncHTTPTransport(local_address=source)
    )


async def asked(
    role: Role, data: dict[str, str], *, source: str = "127.0.0.1", **sent: Any
) -> httpx.Response:
    """What a request for access is answered."""
    async with caller(role, source=source) as http:
        return await http.post("/oauth/token", data={"grant_type": "client_credentials", **data}, **sent)


async def given(role: Role, data: dict[str, str], **sent: Any) -> dict[str, Any]:
    """What is given, once the api knows the client: it reads its clients anew every second."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (response := await asked(role, data, **sent)).status_code != 200:
        assert time.monotonic() < deadline, response.text
        await asyncio.sleep(0.3)
    body: dict[str, Any] = response.json()
    return body


async def status_of(
    role: Role, access: str, path: str = PATHS[0], *, issued: Issued | None = None, source: str = PROXY
) -> int:
    """What an issue with this access is answered, by the proxy that saw this certificate."""
    headers = {"Authorization": f"Bearer {access}"} | ({"Client-Cert": issued.header} if issued else {})
    async with caller(role, source=source) as http:
        return (await http.post(path, json=order(), headers=headers)).status_code


async def becomes(role: Role, access: str, status: int) -> bool:
    """Whether access comes to be answered so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if await status_of(role, access) == status:
            return True
        await asyncio.sleep(0.1)
    return False


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
async def test_a_client_of_others_gets_access_by_its_secret(
    service: Deployment, api: Role, auditor: Bank
) -> None:
    """Authlib finds the way by the metadata, gets access, and calls with it by either way; it is on record."""
    name, secret = await new_client(service)
    async with caller(api) as http:
        metadata = (await http.get("/.well-known/oauth-authorization-server")).json()
        keys = (await http.get("/.well-known/jwks.json")).json()
    await given(api, {}, auth=(name, secret))
    url = api.url + metadata["token_endpoint"].removeprefix(api.url)
    async with AsyncOAuth2Client(
        name, secret, token_endpoint_auth_method="client_secret_basic", timeout=PATIENCE_SECONDS
    ) as client:
        access = await client.fetch_token(url, grant_type="client_credentials", scope="challenges")
        answers = [await client.post(api.url + path, json=order()) for path in PATHS]
        refused = await client.get(api.url + "/v1/audit/events")
    read = jwt.decode(access["access_token"], KeySet.import_key_set(keys), algorithms=["EdDSA"])
    events = (await auditor.http.get("/v1/audit/events", params={"client": name})).json()["data"]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert (refused.status_code, refused.json()["code"]) == (403, "missing-scope")
    assert (access["token_type"], access["expires_in"], access["scope"]) == ("Bearer", 300, "challenges")
    assert (read.claims["iss"], read.claims["client_id"], read.claims["scope"]) == (
        ISSUER,
        name,
        "challenges",
    )
    assert metadata["issuer"] == ISSUER
    assert set(metadata["token_endpoint_auth_methods_supported"]) == {
        "client_secret_basic", "private_key_jwt", "tls_client_auth",
    }  # fmt: skip
    granted = [event for event in events if event["type"] == "client.access_granted"]
    assert granted[-1]["access"] == read.claims["jti"]
    assert (granted[-1]["kind"], granted[-1]["scopes"]) == ("secret", ["challenges"])
    assert secret not in str(events)
    assert access["access_token"] not in str(events)


async def test_a_client_of_others_gets_access_by_its_key(
    service: Deployment, api: Role, tmp_path: Path
) -> None:
    """A key that is registered by command: an assertion counts once, and not for another audience."""
    name = f"oauth-{secrets.token_hex(6)}"
    key = ECKey.generate_key("P-256", {"kid": "one"})
    (tmp_path / "jwks.json").write_text(json.dumps(KeySet([key]).as_dict(private=False)))
    async with registries(service) as (clients, _, _):
        await clients.create(name, [Scope.CHALLENGES])
    made = await printed(service, "add-credential", name, "--jwks", str(tmp_path / "jwks.json"))

    def assertion(**changed: Any) -> dict[str, str]:
        now = int(time.time())
        content = {
            "iss": name, "sub": name, "aud": ISSUER, "iat": now, "exp": now + 60, "jti": secrets.token_hex(8),
            **changed,
        }  # fmt: skip
        return {
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": jwt.encode({"alg": "ES256", "kid": "one"}, content, key),
        }

    deadline = time.monotonic() + PATIENCE_SECONDS
    while (first := await asked(api, once := assertion())).status_code != 200:
        assert time.monotonic() < deadline, first.text
        await asyncio.sleep(0.3)
    again = await asked(api, once)
    at_the_url = await asked(api, assertion(aud=f"{api.url}/oauth/token"))
    elsewhere = await asked(api, assertion(aud="https://other.example"))
    both = assertion()
    at_once = await asyncio.gather(*(asked(api, both) for _ in range(8)))
    listed = await printed(service, "list")
    access = first.json()["access_token"]
    assert await status_of(api, access) == 201
    async with registries(service) as (_, credentials, _):
        await credentials.end(name, made)

    assert [again.status_code, at_the_url.status_code, elsewhere.status_code] == [401, 200, 401]
    assert sorted(answer.status_code for answer in at_once) == [200] + [401] * 7
    assert f"    {made}\tkeys" in listed.splitlines()
    assert await becomes(api, access, 401)
    assert (await asked(api, assertion())).json()["error"] == "invalid_client"


async def test_access_is_bound_to_the_certificate_that_it_was_given_to(
    service: Deployment, api: Role
) -> None:
    """By either way it is nothing with another, or without; and a client that is bound gets none without its own."""
    name, secret = await new_client(service)
    issued, other = AUTHORITY.issue(), AUTHORITY.issue()
    free = await given(api, {}, auth=(name, secret))
    tied = await given(api, {}, auth=(name, secret), source=PROXY, headers={"Client-Cert": issued.header})
    for path in PATHS:
        assert await status_of(api, tied["access_token"], path, issued=issued) == 201
        assert await status_of(api, tied["access_token"], path, issued=other) == 401
        assert await status_of(api, tied["access_token"], path) == 401
        assert await status_of(api, tied["access_token"], path, issued=issued, source="127.0.0.1") == 401
        assert await status_of(api, free["access_token"], path, issued=other) == 201

    async with registries(service) as (_, credentials, bindings):
        assert (await asked(api, {"client_id": name}, source=PROXY)).status_code == 401
        await credentials.take_certificate(name, overlap_seconds=3600)
        await bindings.bind(name, issued.pem, authority=None, overlap_seconds=None)
    assert await becomes(
        api, free["access_token"], 401
    )  # what it was given for holds, but not without a certificate
    shown = {"Client-Cert": issued.header}
    alone = await given(api, {"client_id": name}, source=PROXY, headers=shown)
    assert await status_of(api, alone["access_token"], issued=issued) == 201
    for headers in ({}, {"Client-Cert": other.header}, {"Client-Cert": "rubbish"}):
        for proof in ({"auth": (name, secret)}, dict[str, Any]()):
            refused = await asked(api, {"client_id": name}, source=PROXY, headers=headers, **proof)
            assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert (await asked(api, {}, auth=(name, secret), source=PROXY, headers=shown)).status_code == 200


@pytest.mark.parametrize(
    ("data", "sent", "status", "error"),
    [
        ({}, {}, 401, "invalid_client"),
        ({}, {"auth": ("nobody", "scs_" + "A" * 43)}, 401, "invalid_client"),
        ({}, {"auth": ("{name}", "scs_" + "A" * 43)}, 401, "invalid_client"),
        ({}, {"auth": ("{name}", "{secret}x")}, 401, "invalid_client"),
        ({}, {"auth": ("bank", "{secret}")}, 401, "invalid_client"),
        ({}, {"headers": {"Authorization": "Bearer x"}}, 401, "invalid_client"),
        ({"client_id": "{name}", "client_secret": "{secret}"}, {}, 400, "invalid_request"),
        ({"grant_type": "password"}, {"auth": ("{name}", "{secret}")}, 400, "unsupported_grant_type"),
        ({"scope": "admin"}, {"auth": ("{name}", "{secret}")}, 400, "invalid_scope"),
        ({"scope": "challenges admin"}, {"auth": ("{name}", "{secret}")}, 400, "invalid_scope"),
        ({"scope": "challenges  audit"}, {"auth": ("{name}", "{secret}")}, 400, "invalid_scope"),
    ],
)
async def test_what_is_refused_is_told_in_the_words_of_oauth(
    service: Deployment, api: Role, data: dict[str, str], sent: dict[str, Any], status: int, error: str
) -> None:
    """RFC 6749, section 5.2: the word, a sentence that repeats nothing, and nothing that a cache may keep."""
    name, secret = await known(service, api)

    def filled(text: str) -> str:
        return text.format(name=name, secret=secret)

    sent = dict(sent)
    if "auth" in sent:
        sent["auth"] = tuple(map(filled, sent["auth"]))
    response = await asked(api, {key: filled(value) for key, value in data.items()}, **sent)
    assert (response.status_code, response.json()["error"]) == (status, error)
    assert set(response.json()) == {"error", "error_description"}
    assert response.headers["cache-control"] == "no-store"
    assert (status == 401) is ("www-authenticate" in response.headers)
    assert secret not in response.text
    assert name not in response.text


_KNOWN: dict[str, tuple[str, str]] = {}


async def known(service: Deployment, api: Role) -> tuple[str, str]:
    """One client for several tests, which the api knows."""
    if api.url not in _KNOWN:
        _KNOWN[api.url] = await new_client(service)
        answered = await given(api, {}, auth=_KNOWN[api.url])
        assert answered["scope"] == "audit challenges"
    return _KNOWN[api.url]


async def test_guessing_secrets_is_slowed_down_before_it_costs_anything(
    service: Deployment, api: Role
) -> None:
    """Also at once: twenty wrong answers of one client from one address, and no more; another address goes on."""
    name, secret = await new_client(service)
    await given(api, {}, auth=(name, secret))
    wrong = (name, "scs_" + "A" * 43)
    answers = await asyncio.gather(*(asked(api, {}, auth=wrong, source="127.0.0.3") for _ in range(30)))
    late = await asked(api, {}, auth=(name, secret), source="127.0.0.3")

    assert sum(answer.status_code == 429 for answer in answers) >= 5
    assert {answer.status_code for answer in answers} <= {
        401,
        429,
        503,
    }  # 503: more waited than threads have places for
    assert late.status_code == 429
    assert int(late.headers["retry-after"]) >= 1
    assert (await asked(api, {}, auth=(name, secret))).status_code == 200


async def test_access_ends_with_its_client(service: Deployment, api: Role) -> None:
    """Within a second of the revocation, and not at the end of its five minutes; a scope that is gone is gone."""
    name, secret = await new_client(service)
    access = (await given(api, {}, auth=(name, secret)))["access_token"]
    assert await status_of(api, access) == 201
    async with registries(service) as (clients, _, _):
        await clients.revoke(name)
    assert await becomes(api, access, 401)
    assert (await asked(api, {}, auth=(name, secret))).json()["error"] == "invalid_client"


async def test_an_api_without_oauth_knows_nothing_of_it(service: Deployment, api: Role, bank: Bank) -> None:
    """It is off unless the configuration says so: no way to get access, and none to use it."""
    name, secret = await known(service, api)
    access = (await given(api, {}, auth=(name, secret)))["access_token"]
    assert (await asked(service.api, {}, auth=(name, secret))).status_code == 404
    assert (await bank.http.get("/.well-known/oauth-authorization-server")).status_code == 404
    assert await status_of(service.api, access) == 401
    for wrong in (access[:-4], access + ".x", "a.b.c", "x" * 5000):
        for path in (*PATHS, f"/v1/challenges/{UNKNOWN}/verify"):
            assert await status_of(api, wrong, path) == 401
