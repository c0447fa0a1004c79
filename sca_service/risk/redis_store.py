"""What is learned of payers, devices, payees, addresses and phone lines, in Redis; every key goes away by itself.

A payer's keys lie on the slot of the payer's partition, everything else on a slot of its own. The keys hold pseudonyms
and countries, and a payer's last location to about a kilometre: nothing that names anybody.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec

from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.redis.commands import Command, Script
from sca_service.policy.risk import LineQuestion, MemoryRule
from sca_service.risk.memory import (
    AGENTS,
    COUNTRIES,
    DEVICES,
    MOST_REMEMBERED,
    PAYEES,
    Counts,
    Location,
    PayerMemory,
    SubjectMemory,
    payer_memory,
    subject_memory,
)
from sca_service.risk.model import AnswerState, LineAnswer, MarkedKind, Standing

_FOLDER = Path(__file__).parent
_MEET, _LEARN, _MARK, _COPY, _FORGET = (
    Script.read(_FOLDER / "counters.lua", _FOLDER / f"{name}.lua")
    for name in ("meet", "learn", "mark", "copy", "forget")
)
_COPIED: Final = "{risk}:copied"
_COPYING: Final = "{risk}:copying"
_DAY_SECONDS: Final = 86_400
_PARTITIONS: Final = 64
_MOST_COUNT_DAYS: Final = 2
"""No fact looks farther back at the requests of a device, payee or address."""
_COUNTED_DIGITS: Final = 6
"""Hexadecimal digits by which different others are told apart where they are only counted."""
_SHORT: Final = 12
"""Hexadecimal digits by which one of a payer's few devices and payees is known among the others."""
MOST_AMOUNT_MINOR: Final = 10**12
"""Larger amounts are learned as this: sums of thousands of them are exact in the scripts' numbers."""


class SubjectKind(StrEnum):
    """Of what, besides payers, something is learned."""

    DEVICE = "device"
    PAYEE = "payee"
    IP = "ip"
    PHONE = "phone"
    CARD = "card"


class _Role(StrEnum):
    """What meet.lua does with a key, by its letter."""

    PAYER = "P"
    SUBJECT = "S"
    MARKED = "M"
    LISTED = "L"
    FAILURES = "F"


class Subjects(msgspec.Struct, frozen=True):
    """Who and what a request comes from and goes to: pseudonyms; empty for what was not given.

    Of what is `around` only a list is asked: nothing is learned of it.
    """

    payer: str
    others: Mapping[SubjectKind, str]
    agent: str = ""
    country: str = ""
    around: tuple[tuple[SubjectKind, str], ...] = ()


class FailuresPlace(msgspec.Struct, frozen=True):
    """Where a payer's wrong answers in a row are counted: a field of a hash on the payer's slot."""

    key: str
    field: str


class Memory(msgspec.Struct, frozen=True):
    """Everything remembered that speaks to one request; what was not given is not among `others`.

    `failures` are the payer's wrong answers in a row, None if that was not asked for. Of a phone line there are marks
    only. `listed_around` are the kinds of what is around it and on a list.
    """

    payer: PayerMemory
    others: Mapping[SubjectKind, SubjectMemory] = msgspec.field(default_factory=dict)
    failures: int | None = None
    listed_around: frozenset[SubjectKind] = frozenset()


