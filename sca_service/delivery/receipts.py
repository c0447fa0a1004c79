"""What suppliers tell of deliveries, put down: receipts, a payer's no, replies to texts."""

from typing import Protocol

from sca_service.delivery.model import DeclinedBy, DeliveryStatus, SettledDelivery, Settlement
from sca_service.delivery.spans import note_receipt
from sca_service.delivery.supplier import Receipt, Reply, Word
from sca_service.kernel.tracing.traces import Traces


class DeliveryBook(Protocol):
    """Where deliveries stand."""

    async def settle(self, delivery: str, settlement: Settlement) -> SettledDelivery | None:
        """Put down what became of a delivery; None for an unknown one. Raises StoreUnavailable."""

    async def decline(self, delivery: str, how: DeclinedBy | None = None) -> bool:
        """The payer said no, if not said otherwise the way the delivery went; False for an unknown delivery.

        Raises StoreUnavailable.
        """


class ReplyInbox(Protocol):
    """Knows what a reply to a text means."""

    async def hear(self, supplier: str, reply: Reply) -> None:
        """Take in what a payer sent back. Raises StoreUnavailable."""


class RouteScores(Protocol):
    """Learns how routes do. Never raises."""

    def received(self, supplier: str, network: str, *, arrived: bool, latency_ms: int) -> None:
        """A supplier's last word on a message has come, so long after it was sent."""


class Receipts:
    """Applies suppliers' words. A class because it holds what they are put into."""

    def __init__(
        self,
        *,
        book: DeliveryBook,
        inbox: ReplyInbox,
        scores: RouteScores,
        traces: Traces | None = None,
    ) -> None:
        """`traces` is None where nobody wants them."""
        self._traces = traces
        self._book = book
        self._inbox = inbox
        self._scores = scores

    async def hear(self, supplier: str, word: Word) -> None:
        """Take a word in; durable when this returns. What says nothing new changes nothing. Raises StoreUnavailable."""
        await self.apply(supplier, word)

    async def apply(self, supplier: str, word: Word) -> bool:
        """As `hear`; False when all it spoke of is unknown. Raises StoreUnavailable."""
        known = [await self._settle(supplier, receipt) for receipt in word.receipts]
        known += [await self._book.decline(delivery) for delivery in word.declined]
        for reply in word.replies:
            await self._inbox.hear(supplier, reply)
        return not known or any(known)

    async def _settle(self, supplier: str, receipt: Receipt) -> bool:
        cost = f"{receipt.cost.currency} {receipt.cost.text}" if receipt.cost else ""
        settlement = Settlement(DeliveryStatus(receipt.status), supplier, cost=cost)
        began_ns = self._traces.now_ns() if self._traces else 0
        settled = await self._book.settle(receipt.delivery_id, settlement)
        if self._traces and settled and settled.is_news:
            note_receipt(self._traces, began_ns, settled)
        if settled and settled.is_news and settled.status.is_final:
            arrived = settled.status in (DeliveryStatus.DELIVERED, DeliveryStatus.ANSWERED)
            self._scores.received(
                settled.supplier, settled.network, arrived=arrived, latency_ms=settled.latency_ms
            )
        return settled is not None
