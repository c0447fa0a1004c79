"""Lists of audit events in the order of the log, in PostgreSQL: the statements, and nothing else.

The log has an order of its own, by transaction and position: an event that is put on record late stands behind later
ones. So a question by time is answered between two places, before and behind which nothing is of that time. The index
of whatever else is asked for (type, client, nothing) is read between the places only, however long the log is.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg

from sca_service.kernel.postgres import in_time

Connection = asyncpg.pool.PoolConnectionProxy
Place = tuple[int, int]
"""Where an event stands in the order of the log: its transaction, and its position."""

# Where the log stood shortly before a moment: what happened later cannot have been on record by then.
_PLACE_BEFORE = """
    SELECT event.txid::text AS txid, event.position
    FROM (SELECT size FROM log_checkpoints WHERE made_at < $1 AND size > 0 ORDER BY size DESC LIMIT 1) AS checkpoint
    JOIN audit_leaves AS leaf ON leaf.index = checkpoint.size - 1
    JOIN audit_events AS event ON event.id = leaf.event_id
"""
_CLOCKS_APART = timedelta(minutes=5)
"""More than two clocks of ours are apart: `clock.measured` says how much it is."""
_SOON = timedelta(hours=2)
"""Longer than two checkpoints are apart: after a day one of each hour is left."""

_HOUR = "date_trunc('hour', at AT TIME ZONE 'UTC')"
"""As the index `audit_events_hour` has it."""


def _of(parameter: str) -> str:
    return f"date_trunc('hour', {parameter}::timestamptz AT TIME ZONE 'UTC')"


# Of each whole hour its last (or first) place, one look into the index each, from hour to hour; of the hour that the
# time ends (or begins) in what comes before (or after). That hour is asked for by >= and <=: by =, the order of the
# index on places would do too, and PostgreSQL may take the hour to be near its end. $1 is inclusive, $2 is not.
_EDGE = f"""
    WITH RECURSIVE whole AS (
        (
            SELECT {_HOUR} AS hour, txid, position FROM audit_events
            WHERE {{whole}} ORDER BY {_HOUR} {{way}}, txid {{way}}, position {{way}} LIMIT 1
        )
        UNION ALL
        SELECT following.* FROM whole, LATERAL (
            SELECT {_HOUR} AS hour, txid, position FROM audit_events
            WHERE {{whole}} AND {_HOUR} {{on}} whole.hour
            ORDER BY {_HOUR} {{way}}, txid {{way}}, position {{way}} LIMIT 1
        ) AS following
    ), broken AS (
        SELECT txid, position FROM audit_events
        WHERE {_HOUR} >= {{broken}} AND {_HOUR} <= {{broken}} AND {{within}}
        ORDER BY {_HOUR} {{way}}, txid {{way}}, position {{way}} LIMIT 1
    )
    SELECT txid::text AS txid, position
    FROM (SELECT txid, position FROM whole UNION ALL SELECT txid, position FROM broken) AS one
    ORDER BY one.txid {{way}}, one.position {{way}} LIMIT 1
"""  # noqa: S608 - made of constants
LAST_PLACE = _EDGE.format(
    way="DESC",
    on="<",
    whole=f"{_HOUR} >= {_of('$1')} AND {_HOUR} < {_of('$2')}",
    broken=_of("$2"),
    within=f"at < $2 AND {_of('$2')} < $2::timestamptz AT TIME ZONE 'UTC'",
)
FIRST_PLACE = _EDGE.format(
    way="ASC",
    on=">",
    whole=f"{_HOUR} > {_of('$1')} AND {_HOUR} <= {_of('$2')}",
    broken=_of("$1"),
    within="at >= $1",
)
_BEFORE_ALL = datetime(1, 1, 2, tzinfo=UTC)
_AFTER_ALL = datetime(9999, 12, 1, tzinfo=UTC)
_BEGIN = (0, 0)
"""No event stands before it."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which audit events are wanted; None leaves a member open.

    Of `payers` each is a pseudonym. `since` is inclusive, `until` is not. `after` is the place of the last one of the
    page before.
    """

    payers: list[str] | None = None
    challenge: str | None = None
    kind: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    client: str | None = None
    after: Place | None = None

    @property
    def names_a_subject(self) -> bool:
        """Whether it asks for a challenge or a payer, who have few events: these need no other bounds."""
        return self.challenge is not None or self.payers is not None


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event as it is read: its text, its index once it has one, and its place for the next page.

    Once it is settled no other event can come before it any more. `payer` is a pseudonym.
    """

    body: str
    index: int | None
    place: Place
    is_settled: bool
    payer: str | None


