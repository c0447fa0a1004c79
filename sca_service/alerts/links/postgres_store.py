"""Links of alerts in PostgreSQL: one statement finds where one leads and counts that somebody went there."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import asyncpg

from sca_service.alerts.rows import ms_of
from sca_service.audit.model import AuditEvent
from sca_service.audit.postgres_store import Connection, insert_events
from sca_service.kernel.ids import new_id
from sca_service.kernel.postgres import in_time

MOST_CLICKS: Final = 2
"""That are counted at once in one process: taps on one link wait for each other, and nobody else for them."""

_CLICK = """
    UPDATE alert_links SET clicks = clicks + 1, clicked_at = COALESCE(clicked_at, clock_timestamp())
    WHERE id = $1 AND expires_at > clock_timestamp()
    RETURNING url, alert_id, client_id, psu, clicks, clicked_at
"""
_LOOK = "SELECT url FROM alert_links WHERE id = $1 AND expires_at > clock_timestamp()"
_CLICKS = "SELECT alert_id, clicks, clicked_at, expires_at FROM alert_links WHERE alert_id = ANY($1::text[])"


@dataclass(frozen=True, slots=True)
class Clicks:
    """How often an alert's link was followed, when first, and until when it leads anywhere."""

    count: int
    first_at: int | None
    expires_at: int


@dataclass(frozen=True, slots=True)
class Led:
    """Where a link leads, sealed for its id."""

    url: str = field(repr=False)


class LinkStore:
    """The table `alert_links`. A class because it holds the pool, and bounds how many clicks are counted at once."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._turns = asyncio.Semaphore(MOST_CLICKS)

    async def follow(self, link: str, *, counts: bool) -> Led | None:
        """Where a link leads, None when it is over or unknown; it `counts` where somebody goes there.

        The first time is an event, in the same commit. Raises StoreUnavailable.
        """
        if counts:
            return await in_time(self._click(link))
        url = await in_time(self._pool.fetchval(_LOOK, link))
        return Led(url) if url else None

    async def clicks(self, alerts: Sequence[str]) -> dict[str, Clicks]:
        """Of those of the alerts that have a link. Raises StoreUnavailable."""
        rows = await in_time(self._pool.fetch(_CLICKS, list(alerts)))
        return {
            row["alert_id"]: Clicks(row["clicks"], _ms(row["clicked_at"]), ms_of(row["expires_at"]))
            for row in rows
        }

    async def _click(self, link: str) -> Led | None:
        async with self._turns, self._pool.acquire() as connection, connection.transaction():
            found = await connection.fetchrow(_CLICK, link)
            if found is None:
                return None
            if found["clicks"] == 1:
                await _put_down(connection, found)
            return Led(found["url"])


async def _put_down(connection: Connection, found: asyncpg.Record) -> None:
    members = {
        "client": found["client_id"],
        "psu": found["psu"],
        "actor": "payer",
        "alert": found["alert_id"],
    }
    event = AuditEvent.create(
        event_id=new_id("evt"), kind="alert.clicked", at_ms=ms_of(found["clicked_at"]), members=members
    )
    await insert_events(connection, [event])


def _ms(moment: datetime | None) -> int | None:
    return ms_of(moment) if moment else None
