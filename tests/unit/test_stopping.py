"""A process that is told to stop: what it has begun it finishes, and whoever stops it waits for that."""

import asyncio
from dataclasses import dataclass

from sca_service.delivery.channels.voice.sip.supplier import LAST_WORDS_SECONDS
from sca_service.delivery.channels.voice.sip.supplier import STOP_SECONDS as CALLS_SECONDS
from sca_service.delivery.dispatch import SEND_DEADLINE_SECONDS
from sca_service.delivery.supplier import Accepted, FailureReason, Message, SupplierFailure
from sca_service.dev import STOP_SECONDS
from sca_service.policy.model import Channel
from sca_service.supply import close_all


@dataclass(slots=True, eq=False)
class Closing:
    """A supplier that is closed when all of them are being closed, or cannot be closed."""

    name: str
    together: asyncio.Barrier
    fault: Exception | None = None
    is_closed: bool = False
    channel: Channel = Channel.VOICE

    async def send(self, _: Message) -> Accepted:
        """Nothing any more."""
        raise SupplierFailure(FailureReason.SUPPLIER_DOWN, transient=True)

    async def close(self) -> None:
        """Wait for the others."""
        await self.together.wait()
        if self.fault:
            raise self.fault
        self.is_closed = True


async def test_suppliers_are_closed_side_by_side() -> None:
    """One after the other they would wait for each other for ever; one that fails keeps none open."""
    together = asyncio.Barrier(3)
    suppliers = {
        "a": Closing("a", together),
        "b": Closing("b", together, ValueError("a fault")),
        "c": Closing("c", together),
    }
    async with asyncio.timeout(10):
        await close_all(suppliers)
    assert [one.is_closed for one in suppliers.values()] == [True, False, True]


def test_whoever_stops_a_worker_waits_for_its_calls() -> None:
    """Killed earlier, it would leave messages that the next worker sends again."""
    assert STOP_SECONDS > SEND_DEADLINE_SECONDS + CALLS_SECONDS + LAST_WORDS_SECONDS
