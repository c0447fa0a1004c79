"""Whether a verify costs the same with more live challenges and more clients: `make bench ARGS=flat`.

What it costs is CPU time of the api, Valkey and PostgreSQL for each right answer; rates say more of the machine than of
the service. Bounded in count and time, loopback only; it ends by itself.
"""

import asyncio
import os
import secrets
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from redis.asyncio import Redis
from rich.console import Console

from loadtests import generator
from loadtests.drawn import Chart
from loadtests.generator import Request
from loadtests.orders import answer, payment, right_code
from loadtests.place import API_URL, Place, running
from loadtests.scenario.watch import sample
from loadtests.written import RESULTS, write_report
from sca_service.api.clients import ClientRegistry, Scope
from sca_service.api.postgres_store import ClientStore

PARTS = ("api", "valkey", "postgres")
_CONNECTIONS = 100
"""Together: the same whether one client has them or a hundred do."""
_AT_ONCE = 10_000
_MOST_WAITS = 600
_LIVES_MS = 3_600_000
"""Challenges that only fill the stores live for an hour: longer than a run."""
_ROOM_BYTES = 8 * 2**30
"""More than the sandbox gives its Valkey: a million challenges need it."""
_COPIES_IN_REDIS = """
local state, lives_ms = ARGV[1], tonumber(ARGV[2])
local now = redis.call('TIME')
local ends = now[1] * 1000 + math.floor(now[2] / 1000) + lives_ms
for at = 3, #ARGV do
  local partition = string.format('{p%02d}', tonumber(string.sub(ARGV[at], 5, 6), 16))
  redis.call('SET', partition .. ':challenge:' .. ARGV[at], state, 'PX', lives_ms)
  redis.call('ZADD', partition .. ':due', ends, ARGV[at])
end
"""
"""On one server, so that keys may be named as they come."""
_COPIES = """
INSERT INTO challenges (id, client_id, psu, purpose, status, created_at, expires_at, revision, state, erased)
SELECT one, client_id, psu || left(md5(one), 8), purpose, status, created_at, expires_at, revision, state, erased
FROM challenges, unnest($2::text[]) AS one WHERE id = $1
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU microseconds a verify, by part, and how many there were a second."""

    micros: dict[str, float]
    per_second: float

    @property
    def together(self) -> float:
        """CPU microseconds of all parts."""
        return sum(self.micros.values())

    def told(self) -> list[str]:
        """The cells of a row."""
        values = (*(self.micros[part] for part in PARTS), self.together, self.per_second)
        return [f"{value:,.0f}" for value in values]


