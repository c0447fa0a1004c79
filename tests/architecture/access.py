"""What the canary leaves where access is given: a secret, an access JWT and a wrong secret, wherever they pass."""

import asyncio
import time

import asyncpg
import httpx

from sca_service.api.clients import ClientRegistry, Scope
from sca_service.api.oauth.postgres_store import CredentialStore
from sca_service.api.oauth.registry import CredentialRegistry, secret_hasher
from sca_service.api.postgres_store import ClientStore
from tests.harness import PATIENCE_SECONDS, Deployment

SETTINGS = ("clients.oauth = true",)
"""Of a deployment whose apis give access."""
_WRONG = "scs_" + "Kanarienvogel-Gelbfeder-Falsches-Geheimnis0"
_NAME = "canary-oauth"


async def have_access(deployment: Deployment) -> set[str]:
    """Get access by a secret, call with it, and guess a secret; what of it may be nowhere."""
    secret = await _secret(deployment)
    async with httpx.AsyncClient(
        base_url=deployment.api.url, timeout=PATIENCE_SECONDS, trust_env=False
    ) as http:
        form = {"grant_type": "client_credentials"}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (given := await http.post("/oauth/token", data=form, auth=(_NAME, secret))).status_code != 200:
            assert time.monotonic() < deadline, given.text
            await asyncio.sleep(0.2)
        access = given.json()["access_token"]
        called = await http.get("/v1/challenges", headers={"Authorization": f"Bearer {access}"})
        assert called.status_code == 200
        altered = await http.get("/v1/challenges", headers={"Authorization": f"Bearer {access[:-4]}AAAA"})
        guessed = await http.post("/oauth/token", data=form, auth=(_NAME, _WRONG))
        assert (altered.status_code, guessed.status_code) == (401, 401)
    return {secret, _WRONG, access.rpartition(".")[2]}


async def _secret(deployment: Deployment) -> str:
    hasher = secret_hasher(deployment.keyring)
    async with asyncpg.create_pool(deployment.servers.postgres.url, min_size=1, max_size=1) as pool:
        await ClientRegistry(ClientStore(pool), deployment.keyring).create(_NAME, [Scope.CHALLENGES])
        registry = CredentialRegistry(CredentialStore(pool), hasher)
        secret = (await registry.give_secret(_NAME, overlap_seconds=0)).reveal()
    await hasher.close()
    return secret
