"""The real service for tests: embedded stores, roles as processes of their own, and a bank that calls it."""

import asyncio
import itertools
import json
import os
import re
import secrets
import signal
import ssl
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from sca_service.api.clients import ClientRegistry
from sca_service.api.postgres_store import ClientStore
from sca_service.dev import SANDBOX_CLIENTS, STOP_SECONDS
from sca_service.kernel.facades import Facade
from sca_service.kernel.keyring import Keyring, write_keyring
from sca_service.kernel.postgres import connect_postgres
from sca_service.migrations import migrate
from sca_service.sandbox.servers import Servers, start_servers
from sca_service.settings import Environment, shipped_policies
from tests import warm
from tests.ports import free_port
from tests.valkeys import ON_CLUSTER, start_cluster

READY_SECONDS = 60.0
PATIENCE_SECONDS = 40.0
"""How long what has to come may take on a busy machine; a test that passes never waits so long."""
TRANSACTION: dict[str, Any] = {
    "amount": {"currency": "EUR", "amount": "49.99"},
    "payee": {"name": "ACME GmbH", "account": {"iban": "DE89370400440532013000"}},
    "reference": "pay_2026_001",
}
_TLS = ssl.create_default_context()
"""Not needed on loopback, but httpx would make one for each client, and that takes 60 ms."""
_CODE = re.compile(r"(?<!\d)\d{6}(?!\d)")


@dataclass(slots=True)
class Role:
    """One role as a process."""

    name: str
    port: int
    process: warm.Running
    metrics_port: int | None = None

    @property
    def url(self) -> str:
        """Where an api listens."""
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()