class RiskStore:
    """Recalls and learns. A class because it holds the connection."""

    def __init__(self, redis: RedisConnection, rule: MemoryRule) -> None:
        self._redis = redis
        self._rule = rule

    async def recall(self, subjects: Subjects) -> Memory:
        """What is remembered; nothing is counted. Raises StoreUnavailable."""
        return await self._met(subjects, "", "", None)

    async def meet(
        self,
        subjects: Subjects,
        *,
        amount_minor: int | None,
        failures: FailuresPlace | None = None,
        sees_itself: bool = False,
    ) -> Memory:
        """What is remembered, and one request counted with it, whatever will be decided about it.

        One step for all on one server; on several one for each slot, all in one pipeline. `failures` is where the
        payer's wrong answers are counted. With `sees_itself` the memory holds this very request. Raises
        StoreUnavailable.
        """
        amount = "" if amount_minor is None else min(amount_minor, MOST_AMOUNT_MINOR)
        return await self._met(subjects, "first" if sees_itself else "last", amount, failures)

    async def _met(
        self, subjects: Subjects, when: str, amount: str | int, failures: FailuresPlace | None
    ) -> Memory:
        asked = [(_Role.PAYER, _payer_key(subjects.payer))]
        if failures:
            asked.append((_Role.FAILURES, failures.key))
        asked += [(_Role.LISTED, _key(*one)) for one in subjects.around]
        asked += [(_role_of(kind), _key(kind, name)) for kind, name in subjects.others.items()]
        numbers = (
            when,
            self._rule.payer_days * _DAY_SECONDS,
            min(self._rule.subject_days, _MOST_COUNT_DAYS) * _DAY_SECONDS,
            amount,
            _counted(subjects.others.get(SubjectKind.IP, "")),
            _counted(subjects.payer),
        )
        field = failures.field if failures else ""
        calls = [
            Command.of(_MEET, [key for _, key in part], (*numbers, "".join(role for role, _ in part), field))
            for part in self._parts(asked)
        ]
        replies = await self._redis.all(calls)
        found = iter([one for reply in replies for one in reply])
        *counts, now, fields = next(found)
        failed = int(next(found) or 0) if failures else None
        around = frozenset(kind for kind, _ in subjects.around if int(next(found) or 0) > now)
        others = {kind: _subject(kind, next(found), now) for kind in subjects.others}
        return Memory(payer_memory(now, Counts(*counts), _by_name(fields)), others, failed, around)

    def _parts(self, asked: list[tuple[_Role, str]]) -> Iterator[list[tuple[_Role, str]]]:
        """What is asked in one step each: all of it of one server, else what lies on one slot."""
        if self._redis.is_one_server:
            yield asked
            return
        of_payer = [one for one in asked if one[0] in (_Role.PAYER, _Role.FAILURES)]
        yield of_payer
        yield from ([one] for one in asked[len(of_payer) :])

    def approved(
        self, subjects: Subjects, *, amount_minor: int | None, location: Location | None
    ) -> "asyncio.Future[Any]":
        """Learn what the payer is used to; only what was approved is learned.

        Nobody has to wait for it: the future is done when Redis has heard. Raises StoreUnavailable.
        """
        amount = "" if amount_minor is None else min(amount_minor, MOST_AMOUNT_MINOR)
        place = ("", "") if location is None else (f"{location.latitude:.2f}", f"{location.longitude:.2f}")
        names = {
            DEVICES: short(subjects.others.get(SubjectKind.DEVICE, "")),
            PAYEES: short(subjects.others.get(SubjectKind.PAYEE, "")),
            AGENTS: short(subjects.agent),
            COUNTRIES: subjects.country,
        }
        remembered = [
            part for prefix, name in names.items() if name for part in (prefix, name, MOST_REMEMBERED[prefix])
        ]
        return self._redis.submit(
            _LEARN,
            (_payer_key(subjects.payer),),
            (self._rule.payer_days * _DAY_SECONDS, amount, *place, *remembered),
        )

    async def report(self, kind: SubjectKind, name: str, *, by: str = "") -> int:
        """Put down a report on a device, payee, address or line, by its pseudonym; how many count on it.

        `by` is the payer who reports it: what one payer says of it counts once. Raises StoreUnavailable.
        """
        return await self._report(_key(kind, name), by)

    async def report_payer(self, payer: str) -> int:
        """The same on a payer. Raises StoreUnavailable."""
        return await self._report(_payer_key(payer), "")

    async def copy(self, standing: Standing) -> None:
        """Take over how one stands, unless a later standing is known already. Raises StoreUnavailable."""
        if standing.kind is MarkedKind.PAYER:
            key = _payer_key(standing.subject)
        else:
            key = _key(SubjectKind(standing.kind), standing.subject)
        told = (standing.version, standing.listed_until, standing.reports, standing.reports_until)
        await self._redis.call(_COPY, (key,), told)

    async def has_copies(self) -> bool:
        """Whether all standings were copied since Redis began to remember. Raises StoreUnavailable."""
        return bool(await self._redis.command("EXISTS", _COPIED))

    async def copying_begins(self) -> None:
        """Put down that all standings are about to be copied. Raises StoreUnavailable."""
        await self._redis.command("SET", _COPYING, 1)

    async def all_copied(self) -> bool:
        """Put down that all standings were copied, unless Redis began anew since copying did; whether it did not.

        Who forgets standings forgets this too. Raises StoreUnavailable.
        """
        return bool(await self._redis.command("COPY", _COPYING, _COPIED, "REPLACE"))

    async def forget(self, payer: str) -> None:
        """Erase what was learned of a payer (GDPR Art. 17). Raises StoreUnavailable."""
        await self._redis.call(_FORGET, (_payer_key(payer),), ())

    async def _report(self, key: str, by: str) -> int:
        seconds = self._rule.report_days * _DAY_SECONDS
        return int(await self._redis.call(_MARK, (key,), (seconds, by)))


