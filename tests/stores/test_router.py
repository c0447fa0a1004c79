"""The router on the real Redis: what becomes of messages changes the next choice, and nothing fails a send."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.keyring import Keyring, create_keyring_text
from sca_service.kernel.phone import PhoneNumber
from sca_service.policy.model import Channel, Occasion, Purpose
from sca_service.policy.supply import NetworkPrice, PriceTier, SupplyPolicy
from sca_service.routing.model import RouteChoice, RouteReason, SendOutcome
from sca_service.routing.portability import Portability
from sca_service.routing.redis_store import NetworkStore, RouteStore
from sca_service.routing.router import Router
from tests.storeroom import eventually, keys_of
from tests.supplies import supplier, supply

NUMBER = PhoneNumber.parse("+4915112345678")
KEYRING = Keyring.parse(create_keyring_text())

MakeRouter = Callable[[], Router]


@pytest.fixture
def rules() -> SupplyPolicy:
    """Two suppliers that no other test has; the first costs less."""
    tail = secrets.token_hex(6)
    return supply([supplier(f"a-{tail}", 50_000), supplier(f"b-{tail}", 60_000)], price_weight=50)


@pytest.fixture
async def make(redis: RedisConnection, rules: SupplyPolicy) -> AsyncIterator[MakeRouter]:
    """Makes the router of one more worker."""
    routers = []

    def make() -> Router:
        routers.append(router_on(redis, rules))
        return routers[-1]

    yield make
    for router in routers:
        await router.close()


def router_on(redis: RedisConnection, rules: SupplyPolicy) -> Router:
    """A router without look-ups."""
    portability = Portability(
        prefixes=rules.networks,
        rule=rules.portability,
        source=None,
        memory=NetworkStore(redis),
        keyring=KEYRING,
    )
    return Router(supply=rules, portability=portability, store=RouteStore(redis, rules.breaker))


async def chosen(router: Router, **changes: object) -> RouteChoice:
    """The route of a payment's text."""
    wanted: dict[str, object] = {
        "purpose": Purpose.PAYMENT,
        "occasion": Occasion.PAYMENT,
        "segments": 1,
        "tried": (),
        **changes,
    }
    return await router.choose(Channel.SMS, NUMBER, **wanted)  # type: ignore[arg-type]


async def fail(router: Router, times: int) -> str:
    """Let the supplier that is chosen fail so often; its name."""
    choice = await chosen(router)
    assert choice.route
    for _ in range(times):
        router.observe(choice.route, SendOutcome.FAILED, 10)
    return choice.route.supplier


async def breaker_is(redis: RedisConnection, name: str, field: str) -> int:
    """What a breaker keeps."""
    return int(await redis.command("HGET", f"{{route:{name}}}:breaker", field) or 0)


async def opened(redis: RedisConnection, name: str) -> None:
    """Wait until a breaker is open."""

    async def is_open() -> bool:
        return await breaker_is(redis, name, "u") > 0

    await eventually(is_open)


async def test_what_fails_is_left_alone_by_the_next_worker(make: MakeRouter, redis: RedisConnection) -> None:
    """It reads the breakers before its first choice."""
    name = await fail(make(), 3)
    await opened(redis, name)
    choice = await chosen(make())
    assert choice.route
    assert choice.route.supplier != name
    assert choice.passed_over == ((name, RouteReason.BREAKER_OPEN),)


async def test_one_message_tries_a_supplier_that_is_half_open(
    make: MakeRouter, redis: RedisConnection
) -> None:
    """Of a hundred over five workers; taken, and everybody goes back to it."""
    name = await fail(make(), 3)
    await opened(redis, name)
    await redis.command("HINCRBY", f"{{route:{name}}}:breaker", "u", -30_001)
    workers = [make() for _ in range(5)]
    choices = await asyncio.gather(*(chosen(worker) for worker in workers * 20))
    probes = [
        (at % 5, choice.route)
        for at, choice in enumerate(choices)
        if choice.route and choice.route.supplier == name
    ]
    assert len(probes) == 1
    ((at, probe),) = probes
    assert probe.reasons == (RouteReason.PROBE,)
    workers[at].observe(probe, SendOutcome.TAKEN, 10)

    async def is_closed() -> bool:
        return await breaker_is(redis, name, "u") == 0

    await eventually(is_closed)
    again = await chosen(make())
    assert again.route
    assert again.route.supplier == name


async def test_a_message_that_may_be_there_already_is_no_probe(
    make: MakeRouter, redis: RedisConnection, rules: SupplyPolicy
) -> None:
    """Nor is one that the supplier failed before: the probe is left to others."""
    name = await fail(make(), 3)
    await opened(redis, name)
    await redis.command("HINCRBY", f"{{route:{name}}}:breaker", "u", -30_001)
    worker = make()
    other = next(one.name for one in rules.suppliers if one.name != name)
    for changes in ({"prefer": other}, {"tried": (name,)}):
        choice = await chosen(worker, **changes)
        assert choice.route
        assert choice.route.supplier == other
    assert await breaker_is(redis, name, "n") == 0