@dataclass(slots=True)
class Deployment:
    """Stores, roles and clients on one folder. Start what a test needs; `stop` ends all of it.

    `environ` goes to every role besides the test's own environment. In `production` there is no sandbox.
    `more_settings` are further lines of the configuration. `log_level` is what the roles write down of themselves.
    `plainly` started roles import what they need themselves.
    """

    folder: Path
    policies: Path = field(default_factory=shipped_policies)
    environment: Environment = Environment.SANDBOX
    environ: Mapping[str, str] = field(default_factory=dict)
    more_settings: tuple[str, ...] = ()
    log_level: str = "DEBUG"
    plainly: bool = False
    servers: Servers = field(init=False)
    keys: dict[str, str] = field(init=False)
    roles: list[Role] = field(default_factory=list)

    def start_stores(self) -> None:
        """Embedded Valkey and PostgreSQL, the schema, a keyring and the sandbox's clients."""
        self.servers = start_cluster(self.folder) if ON_CLUSTER else start_servers(self.folder)
        self.furnish()

    def furnish(self) -> None:
        """The schema, a keyring and the sandbox's clients, in stores that run."""
        migrate(self.servers.postgres.url)
        if not self.keyring_file.exists():
            write_keyring(self.keyring_file)
        self.keys = asyncio.run(self._create_clients())

    @property
    def keyring_file(self) -> Path:
        """Where the keys are."""
        return self.folder / "keyring.json"

    @property
    def keyring(self) -> Keyring:
        """The keys."""
        return Keyring.parse(self.keyring_file.read_text("utf-8"))

    def config(self, port: int, *, metrics_port: int | None = None) -> Path:
        """The configuration of a role whose api listens on `port`, and which serves its metrics on its own port."""
        path = self.folder / f"sca-{port}{f'-{metrics_port}' if metrics_port else ''}.toml"
        lines = [
            f'environment = "{self.environment}"',
            'issuer = "https://sca.example"',
            f"policies = {json.dumps(str(self.policies))}",
            'keyring = "keyring.json"',
            f'log_level = "{self.log_level}"',
            f"redis.url = {json.dumps(self.servers.valkey.url)}",
            f"postgres.url = {json.dumps(self.servers.postgres.url)}",
            f"api.port = {port}",
            f"compat.facades = {json.dumps(list(Facade))}",
        ]
        if self.environment is Environment.SANDBOX:
            lines.append('sandbox.folder = "."')
        else:
            lines.append("api.drain_seconds = 0")
        if metrics_port:
            lines.append(f"metrics.port = {metrics_port}")
        lines += self.more_settings
        whole = path.with_suffix(".whole")
        whole.write_text("\n".join(lines) + "\n", "utf-8")
        whole.replace(path)  # another role that listens on this port may be reading it
        return path

    def start(
        self,
        name: str,
        *,
        port: int | None = None,
        environ: Mapping[str, str] | None = None,
        metrics_port: int | None = None,
        module: Sequence[str] = (),
        is_awaited: bool = True,
    ) -> Role:
        """Start a role. An api gets a port of its own, and is awaited; the others send receipts to the first api's.

        `module` with its first arguments is started instead of the role's own command.
        """
        first_api = next((role.port for role in self.roles if role.name == "api"), None)
        port = port or (free_port() if name == "api" or first_api is None else first_api)
        log = (self.folder / f"{name}-{port}.log").open("ab")
        with log:
            process = warm.start(
                *(module or ("sca_service", name)),
                *("--config", str(self.config(port, metrics_port=metrics_port))),
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environ, **(environ or {})},
                plainly=self.plainly,
            )
        role = Role(name, port, process, metrics_port)
        self.roles.append(role)
        if name == "api" and is_awaited:
            await_ready(role)
        return role

    def start_all(self) -> None:
        """One of each role."""
        for name in ("api", "worker", "log"):
            self.start(name)

    @property
    def api(self) -> Role:
        """The first api."""
        return next(role for role in self.roles if role.name == "api")

    def forget(self, role: Role) -> None:
        """A role that was killed is not stopped again."""
        self.roles.remove(role)

    def stop(self) -> None:
        """End every role and the stores."""
        for role in self.roles:
            role.process.terminate()
        for role in self.roles:
            role.stop()
        self.roles.clear()
        self.servers.stop()

    def bank(self, *, url: str | None = None, client: str = "bank") -> "Bank":
        """A backend that calls the service."""
        return Bank(url or self.api.url, self.keys[client])

    async def _create_clients(self) -> dict[str, str]:
        pool = await connect_postgres(self.servers.postgres.url, most_connections=1)
        async with pool:
            registry = ClientRegistry(ClientStore(pool), self.keyring)
            made = {
                name: (await registry.create(name, list(scopes))).reveal()
                for name, scopes in SANDBOX_CLIENTS.items()
            }
            made["other-bank"] = (await registry.create("other-bank", list(SANDBOX_CLIENTS["bank"]))).reveal()
            return made


