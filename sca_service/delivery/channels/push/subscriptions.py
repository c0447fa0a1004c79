"""The devices of payers: registered and removed by a client, read by the push suppliers, dropped when they are gone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

import msgspec
import structlog

from sca_service.delivery.channels.push.model import ADDRESSES, A, Address, Subscription
from sca_service.delivery.channels.push.postgres_store import NewRow, SubscriptionRow, SubscriptionStore
from sca_service.kernel.clock import Clock
from sca_service.kernel.keyring import Keyring, SealBroken

USED_EVERY_MS = 3_600_000
"""How old the note of a device's last message may be before it is written anew: not every message costs a write."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Registration:
    """Whose device is registered, for which payer (the client's own reference), and what it is."""

    client: str
    psu_id: str
    address: Address = field(repr=False)


class PushSubscriptions:
    """Keeps the devices of payers; the `Devices` of the push suppliers. A class because it holds the store."""

    def __init__(self, *, store: SubscriptionStore, keyring: Keyring, clock: Clock) -> None:
        self._store = store
        self._keyring = keyring
        self._clock = clock

    async def add(self, registration: Registration, origin: Mapping[str, object]) -> Subscription[Address]:
        """Register a device, or register it anew; again the same device of the same payer has the same id.

        `origin` are the members with which the audit event says who did it. Raises StoreUnavailable.
        """
        address = registration.address
        named = (registration.client, address.kind, address.named)
        payer = self._payer(registration.client, registration.psu_id)
        # The id follows from payer and device, so the address can be sealed for it whether it is known or not.
        subscription_id = f"psb_{self._keyring.pseudonym('push subscription', payer, *named)}"
        row = await self._store.add(
            NewRow(
                id=subscription_id,
                client=registration.client,
                payer=payer,
                kind=address.kind,
                address=self._keyring.seal(msgspec.msgpack.encode(address), subscription_id),
                fingerprint=self._keyring.pseudonym("push address", *named),
            ),
            self._clock.now_ms(),
            origin,
        )
        return _subscription(row, address)

    async def all_of(self, client: str, psu_id: str) -> list[Subscription[Address]]:
        """Every device of a client's payer, the one that registered last first. Raises StoreUnavailable."""
        return self._opened(await self._store.of(self._payer(client, psu_id)))

    async def remove(
        self, client: str, psu_id: str, subscription_id: str, origin: Mapping[str, object]
    ) -> bool:
        """Forget a device; False when this payer has none with this id. Raises StoreUnavailable."""
        payer = self._payer(client, psu_id)
        return await self._store.remove(subscription_id, payer, self._clock.now_ms(), origin)

    async def of(self, payer: str, kind: type[A]) -> Sequence[Subscription[A]]:
        """A payer's devices of one kind, by the payer's pseudonym. Raises StoreUnavailable."""
        return cast("list[Subscription[A]]", self._opened(await self._store.of(payer, kind.kind)))

    async def used(self, subscriptions: Sequence[Subscription[Address]]) -> None:
        """Note that these took a message, unless that was noted within the hour. Raises StoreUnavailable."""
        noted_before_ms = self._clock.now_ms() - USED_EVERY_MS
        due = [subscription.id for subscription in subscriptions if subscription.used_at_ms < noted_before_ms]
        if due:
            await self._store.used(due)

    async def gone(self, subscription_id: str) -> None:
        """Forget a device that its push service no longer knows. Raises StoreUnavailable."""
        origin = {"actor": "worker", "reason": "gone"}
        await self._store.remove(subscription_id, None, self._clock.now_ms(), origin)

    def _payer(self, client: str, psu_id: str) -> str:
        return self._keyring.pseudonym("payer", client, psu_id)

    def _opened(self, rows: Sequence[SubscriptionRow]) -> list[Subscription[Address]]:
        """The rows as subscriptions; one whose key is gone is as good as no device, and does not hide the others."""
        opened = []
        for row in rows:
            try:
                plain = self._keyring.open(row.address, row.id)
            except SealBroken:
                log.error("push_subscription.sealed", subscription=row.id)
                continue
            opened.append(_subscription(row, msgspec.msgpack.decode(plain, type=ADDRESSES[row.kind])))
        return opened


def _subscription(row: SubscriptionRow, address: Address) -> Subscription[Address]:
    return Subscription(row.id, address, _ms(row.registered_at), _ms(row.used_at) if row.used_at else 0)


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
