"""The guard's counters, blocks and allow-list in Redis; all of it goes away by itself.

They lie on one hash slot, so that one script decides about all subjects of a message; what is asked here are only lines
that never approved. Which lines have approved lies on a slot for each, under pseudonyms.
"""

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.redis.commands import Script
from sca_service.limits.pumping.model import (
    DAY_SECONDS,
    Asked,
    Entry,
    Passed,
    PumpingReason,
    Subject,
    allowing,
    counts_all_approvals,
    history_days,
    kept_seconds,
)
from sca_service.policy.pumping import AtBlock, PumpingPolicy, PumpingScope

_FOLDER = Path(__file__).parent
_ASK, _APPROVE, _GIVE_BACK, _LIFT, _ALLOW, _ENTRIES, _RECORDED, _STANDING = (
    Script.read(_FOLDER / "counters.lua", _FOLDER / f"{name}.lua")
    for name in ("ask", "approve", "give_back", "lift", "allow", "entries", "recorded", "standing")
)
_TAG: Final = "{pumping}"


class EntryKind(StrEnum):
    """What is in force of a subject."""

    BLOCK = "block"
    ALLOW = "allow"


class PumpingStore:
    """Asks, counts, blocks and allows. A class because it holds the connection and the numbers."""

    def __init__(self, redis: RedisConnection, policy: PumpingPolicy) -> None:
        self._redis = redis
        self._policy = policy

    async def knows(self, line: str) -> bool:
        """Whether this line has approved something before. Raises StoreUnavailable."""
        return bool(await self._redis.command("EXISTS", _line_key(line)))

    async def ask(self, asked: Asked, at_block: AtBlock, *, block_id: str, event_id: str) -> Passed | Entry:
        """Count one message, or tell the block that stops it: a new one takes the two ids.

        Atomic over all subjects. Raises StoreUnavailable.
        """
        policy = self._policy
        keys = [*_line_keys(asked.line), _index(EntryKind.BLOCK), _countries_key(asked)]
        scopes = [subject.scope for subject in asked.subjects]
        arguments: list[str | int] = [
            *(at_block, block_id, event_id, policy.block_seconds, policy.window_hours),
            *(policy.answer_minutes, policy.conversion_percent, policy.most_countries, asked.country),
            scopes.index(PumpingScope.IP) + 1 if PumpingScope.IP in scopes else 0,
        ]
        for subject in asked.subjects:
            keys += [
                _count_key(subject),
                _pointer(EntryKind.BLOCK, subject),
                _pointer(EntryKind.ALLOW, allowing(asked, subject)),
            ]
            rule = policy.budgets[subject.scope]
            arguments += [subject.scope, subject.name, rule.floor]
            arguments += [rule.best_day_percent, rule.day_percent, rule.hour_percent]
            arguments += [rule.waiting, rule.least_sent]
            arguments += [history_days(subject.scope, policy), kept_seconds(subject.scope, policy)]
        word, *found = await self._redis.call(_ASK, keys, arguments)
        if word == b"refused":
            return _entry(found)
        return Passed(asked, int(found[0]), PumpingReason(found[1].decode()) if len(found) > 1 else None)

    async def standing(self, asked: Asked) -> PumpingReason | None:
        """Why a block stops this message; nothing is counted but what the block stops. Raises StoreUnavailable."""
        keys = []
        for subject in asked.subjects:
            allowed = _pointer(EntryKind.ALLOW, allowing(asked, subject))
            keys += [_pointer(EntryKind.BLOCK, subject), allowed]
        why = await self._redis.call(_STANDING, keys, ())
        return PumpingReason(why.decode()) if why else None

    def approve(self, asked: Asked, *, over_line: bool) -> "asyncio.Future[Any]":
        """Count an approval; `over_line` when its code came over the line, which is known from now on.

        Nobody has to wait for it: the future is done when Redis has heard. Raises StoreUnavailable.
        """
        heard = []
        if over_line:
            seconds = self._policy.known_days * DAY_SECONDS
            heard.append(self._redis.submit_command("SET", _line_key(asked.line), 1, "EX", seconds))
        arguments: list[str | int] = [int(over_line)]
        for subject in asked.subjects:
            arguments += [
                kept_seconds(subject.scope, self._policy),
                int(counts_all_approvals(subject.scope)),
            ]
        return asyncio.gather(*heard, self._redis.submit(_APPROVE, _counted_keys(asked), arguments))

    async def forget_line(self, line: str) -> None:
        """Know a line no more, as of a payer who is erased (GDPR Art. 17). Raises StoreUnavailable."""
        await self._redis.command("DEL", _line_key(line))

    async def give_back(self, passed: Passed) -> None:
        """A message that passed is not sent after all. Raises StoreUnavailable."""
        await self._redis.call(_GIVE_BACK, _counted_keys(passed.asked), (passed.hour,))

    async def mark_recorded(self, block_id: str) -> None:
        """The event of a block is on record. Raises StoreUnavailable."""
        await self._redis.call(_RECORDED, (f"{_TAG}:{EntryKind.BLOCK}-of:{block_id}",), ())

    async def find(self, kind: EntryKind, entry_id: str) -> Entry | None:
        """What is in force under an id. Raises StoreUnavailable."""
        fields = await self._redis.command("HGETALL", f"{_TAG}:{kind}-of:{entry_id}")
        return _entry(fields) if fields else None

    async def entries(self, kind: EntryKind, *, most: int, skip: int = 0) -> list[Entry]:
        """What is in force, what ends last first. Raises StoreUnavailable."""
        found = await self._redis.call(_ENTRIES, (_index(kind),), (kind, most, skip))
        return [_entry(fields) for fields in found]

    async def lift(self, kind: EntryKind, entry_id: str) -> Entry | None:
        """Take out what is in force under an id; a lifted subject starts anew. Raises StoreUnavailable."""
        fields = await self._redis.call(_LIFT, (_index(kind),), (kind, entry_id))
        return _entry(fields) if fields else None

    async def allow(self, subject: Subject, *, entry_id: str, why: str, seconds: int) -> Entry:
        """Count and stop nothing of this subject for so long. Raises StoreUnavailable."""
        keys = (_pointer(EntryKind.ALLOW, subject), _index(EntryKind.ALLOW))
        return _entry(
            await self._redis.call(_ALLOW, keys, (entry_id, seconds, subject.scope, subject.name, why))
        )


