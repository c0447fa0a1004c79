"""Turns: long work in stretches, one in a round of the event loop, none while a prompt request is under way."""

import asyncio

from sca_service.kernel.turns import Turns

FOREVER = 3_600.0


async def rounds(count: int) -> None:
    """Let the event loop go round so often."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_two_who_work_long_take_turns() -> None:
    """Neither has two stretches in a row while the other waits, and each round of the loop has one at most."""
    turns, worked, rounds_gone = Turns(), list[tuple[str, int]](), 0

    async def work(name: str) -> None:
        for _ in range(5):
            await turns.turn()
            worked.append((name, rounds_gone))

    async def count() -> None:
        nonlocal rounds_gone
        while len(worked) < 15:
            rounds_gone += 1
            await asyncio.sleep(0)

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(count())
        for name in "abc":
            tasks.create_task(work(name))
    assert [name for name, _ in worked] == ["a", "b", "c"] * 5
    assert len({at for _, at in worked}) == 15


async def test_no_stretch_begins_while_a_prompt_request_is_under_way() -> None:
    """Not after the first of two has been answered, but after the last."""
    turns = Turns(patience_seconds=FOREVER)
    with turns.promptly():
        with turns.promptly():
            waits = asyncio.create_task(turns.turn())
            await rounds(20)
            assert not waits.done()
        await rounds(20)
        assert not waits.done()
    async with asyncio.timeout(60):
        await waits


async def test_a_request_that_fails_holds_nobody_up() -> None:
    """What was raised of it is passed on, and it is over."""
    turns = Turns(patience_seconds=FOREVER)
    try:
        with turns.promptly():
            raise LookupError
    except LookupError:
        async with asyncio.timeout(60):
            await turns.turn()


async def test_patience_ends() -> None:
    """Where somebody is always to be answered, long work goes on all the same."""
    turns = Turns(patience_seconds=0.001)
    with turns.promptly():
        async with asyncio.timeout(60):
            await turns.turn()
            await turns.turn()


async def test_who_gives_up_waiting_leaves_the_turn_to_the_next() -> None:
    """A caller that is cut off while it waits takes no turn with it."""
    turns = Turns(patience_seconds=FOREVER)
    with turns.promptly():
        first, second = asyncio.create_task(turns.turn()), asyncio.create_task(turns.turn())
        await rounds(5)
        first.cancel()
        await rounds(5)
        assert first.cancelled() and not second.done()
    async with asyncio.timeout(60):
        await second
