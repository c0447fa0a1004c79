"""Figures, stories and deliveries in PostgreSQL: how they are written. The statements, and nothing else.

One process at a time writes, as the follower of the log that holds its cursor: in the transaction that moves it on.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime

import asyncpg
import msgspec

from sca_service.analytics.model import Key, Span
from sca_service.analytics.stories import Story, TryStory
from sca_service.analytics.tally import Growth

Connection = asyncpg.pool.PoolConnectionProxy

_PROGRESS = """
    SELECT (extract(epoch FROM counted_at) * 1000)::bigint AS counted_at,
           (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now
    FROM analytics_progress
"""
_SAVE_PROGRESS = "UPDATE analytics_progress SET counted_at = $1"

_STORIES = "SELECT owner, story FROM analytics_stories WHERE owner = ANY($1::text[])"
_SAVE_STORIES = """
    INSERT INTO analytics_stories (owner, began_at, story)
    SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[])
    ON CONFLICT (owner) DO UPDATE SET story = EXCLUDED.story
"""

_NEW_KEYS = """
    INSERT INTO analytics_keys (
        subject, client, purpose, method, channel, country, network, supplier, sender, price
    )
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                         $8::text[], $9::text[], $10::text[])
        AS wanted (subject, client, purpose, method, channel, country, network, supplier, sender, price)
    WHERE NOT EXISTS (
        SELECT FROM analytics_keys AS known
        WHERE (known.subject, known.client, known.purpose, known.method, known.channel, known.country,
               known.network, known.supplier, known.sender, known.price)
            = (wanted.subject, wanted.client, wanted.purpose, wanted.method, wanted.channel, wanted.country,
               wanted.network, wanted.supplier, wanted.sender, wanted.price)
    )
"""
_KEYS = """
    SELECT key.*
    FROM analytics_keys AS key JOIN unnest(
        $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
        $10::text[]
    ) AS wanted (subject, client, purpose, method, channel, country, network, supplier, sender, price)
    USING (subject, client, purpose, method, channel, country, network, supplier, sender, price)
"""

# Counts are added bin by bin, in the statement: a sketch grows as a number does.
_GROW = """
    INSERT INTO analytics_figures AS kept (span, at, key, figure, bins, numbers)
    SELECT span, at, key, figure, array_agg(bin ORDER BY bin), array_agg(number ORDER BY bin)
    FROM unnest($1::text[], $2::timestamptz[], $3::integer[], $4::text[], $5::smallint[], $6::bigint[])
        AS growth (span, at, key, figure, bin, number)
    GROUP BY span, at, key, figure
    ON CONFLICT (span, at, key, figure) DO UPDATE SET (bins, numbers) = (
        SELECT array_agg(bin ORDER BY bin), array_agg(number ORDER BY bin)
        FROM (
            SELECT bin, sum(number)::bigint AS number
            FROM (
                SELECT * FROM unnest(kept.bins, kept.numbers)
                UNION ALL
                SELECT * FROM unnest(EXCLUDED.bins, EXCLUDED.numbers)
            ) AS parts (bin, number)
            GROUP BY bin
        ) AS merged
    )
"""

_SAVE_DELIVERIES = """
    INSERT INTO analytics_deliveries (
        id, number, owner, key, began_at, status, reason, was_taken, sent_at, final_at, answered, converted_at, clicked
    )
    SELECT * FROM unnest(
        $1::text[], $2::smallint[], $3::text[], $4::integer[], $5::timestamptz[], $6::text[], $7::text[], $8::boolean[],
        $9::timestamptz[], $10::timestamptz[], $11::boolean[], $12::timestamptz[], $13::boolean[]
    )
    ON CONFLICT (id, number) DO UPDATE SET
        key = EXCLUDED.key, began_at = EXCLUDED.began_at, status = EXCLUDED.status, reason = EXCLUDED.reason,
        was_taken = EXCLUDED.was_taken, sent_at = EXCLUDED.sent_at, final_at = EXCLUDED.final_at,
        answered = EXCLUDED.answered, converted_at = EXCLUDED.converted_at, clicked = EXCLUDED.clicked
"""
_DROP_DELIVERIES = """
    DELETE FROM analytics_deliveries AS kept USING unnest($1::text[], $2::smallint[]) AS gone (id, number)
    WHERE kept.id = gone.id AND kept.number = gone.number
