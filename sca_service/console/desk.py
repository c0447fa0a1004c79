"""What the auditor's desk does: reads, puts the read on record, and hands out the page."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from sca_service.api.clients import Scope
from sca_service.api.postgres_store import EventReader
from sca_service.audit.log.proof import encode_proof
from sca_service.audit.postgres_store import StoryReader, StoryRow
from sca_service.audit.private.vault import Vault
from sca_service.audit.reading import ReadingRecord
from sca_service.challenges.evidence import open_values
from sca_service.console.events_page import EventList, Listed, events_page
from sca_service.console.figures import DAYS, Figures, figures_of
from sca_service.console.filters import Filters
from sca_service.console.log import Log, Published
from sca_service.console.markup import AUDIT_PAGES, TRAFFIC_PAGES, Reader
from sca_service.console.overview_page import Overview, overview_page
from sca_service.console.postgres_store import Count, DeskStore
from sca_service.console.session import Session
from sca_service.console.story import Step, Story
from sca_service.console.story_page import story_page
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import NotFound, StoreUnavailable
from sca_service.kernel.keyring import Keyring

_ROWS = 50
_MOST_STEPS = 1000
"""Events of one challenge that its page shows; a real one has some dozens."""

_DAY = timedelta(days=1)
_KEPT = timedelta(seconds=10)
"""How old the counts of the newest day may be. A day that has ended is counted once."""

_PATIENCE_SECONDS = 3.0
"""How long a page waits for the counts. Counting goes on without it, and the next page has them."""

_LATE = timedelta(hours=1)
"""How long after its end a day is still counted anew: an outbox may hold events of it while a store is away."""

_CHALLENGE = re.compile(r"chl_[0-9a-f]{38}")


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of an auditor who is signed in."""

    session: Session
    request_id: str

    @property
    def reader(self) -> Reader:
        """Whose page it is."""
        client = self.session.client
        pages = AUDIT_PAGES if Scope.AUDIT in client.scopes else ()
        if Scope.ANALYTICS in client.scopes:
            pages = (*pages, *TRAFFIC_PAGES)
        return Reader(client.id, self.session.form_value, pages)


