"""PINs are kept by Argon2id over a MAC, and checked in a bounded pool while the event loop goes on."""

import asyncio
import base64
import hmac
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from threading import Event, Semaphore, get_native_id

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type, hash_secret
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from prometheus_client import REGISTRY

from sca_service.api.problems import problem
from sca_service.authenticators.pin.hashing import Argon2Parameters, PinCheck, PinHasher
from sca_service.kernel.errors import ConfigurationError, Overloaded
from sca_service.kernel.keyring import SealBroken
from sca_service.kernel.secret import Secret

PEPPER = Secret(bytes(range(32)))
SMALL = Argon2Parameters(memory_kib=64, passes=1)
PIN = Secret("7392")
WRONG = Secret("7393")
NO = PinCheck(matches=False)
YES = PinCheck(matches=True)


@asynccontextmanager
async def hashing(
    parameters: Argon2Parameters | None = SMALL,
    *,
    pepper: Secret[bytes] = PEPPER,
    threads: int = 1,
    most_waiting: int = 32,
) -> AsyncIterator[PinHasher]:
    """A hasher, closed afterwards."""
    hasher = PinHasher(pepper, parameters, threads=threads, most_waiting=most_waiting)
    try:
        yield hasher
    finally:
        await hasher.close()


@dataclass(slots=True)
class Checks:
    """Every check that reached Argon2: by which hash, and whether they may go on now."""

    by: list[str] = field(default_factory=list)
    may_go_on: Event = field(default_factory=Event)
    arrivals: Semaphore = field(default_factory=lambda: Semaphore(0))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody goes on, until a test says so or ends."""
        self.may_go_on.clear()
        try:
            yield
        finally:
            self.may_go_on.set()

    async def arrive(self) -> None:
        """Wait until one more is there."""
        assert await asyncio.to_thread(self.arrivals.acquire, timeout=60)

    @property
    def costs(self) -> list[tuple[int, int, int, int]]:
        """Memory, passes, lanes and length of each."""
        found = [extract_parameters(stored) for stored in self.by]
        return [(one.memory_cost, one.time_cost, one.parallelism, one.hash_len) for one in found]


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Checks:
    """Argon2 as it is, with a gate before it that notes who came; open unless a test holds it."""
    seen = Checks()
    seen.may_go_on.set()
    real = PasswordHasher.verify

    def verify(argon2: PasswordHasher, stored: str, presented: bytes) -> bool:
        seen.by.append(stored)
        seen.arrivals.release()
        assert seen.may_go_on.wait(60)
        return real(argon2, stored, presented)

    monkeypatch.setattr(PasswordHasher, "verify", verify)
    return seen


async def settle(*tasks: asyncio.Task[PinCheck]) -> None:
    """Let the loop turn until tasks that can end or begin have done so."""
    for _ in range(10 + 2 * len(tasks)):
        await asyncio.sleep(0)


def test_the_reference_used_here_is_rfc_9106() -> None:
    """The other implementation gives the tag of section 5.3 (Argon2id)."""
    reference = Argon2id(
        salt=b"\x02" * 16,
        length=32,
        iterations=3,
        lanes=4,
        memory_cost=32,
        secret=b"\x03" * 8,
        ad=b"\x04" * 12,
    )
    assert reference.derive(b"\x01" * 32).hex() == (
        "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"
    )


async def test_a_hash_is_argon2id_over_the_mac_with_the_parameters_of_owasp() -> None:
    """A change of the record, the MAC or the parameters would make every kept PIN wrong, or cheap."""
    async with hashing(None) as hasher:
        stored = await hasher.hash(PIN, "aut_1")
    head, salt, tag = stored.rsplit("$", 2)
    assert head == "$argon2id$v=19$m=19456,t=2,p=1"
    raw_salt, raw_tag = (base64.b64decode(part + "=" * (-len(part) % 4)) for part in (salt, tag))
    assert (len(raw_salt), len(raw_tag)) == (16, 32)
    seen_by_argon2 = hmac.digest(bytes(range(32)), b"PIN\x00aut_1\x007392", "sha256")
    reference = Argon2id(salt=raw_salt, length=32, iterations=2, lanes=1, memory_cost=19456)
    assert reference.derive(seen_by_argon2) == raw_tag


async def test_a_pin_matches_what_was_kept_of_it_and_no_other_does() -> None:
    """The right one, one digit off, shorter and longer."""
    async with hashing() as hasher:
        stored = await hasher.hash(PIN, "aut_1")
        assert await hasher.verify(stored, PIN, "aut_1") == YES
        for other in ("7393", "739", "73920", "07392", "2937"):
            assert await hasher.verify(stored, Secret(other), "aut_1") == NO


async def test_the_same_pin_is_never_kept_twice_the_same() -> None:
    """A salt of its own, every time."""
    async with hashing() as hasher:
        assert len({await hasher.hash(PIN, "aut_1") for _ in range(20)}) == 20


async def test_a_hash_is_worth_nothing_at_another_authenticator() -> None:
    """Moved in the store, or with the border between id and PIN moved, it matches nothing."""
    async with hashing() as hasher:
        stored = await hasher.hash(PIN, "aut_1")
        assert await hasher.verify(stored, PIN, "aut_2") == NO
        assert await hasher.verify(stored, Secret("17392"), "aut_") == NO
        assert await hasher.verify(stored, Secret("392"), "aut_17") == NO


async def test_a_hash_is_worth_nothing_without_the_pepper() -> None:
    """Whoever has the store alone cannot guess."""
    async with hashing() as hasher:
        stored = await hasher.hash(PIN, "aut_1")
    async with hashing(pepper=Secret(bytes(range(1, 33)))) as other:
        assert await other.verify(stored, PIN, "aut_1") == NO
    with pytest.raises(Exception, match="does not match"):
        PasswordHasher().verify(stored, "7392")


@pytest.mark.parametrize(
    "then",
    [
        Argon2Parameters(memory_kib=72, passes=1),
        Argon2Parameters(memory_kib=64, passes=2),
        Argon2Parameters(memory_kib=64, passes=1, lanes=2),
        Argon2Parameters(memory_kib=64, passes=1, salt_bytes=24),
        Argon2Parameters(memory_kib=64, passes=1, hash_bytes=24),
    ],
)
async def test_a_pin_kept_with_other_parameters_is_rehashed_once_it_matched(then: Argon2Parameters) -> None:
    """The new hash has the parameters of today and matches the same PIN; a wrong PIN is never rehashed."""
    async with hashing(then) as before:
        stored = await before.hash(PIN, "aut_1")
    async with hashing() as hasher:
        assert await hasher.verify(stored, WRONG, "aut_1") == NO
        check = await hasher.verify(stored, PIN, "aut_1")
        assert check.matches
        assert check.rehashed is not None
        assert check.rehashed.startswith("$argon2id$v=19$m=64,t=1,p=1$")
        assert await hasher.verify(check.rehashed, PIN, "aut_1") == YES
        assert await hasher.verify(check.rehashed, WRONG, "aut_1") == NO


async def test_without_a_pin_the_same_work_is_done_for_the_same_answer(checks: Checks) -> None:
    """Argon2 runs once, at the same cost, for a wrong PIN and for none that could be right."""
    async with hashing(None) as hasher:
        stored = await hasher.hash(PIN, "aut_1")
        assert await hasher.verify(stored, WRONG, "aut_1") == NO
        assert await hasher.verify(None, WRONG, "aut_1") == NO
        assert await hasher.verify(None, PIN, "aut_1") == NO
    assert checks.costs == [(19456, 2, 1, 32)] * 3
    assert checks.by[0] == stored
    assert checks.by[1] == checks.by[2] != stored


async def test_a_stand_in_that_matches_is_a_no_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even an Argon2 that says yes to everything lets nobody in who has no PIN."""
    monkeypatch.setattr(PasswordHasher, "verify", lambda *_: True)
    async with hashing() as hasher:
        assert await hasher.verify(None, PIN, "aut_1") == NO