class EventLists:
    """Lists events for auditors. A class because it holds the pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def page(self, wanted: EventFilter, *, most: int, newest_first: bool = False) -> list[EventRow]:
        """Events in the order of the log, or the newest first, at most `most`. Raises StoreUnavailable."""
        rows = await in_time(self._read(wanted, most, newest_first=newest_first))
        return [
            EventRow(row["body"], row["index"], _place_of(row), row["is_settled"], row["psu"]) for row in rows
        ]

    async def _read(self, wanted: EventFilter, most: int, *, newest_first: bool) -> list[asyncpg.Record]:
        async with self._pool.acquire() as connection, connection.transaction(readonly=True):
            # A plan for any times and places would not know that these two are near each other.
            await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
            first, last = (
                (None, None)
                if wanted.names_a_subject
                else await _places(connection, wanted.since, wanted.until)
            )
            if wanted.after is not None and newest_first:
                last = wanted.after if last is None else min(last, wanted.after)
            elif wanted.after is not None:
                first = wanted.after if first is None else max(first, wanted.after)
            statement, values = list_statement(
                wanted, first=first, last=last, most=most, newest_first=newest_first
            )
            return list(await connection.fetch(statement, *values))


def list_statement(
    wanted: EventFilter, *, first: Place | None, last: Place | None, most: int, newest_first: bool
) -> tuple[str, list[object]]:
    """The statement for the members that are not open: PostgreSQL then plans for these, and uses their index.

    Only what stands behind `first` and before `last` is listed.
    """
    values: list[object] = []
    conditions = ["true"]
    for condition, value in (
        ("event.psu = ANY({}::text[])", wanted.payers),
        ("event.challenge_id = {}", wanted.challenge),
        ("event.type = {}", wanted.kind),
        ("event.client_id = {}", wanted.client),
        ("event.at >= {}", wanted.since),
        ("event.at < {}", wanted.until),
    ):
        if value is not None:
            values.append(value)
            conditions.append(condition.format(f"${len(values)}"))
    for sign, place in ((">", first), ("<", last)):
        if place is not None:
            values += [str(place[0]), place[1]]
            conditions.append(
                f"(event.txid, event.position) {sign} (${len(values) - 1}::text::xid8, ${len(values)}::bigint)"
            )
    values.append(most)
    order = " DESC" if newest_first else ""
    statement = (
        "SELECT event.txid::text AS txid, event.position, event.body, event.psu, leaf.index,"  # noqa: S608 - no value in it
        " event.txid < pg_snapshot_xmin(pg_current_snapshot()) AS is_settled"
        " FROM audit_events AS event LEFT JOIN audit_leaves AS leaf ON leaf.event_id = event.id"
        f" WHERE {' AND '.join(conditions)}"
        f" ORDER BY event.txid{order}, event.position{order} LIMIT ${len(values)}"
    )
    return statement, values


async def _places(
    connection: Connection, since: datetime | None, until: datetime | None
) -> tuple[Place | None, Place | None]:
    """Behind and before which places everything of these times stands; None is an end of the log."""
    since = since and min(max(since, _BEFORE_ALL), _AFTER_ALL)
    first = await _behind(connection, since) if since else None
    if until is None:
        return first, None
    last = await _place(connection, LAST_PLACE, since or _BEFORE_ALL, until)
    return first, (last[0], last[1] + 1) if last else _BEGIN


async def _behind(connection: Connection, since: datetime) -> Place | None:
    """Behind which place everything since a moment stands: what came soon, by hours; the rest, by checkpoint."""
    rest = await _place(connection, _PLACE_BEFORE, since + _SOON - _CLOCKS_APART)
    first = await _place(connection, FIRST_PLACE, since, since + _SOON)
    return rest and min(rest, _just_before(first or rest))


async def _place(connection: Connection, statement: str, *values: datetime) -> Place | None:
    row = await connection.fetchrow(statement, *values)
    return _place_of(row) if row else None


def _place_of(row: asyncpg.Record) -> Place:
    return int(row["txid"]), row["position"]


def _just_before(place: Place) -> Place:
    return place[0], place[1] - 1
