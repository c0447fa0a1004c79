"""The worker's loop: take what is due, put the attempt on record, send, put down what became of it.

A delivery is leased to one worker. When that worker dies the lease ends and another sends it again under the same
reference: at most one message more, and the log says so (`try` is 2).
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from sca_service.delivery.model import DeliveryStatus, Settlement
from sca_service.delivery.supplier import Accepted, FailureReason, Message, Supplier, SupplierFailure
from sca_service.kernel.errors import ScaError, StoreUnavailable
from sca_service.policy.model import Channel

SEND_DEADLINE_SECONDS = 10.0
_SWEEP_SECONDS = 0.2
_MOST_PER_CLAIM = 100
_MOST_UNDER_WAY = 500

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, eq=False)
class Outbound:
    """One message to be sent now; its attempt is on record."""

    owner: str
    message: Message


class Book(Protocol):
    """Where deliveries stand, and whose they are."""

    async def claim(self, partition: int, *, most: int) -> list[str]:
        """Lease what is due in a partition; ids of the owners. Raises StoreUnavailable."""

    async def advance(self, owner: str) -> Outbound | None:
        """What is to be sent now for an owner, put on record; None when nothing is. Raises StoreUnavailable."""

    async def settle(self, delivery: str, settlement: Settlement) -> bool:
        """Put down what became of a delivery; False for an unknown one. Raises StoreUnavailable."""


class DueSignal(Protocol):
    """Tells which partitions have something due."""

    async def wait(self, seconds: float) -> set[int]:
        """The partitions that were signalled, at the latest after so many seconds. Raises StoreUnavailable."""


class Dispatcher:
    """Sends what is due. A class because it holds what is under way."""

    def __init__(
        self,
        *,
        book: Book,
        suppliers: Mapping[Channel, Supplier],
        signal: DueSignal,
        partitions: Iterable[int],
    ) -> None:
        self._book = book
        self._suppliers = suppliers
        self._signal = signal
        self._partitions = frozenset(partitions)
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Dispatch until `stop` is set, then finish what is under way. Stores that are away are waited for."""
        loop = asyncio.get_running_loop()
        next_sweep = loop.time()
        while not stop.is_set():
            try:
                due = await self._signal.wait(max(next_sweep - loop.time(), 0))
                if loop.time() >= next_sweep:
                    due = set(self._partitions)
                    next_sweep = loop.time() + _SWEEP_SECONDS
                await self.dispatch_due(due & self._partitions)
            except StoreUnavailable as away:
                log.warning("dispatch.waiting", reason=away.detail)
                await asyncio.sleep(_SWEEP_SECONDS)
            except Exception as error:  # the worker loop lives on (style, rule 10)
                log.error("dispatch.failed", exc=error)
                await asyncio.sleep(_SWEEP_SECONDS)
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=SEND_DEADLINE_SECONDS)

    async def dispatch_due(self, partitions: Iterable[int]) -> int:
        """Begin to work on everything due in these partitions. Returns how much; raises StoreUnavailable."""
        room = _MOST_UNDER_WAY - len(self._under_way)
        if room <= 0:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            room = 1
        claimed = await asyncio.gather(
            *(self._book.claim(partition, most=min(_MOST_PER_CLAIM, room)) for partition in partitions)
        )
        owners = [owner for some in claimed for owner in some]
        for owner in owners:
            task = asyncio.get_running_loop().create_task(self._deliver_one(owner))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        return len(owners)

    async def _deliver_one(self, owner: str) -> None:
        try:
            outbound = await self._book.advance(owner)
            if outbound:
                settlement = await self._send(outbound.message)
                await self._book.settle(outbound.message.delivery_id, settlement)
        except StoreUnavailable as away:
            log.warning("delivery.postponed", reason=away.detail)  # its lease ends, and it is taken up again
        except Exception as error:  # the worker loop lives on (style, rule 10); the lease brings it back
            log.error("delivery.stumbled", exc=error)

    async def _send(self, message: Message) -> Settlement:
        supplier = self._suppliers.get(message.channel)
        if supplier is None:
            return Settlement(DeliveryStatus.FAILED, "", reason=FailureReason.SUPPLIER_DOWN)
        try:
            async with asyncio.timeout(SEND_DEADLINE_SECONDS):
                accepted = await supplier.send(message)
        except TimeoutError:
            return Settlement(DeliveryStatus.FAILED, supplier.name, reason=FailureReason.TIMEOUT)
        except SupplierFailure as failure:
            return Settlement(
                DeliveryStatus.FAILED, supplier.name, reason=failure.reason, transient=failure.transient
            )
        except (ScaError, OSError) as error:
            log.error("supplier.failed", supplier=supplier.name, exc=error)
            return Settlement(
                DeliveryStatus.FAILED, supplier.name, reason=FailureReason.SUPPLIER_DOWN, transient=True
            )
        return _sent(supplier.name, accepted)


def _sent(supplier: str, accepted: Accepted) -> Settlement:
    cost = f"{accepted.cost.currency} {accepted.cost.text}" if accepted.cost else ""
    return Settlement(DeliveryStatus.SENT, supplier, segments=accepted.segments, cost=cost)