class LineStore:
    """Remembers what operators said of lines, under pseudonyms. A class because it holds what is being written."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis
        self._writing: set[asyncio.Task[None]] = set()

    async def find(
        self, pseudonym: str, questions: Sequence[LineQuestion]
    ) -> Mapping[LineQuestion, LineAnswer]:
        """The answers that are remembered. Raises StoreUnavailable."""
        if not questions:
            return {}
        keys = [_line_key(question, pseudonym) for question in questions]
        held = await self._redis.command("MGET", *keys)
        return {
            question: _answer(kept)
            for question, kept in zip(questions, held, strict=True)
            if kept is not None
        }

    def remember(self, pseudonym: str, question: LineQuestion, answer: LineAnswer, *, seconds: int) -> None:
        """Keep an answer; never waits. What Redis does not take is asked again."""
        kept = answer.state.value if answer.found is None else f"{answer.state}:{int(answer.found)}"
        task = asyncio.get_running_loop().create_task(
            self._write(_line_key(question, pseudonym), kept, seconds)
        )
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, key: str, kept: str, seconds: int) -> None:
        with suppress(StoreUnavailable):
            await self._redis.command("SET", key, kept, "EX", seconds)


def short(pseudonym: str) -> str:
    """How one of a payer's devices or payees is remembered among the others."""
    return pseudonym[:_SHORT]


def _counted(pseudonym: str) -> bytes:
    """What of a pseudonym is counted: its end, since a payer's partition is its beginning."""
    return bytes.fromhex(pseudonym[-_COUNTED_DIGITS:])


def _payer_key(payer: str) -> str:
    return f"{{p{int(payer[:2], 16) % _PARTITIONS:02d}}}:risk:{payer}"


def _key(kind: SubjectKind, name: str) -> str:
    return f"{{risk:{kind}:{name}}}"


def _line_key(question: LineQuestion, pseudonym: str) -> str:
    return f"{{line:{pseudonym}}}:{question}"


def _role_of(kind: SubjectKind) -> _Role:
    """A phone line is not counted, since no fact speaks of it."""
    return _Role.MARKED if kind is SubjectKind.PHONE else _Role.SUBJECT


def _answer(kept: bytes) -> LineAnswer:
    state, _, found = kept.decode().partition(":")
    return LineAnswer(AnswerState(state), found == "1" if found else None)


def _subject(kind: SubjectKind, reply: Sequence[Any], now: int) -> SubjectMemory:
    if kind is SubjectKind.PHONE:
        return subject_memory(now, reply)
    requests, payers, marks = reply
    return subject_memory(now, marks, requests_hour=requests, payers=payers)


def _by_name(fields: Sequence[bytes]) -> dict[str, str]:
    texts = [text.decode() for text in fields]
    return dict(zip(texts[::2], texts[1::2], strict=True))
