"""Whose a delivery is: what suppliers tell of it goes to the challenges' book or to the alerts'."""

from typing import Protocol

from sca_service.alerts.model import alert_of
from sca_service.delivery.model import DeclinedBy, SettledDelivery, Settlement
from sca_service.delivery.supplier import Message


class Book(Protocol):
    """Where deliveries of one kind stand."""

    async def settle(self, delivery: str, settlement: Settlement) -> SettledDelivery | None:
        """Put down what became of a delivery; None for an unknown one. Raises StoreUnavailable."""

    async def decline(self, delivery: str, how: DeclinedBy | None = None) -> bool:
        """The payer said no; False for an unknown delivery. Raises StoreUnavailable."""

    async def message_of(self, delivery: str) -> Message | None:
        """The message of a delivery, to be said once more; None for an unknown one. Raises StoreUnavailable."""


class Deliveries:
    """All of them, by the delivery's id. A class because it holds the books."""

    def __init__(self, *, challenges: Book, alerts: Book) -> None:
        self._challenges = challenges
        self._alerts = alerts

    async def settle(self, delivery: str, settlement: Settlement) -> SettledDelivery | None:
        """Put down what became of a delivery; None for an unknown one. Raises StoreUnavailable."""
        return await self._book_of(delivery).settle(delivery, settlement)

    async def decline(self, delivery: str, how: DeclinedBy | None = None) -> bool:
        """The payer said no; False for an unknown delivery. Raises StoreUnavailable."""
        return await self._book_of(delivery).decline(delivery, how)

    async def message_of(self, delivery: str) -> Message | None:
        """The message of a delivery, to be said once more; None for an unknown one. Raises StoreUnavailable."""
        return await self._book_of(delivery).message_of(delivery)

    def _book_of(self, delivery: str) -> Book:
        return self._alerts if alert_of(delivery) else self._challenges
