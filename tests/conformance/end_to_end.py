"""A service for production whose suppliers are real ones on this machine, and a watch over what it leaves behind.

Its policies are the shipped ones with suppliers, senders and ladder of their own. The peers listen on ports that are
chosen before the service starts, and come and go with each test.
"""

import asyncio
import itertools
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from sca_service.settings import Environment, shipped_policies
from tests.architecture.journey import postgres_dump, redis_dump
from tests.architecture.leaks import Canaries
from tests.faults.cuts import until
from tests.harness import Bank, Deployment, Role, code_in
from tests.ports import free_port

LINE = "15190835"
"""Every payer's number begins with +49 and this; it stands nowhere else."""
_NUMBERS = itertools.cycle(range(1_000))
PAYEE = "Kolibrifutter Versand"
IBAN = "DE89370400440532013000"
PAYMENT: dict[str, Any] = {
    "amount": {"currency": "EUR", "amount": "49.99"},
    "payee": {"name": PAYEE, "account": {"iban": IBAN}},
    "reference": "kolibri-77",
}
SUPPLIER_SECRET = "kolibri8"
"""Of every supplier; SMPP allows eight characters (SMPP 3.4, 5.2.2)."""
_PURPOSES = ("login", "account_access", "payment", "enrolment", "other")
_ROUTING = """
[routing]
login = { price_weight = 100 }
account_access = { price_weight = 100 }
payment = { price_weight = 100 }
enrolment = { price_weight = 100 }
other = { price_weight = 100 }
alert = { price_weight = 100 }

[breaker]
failures = 5
window = 6
open_seconds = 3

[exchange]
EUR = 1_000_000
"""
_SENDERS = """
must_register = ["IN"]

[[sender]]
country = "*"
channel = "sms"
id = "KOLIBRI"
kind = "alphanumeric"
"""
_REASONS = '["undelivered", "timeout", "no_answer", "supplier_down", "no_device", "user_request", "sim_swap"]'


def section(name: str, kind: str, channel: str, options: str, *, micros: int = 70_000) -> str:
    """A supplier's section that carries messages everywhere at one price; `options` are lines of TOML."""
    return (
        f'[{name}]\nkind = "{kind}"\nchannel = "{channel}"\ncountries = []\ncurrency = "EUR"\n'
        f'prices = [{{ network = "*", from_messages = 0, price_micros = {micros} }}]\n'
        f"[{name}.options]\n{options}\n"
    )


def smpp_section(name: str, port: int, *, ca_file: Path | None = None) -> str:
    """An SMS centre on this machine, with TLS when its authority is named; quick to come back."""
    tls = f'tls = true\nca_file = "{ca_file}"' if ca_file else "tls = false"
    options = (
        f'host = "localhost"\nport = {port}\nsystem_id = "bank"\n{tls}\n'
        "backoff_seconds = 0.05\nmost_backoff_seconds = 0.2\n"
    )
    return section(name, "smpp", "sms", options)


def http_sms_section(name: str, port: int, *, micros: int) -> str:
    """A described HTTP API on this machine; what became of a message it tells at the URL that came with it."""
    options = f"""\
url = "http://127.0.0.1:{port}/messages"
headers = {{ Authorization = "Bearer {{secret:api_key}}" }}
body.to = "{{to}}"
body.text = "{{text}}"
body.from = "{{sender}}"
body.reference = "{{delivery_id}}"
body.tell = "{{call_back_url}}"
answer = {{ id = "/id" }}
call_backs = {{ status = "/status", delivered = ["DELIVRD"], undelivered = ["UNDELIV"] }}
"""
    return section(name, "http-sms", "sms", options, micros=micros)


def write_policies(folder: Path, suppliers: Sequence[str], channels: Sequence[str]) -> Path:
    """The shipped policies with these suppliers, one sender, and a ladder of these channels for every purpose."""
    policies = folder / "policies"
    shutil.copytree(shipped_policies(), policies)
    steps = [
        f'{{ channel = "{channel}", timeout_seconds = 20, until = "delivered" }}' for channel in channels[:-1]
    ]
    steps.append(f'{{ channel = "{channels[-1]}", until = "delivered" }}')
    ladder = "[resend]\nfirst_seconds = 30\nfactor = 2\nmost_seconds = 120\n" + "".join(
        f"\n[{purpose}]\nphone_vouched_by_client = true\nstep_on = {_REASONS}\nsteps = [{', '.join(steps)}]\n"
        for purpose in _PURPOSES
    )
    pumping = (policies / "pumping.toml").read_text("utf-8")
    unguarded = pumping.replace('at_block = "refuse"', 'at_block = "off"')  # all these numbers are in a row
    assert unguarded != pumping
    (policies / "pumping.toml").write_text(unguarded, "utf-8")
    (policies / "suppliers.toml").write_text("\n".join(suppliers) + _ROUTING, "utf-8")
    (policies / "senders.toml").write_text(_SENDERS, "utf-8")
    (policies / "ladder.toml").write_text(ladder, "utf-8")
    return policies