"""

_PRUNE_FIGURES = """
    DELETE FROM analytics_figures WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM analytics_figures WHERE span = $1 AND at < $2 LIMIT $3
    ))
"""
_PRUNE_STORIES = """
    DELETE FROM analytics_stories WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM analytics_stories WHERE began_at < $1 LIMIT $2
    ))
"""
_PRUNE_DELIVERIES = """
    DELETE FROM analytics_deliveries WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM analytics_deliveries WHERE began_at < $1 LIMIT $2
    ))
"""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Story).decode


async def progress(connection: Connection) -> tuple[int, int]:
    """The date of the newest event that was counted, and the server's time; in ms since the epoch."""
    row = await connection.fetchrow(_PROGRESS)
    if row is None:
        raise RuntimeError("analytics have no progress: the database was not migrated")
    return row["counted_at"], row["now"]


async def save_progress(connection: Connection, counted_at: int) -> None:
    """Note the date of the newest event that was counted."""
    await connection.execute(_SAVE_PROGRESS, _moment(counted_at))


async def stories(connection: Connection, owners: Collection[str]) -> dict[str, Story]:
    """The stories of these challenges and alerts, as far as they are known."""
    rows = await connection.fetch(_STORIES, list(owners))
    return {row["owner"]: _decode(row["story"]) for row in rows}


async def save_stories(connection: Connection, changed: Mapping[str, Story]) -> None:
    """Keep stories in place of what they were."""
    await connection.execute(
        _SAVE_STORIES,
        list(changed),
        [_moment(one.kept_from) for one in changed.values()],
        [_encode(one).decode() for one in changed.values()],
    )


async def key_ids(connection: Connection, keys: Collection[Key]) -> dict[Key, int]:
    """The number of each key, given to those that are new."""
    columns = [list(column) for column in zip(*keys, strict=True)]
    await connection.execute(_NEW_KEYS, *columns)
    rows = await connection.fetch(_KEYS, *columns)
    return {Key(*(row[name] for name in Key._fields)): row["id"] for row in rows}


async def grow(connection: Connection, growth: Growth, ids: Mapping[Key, int]) -> None:
    """Add to figures what they grow by."""
    rows = [
        (span, _moment(at), ids[key], figure, index, number)
        for (span, at, key, figure), counts in growth.items()
        for index, number in counts.items()
    ]
    await connection.execute(_GROW, *zip(*rows, strict=True))


async def save_deliveries(
    connection: Connection, tries: Iterable[tuple[str, TryStory]], ids: Mapping[Key, int]
) -> None:
    """List tries, each with the challenge or the alert that it belongs to."""
    rows = [
        (
            *(one.delivery, one.number, owner, ids[one.key], _moment(one.began_at), one.status, one.reason),
            *(one.was_taken, _some_moment(one.sent_at), _some_moment(one.final_at)),
            *(one.answered, _some_moment(one.converted_at), one.clicked),
        )
        for owner, one in tries
    ]
    if rows:
        await connection.execute(_SAVE_DELIVERIES, *zip(*rows, strict=True))


async def drop_deliveries(connection: Connection, gone: Sequence[tuple[str, int]]) -> None:
    """Take tries from the list that turned out not to be any."""
    if gone:
        await connection.execute(_DROP_DELIVERIES, *zip(*gone, strict=True))


async def prune_figures(connection: Connection, span: Span, before_ms: int, *, most: int) -> int:
    """Delete figures of pieces of time that began before a moment. Returns how many rows that were."""
    return _count(await connection.execute(_PRUNE_FIGURES, span, _moment(before_ms), most))


async def prune_deliveries(connection: Connection, before_ms: int, *, most: int) -> int:
    """Delete stories, and deliveries from the list, that began before a moment. Returns how many rows that were."""
    stories_gone = _count(await connection.execute(_PRUNE_STORIES, _moment(before_ms), most))
    return stories_gone + _count(await connection.execute(_PRUNE_DELIVERIES, _moment(before_ms), most))


def _count(tag: str) -> int:
    return int(tag.rpartition(" ")[2])


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _some_moment(at_ms: int) -> datetime | None:
    return _moment(at_ms) if at_ms else None
