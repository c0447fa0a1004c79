"""SIGTERM under load: nobody who calls notices that one of two apis is taken out, and a second SIGTERM ends sooner."""

import asyncio
import itertools
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from sca_service.delivery.model import DeliveryStatus
from sca_service.dev import STOP_SECONDS
from tests.faults.checker import violations
from tests.faults.cuts import end_lease, restart, state_of, until
from tests.faults.traffic import Told, code_of
from tests.harness import TRANSACTION, Deployment, Role, order, unique_psu

pytestmark = pytest.mark.race

_LONG_DRAIN = ("api.drain_seconds = 60",)
_CALLERS = 6


@pytest.fixture
def draining(deployment: Deployment) -> Iterator[Role]:
    """A second api that serves on for a minute after SIGTERM, unless it is told again."""
    deployment.more_settings, before = _LONG_DRAIN, deployment.more_settings
    role = deployment.start("api")
    deployment.more_settings = before
    yield role
    if role.process.poll() is None:
        role.kill()
    deployment.forget(role)


@dataclass(slots=True)
class Balancer:
    """Spreads requests over the apis that say they are ready. A class because it knows which they are."""

    deployment: Deployment
    ready: dict[str, httpx.AsyncClient] = field(default_factory=dict)
    under_way: Counter[str] = field(default_factory=Counter)
    told: list[Told] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    _next: Iterator[int] = field(default_factory=itertools.count)

    async def call(self, path: str, body: Mapping[str, object]) -> dict[str, object]:
        """What one of them answers; anything but success is put down as failed."""
        urls = sorted(self.ready)
        url = urls[next(self._next) % len(urls)]
        self.under_way[url] += 1
        try:
            response = await self.ready[url].post(path, json=body)
        except httpx.TransportError as error:
            self.failed.append(f"{url}: {type(error).__name__}")
        else:
            if response.is_success:
                answer: dict[str, object] = response.json()
                return answer
            self.failed.append(f"{url}: {response.status_code} {response.text}")
        finally:
            self.under_way[url] -= 1
        raise ConnectionError(self.failed[-1])

    async def pay(self) -> None:
        """A challenge is issued, and answered rightly."""
        issued = await self.call("/v1/challenges", order())
        challenge = str(issued["id"])
        self.told.append(Told(None, challenge, "issued"))
        body = {"code": code_of(self.deployment.keyring, issued), "transaction": TRANSACTION}
        answered = await self.call(f"/v1/challenges/{challenge}/verify", body)
        self.told.append(Told(None, challenge, str(answered["outcome"])))

    async def watch(self) -> None:
        """Ask over and over who is ready, as whoever spreads requests does."""
        clients = dict(self.ready)
        while True:
            for url, client in clients.items():
                try:
                    is_ready = (await client.get("/readyz")).status_code == 200
                except httpx.TransportError:
                    is_ready = False
                if not is_ready:
                    self.ready.pop(url, None)
            await asyncio.sleep(0.02)


@asynccontextmanager
async def balanced(deployment: Deployment, *apis: Role) -> AsyncIterator[Balancer]:
    """Callers at work over these apis until the block ends."""
    balancer = Balancer(deployment)
    headers = {"Authorization": f"Bearer {deployment.keys['bank']}"}
    for api in apis:
        balancer.ready[api.url] = httpx.AsyncClient(
            base_url=api.url, headers=headers, timeout=30, trust_env=False
        )
    clients = list(balancer.ready.values())
    is_over = asyncio.Event()

    async def keep_paying() -> None:
        while not is_over.is_set():
            await balancer.pay()

    watching = asyncio.ensure_future(balancer.watch())
    paying = [asyncio.ensure_future(keep_paying()) for _ in range(_CALLERS)]
    try:
        yield balancer
    finally:
        is_over.set()
        await asyncio.gather(*paying, return_exceptions=True)
        watching.cancel()
        for client in clients:
            await client.aclose()