@dataclass
class Run:
    """A running service, and the secrets that went through it. A class because it collects them."""

    deployment: Deployment
    worker: Role
    texts: set[str]
    codes: set[str] = field(default_factory=set)

    def psu(self, **members: str) -> dict[str, str]:
        """A payer and a phone line that no other test has."""
        number = f"+49{LINE}{next(_NUMBERS):03d}"
        return {"id": f"cust_{secrets.token_hex(6)}", "phone": number, "locale": "de-DE", **members}

    def order(self, *channels: str, **members: Any) -> dict[str, Any]:
        """The members of a payment over these channels."""
        order = {"psu": self.psu(), "transaction": PAYMENT}
        return order | {"channels": [{"channel": one} for one in channels]} | members

    def code(self, text: str) -> str:
        """The code in a text, which must be found nowhere else."""
        code = code_in(text)
        self.codes.add(code)
        return code

    async def approve(self, bank: Bank, challenge: str, text: str) -> None:
        """Answer with the code that stands in a text, and be approved."""
        answer = await bank.verify(challenge, self.code(text), PAYMENT)
        assert answer["outcome"] == "approved", answer

    async def events(self, challenge: str, kind: str, *, count: int = 1) -> list[dict[str, Any]]:
        """A challenge's events of a kind, as an auditor reads them, once there are so many."""
        found: list[dict[str, Any]] = []

        async def there() -> bool:
            wanted: dict[str, str | int] = {"challenge": challenge, "type": kind, "limit": 200}
            response = await auditor.http.get("/v1/audit/events", params=wanted)
            assert response.status_code == 200, response.text
            found[:] = response.json()["data"]
            return len(found) >= count

        async with self.deployment.bank(client="auditor") as auditor:
            await until(there, f"there are {count} events {kind}")
        return found

    async def tries(self, challenge: str, *, count: int) -> list[int]:
        """The tries of a challenge's deliveries that are on record, once there are so many."""
        events = await self.events(challenge, "delivery.attempted", count=count)
        return sorted(event["try"] for event in events)

    def leaks(self) -> list[str]:
        """What of the secrets stands in the roles' logs and metrics and in the stores, with what is around it."""
        told = {path.name: path.read_bytes() for path in self.deployment.folder.glob("*.log")}
        told |= {f"metrics of the {role.name}": _metrics(role) for role in (self.deployment.api, self.worker)}
        kept = {
            "Redis": asyncio.run(redis_dump(self.deployment)),
            "PostgreSQL": asyncio.run(postgres_dump(self.deployment)),
        }
        assert b"sca_challenges_issued_total" in told["metrics of the api"]
        assert b"sca_deliveries_settled_total" in told["metrics of the worker"]
        assert b"challenge.issued" in kept["PostgreSQL"]
        telling = frozenset(code for code in self.codes if code.startswith("0"))
        canaries = Canaries(telling, frozenset({LINE}), frozenset(self.texts))
        found = [
            f"{name}: {leak}"
            for name, content in (told | kept).items()
            for leak in canaries.found_in(content)
        ]
        for name, content in told.items():  # there are few numbers in these: any code is looked for
            for code in self.codes:
                alone = re.search(rb"(?<![0-9A-Za-z.])%s(?![0-9A-Za-z])" % code.encode(), content)
                found += [f"{name}: {content[max(alone.start() - 40, 0) : alone.end()]!r}"] if alone else []
        return found


def _metrics(role: Role) -> bytes:
    answer = httpx.get(
        f"http://127.0.0.1:{role.metrics_port or role.port}/metrics", timeout=10, trust_env=False
    )
    assert answer.status_code == 200
    return answer.content


@contextmanager
def running(
    folder: Path, suppliers: Sequence[str], channels: Sequence[str], environ: Mapping[str, str]
) -> Iterator[Run]:
    """The whole service, for production. When it is over its logs and metrics must hold none of the secrets."""
    deployment = Deployment(
        folder,
        policies=write_policies(folder, suppliers, channels),
        environment=Environment.PRODUCTION,
        environ=environ,
    )
    deployment.start_stores()
    try:
        deployment.start("api")
        worker = deployment.start("worker", metrics_port=free_port())
        deployment.start("log")
        texts = {PAYEE, IBAN, PAYMENT["reference"], *environ.values(), *deployment.keys.values()}
        run = Run(deployment, worker, texts)
        yield run
        assert run.leaks() == []
    finally:
        deployment.stop()


async def eventually(ask: Callable[[], Any], what: str) -> Any:
    """What `ask` finds, once it finds something."""
    found: list[Any] = []

    async def there() -> bool:
        found[:] = [await ask()]
        return bool(found[0])

    await until(there, what)
    return found[0]