async def test_what_does_not_arrive_loses_its_traffic(make: MakeRouter, redis: RedisConnection) -> None:
    """Receipts and approvals of many messages weigh more than a lower price."""
    router = make()
    choice = await chosen(router)
    assert choice.route
    cheap = choice.route.supplier
    for at in range(200):
        router.observe(choice.route, SendOutcome.TAKEN, 10)
        router.received(cheap, "262", arrived=at % 4 == 0, latency_ms=90_000)
    dear = (await chosen(router, tried=(cheap,))).route
    assert dear
    for _ in range(200):
        router.observe(dear, SendOutcome.TAKEN, 10)
        router.received(dear.supplier, "262", arrived=True, latency_ms=900)
        router.converted(dear.supplier, "262")
    await redis.command("PING")
    for worker in (router, make()):
        await worker.refresh()
        again = await chosen(worker)
        assert again.route
        assert (again.route.supplier, again.route.reasons) == (dear.supplier, (RouteReason.BEST_QUALITY,))


async def test_volumes_survive_a_restart(redis: RedisConnection, rules: SupplyPolicy) -> None:
    """The price of the month goes on where it was."""
    tiers = (PriceTier(0, 70_000), PriceTier(10, 20_000))
    first, second = rules.suppliers
    rules = replace(rules, suppliers=(first, replace(second, prices=(NetworkPrice("*", tiers),))))
    before = router_on(redis, rules)
    route = (await chosen(before, tried=(first.name,), segments=5)).route
    assert route
    for _ in range(2):
        before.observe(route, SendOutcome.TAKEN, 1)
    await before.close()
    await redis.command("PING")
    after = router_on(redis, rules)
    choice = await chosen(after)
    await after.close()
    assert choice.route
    assert choice.route.supplier == second.name
    assert choice.route.price
    assert choice.route.price.micros == 20_000


async def test_without_redis_messages_go_on(rules: SupplyPolicy) -> None:
    """The policy alone decides, and nothing raises."""
    nowhere = RedisConnection("redis://127.0.0.1:9")
    router = router_on(nowhere, rules)
    lost = REGISTRY.get_sample_value("sca_routes_uncounted_total") or 0
    choice = await chosen(router)
    assert choice.route
    assert choice.route.supplier == rules.suppliers[0].name
    router.observe(choice.route, SendOutcome.TAKEN, 10)
    router.received(choice.route.supplier, "262", arrived=True, latency_ms=10)
    router.converted(choice.route.supplier, "262")

    async def is_counted() -> bool:
        return (REGISTRY.get_sample_value("sca_routes_uncounted_total") or 0) >= lost + 4

    await eventually(is_counted)
    await router.close()
    await nowhere.close()


async def test_a_send_costs_no_round_trip(make: MakeRouter, redis: RedisConnection) -> None:
    """Hundreds of choices within a second read what is known once or twice."""
    router = make()
    await chosen(router)
    before = await redis.command("INFO", "commandstats")
    for _ in range(300):
        await chosen(router)
    after = await redis.command("INFO", "commandstats")
    assert _calls(after) - _calls(before) <= 6


def _calls(stats: bytes) -> int:
    line = next(line for line in stats.decode().splitlines() if line.startswith("cmdstat_evalsha:"))
    return int(line.partition("calls=")[2].partition(",")[0])


async def test_what_is_told_of_a_supplier_nobody_knows_is_not_counted(
    make: MakeRouter, redis: RedisConnection
) -> None:
    """A receipt's URL names the supplier: it must not make keys."""
    router = make()
    router.received("nobody", "262", arrived=True, latency_ms=1)
    router.converted("nobody", "262")
    await redis.command("PING")
    assert await keys_of(redis, "{route:nobody}*") == []


async def test_channels_without_numbers_are_routed_too(redis: RedisConnection) -> None:
    """A push goes to a device, not to a country."""
    name = f"p-{secrets.token_hex(6)}"
    router = router_on(redis, supply([supplier(name, channel=Channel.PUSH)]))
    choice = await router.choose(
        Channel.PUSH, None, purpose=Purpose.LOGIN, occasion=Occasion.LOGIN, segments=1, tried=()
    )
    missing = await router.choose(
        Channel.RCS, NUMBER, purpose=Purpose.LOGIN, occasion=Occasion.LOGIN, segments=1, tried=()
    )
    await router.close()
    assert choice.route
    assert (choice.route.supplier, choice.route.network) == (name, "")
    assert missing.route is None