async def test_no_request_fails_while_one_of_two_apis_is_stopped(
    deployment: Deployment, draining: Role
) -> None:
    """Unready at once and serving on, it loses its callers; told again it ends with status 0, and nobody noticed."""
    async with balanced(deployment, deployment.api, draining) as balancer:
        await _answers(balancer, 20)
        draining.process.send_signal(signal.SIGTERM)

        async def is_left() -> bool:
            return draining.url not in balancer.ready and not balancer.under_way[draining.url]

        await until(is_left, "requests go elsewhere")
        assert draining.process.poll() is None, "it has not waited for those who still send"
        await _answers(balancer, 20)
        draining.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(draining.process.wait, STOP_SECONDS) == 0
        await _answers(balancer, 20)
    assert balancer.failed == []
    assert await violations(deployment, balancer.told) == []


async def test_a_stopping_api_is_unready_and_answers_over_connections_that_it_closes(
    deployment: Deployment, draining: Role
) -> None:
    """Who is late to notice is served, and told to come back over another connection; a stream ends as it should."""
    async with deployment.bank(url=draining.url) as bank:
        issued, followed = await bank.issue(), (await bank.issue())["id"]
        path = f"/v1/challenges/{followed}/events"
        async with bank.http.stream("GET", path) as stream:
            lines = stream.aiter_lines()
            assert (await anext(lines)).startswith("id: ")
            draining.process.send_signal(signal.SIGTERM)

            async def is_unready() -> bool:
                return (await bank.http.get("/readyz")).status_code == 503

            await until(is_unready, "it says that it is not ready")
            assert (await bank.http.get("/readyz")).json() == {"api": "is stopping"}
            answer = await bank.answer(issued["id"], code_of(deployment.keyring, issued))
            assert answer.json()["outcome"] == "approved"
            assert answer.headers["connection"] == "close"
            draining.process.send_signal(signal.SIGTERM)
            assert [line async for line in lines], "the stream was cut off"
    assert await asyncio.to_thread(draining.process.wait, STOP_SECONDS) == 0


async def test_an_api_drains_for_its_time_only(deployment: Deployment) -> None:
    """Nobody tells it again: it ends by itself, with status 0."""
    deployment.more_settings, before = ("api.drain_seconds = 0.2",), deployment.more_settings
    role = deployment.start("api")
    deployment.more_settings = before
    role.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(role.process.wait, STOP_SECONDS) == 0
    deployment.forget(role)
    assert await _has_logged(deployment, role, "role.stopping")


async def test_a_worker_that_is_told_again_leaves_what_it_sends(deployment: Deployment) -> None:
    """The supplier does not answer: the worker ends at once, and another sends under the same reference, marked."""
    worker = next(role for role in deployment.roles if role.name == "worker")
    async with deployment.bank() as bank:
        await bank.script("sms", "slow", delay_ms=60_000, next=1)
        psu = unique_psu()
        challenge = (await bank.issue(psu=psu))["id"]

        async def is_tried() -> bool:
            return state_of(deployment, challenge).deliveries[-1].tries == 1

        await until(is_tried, "the worker sends")
        worker.process.send_signal(signal.SIGTERM)
        await until(lambda: _has_logged(deployment, worker, "role.stopping"), "it was told to stop")
        worker.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(worker.process.wait, STOP_SECONDS) == 0
        left = state_of(deployment, challenge).deliveries[-1]
        assert left.status is DeliveryStatus.QUEUED, "it has waited for its supplier"
        end_lease(deployment, challenge)
        restart(deployment, worker)
        await bank.settled(challenge)
        assert state_of(deployment, challenge).deliveries[-1].tries == 2
        assert len(await bank.messages(psu["phone"])) == 1
    assert await violations(deployment) == []


async def _has_logged(deployment: Deployment, role: Role, event: str) -> bool:
    return event in (deployment.folder / f"{role.name}-{role.port}.log").read_text()


async def _answers(balancer: Balancer, count: int) -> None:
    """Wait until so many more answers have come, or one has failed."""
    wanted = len(balancer.told) + count

    async def there() -> bool:
        return len(balancer.told) >= wanted or bool(balancer.failed)

    await until(there, f"there are {count} more answers")
