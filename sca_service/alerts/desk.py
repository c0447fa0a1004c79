"""Take alerts in, and tell how they stand: the one place with the control flow."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sca_service.alerts.content import Content, opened
from sca_service.alerts.intake.postgres_store import AT_ONCE
from sca_service.alerts.links.postgres_store import Clicks, LinkStore
from sca_service.alerts.model import Alert, NewAlert, TakenIn
from sca_service.alerts.orders import AlertOrder, OrderBook
from sca_service.alerts.postgres_store import AlertFilter, AlertStore
from sca_service.alerts.rows import Origin
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import InvalidInput, NotFound
from sca_service.kernel.ids import new_digits, new_id
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.turns import Turns

Item = TypeVar("Item")

MOST_IN_BATCH = 1_000
_ID = re.compile(r"alt_[0-9a-f]{32}", re.ASCII)
_AT_A_STRETCH = 10
"""Items of which alerts are made before somebody else gets a turn: a millisecond, in which nobody verifies a code."""
_SHARED_DIGITS = 28
"""Alerts of one batch share the beginning of their ids, 64 bits of it chance: neighbours in the stored answer."""


@dataclass(frozen=True, slots=True)
class SeenAlert:
    """An alert as its client sees it; `content` is None once its payer was erased, `clicks` where it has no link."""

    alert: Alert
    content: Content | None
    clicks: Clicks | None = None


class AlertDesk:
    """Queues alerts. A class because it holds the stores, the texts and the keys."""

    def __init__(
        self,
        *,
        orders: OrderBook,
        keyring: Keyring,
        store: AlertStore,
        links: LinkStore,
        turns: Turns,
        clock: Clock,
    ) -> None:
        self._orders = orders
        self._keyring = keyring
        self._store = store
        self._links = links
        self._turns = turns
        self._clock = clock

    async def queue(
        self, client: str, order: AlertOrder, origin: Origin, *, unique: str | None = None
    ) -> SeenAlert:
        """Queue a notice; durable when this returns. One whose key was used before is suppressed as a duplicate.

        `unique` names a repeated request. Raises InvalidInput with every mistake, StoreUnavailable.
        """
        self._orders.checked(order, self._clock.now_ms())
        alert_id = f"alt_{unique}" if unique else new_id("alt")
        queued = await self._store.add(self._orders.new_alert(client, order, alert_id), origin)
        return await self._seen(queued) if order.link else SeenAlert(queued, self._content(queued))

    async def queue_all(
        self,
        client: str,
        items: Sequence[Item],
        read: Callable[[Item], AlertOrder],
        origin: Origin,
        *,
        unique: str | None = None,
    ) -> list[TakenIn | InvalidInput]:
        """Queue many, each by itself: what became of each, in their order, or what is wrong with it.

        An item is read when its turn comes, which raises InvalidInput. `unique` names a repeated request: what it
        queued before is found again. Raises StoreUnavailable; then some may be queued.
        """
        shared = (unique or new_digits())[:_SHARED_DIGITS]
        told: list[TakenIn | InvalidInput] = []
        for start in range(0, len(items), AT_ONCE):
            made: list[NewAlert | InvalidInput] = []
            for at, item in enumerate(items[start : start + AT_ONCE], start):
                if at % _AT_A_STRETCH == 0:
                    await self._turns.turn()
                made.append(self._made(client, item, read, f"alt_{shared}{at:04x}"))
            await self._turns.turn()
            news = [one for one in made if isinstance(one, NewAlert)]
            taken = iter(await self._store.add_all(news, origin))
            told += [one if isinstance(one, InvalidInput) else next(taken) for one in made]
        return told

    async def get(self, client: str, alert_id: str) -> SeenAlert:
        """One of a client's alerts. Raises NotFound, StoreUnavailable."""
        found = await self._store.get(alert_id, client) if is_alert_id(alert_id) else None
        if found is None:
            raise NotFound
        return await self._seen(found)

    async def page(
        self, client: str, wanted: AlertFilter, *, psu_id: str | None, most: int
    ) -> list[SeenAlert]:
        """A client's alerts, the newest first; those of one payer where it is named. Raises StoreUnavailable."""
        psu = self._keyring.pseudonym("payer", client, psu_id) if psu_id is not None else None
        found = await self._store.page(
            client, AlertFilter(psu=psu, status=wanted.status, after=wanted.after), most=most
        )
        clicks = await self._links.clicks([one.id for one in found])
        return [SeenAlert(one, self._content(one), clicks.get(one.id)) for one in found]

    def _made(
        self, client: str, item: Item, read: Callable[[Item], AlertOrder], alert_id: str
    ) -> NewAlert | InvalidInput:
        """What an item of a batch becomes, or what is wrong with it."""
        try:
            order = read(item)
            self._orders.checked(order, self._clock.now_ms())
        except InvalidInput as wrong:
            # Without its traceback, which would keep the batch in a cycle: collecting one takes long.
            return InvalidInput(*wrong.mistakes)
        return self._orders.new_alert(client, order, alert_id)

    async def _seen(self, alert: Alert) -> SeenAlert:
        clicks = await self._links.clicks([alert.id])
        return SeenAlert(alert, self._content(alert), clicks.get(alert.id))

    def _content(self, alert: Alert) -> Content | None:
        return opened(self._keyring, alert.sealed, alert.id) if alert.sealed else None


def is_alert_id(text: str) -> bool:
    """Whether an alert may be called that."""
    return _ID.fullmatch(text) is not None
