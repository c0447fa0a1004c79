"""What risk costs an issue and a verify: `python -m loadtests.risk_bench`.

Two apis on one core and the same stores, one of them without risk, take the same load in turns.
Bounded in time, loopback only; it ends by itself.
"""

import asyncio
import secrets
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import asyncpg
from cyclopts import run
from rich.console import Console
from rich.table import Table

from loadtests.generator import Request
from loadtests.orders import TRANSACTION, answer, payment, right_code
from loadtests.place import API_PORT, API_URL, Place, another_api, cpu_seconds, rss_mib, running
from sca_service.challenges.redis_store import ChallengeStore
from sca_service.kernel.account import Account
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.money import Amount
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.transaction import Payee, Transaction
from sca_service.policy.load import load
from sca_service.policy.words import Purpose
from sca_service.risk.assessor import Assessor
from sca_service.risk.camara import NobodyAsked
from sca_service.risk.facts import Marks, RiskOrder, subjects_of
from sca_service.risk.redis_store import RiskStore
from sca_service.settings import shipped_policies

ISSUE_GOAL = 0.7
_PORT = API_PORT + 2
_WITHOUT_URL = f"http://127.0.0.1:{_PORT}"
_MOST_PER_SECOND = 6_000
_AT_ONCE, _BATCHES = 64, 100
"""Requests that are assessed at once, as many as the load has connections."""


@dataclass(slots=True)
class Side:
    """One of the two apis, and what was measured of it by what was asked."""

    pid: int
    url: str
    rates: dict[str, list[float]] = field(default_factory=dict)
    cpu_us: dict[str, list[float]] = field(default_factory=dict)
    valkey_us: dict[str, list[float]] = field(default_factory=dict)


@dataclass(slots=True)
class RiskBench:
    """What was measured of both. A class because rounds build on each other."""

    place: Place
    risk: Side
    without: Side
    payers: Iterator[int] = field(default_factory=lambda: iter(range(10_000_000, 99_999_999)))
    used: set[str] = field(default_factory=set)

    def round(self, number: int, seconds: int) -> None:
        """Both in turns; whoever was first in one round is last in the next."""
        sides = (self.risk, self.without) if number % 2 else (self.without, self.risk)
        for side in sides:
            self._put(
                "issue",
                side,
                [_various(next(self.payers)) for _ in range(seconds * _MOST_PER_SECOND)],
                seconds,
            )
        self.used.update(self._pending())
        for side in sides:  # not measured: what is answered below
            orders = [payment(next(self.payers)) for _ in range(seconds * _MOST_PER_SECOND)]
            self.place.put(orders, seconds, url=side.url)
        fresh = self._pending() - self.used
        self.used |= fresh
        answers = [answer(one, right_code(self.place.keyring, one)) for one in fresh]
        for at, side in enumerate(sides):
            self._put("verify", side, answers[at::2], seconds)
        told = [
            f"{what} {self._newest(self.risk, what)} with, {self._newest(self.without, what)} without"
            for what in ("issue", "verify")
        ]
        self.place.console.print(f"  round {number}: {'; '.join(told)}", soft_wrap=True)

    def _put(self, what: str, side: Side, requests: list[Request], seconds: int) -> None:
        stores = (side.pid, self.place.servers.valkey.pid)
        before = [cpu_seconds(pid) for pid in stores]
        result = self.place.put(requests, seconds, url=side.url)
        api, valkey = (
            (cpu_seconds(pid) - spent) / result.requests * 1e6
            for pid, spent in zip(stores, before, strict=True)
        )
        side.rates.setdefault(what, []).append(result.per_second)
        side.cpu_us.setdefault(what, []).append(api)
        side.valkey_us.setdefault(what, []).append(valkey)

    def _pending(self) -> set[str]:
        """Every challenge that waits for an answer."""

        async def pending() -> set[str]:
            connection = await asyncpg.connect(self.place.servers.postgres.url)
            rows = await connection.fetch("SELECT id FROM challenges WHERE status = 'pending'")
            await connection.close()
            return {row["id"] for row in rows}

        return asyncio.run(pending())

    @staticmethod
    def _newest(side: Side, what: str) -> str:
        return f"{side.rates[what][-1]:,.0f}/s {side.cpu_us[what][-1]:,.0f} µs"

    def report(self) -> bool:
        """Print medians and ratios. Returns whether an issue with risk has its share of one without."""
        table = Table(title="Medians", title_justify="left", box=None, padding=(0, 2))
        for title in ("", "with risk", "without", "without / with", "goal"):
            table.add_column(title, justify="right" if title else "left")
        shares = {}
        for what in self.risk.rates:
            for unit, kept, other in (
                ("requests/s", self.risk.rates, self.without.rates),
                ("CPU µs", self.risk.cpu_us, self.without.cpu_us),
                ("CPU µs of Valkey", self.risk.valkey_us, self.without.valkey_us),
            ):
                pairs = list(zip(kept[what], other[what], strict=True))
                share = statistics.median(calm / risk for risk, calm in pairs)
                shares[what, unit] = share
                goal = f"{ISSUE_GOAL}" if (what, unit) == ("issue", "CPU µs") else ""
                medians = [f"{statistics.median(kinds[what]):,.0f}" for kinds in (kept, other)]
                table.add_row(f"{what}, {unit}", *medians, f"{share:.2f}", goal)
        self.place.console.print(table)
        for name, side in (("with", self.risk), ("without", self.without)):
            self.place.console.print(f"  api {name} risk: {rss_mib(side.pid):.0f} MiB")
        return shares["issue", "CPU µs"] >= ISSUE_GOAL


