"""What payers are willing to hear, in PostgreSQL: who may not be written to, of many at once, and what clients say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from sca_service.audit.model import AuditEvent
from sca_service.audit.postgres_store import insert_events
from sca_service.kernel.postgres import in_time

# By number for one client or all, and for one topic or all; and the client's own word on the payer. An opt-out of the
# topic or of everything holds, whatever the client says: the payer said it.
_UNWANTED = """
    SELECT asked.at
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[])
        WITH ORDINALITY AS asked (phone, client, psu, topic, needs_consent, at)
    LEFT JOIN alert_consents AS said
        ON said.psu = asked.psu AND said.client_id = asked.client AND said.topic = asked.topic
    WHERE NOT COALESCE(said.granted, NOT asked.needs_consent) OR EXISTS (
        SELECT FROM opt_outs
        WHERE opt_outs.phone = asked.phone AND opt_outs.client_id IN (asked.client, '')
          AND opt_outs.topic IN (asked.topic, '') AND opt_outs.lifted_at IS NULL
    )
"""

_SAID = "SELECT topic, granted, at FROM alert_consents WHERE psu = $1 AND client_id = $2"
_SAY = """
    INSERT INTO alert_consents (client_id, psu, topic, granted, at)
    SELECT $1, $2, topic, granted, $5 FROM unnest($3::text[], $4::boolean[]) AS new (topic, granted)
    ON CONFLICT (psu, client_id, topic) DO UPDATE SET granted = excluded.granted, at = excluded.at
        WHERE alert_consents.granted <> excluded.granted
    RETURNING topic
"""


@dataclass(frozen=True, slots=True)
class Question:
    """Whether a client may write to a payer about a topic; `phone` is a pseudonym, "" where no number is used."""

    phone: str
    client: str
    psu: str
    topic: str
    needs_consent: bool


@dataclass(frozen=True, slots=True)
class Said:
    """What a client last said of a payer's consent to a topic, and when."""

    granted: bool
    at: datetime


class ConsentStore:
    """The tables `alert_consents` and `opt_outs`. A class because it holds the pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def unwanted(self, questions: Sequence[Question]) -> frozenset[int]:
        """The places of those to which the answer is no. Raises StoreUnavailable."""
        if not questions:
            return frozenset()
        rows = [(one.phone, one.client, one.psu, one.topic, one.needs_consent) for one in questions]
        found = await in_time(self._pool.fetch(_UNWANTED, *zip(*rows, strict=True)))
        return frozenset(row["at"] - 1 for row in found)

    async def said(self, client: str, psu: str) -> dict[str, Said]:
        """What a client said of a payer, by topic. Raises StoreUnavailable."""
        rows = await in_time(self._pool.fetch(_SAID, psu, client))
        return {row["topic"]: Said(row["granted"], row["at"]) for row in rows}

    async def say(
        self, client: str, psu: str, granted: Mapping[str, bool], event: AuditEvent, at: datetime
    ) -> None:
        """Put down what a client says, and the event in the same commit where any of it is news.

        Raises StoreUnavailable.
        """
        await in_time(self._say(client, psu, granted, event, at))

    async def _say(
        self, client: str, psu: str, granted: Mapping[str, bool], event: AuditEvent, at: datetime
    ) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            arguments = (client, psu, sorted(granted), [granted[topic] for topic in sorted(granted)], at)
            if await connection.fetch(_SAY, *arguments):
                await insert_events(connection, [event])
