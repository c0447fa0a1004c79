"""The lists of compromised or stolen elements (RTS Art. 2(2)(a)): what the bank puts on them, sees and takes off.

A list lasts in PostgreSQL, and is read in Redis: a change is put down, on record and copied before it is answered.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import NotFound
from sca_service.kernel.keyring import Keyring
from sca_service.risk.marks import Element
from sca_service.risk.model import MarkedKind
from sca_service.risk.postgres_store import MarkRow, MarkStore, NewListing, listing_id
from sca_service.risk.redis_store import RiskStore

_ID = re.compile(r"lst_[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Listing:
    """One on the list; of what it stands for only so much is told as lets its bank recognise it. Times are ms."""

    id: str
    kind: MarkedKind
    shown: str = field(repr=False)
    reason: str
    since_ms: int
    until_ms: int


class Listings:
    """Keeps the lists. A class because it holds the stores and the keys."""

    def __init__(self, *, store: MarkStore, memory: RiskStore, keyring: Keyring, clock: Clock) -> None:
        self._store = store
        self._memory = memory
        self._keyring = keyring
        self._clock = clock

    async def put(
        self, client: str, element: Element, *, reason: str, days: int, origin: Mapping[str, object]
    ) -> Listing:
        """Put one on a client's list; once more replaces reason and end. Raises StoreUnavailable."""
        subject = element.subject(self._keyring, client)
        named = listing_id(subject)
        sealed = self._keyring.seal(element.shown.encode(), named)
        new = NewListing(named, client, element.kind, subject, sealed, reason, days)
        row = await self._store.put(new, self._clock.now_ms(), origin)
        await self._memory.copy(row.standing)
        return self._seen(row)

    async def remove(self, client: str, listing: str, *, reason: str, origin: Mapping[str, object]) -> None:
        """Take one off the list; again is as once. Raises NotFound, StoreUnavailable."""
        if not _ID.fullmatch(listing):
            raise NotFound
        row = await self._store.remove(listing, client, reason, self._clock.now_ms(), origin)
        if row is None:
            raise NotFound
        await self._memory.copy(row.standing)

    async def page(self, client: str, kind: MarkedKind | None, *, after: str, most: int) -> Sequence[Listing]:
        """What is on a client's list now, behind an id. Raises StoreUnavailable."""
        return [self._seen(row) for row in await self._store.page(client, kind, after=after, most=most)]

    def _seen(self, row: MarkRow) -> Listing:
        return Listing(
            id=row.id,
            kind=row.standing.kind,
            shown=self._keyring.open(row.sealed, row.id).decode(),
            reason=row.reason or "",
            since_ms=int(row.listed_at.timestamp() * 1000) if row.listed_at else 0,
            until_ms=int(row.listed_until.timestamp() * 1000) if row.listed_until else 0,
        )
