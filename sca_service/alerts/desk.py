"""Take alerts in, and tell how they stand: the one place with the control flow."""

import asyncio
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sca_service.alerts.content import Content, opened
from sca_service.alerts.links.postgres_store import Clicks, LinkStore
from sca_service.alerts.model import Alert, NewAlert, TakenIn
from sca_service.alerts.orders import AlertOrder, OrderBook
from sca_service.alerts.postgres_store import AlertFilter, AlertStore
from sca_service.alerts.rows import Origin
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import InvalidInput, NotFound
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring

MOST_IN_BATCH = 1_000
_ID = re.compile(r"alt_[0-9a-f]{32}", re.ASCII)
_AT_A_STRETCH = 10
"""Orders that are read before somebody else gets a turn: a millisecond or two, in which nobody verifies a code."""
_SHARED_DIGITS = 28
"""Alerts of one batch share the beginning of their ids: neighbours in the index, and in the stored answer."""


@dataclass(frozen=True, slots=True)
class SeenAlert:
    """An alert as its client sees it; `content` is None once its payer was erased, `clicks` where it has no link."""

    alert: Alert
    content: Content | None
    clicks: Clicks | None = None


class AlertDesk:
    """Queues alerts. A class because it holds the stores, the texts and the keys."""

    def __init__(
        self, *, orders: OrderBook, keyring: Keyring, store: AlertStore, links: LinkStore, clock: Clock
    ) -> None:
        self._orders = orders
        self._keyring = keyring
        self._store = store
        self._links = links
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
        orders: Sequence[Callable[[], AlertOrder]],
        origin: Origin,
        *,
        unique: str | None = None,
    ) -> list[TakenIn | InvalidInput]:
        """Queue many, each by itself: what became of each, in their order, or what is wrong with it.

        An order is read when its turn comes, which raises InvalidInput. `unique` names a repeated request: what it
        queued before is found again. Raises StoreUnavailable; then some may be queued.
        """
        shared = (unique or secrets.token_hex(16))[:_SHARED_DIGITS]
        told: list[TakenIn | InvalidInput | None] = []
        news: list[NewAlert] = []
        places: list[int] = []
        for at, read in enumerate(orders):
            if at % _AT_A_STRETCH == 0:
                await asyncio.sleep(0)
            try:
                order = read()
                self._orders.checked(order, self._clock.now_ms())
            except InvalidInput as wrong:
                told.append(wrong)
                continue
            news.append(self._orders.new_alert(client, order, f"alt_{shared}{at:04x}"))
            places.append(at)
            told.append(None)
        for at, taken in zip(places, await self._store.add_all(news, origin), strict=True):
            told[at] = taken
        return [one for one in told if one is not None]

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

    async def _seen(self, alert: Alert) -> SeenAlert:
        clicks = await self._links.clicks([alert.id])
        return SeenAlert(alert, self._content(alert), clicks.get(alert.id))

    def _content(self, alert: Alert) -> Content | None:
        return opened(self._keyring, alert.sealed, alert.id) if alert.sealed else None


def is_alert_id(text: str) -> bool:
    """Whether an alert may be called that."""
    return _ID.fullmatch(text) is not None