def made(kind: Type = Type.ID, version: int = 19, memory: int = 64, hash_bytes: int = 32) -> str:
    """A hash that Argon2 itself can check."""
    return hash_secret(b"x", b"s" * 16, 1, memory, 1, hash_bytes, kind, version).decode()


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "7392",
        "$argon2id$",
        "$2b$12$abcdefghijklmnopqrstuv",
        made(kind=Type.I),
        made(kind=Type.D),
        made(version=16),
        made().replace("v=19", "v=20"),
        made().replace("$v=19", ""),
        made().replace("m=64", "m=sixty"),
        made().replace("m=64,t=1", "t=1,m=64"),
        made().replace("m=64", "m=+64"),
        made().replace("m=64", "m=4194304"),  # 4 GiB
        made().replace("m=64", "m=7"),
        made().replace("t=1", "t=4000000000"),
        made().replace("t=1", "t=0"),
        made().replace("p=1", "p=5"),
        made().replace("p=1", "p=0"),
        made(hash_bytes=65),
        made()[:-1],
        made()[:-1] + "!",
        made() + "$",
        made() + " ",
        made() + "\0",
        made() + "\n",
        made().replace("m=64", "m=٦٤"),
        made() + "é",
        made() + "A" * 300,
        "$" + made(),
    ],
)
async def test_an_unreadable_hash_is_an_error_and_no_wrong_pin(stored: str) -> None:
    """Nobody loses an attempt over it, no bound is passed, and the error does not quote it."""
    async with hashing() as hasher:
        with pytest.raises(SealBroken) as broken:
            await hasher.verify(stored, PIN, "aut_1")
    assert "$" not in str(broken.value)
    assert "7392" not in str(broken.value)


