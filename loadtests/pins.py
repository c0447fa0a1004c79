"""Codes at a steady rate, alone and beside a full queue of PINs: how much later their answers come."""

import asyncio
import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from loadtests import generator, payers
from loadtests.generator import Request
from loadtests.orders import answer, payment, right_code
from loadtests.payers import PIN
from loadtests.place import API_PORT, Place

P99_GROWTH_GOAL_MS = 20
PER_SECOND = 200
"""Codes; what else one core does beside them are PINs."""
_CONNECTIONS = 64
_WITH_A_PIN = 48
"""Callers with a PIN at once: more than the service lets wait (33, hashing.py)."""
_PAYERS = 80
_OF_A_PAYER = 5
"""Challenges of a payer in one round."""
_RETRY_AFTER = re.compile(rb"(?i)\r\nretry-after: (\d+)\r\n")


@dataclass(slots=True)
class Steady:
    """One measurement: latencies of codes in ms, and what became of PINs (by status)."""

    waits_ms: list[float] = field(default_factory=list)
    pins: Counter[int] = field(default_factory=Counter)

    def cut_ms(self, percent: int) -> float:
        """A percentile of the codes' latencies."""
        return statistics.quantiles(self.waits_ms, n=100)[percent - 1]


@dataclass(slots=True)
class PinQueue:
    """What was measured, and the payers who have PINs. A class because rounds build on each other."""

    place: Place
    numbers: Iterator[int]
    payers: list[int] = field(default_factory=list)
    alone: list[Steady] = field(default_factory=list)
    beside: list[Steady] = field(default_factory=list)

    def enrol(self) -> None:
        """Enrol the payers' PINs."""
        self.payers = payers.pins(self.place, self.numbers, _PAYERS)

    def round(self, number: int, seconds: int) -> None:
        """Codes alone, then codes beside PINs; raises RuntimeError when the queue of PINs was not full."""
        self.alone.append(asyncio.run(self._measure(self._codes(seconds), [], seconds)))
        beside = asyncio.run(self._measure(self._codes(seconds), self._pins(), seconds))
        self.beside.append(beside)
        if not beside.pins[503]:
            raise RuntimeError("no PIN was turned away: the queue was not full")
        self.place.console.print(
            f"  round {number}: p99 of a code {self.alone[-1].cut_ms(99):.1f} ms alone, "
            f"{beside.cut_ms(99):.1f} ms beside PINs ({beside.pins[200] / seconds:.0f}/s checked, "
            f"{beside.pins[503] / seconds:.0f}/s turned away with Retry-After)"
        )

    def report(self) -> bool:
        """Print medians and the goal. Returns whether it is met."""
        growths = [
            beside.cut_ms(99) - alone.cut_ms(99)
            for alone, beside in zip(self.alone, self.beside, strict=True)
        ]
        growth = statistics.median(growths)
        said = []
        for name, runs in (("alone", self.alone), ("beside PINs", self.beside)):
            p50, p99 = (statistics.median(one.cut_ms(percent) for one in runs) for percent in (50, 99))
            said.append(f"{name} p50 {p50:.1f} ms, p99 {p99:.1f} ms")
        self.place.console.print(
            f"  codes at {PER_SECOND}/s: {'; '.join(said)}; p99 grows by {growth:.1f} ms "
            f"(goal: under {P99_GROWTH_GOAL_MS}; rounds: {', '.join(f'{one:.1f}' for one in growths)})"
        )
        return growth < P99_GROWTH_GOAL_MS

    def _codes(self, seconds: int) -> list[Request]:
        orders = [payment(next(self.numbers)) for _ in range(PER_SECOND * seconds)]
        return [answer(one, right_code(self.place.keyring, one)) for one in self._issue(orders)]

    def _pins(self) -> list[Request]:
        """Right answers with a PIN; a payer's own are far from each other."""
        orders = [payment(payer, presented=()) for _ in range(_OF_A_PAYER) for payer in self.payers]
        return [answer(one, right_code(self.place.keyring, one), pin=PIN) for one in self._issue(orders)]

    def _issue(self, orders: Sequence[Request]) -> list[str]:
        return [told["id"] for told in self.place.exchange(orders) if told]

    async def _measure(self, codes: Sequence[Request], pins: Sequence[Request], seconds: int) -> Steady:
        """Send every code in its time, and PINs meanwhile. Raises RuntimeError for an answer that should not be."""
        result, ends_at = Steady(), time.perf_counter() + seconds
        upcoming, waiting = iter(enumerate(codes)), iter(pins)
        began = time.perf_counter()

        async def sends_codes() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", API_PORT)
            for at, request in upcoming:
                due = began + at / PER_SECOND
                await asyncio.sleep(max(due - time.perf_counter(), 0))
                writer.write(generator.request_bytes(request.path, request.body, self.place.api_key))
                status, body = await generator.read_answer(reader)
                if status != 200 or json.loads(body)["outcome"] != "approved":
                    raise RuntimeError(f"a right code was answered with {status}")
                result.waits_ms.append((time.perf_counter() - due) * 1000)
            writer.close()

        async def sends_pins() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", API_PORT)
            for request in waiting:
                while time.perf_counter() < ends_at:
                    writer.write(generator.request_bytes(request.path, request.body, self.place.api_key))
                    status, head, body = await generator.read_whole_answer(reader)
                    result.pins[status] += 1
                    if status == 200:
                        if json.loads(body)["outcome"] != "approved":
                            raise RuntimeError("a right PIN was not approved")
                        break
                    await asyncio.sleep(_told_to_wait(status, head))
            if time.perf_counter() < ends_at:
                raise RuntimeError("all PINs were sent before the time was over")
            writer.close()

        async with asyncio.TaskGroup() as callers:
            for _ in range(_CONNECTIONS):
                callers.create_task(sends_codes())
            for _ in range(_WITH_A_PIN if pins else 0):
                callers.create_task(sends_pins())
        return result


def _told_to_wait(status: int, head: bytes) -> int:
    """Seconds, as the service asks for. Raises RuntimeError when it was no 503, or did not say."""
    told = _RETRY_AFTER.search(head)
    if status != 503 or told is None:
        raise RuntimeError(f"a PIN was answered with {status}")
    return int(told[1])