def _various(payer: int) -> Request:
    """A payment of which payer, device, address and amount are others than those of the last."""
    amount = f"{payer * 7919 % 90_000 / 100 + 1:.2f}"
    signals = {"ip": f"198.51.{payer // 251 % 100}.{payer % 251}", "device_id": f"d-{payer}"}
    transaction = TRANSACTION | {"amount": {"currency": "EUR", "amount": amount}}
    return payment(payer, transaction=transaction, signals=signals)


async def assessing_us(url: str, keyring: Keyring) -> tuple[float, float]:
    """CPU µs of one assessment in this process, the calls to Redis included, and of those alone; the least of many."""
    policy, redis = load(shipped_policies()), RedisConnection(url)
    store = RiskStore(redis, policy.risk.memory)
    assessor = Assessor(
        policy,
        store=store,
        failures=ChallengeStore(redis),
        desk=NobodyAsked(),
        keyring=keyring,
        clock=SystemClock(),
    )
    line = PhoneNumber.parse("+4915112345678")
    whole, recalled = [], []
    for at in range(_BATCHES):
        orders = [_order(_AT_ONCE * at + number, line) for number in range(_AT_ONCE)]
        began = time.process_time()
        await asyncio.gather(*map(assessor.assess, orders))
        whole.append(time.process_time() - began)
        subjects = [subjects_of(order, keyring) for order in orders]
        began = time.process_time()
        await asyncio.gather(*(store.meet(one, amount_minor=1) for one in subjects))
        recalled.append(time.process_time() - began)
    await redis.close()
    return min(whole) / _AT_ONCE * 1e6, min(recalled) / _AT_ONCE * 1e6


def _order(number: int, line: PhoneNumber) -> RiskOrder:
    amount = Amount("EUR", 100 + number * 7919 % 90_000)
    payee = Payee("ACME GmbH", Account.parse(iban="DE89370400440532013000"))
    return RiskOrder(
        client="bank",
        payer=secrets.token_hex(16),
        purpose=Purpose.PAYMENT,
        marks=Marks(ip=f"198.51.100.{number % 251}", device_id=f"d-{number}"),
        transaction=Transaction.payment(amount=amount, payee=payee, reference="pay"),
        phone=line,
    )


def bench(*, rounds: int = 6, seconds: int = 2, profile: bool = False) -> None:
    """Measure issue and verify with risk and without it, in turns."""
    console = Console(highlight=False)
    with running(console) as place, another_api(place, "loadtests.without_risk", _PORT) as without:
        measured = RiskBench(place, Side(place.api.pid, API_URL), Side(without.pid, _WITHOUT_URL))
        for number in range(1, rounds + 1):
            measured.round(number, seconds)
        signals = len(load(shipped_policies()).risk.signals)
        whole, recalled = asyncio.run(assessing_us(place.servers.valkey.url, place.keyring))
        console.print(
            f"  {signals} signals: {whole:.0f} µs an assessment in process, {recalled:.0f} µs of it for Redis"
        )
        met = measured.report()
        if profile:
            orders = [_various(next(measured.payers)) for _ in range(10 * _MOST_PER_SECOND)]
            place.profile("issues", 6, lambda: place.put(orders, 8))
    console.print(
        "  [green]the goal is met[/]" if met else f"  [red]missed: {ISSUE_GOAL} of an issue without[/]"
    )


if __name__ == "__main__":
    run(bench)
