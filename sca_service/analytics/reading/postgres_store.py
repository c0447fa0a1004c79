"""Figures and the list behind them in PostgreSQL: how they are read. The statements, and nothing else."""

import asyncio
from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import asyncpg

from sca_service.analytics.model import Figure, Key, Subject
from sca_service.analytics.reading.asking import ListQuestion, Question
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.postgres import POSTGRES_AWAY

READ_SECONDS = 5.0
"""How long figures may be added up: whole months by the day take some tens of milliseconds."""

MOST_NUMBERS = 400_000
"""Numbers that one answer is made of; a question that needs more is told to ask for less."""

_COUNTED_AT = "SELECT (extract(epoch FROM counted_at) * 1000)::bigint FROM analytics_progress"
_KEYS = "SELECT * FROM analytics_keys WHERE subject = $1"

# The keys of a group are added up here, so that only sums travel. `at` is 0 where pieces of time are not told apart.
_SUMS = """
    SELECT wanted.place, CASE WHEN $6 THEN (extract(epoch FROM kept.at) * 1000)::bigint ELSE 0 END AS at,
           kept.figure, part.bin, sum(part.number)::bigint AS number
    FROM unnest($1::integer[], $2::integer[]) AS wanted (key, place)
    JOIN analytics_figures AS kept ON kept.key = wanted.key
    CROSS JOIN LATERAL unnest(kept.bins, kept.numbers) AS part (bin, number)
    WHERE kept.span = $3 AND kept.at >= $4 AND kept.at < $5
    GROUP BY 1, 2, 3, 4
    LIMIT $7
"""

# What each figure counts, as the tries of the list tell it.
_BEHIND: Mapping[Figure, str] = {
    Figure.ATTEMPTED: "true",
    Figure.SENT: "was_taken",
    Figure.DELIVERED: "status IN ('delivered', 'answered')",
    Figure.FAILED: "status IN ('failed', 'undelivered', 'no_answer', 'expired')",
    Figure.ANSWERED: "answered",
    Figure.CONVERTED: "converted_at IS NOT NULL",
    Figure.CLICKED: "clicked",
}

_LIST = """
    SELECT delivery.* FROM analytics_deliveries AS delivery
    WHERE began_at >= $1 AND began_at < $2 AND key = ANY($3::integer[])
      AND (began_at, id, number) < ($4, $5, $6::smallint)
      AND {behind}
    ORDER BY began_at DESC, id DESC, number DESC
    LIMIT $7
"""
_LISTS: Mapping[Figure, str] = {
    figure: _LIST.replace("{behind}", condition) for figure, condition in _BEHIND.items()
}

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Sum:
    """One number of an answer: of which group, of which moment (0 for the whole), figure and bin."""

    place: int
    at_ms: int
    figure: str
    bin: int
    number: int


@dataclass(frozen=True, slots=True)
class Listed:
    """One try to deliver one message, with what it is counted under. Times in ms since the epoch, None for not yet."""

    id: str
    number: int
    owner: str
    key: Key
    began_at: int
    status: str
    reason: str
    sent_at: int | None
    final_at: int | None
    answered: bool
    converted_at: int | None
    clicked: bool


class FigureStore:
    """Reads figures. A class because it holds the pool, whose statements have more time than others."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def counted_at(self) -> int:
        """The date of the newest event that was counted, in ms since the epoch. Raises StoreUnavailable."""
        return int(await _in_time(self._pool.fetchval(_COUNTED_AT, timeout=READ_SECONDS)) or 0)

    async def keys(self, subject: Subject) -> dict[int, Key]:
        """Everything that figures of a subject are told apart by, by its number. Raises StoreUnavailable."""
        rows = await _in_time(self._pool.fetch(_KEYS, subject, timeout=READ_SECONDS))
        return {row["id"]: Key(*(row[name] for name in Key._fields)) for row in rows}

    async def sums(self, places: Mapping[int, int], question: Question) -> list[Sum]:
        """The sums of a question, given the number of the group of each key; at most MOST_NUMBERS and one.

        Raises StoreUnavailable.
        """
        rows = await _in_time(
            self._pool.fetch(
                _SUMS,
                *(list(places), list(places.values())),
                *(question.span, _moment(question.since_ms), _moment(question.until_ms)),
                *(question.series, MOST_NUMBERS + 1),
                timeout=READ_SECONDS,
            )
        )
        return [Sum(*row.values()) for row in rows]

    async def deliveries(self, keys: Mapping[int, Key], question: ListQuestion, *, most: int) -> list[Listed]:
        """Tries that were counted under these keys, the newest first. Raises StoreUnavailable."""
        after = question.after or (question.until_ms, "", 0)
        rows = await _in_time(
            self._pool.fetch(
                _LISTS[question.figure or Figure.ATTEMPTED],
                *(_moment(question.since_ms), _moment(question.until_ms), _known(keys)),
                *(_moment(after[0]), after[1], after[2], most),
                timeout=READ_SECONDS,
            )
        )
        return [_listed(row, keys) for row in rows]


async def _in_time(work: Awaitable[Result]) -> Result:
    try:
        async with asyncio.timeout(READ_SECONDS):
            return await work
    except POSTGRES_AWAY as error:
        raise StoreUnavailable("the figures cannot be read in time") from error


def _listed(row: asyncpg.Record, keys: Mapping[int, Key]) -> Listed:
    return Listed(
        id=row["id"],
        number=row["number"],
        owner=row["owner"],
        key=keys[row["key"]],
        began_at=_ms(row["began_at"]),
        status=row["status"],
        reason=row["reason"],
        sent_at=_some_ms(row["sent_at"]),
        final_at=_some_ms(row["final_at"]),
        answered=row["answered"],
        converted_at=_some_ms(row["converted_at"]),
        clicked=row["clicked"],
    )


def _known(keys: Collection[int]) -> Sequence[int]:
    return list(keys)


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _some_ms(moment: datetime | None) -> int | None:
    return _ms(moment) if moment else None