async def test_a_kept_hash_that_costs_too_much_never_reaches_argon2(checks: Checks) -> None:
    """A row of the store must not be able to take 4 GiB, or an hour."""
    async with hashing() as hasher:
        for stored in (made().replace("m=64", "m=4194304"), made().replace("t=1", "t=4000000000")):
            with pytest.raises(SealBroken):
                await hasher.verify(stored, PIN, "aut_1")
    assert checks.by == []


async def test_of_a_hundred_at_once_those_without_a_place_are_told_so_at_once(checks: Checks) -> None:
    """One at work and eight waiting get their own answers; the others hear Overloaded before any of them ended."""
    async with hashing(most_waiting=8) as hasher:
        with checks.held():
            stored = await hasher.hash(PIN, "aut_1")
            pins = [PIN if number % 2 else WRONG for number in range(100)]
            tasks = [
                asyncio.create_task(hasher.verify(stored, pin, "aut_1", client=f"bank {number}"))
                for number, pin in enumerate(pins)
            ]
            await settle(*tasks)
            assert [task.done() for task in tasks] == [False] * 9 + [True] * 91
            assert all(isinstance(task.exception(), Overloaded) for task in tasks[9:])
            checks.may_go_on.set()
            assert await asyncio.gather(*tasks[:9]) == [YES if number % 2 else NO for number in range(9)]
            again = (hasher.verify(stored, PIN, "aut_1", client=f"bank {number}") for number in range(9))
            assert await asyncio.gather(*again) == [YES] * 9


async def test_the_loop_goes_on_while_pins_are_checked() -> None:
    """A hundred real checks, of which nine find a place: the loop turns all the time, none of them is lost."""
    async with hashing(None, most_waiting=8) as hasher:
        stored = await hasher.hash(PIN, "aut_1")
        tasks = [
            asyncio.create_task(hasher.verify(stored, PIN, "aut_1", client=f"bank {number}"))
            for number in range(100)
        ]
        turns = 0
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            turns += 1
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert turns > 200  # it is some ten when the checks hold the loop, or the GIL
    assert answers[:9] == [YES] * 9
    assert [type(answer) for answer in answers[9:]] == [Overloaded] * 91


