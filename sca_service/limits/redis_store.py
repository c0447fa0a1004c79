"""Limits that span payers, in Redis: one script call per slot, by Redis `TIME`, all calls in one pipeline."""

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import ScaError, TooEarly
from sca_service.kernel.redis.commands import Script
from sca_service.limits.model import Limit, Spent, allowances, is_pressed

_HERE = Path(__file__).parent
_SPEND, _GIVE_BACK = (
    Script.read(_HERE / "pressed.lua", _HERE / f"{name}.lua") for name in ("spend", "give_back")
)
_NOTED_EVERY_SECONDS = 1.0

log = structlog.get_logger()


class _Answer(msgspec.Struct, frozen=True):
    """What one slot's script decided; `refusing` is None when all was well."""

    limits: tuple[Limit, ...]
    refusing: Limit | None
    wait_ms: int
    spent: tuple[bool, ...]
    ahead_ms: tuple[int, ...]

    @classmethod
    def of(cls, limits: tuple[Limit, ...], reply: Sequence[int]) -> "_Answer":
        refusing = limits[reply[0] - 1] if reply[0] else None
        return cls(limits, refusing, reply[1], tuple(map(bool, reply[2::2])), tuple(reply[3::2]))

    @property
    def is_pressed(self) -> bool:
        return any(map(is_pressed, self.limits, self.ahead_ms))

    @property
    def were_spent(self) -> tuple[Limit, ...]:
        return tuple(limit for limit, spent in zip(self.limits, self.spent, strict=True) if spent)


class LimitStore:
    """Spends limits. A class because it holds the connection, and when it logged a limit last."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis
        self._note_at: dict[str, float] = {}

    async def spend(self, limits: Sequence[Limit]) -> Spent:
        """Spend one of each limit, of whatever subjects, or none.

        Raises TooEarly with the seconds to wait when a limit that refuses is spent, StoreUnavailable; what was spent of
        the others is given back then. A limit that observes is logged, at most once a second. Never do more pass than a
        limit allows; of limits on several subjects that are spent in the same moment, fewer may, for as long as that
        takes.
        """
        if not limits:
            return Spent()
        groups = _by_slot(limits)
        replies = (
            [await self._ask(groups[0])]
            if len(groups) == 1
            else await asyncio.gather(*map(self._ask, groups), return_exceptions=True)
        )
        answers = []
        faults = []
        for group, reply in zip(groups, replies, strict=True):
            if isinstance(reply, BaseException):
                faults.append(reply)
            else:
                answers.append(_Answer.of(group, reply))
        spent = tuple(limit for answer in answers for limit in answer.were_spent)
        if faults:
            self.give_back(spent)
            raise faults[0]
        told = [one for answer in answers for one in allowances(answer.limits, answer.ahead_ms)]
        refusals = [answer for answer in answers if answer.refusing]
        if refusals:
            self.give_back(spent)
            worst = max(refusals, key=lambda answer: answer.wait_ms)
            assert worst.refusing is not None  # noqa: S101 - asked above
            detail = f"the limit {worst.refusing.name} is spent"
            raise TooEarly(detail, -(-worst.wait_ms // 1000), tuple(told), limit=worst.refusing.name)
        for limit in limits:
            if limit not in spent:
                self._note(limit)
        return Spent(spent, tuple(told), any(answer.is_pressed for answer in answers))

    def give_back(self, limits: Iterable[Limit], *, times: int = 1) -> None:
        """Give back what was spent, once or so many times, for nothing came of it. Never raises and never waits.

        What Redis does not take stays spent: a limit errs by allowing less.
        """
        for group in _by_slot(limits):
            try:
                numbers = [number for one in group for number in (times * one.spent_ms, one.room_ms)]
                given = self._redis.submit(_GIVE_BACK, _keys(group), numbers)
            except ScaError:
                log.warning("limit.not_given_back")
            else:
                given.add_done_callback(_looked_at)

    async def is_pressed(self, slot: str) -> bool:
        """Whether any of the limits that lie together there is more than half spent. Raises StoreUnavailable."""
        return bool(await self._redis.command("EXISTS", _pressed_key(slot)))

    def _note(self, limit: Limit) -> None:
        """Log that a limit is spent which only observes; a flood of requests is no flood of lines."""
        now = asyncio.get_running_loop().time()
        if now >= self._note_at.get(limit.name, 0.0):
            self._note_at[limit.name] = now + _NOTED_EVERY_SECONDS
            log.info("limit.observed", limit=limit.name)

    async def _ask(self, group: Sequence[Limit]) -> Any:
        numbers = [number for one in group for number in (one.spent_ms, one.room_ms, int(one.refuses))]
        return await self._redis.call(_SPEND, _keys(group), numbers)


def _by_slot(limits: Iterable[Limit]) -> list[tuple[Limit, ...]]:
    groups: dict[str, list[Limit]] = {}
    for limit in limits:
        groups.setdefault(limit.slot or limit.subject, []).append(limit)
    return [tuple(group) for group in groups.values()]


def _keys(group: Sequence[Limit]) -> list[str]:
    """A group lies in one slot, or is of one subject."""
    slot = group[0].slot
    return [*map(_key, group), *((_pressed_key(slot),) if slot else ())]


def _pressed_key(slot: str) -> str:
    return f"{{limit:{slot}}}:pressed"


def _key(limit: Limit) -> str:
    return (
        f"{{limit:{limit.slot}}}:{limit.name}:{limit.subject}"
        if limit.slot
        else f"{{limit:{limit.subject}}}:{limit.name}"
    )


def _looked_at(given: "asyncio.Future[Any]") -> None:
    if not given.cancelled() and given.exception() is not None:
        log.warning("limit.not_given_back")