class Desk:
    """The pages with what they read from. A class because it holds the stores, and for a while the counts."""

    def __init__(  # noqa: PLR0913 - the composition root hands each on by name
        self,
        *,
        log: Log,
        events: EventReader,
        stories: StoryReader,
        store: DeskStore,
        vault: Vault,
        readings: ReadingRecord,
        keyring: Keyring,
        clock: Clock,
    ) -> None:
        self._log = log
        self._events = events
        self._store = store
        self._vault = vault
        self._readings = readings
        self._stories = stories
        self._keyring = keyring
        self._clock = clock
        self._counting: asyncio.Task[None] | None = None
        self._ended_days: dict[date, list[Count]] = {}
        self._newest: tuple[datetime, list[Count]] = (datetime.min.replace(tzinfo=UTC), [])

    async def overview(self, visit: Visit) -> str:
        """How the log stands and what the last thirty days were. Raises StoreUnavailable."""
        await self._put_down(visit, "desk overview")
        now = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)
        overview = Overview(
            checkpoint=await self._log.checkpoint(),
            keys=await self._store.keys(),
            figures=await self._figures(now),
            now=now,
        )
        return overview_page(overview, visit.reader)

    async def events(self, visit: Visit, filters: Filters) -> str:
        """The events that fit, the newest first. Raises StoreUnavailable."""
        clients = await self._events.client_ids()
        found = []
        if filters.client is None or filters.client in clients:
            found = await self._store.newest(filters, self._payers(filters, clients), most=_ROWS + 1)
        rows = [Listed(msgspec.json.decode(row.body), row.index) for row in found[:_ROWS]]
        told = {"filters": _told(filters, rows), "count": len(rows)}
        await self._put_down(visit, "desk events", told)
        query = filters.without("cursor").query()
        listed = EventList(
            filters=filters,
            rows=rows,
            following=found[_ROWS - 1].place if len(found) > _ROWS else None,
            types=await self._store.types(),
            clients=sorted(clients),
            exports=[
                (name, f"/desk/export?format={form}{'&' if query else ''}{query}")
                for name, form in (("Export JSON Lines", "jsonl"), ("Export CSV", "csv"))
            ],
        )
        return events_page(listed, visit.reader)

    async def story(self, visit: Visit, challenge: str) -> str:
        """One challenge from its issue to its end. Raises NotFound, StoreUnavailable."""
        if not _CHALLENGE.fullmatch(challenge):
            raise NotFound
        rows = await self._stories.story(challenge, client=None, most=_MOST_STEPS)
        await self._put_down(visit, "desk challenge", {"subject": challenge, "count": len(rows)})
        if not rows:
            raise NotFound
        checkpoint = await self._log.checkpoint()
        proofs = await self._proofs(rows, checkpoint)
        opened, unopened = await open_values(rows, self._stories, self._vault)
        steps = tuple(
            Step.of(
                row.body,
                row.index,
                proofs.get(row.id),
                opened=opened.get(row.id, ()),
                unopened=unopened.get(row.id),
            )
            for row in rows
        )
        keys = await self._store.keys()
        return story_page(Story(challenge, steps), checkpoint=checkpoint, keys=keys, reader=visit.reader)

    def _payers(self, filters: Filters, clients: Sequence[str]) -> list[str] | None:
        """The pseudonyms that the filter on the payer may stand for: itself, and that of each client's reference."""
        if filters.psu is None:
            return None
        return [filters.psu, *(self._keyring.pseudonym("payer", client, filters.psu) for client in clients)]

    async def _put_down(self, visit: Visit, page: str, members: Mapping[str, object] | None = None) -> None:
        """Put a read on record, before it is answered. Raises StoreUnavailable."""
        await self._readings.put_down(
            "audit.read",
            client=visit.session.client.id,
            request=visit.request_id,
            members={"page": page, **visit.session.client.certificate_members, **(members or {})},
        )

    async def _proofs(self, rows: Sequence[StoryRow], checkpoint: Published | None) -> dict[str, str]:
        """The inclusion proof of every event that the checkpoint covers, by the event's id."""
        if checkpoint is None:
            return {}
        covered = {row.id: row.index for row in rows if row.index is not None and row.index < checkpoint.size}
        return {
            event_id: encode_proof(index, await self._log.inclusion(index, checkpoint.size), checkpoint.note)
            for event_id, index in covered.items()
        }

    async def _figures(self, now: datetime) -> Figures | None:
        """The figures of the last thirty days; None while they are still being counted."""
        days = [now.date() - back * _DAY for back in reversed(range(DAYS))]
        if self._counting is None or self._counting.done():
            self._counting = asyncio.get_running_loop().create_task(self._count(days, now))
        done, _ = await asyncio.wait({self._counting}, timeout=_PATIENCE_SECONDS)
        if not done:
            return None
        try:
            self._counting.result()
        except StoreUnavailable:
            return None
        counts = [count for found in self._ended_days.values() for count in found]
        return figures_of(days, [*counts, *self._newest[1]])

    async def _count(self, days: Sequence[date], now: datetime) -> None:
        """Count the ended days that were not counted before, one by one, and the newest when that was a while ago.

        Raises StoreUnavailable; what was counted by then is kept.
        """
        first_open = max((now - _LATE).date(), days[0])
        self._ended_days = {
            day: found for day, found in self._ended_days.items() if days[0] <= day < first_open
        }
        for day in days:
            if day < first_open and day not in self._ended_days:
                self._ended_days[day] = await self._store.counts(_midnight(day), _midnight(day + _DAY))
        counted_at, counts = self._newest
        if now - counted_at >= _KEPT or any(one.day < first_open for one in counts):
            self._newest = (now, await self._store.counts(_midnight(first_open), _midnight(days[-1] + _DAY)))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _told(filters: Filters, rows: Sequence[Listed]) -> dict[str, Any]:
    """The filters as they go on record: a payer by the pseudonyms that were found, whatever was typed."""
    told: dict[str, Any] = dict(filters.texts)
    if filters.psu is not None:
        told["psu"] = sorted({row.members["psu"] for row in rows if row.members.get("psu")})
    return told