async def test_whoever_stops_waiting_leaves_the_place_to_another(checks: Checks) -> None:
    """A cancelled check never reaches Argon2; one that is at work keeps its place until it ends."""
    async with hashing(most_waiting=1) as hasher:
        with checks.held():
            stored = await hasher.hash(PIN, "aut_1")
            at_work = asyncio.create_task(hasher.verify(stored, PIN, "aut_1"))
            await checks.arrive()
            waiting = asyncio.create_task(hasher.verify(None, PIN, "aut_1", client="other"))
            await settle(waiting)
            at_work.cancel()
            await settle(at_work)
            with pytest.raises(Overloaded):
                await hasher.verify(stored, PIN, "aut_1", client="third")
            waiting.cancel()
            await settle(waiting)
            next_one = asyncio.create_task(hasher.verify(stored, PIN, "aut_1", client="third"))
            await settle(next_one)
            assert not next_one.done()
            checks.may_go_on.set()
            assert await next_one == YES
            assert at_work.cancelled()
            assert waiting.cancelled()
    assert checks.by == [stored, stored]


async def test_places_come_back_after_errors() -> None:
    """A hash that cannot be read holds no place for ever."""
    async with hashing(most_waiting=0) as hasher:
        for _ in range(5):
            with pytest.raises(SealBroken):
                await hasher.verify("nothing", PIN, "aut_1")
        assert await hasher.verify(await hasher.hash(PIN, "aut_1"), PIN, "aut_1") == YES


async def test_as_many_are_at_work_as_there_are_threads(checks: Checks) -> None:
    """Two threads work on two PINs, and the third waits."""
    async with hashing(threads=2, most_waiting=1) as hasher:
        with checks.held():
            tasks = [
                asyncio.create_task(hasher.verify(None, PIN, "aut_1", client=f"bank {number}"))
                for number in range(4)
            ]
            await checks.arrive()
            await checks.arrive()
            await settle(*tasks)
            assert len(checks.by) == 2
            assert [task.done() for task in tasks] == [False, False, False, True]
            checks.may_go_on.set()
            assert await asyncio.gather(*tasks[:3]) == [NO] * 3
            assert isinstance(tasks[3].exception(), Overloaded)


async def test_one_client_leaves_half_of_the_places_to_the_others(checks: Checks) -> None:
    """However many PINs a client sends, another's find a place; together they have no more than there are."""
    async with hashing(most_waiting=7) as hasher:
        before = turned_away()
        with checks.held():
            busy = [asyncio.create_task(hasher.verify(None, PIN, "aut_1", client="busy")) for _ in range(20)]
            await settle(*busy)
            assert [task.done() for task in busy] == [False] * 4 + [True] * 16
            others = [
                asyncio.create_task(hasher.verify(None, PIN, "aut_2", client=f"bank {number}"))
                for number in range(6)
            ]
            await settle(*others)
            assert [task.done() for task in others] == [False] * 4 + [True] * 2
            checks.may_go_on.set()
            assert await asyncio.gather(*busy[:4], *others[:4]) == [NO] * 8
        assert all(isinstance(task.exception(), Overloaded) for task in busy[4:] + others[4:])
        assert {why: count - before[why] for why, count in turned_away().items()} == {
            "share": 16,
            "full": 2,
            "closed": 0,
        }
        again = (hasher.verify(None, PIN, "aut_1", client="busy") for _ in range(4))
        assert await asyncio.gather(*again) == [NO] * 4


def turned_away() -> dict[str, float]:
    """How many PINs this process has turned away, by why."""
    return {
        why: REGISTRY.get_sample_value("sca_pins_turned_away_total", {"why": why}) or 0.0
        for why in ("share", "full", "closed")
    }


async def test_a_client_that_is_done_is_forgotten() -> None:
    """Whoever calls under ever new names takes no memory."""
    async with hashing() as hasher:
        for number in range(5):
            await hasher.verify(None, PIN, "aut_1", client=f"bank {number}")
    assert not hasher._places._taken