@dataclass(slots=True)
class Flat:
    """The place, and how many live challenges fill it. A class because payers go on and fillings add up."""

    place: Place
    keys: list[str]
    payers: Iterator[int] = field(default_factory=lambda: iter(range(10_000_000, 99_999_999)))
    live: int = 0

    async def fill(self, count: int) -> None:
        """Copy an issued challenge until so many live in both stores, each with its timer."""
        told = await generator.exchange(API_URL, self.keys[0], [payment(next(self.payers))], connections=1)
        model = str(_json(told[0])["id"])
        redis: Any = Redis.from_url(self.place.servers.valkey.url)
        postgres = await asyncpg.connect(self.place.servers.postgres.url, command_timeout=600)
        try:
            await redis.config_set("maxmemory", _ROOM_BYTES)
            packed = await redis.get(_key(model))
            await postgres.execute("SET synchronous_commit = off")
            while self.live < count:
                ids = [_another() for _ in range(min(_AT_ONCE, count - self.live))]
                await asyncio.gather(
                    redis.eval(_COPIES_IN_REDIS, 0, packed, _LIVES_MS, *ids),
                    postgres.execute(_COPIES, model, ids),
                )
                self.live += len(ids)
            await postgres.execute("VACUUM ANALYZE challenges")
            for _ in range(_MOST_WAITS):
                if not (await redis.info("persistence"))["aof_rewrite_in_progress"]:
                    break
                await asyncio.sleep(0.2)
        finally:
            await redis.aclose()
            await postgres.close()

    async def cost(self, count: int, *, clients: int) -> Cost:
        """Issue and rightly answer so many challenges of so many clients; what an answer cost.

        Raises RuntimeError unless every one that was answered is on record as accepted.
        """
        share = count // clients
        issued = [await self._issue(key, share) for key in self.keys[:clients]]
        asked = [
            [answer(one, right_code(self.place.keyring, one)) for one in challenges] for challenges in issued
        ]
        accepted, before, began = await self._accepted(), self._used(), time.perf_counter()
        connections = max(_CONNECTIONS // clients, 1)
        await asyncio.gather(
            *(
                generator.exchange(API_URL, key, requests, connections=connections)
                for key, requests in zip(self.keys, asked, strict=False)
            )
        )
        seconds, used = time.perf_counter() - began, self._used()
        done = await self._accepted() - accepted
        if done < sum(len(one) for one in asked) * 0.99:
            raise RuntimeError(f"of {sum(len(one) for one in asked)} right answers {done} were accepted")
        return Cost({part: (used[part] - before[part]) / done * 1e6 for part in PARTS}, done / seconds)

    async def _issue(self, key: str, count: int) -> list[str]:
        orders: Sequence[Request] = [payment(next(self.payers)) for _ in range(count)]
        told = await generator.exchange(API_URL, key, orders, connections=_CONNECTIONS)
        return [str(_json(one)["id"]) for one in told if one is not None]

    async def _accepted(self) -> int:
        connection = await asyncpg.connect(self.place.servers.postgres.url)
        try:
            return int(await connection.fetchval("SELECT count(*) FROM acceptances"))
        finally:
            await connection.close()

    def _used(self) -> dict[str, float]:
        servers = self.place.servers
        pids = (self.place.api.pid, servers.valkey.pid, servers.postgres.pid)
        return {part: sample(pid).cpu for part, pid in zip(PARTS, pids, strict=True)}


def _json(body: bytes | None) -> Any:
    if body is None:
        raise RuntimeError("a challenge was not issued")
    return msgspec.json.decode(body)


def _another() -> str:
    """An id as the service makes them: its partition in the first two digits."""
    return f"chl_{secrets.randbelow(64):02x}{secrets.token_hex(18)}"


def _partition(challenge: str) -> str:
    return f"{{p{int(challenge[4:6], 16):02d}}}"


def _key(challenge: str) -> str:
    return f"{_partition(challenge)}:challenge:{challenge}"


async def _clients(place: Place, count: int) -> list[str]:
    """API keys of so many clients, all of whom the api knows when this is over."""
    keys = [place.api_key]
    async with asyncpg.create_pool(place.servers.postgres.url, min_size=1, max_size=1) as pool:
        registry = ClientRegistry(ClientStore(pool), place.keyring)
        keys += [
            (await registry.create(f"bank-{number}", [Scope.CHALLENGES])).reveal()
            for number in range(1, count)
        ]
    for _ in range(60):  # the api reads who is new every few seconds
        try:
            await generator.exchange(API_URL, keys[-1], [payment(99_999_999)], connections=1)
        except ExceptionGroup:
            await asyncio.sleep(1)
        else:
            return keys
    raise RuntimeError("the api did not hear of the new clients")


async def measure(
    place: Place, levels: Sequence[int], count: int, rounds: int, clients: int
) -> dict[str, Cost]:
    """The rows of the report: medians of the rounds at each level, then one client and many in turns."""
    flat = Flat(place, await _clients(place, clients))
    await flat.cost(count, clients=1)  # the first is always dearer: code and caches are cold
    rows: dict[str, Cost] = {}
    for level in levels:
        began = time.perf_counter()
        await flat.fill(level)
        filled = time.perf_counter() - began
        await flat.cost(count, clients=1)  # the stores write down what filled them
        name = f"{level:,} live challenges, 1 client"
        rows[name] = _median([await flat.cost(count, clients=1) for _ in range(rounds)])
        place.console.print(
            f"  {name}: {' | '.join(rows[name].told())} (filled in {filled:.0f} s)", soft_wrap=True
        )
    turns: dict[int, list[Cost]] = {1: [], clients: []}
    for _ in range(rounds):
        for several, costs in turns.items():
            costs.append(await flat.cost(count, clients=several))
    for several, costs in turns.items():
        name = f"{flat.live:,} live challenges, {several} client{'s' * (several > 1)} in turns"
        rows[name] = _median(costs)
        place.console.print(f"  {name}: {' | '.join(rows[name].told())}", soft_wrap=True)
    return rows


def _median(costs: Sequence[Cost]) -> Cost:
    micros = {part: statistics.median(one.micros[part] for one in costs) for part in PARTS}
    return Cost(micros, statistics.median(one.per_second for one in costs))


def flat(
    *,
    levels: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000),
    count: int = 3_000,
    rounds: int = 3,
    clients: int = 100,
    results: Path = RESULTS,
) -> None:
    """Measure what a verify costs with more and more live challenges, and with one client and many.

    Parameters
    ----------
    levels
        How many challenges live, in turn.
    count
        How many are answered in a round.
    rounds
        How many at each level.
    """
    console = Console(highlight=False)
    load_before = os.getloadavg()[0]
    with running(console) as place:
        costs = asyncio.run(measure(place, levels, count, rounds, clients))
    rows = {name: cost.told() for name, cost in costs.items()}
    groups = [f"{level:,}" for level in levels]
    at_levels = list(costs.values())[: len(levels)]
    write_report(
        console,
        "flat",
        results=results,
        title="CPU microseconds a verify",
        told=[
            f"Medians of {rounds} rounds of {count:,} right answers over {_CONNECTIONS} connections, load"
            f" {load_before:.1f} before the run. What fills the stores is a challenge that was issued, copied in both;"
            " what is answered was issued for it."
        ],
        titles=[*PARTS, "together", "verifies/s"],
        rows=rows,
        charts=[
            Chart(
                title="a verify, by live challenges",
                unit="CPU µs",
                groups=groups,
                series={part: [cost.micros[part] for cost in at_levels] for part in PARTS},
                goals={},
            ),
            Chart(
                title="together, over the first",
                unit="times",
                groups=groups,
                series={"together": [cost.together / at_levels[0].together for cost in at_levels]},
                goals={},
            ),
        ],
    )