def await_ready(role: Role) -> None:
    """Wait until an api is ready. Raises AssertionError when it is not, in time."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        assert role.process.poll() is None, f"the {role.name} ended"
        try:
            if httpx.get(f"{role.url}/readyz", timeout=1, trust_env=False, verify=_TLS).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"the {role.name} was not ready in time")


_NUMBERS = itertools.count()


def unique_number() -> str:
    """A phone number that no other test at the same stores has: drawn by chance, two of thousands would be the same.

    Numbers that follow each other lie far apart, as those of payers do.
    """
    return f"+49151{1_0000000 + next(_NUMBERS) * 6_180_339 % 1_0000000}"


def unique_psu() -> dict[str, str]:
    """A payer and a phone line that no other test has."""
    return {"id": f"cust_{secrets.token_hex(6)}", "phone": unique_number(), "locale": "de-DE"}


class Bank:
    """A bank's backend: calls the API and reads codes where a payer would, in the sandbox."""

    def __init__(self, url: str, key: str) -> None:
        self.http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=PATIENCE_SECONDS,
            trust_env=False,
            verify=_TLS,
        )

    async def __aenter__(self) -> "Bank":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def issue(self, **members: Any) -> dict[str, Any]:
        """Issue a challenge (a payment by SMS unless said otherwise); asserts that it was created."""
        response = await self.http.post("/v1/challenges", json=order(**members))
        assert response.status_code == 201, response.text
        challenge: dict[str, Any] = response.json()
        return challenge

    async def verify(self, challenge: str, code: str, transaction: Any = TRANSACTION) -> dict[str, Any]:
        """Answer a challenge; asserts that it came to an outcome."""
        response = await self.answer(challenge, code, transaction)
        assert response.status_code == 200, response.text
        verified: dict[str, Any] = response.json()
        return verified

    async def answer(self, challenge: str, code: str, transaction: Any = TRANSACTION) -> httpx.Response:
        """Answer a challenge, whatever comes of it."""
        body = {"code": code} if transaction is None else {"code": code, "transaction": transaction}
        return await self.http.post(f"/v1/challenges/{challenge}/verify", json=body)

    async def get(self, challenge: str) -> dict[str, Any]:
        """Read a challenge; asserts that it is there."""
        response = await self.http.get(f"/v1/challenges/{challenge}")
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    async def messages(self, phone: str) -> list[dict[str, Any]]:
        """What a handset has received."""
        response = await self.http.get("/sandbox/messages", params={"to": phone})
        assert response.status_code == 200, response.text
        data: list[dict[str, Any]] = response.json()["data"]
        return data

    async def message(
        self, phone: str, *, number: int = 1, of: str = "", seconds: float = PATIENCE_SECONDS
    ) -> dict[str, Any]:
        """The handset's message number 1, 2, …, once it is there: of all, or of those of the challenge `of`.

        Messages of two challenges may overtake each other.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = await self.messages(phone)
            found = [one for one in found if one["delivery"].startswith(of.replace("chl_", "dlv_"))]
            if len(found) >= number:
                return found[number - 1]
            await asyncio.sleep(0.03)
        raise AssertionError(f"message {number} did not arrive")

    async def code(self, phone: str, *, number: int = 1, of: str = "") -> str:
        """The code in the handset's message number 1, 2, …: of all, or of those of the challenge `of`."""
        return code_in((await self.message(phone, number=number, of=of))["text"])

    async def evidence(self, challenge: str, **params: str) -> httpx.Response:
        """What proves a challenge, whatever is answered, once its newest events are in a checkpoint."""
        path, began = f"/v1/challenges/{challenge}/evidence", time.monotonic()
        while (response := await self.http.get(path, params=params)).status_code == 503:
            assert time.monotonic() < began + 60, response.text
        return response

    async def settled(
        self, challenge: str, *, status: str = "delivered", seconds: float = PATIENCE_SECONDS
    ) -> dict[str, Any]:
        """The challenge once its newest delivery has this status."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            body = await self.get(challenge)
            if body["deliveries"] and body["deliveries"][-1]["status"] == status:
                return body
            await asyncio.sleep(0.03)
        raise AssertionError(f"the delivery did not become {status}")

    async def reached(
        self, challenge: str, status: str, *, seconds: float = PATIENCE_SECONDS
    ) -> dict[str, Any]:
        """The challenge once it has settled in this status."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            body = await self.get(challenge)
            if body["status"] == status and (body["settled_at"] or status == "pending"):
                return body
            await asyncio.sleep(0.03)
        raise AssertionError(f"the challenge did not become {status}")

    async def script(self, supplier: str, behaviour: str, **members: Any) -> None:
        """Script a sandbox supplier."""
        response = await self.http.post(
            f"/sandbox/suppliers/{supplier}", json={"behaviour": behaviour, **members}
        )
        assert response.status_code == 200, response.text


def order(**members: Any) -> dict[str, Any]:
    """The body of an issue: a payment by SMS of a payer nobody else has, with `members` over it."""
    body: dict[str, Any] = {
        "psu": unique_psu(),
        "purpose": "payment",
        "transaction": TRANSACTION,
        "channels": [{"channel": "sms"}],
    }
    body |= members
    return {name: value for name, value in body.items() if value is not None}


def code_in(text: str) -> str:
    """The six digits in a message, also when they are said one by one."""
    plain = _CODE.findall(text)
    if plain:
        return str(plain[-1])
    spelled = re.findall(r"(?:\d, ){5}\d", text)
    return str(spelled[-1]).replace(", ", "")


def wrong(code: str) -> str:
    """A code of the same length that is not this one."""
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}d}"