async def test_nothing_is_hashed_before_the_first_pin(monkeypatch: pytest.MonkeyPatch) -> None:
    """A role that checks no PIN has nothing to pay; the first PIN, whoever's, has the stand-in made, once."""
    hashes: list[bytes] = []
    real = PasswordHasher.hash

    def hash_noted(argon2: PasswordHasher, presented: bytes) -> str:
        hashes.append(presented)
        return real(argon2, presented)

    monkeypatch.setattr(PasswordHasher, "hash", hash_noted)
    async with hashing() as hasher:
        assert hashes == []
        stored = await hasher.hash(PIN, "aut_1")
        assert len(hashes) == 2
        assert await hasher.verify(stored, PIN, "aut_1") == YES
        assert await hasher.verify(None, PIN, "aut_1") == NO
        assert len(hashes) == 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere threads have no priorities")
async def test_pins_give_way_to_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that checks has a lower priority than the one that answers, where they share a core."""
    priorities: list[int] = []
    real = PasswordHasher.verify

    def verify(argon2: PasswordHasher, stored: str, presented: bytes) -> bool:
        priorities.append(os.getpriority(os.PRIO_PROCESS, get_native_id()))
        return real(argon2, stored, presented)

    monkeypatch.setattr(PasswordHasher, "verify", verify)
    async with hashing() as hasher:
        await hasher.verify(None, PIN, "aut_1")
    assert priorities[0] > os.getpriority(os.PRIO_PROCESS, get_native_id())


async def test_closing_answers_everybody_who_waits_and_nobody_after(checks: Checks) -> None:
    """Nothing is lost at the end; what comes later is turned away, and closing twice does no harm."""
    hasher = PinHasher(PEPPER, SMALL)
    stored = await hasher.hash(PIN, "aut_1")
    with checks.held():
        tasks = [asyncio.create_task(hasher.verify(stored, PIN, "aut_1")) for _ in range(5)]
        await settle(*tasks)
        closing = asyncio.create_task(hasher.close())
        await asyncio.sleep(0.05)
        assert not closing.done()
    await closing
    assert await asyncio.gather(*tasks) == [YES] * 5
    for _ in range(40):  # more than there are places
        with pytest.raises(Overloaded, match="cannot be checked right now"):
            await hasher.verify(stored, PIN, "aut_1")
    await hasher.close()


def test_overloaded_is_a_503_that_says_when() -> None:
    """The API answers with Retry-After, in seconds."""
    answer = problem(Overloaded(), path="/v1/challenges", request_id="req_1")
    assert answer.status == 503
    assert ("Retry-After", "1") in answer.headers


@pytest.mark.parametrize(
    "changes",
    [
        *({"memory_kib": 7}, {"memory_kib": 15, "lanes": 2}, {"memory_kib": 256 * 1024 + 1}),
        *({"passes": 0}, {"passes": 17}, {"lanes": 0}, {"lanes": 5}),
        *({"salt_bytes": 7}, {"salt_bytes": 65}, {"hash_bytes": 3}, {"hash_bytes": 65}),
    ],
)
def test_parameters_out_of_bounds_are_refused_at_the_start(changes: dict[str, int]) -> None:
    """What Argon2 does not allow, and what a machine could not bear."""
    with pytest.raises(ConfigurationError):
        Argon2Parameters(**changes)


async def test_a_hash_with_the_longest_salt_and_tag_can_be_read() -> None:
    """The bounds of the parameters and of a kept hash agree."""
    async with hashing(
        Argon2Parameters(memory_kib=64, passes=16, lanes=4, salt_bytes=64, hash_bytes=64)
    ) as hasher:
        stored = await hasher.hash(PIN, "aut_1")
        assert len(stored) <= 206
        assert await hasher.verify(stored, PIN, "aut_1") == YES


def test_a_short_pepper_and_an_empty_pool_are_refused_at_the_start() -> None:
    """The service does not start with them."""
    with pytest.raises(ConfigurationError, match="pepper"):
        PinHasher(Secret(bytes(31)), SMALL)
    with pytest.raises(ConfigurationError, match="thread"):
        PinHasher(PEPPER, SMALL, threads=0)
    with pytest.raises(ConfigurationError, match="thread"):
        PinHasher(PEPPER, SMALL, most_waiting=-1)


def test_no_hash_is_shown() -> None:
    """A check may stand in a log line: it tells the answer, never the new hash."""
    assert repr(PinCheck(matches=True, rehashed="$argon2id$…")) == "PinCheck(matches=True)"