def _counted_keys(asked: Asked) -> list[str]:
    return [*_line_keys(asked.line), *(_count_key(subject) for subject in asked.subjects)]


def _line_key(line: str) -> str:
    return f"{{line:{line}}}:approved"


def _line_keys(line: str) -> tuple[str, str]:
    """How many messages a line was sent, and in which minute the first of them."""
    return f"{_TAG}:asked:{line}", f"{_TAG}:waits:{line}"


def _count_key(subject: Subject) -> str:
    return f"{_TAG}:count:{subject.scope}:{subject.name}"


def _countries_key(asked: Asked) -> str:
    name = next((one.name for one in asked.subjects if one.scope is PumpingScope.IP), "")
    return f"{_TAG}:countries:{PumpingScope.IP}:{name}"


def _pointer(kind: EntryKind, subject: Subject) -> str:
    return f"{_TAG}:{kind}:{subject.scope}:{subject.name}"


def _index(kind: EntryKind) -> str:
    return f"{_TAG}:{kind}s"


def _entry(fields: Sequence[Any]) -> Entry:
    held = {name.decode(): value.decode() for name, value in zip(fields[::2], fields[1::2], strict=True)}
    return Entry(
        id=held["id"],
        scope=PumpingScope(held["scope"]),
        subject=held["subject"],
        why=held["why"],
        since=int(held["since"]),
        until=int(held["until"]),
        event=held.get("event", ""),
        is_recorded=held.get("recorded", "1") == "1",
        refused=int(held.get("refused", 0)),
    )
