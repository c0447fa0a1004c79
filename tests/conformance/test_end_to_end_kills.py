"""`kill -9` of the worker while a real SMS centre has the message: none is lost, and at most one is sent twice.

Every cut ends with a challenge that is delivered or failed. What goes out again says so in the log: `try` is 2.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.conformance.end_to_end import LINE, SUPPLIER_SECRET, Run, running, smpp_section
from tests.faults.cuts import commits_held_back, end_lease, restart, scripts_held_back, state_of, until
from tests.harness import Bank
from tests.peers import node_module
from tests.peers.sms_centre import SmsCentre, sms_centre
from tests.ports import free_port

pytestmark = pytest.mark.race


@pytest.fixture(scope="module")
def port() -> int:
    """Where the SMS centre listens."""
    node_module("smpp")
    return free_port()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Run]:
    """The service; the one supplier is an SMS centre."""
    environ = {"SCA_SUPPLIER_CENTRE_PASSWORD": SUPPLIER_SECRET}
    with running(tmp_path_factory.mktemp("kills"), [smpp_section("centre", port)], ["sms"], environ) as run:
        yield run


@pytest.fixture
async def centre(port: int) -> AsyncIterator[SmsCentre]:
    """The SMS centre, once the service has bound to it."""
    async with sms_centre(port=port) as centre:
        await centre.next("bind")
        yield centre


@pytest.fixture
async def bank(run: Run) -> AsyncIterator[Bank]:
    """A bank that calls the service."""
    async with run.deployment.bank() as bank:
        yield bank


async def killed(run: Run, centre: SmsCentre) -> None:
    """End the worker at once, and start another; it is there when it has bound to the SMS centre."""
    run.worker.kill()
    await centre.next("closed")
    await started(run, centre)


async def started(run: Run, centre: SmsCentre) -> None:
    """Start the worker that was killed."""
    run.worker = restart(run.deployment, run.worker)
    await centre.next("bind")


async def test_killed_while_the_centre_holds_the_answer(run: Run, bank: Bank, centre: SmsCentre) -> None:
    """Nobody will ever know of the first message: it goes out once more, as try 2, and is delivered."""
    centre.answers_all = False
    challenge = (await bank.issue(**run.order("sms")))["id"]
    first = await centre.next("submit")
    await killed(run, centre)
    end_lease(run.deployment, challenge)
    second = await centre.next("submit")
    await centre.answer(second, id="5EC0")
    await centre.receipt(second, "5EC0")
    await ended(run, bank, centre, challenge, [first, second])


async def test_killed_after_the_answer_before_it_was_put_down(
    run: Run, bank: Bank, centre: SmsCentre
) -> None:
    """The centre took the message and the worker could not say so: one duplicate of the same text, as try 2."""
    centre.answers_all = False
    challenge = (await bank.issue(**run.order("sms")))["id"]
    first = await centre.next("submit")
    with scripts_held_back(run.deployment):
        await centre.answer(first, id="F135")
        await centre.do("enquire", session=first["session"])
        assert (await centre.next("enquired"))["status"] == 0  # so it has read the answer too
        run.worker.kill()
        await centre.next("closed")
    await started(run, centre)
    end_lease(run.deployment, challenge)
    second = await centre.next("submit")
    await centre.answer(second, id="5EC1")
    await centre.receipt(second | {"destination_addr": first["destination_addr"]}, "F135")
    await centre.receipt(second, "5EC1")
    await ended(run, bank, centre, challenge, [first, second])


async def test_killed_before_a_receipt_took_effect(run: Run, bank: Bank, centre: SmsCentre) -> None:
    """The centre's receipt was not answered, so it is told again: delivered, and nothing is sent twice."""
    challenge = (await bank.issue(**run.order("sms")))["id"]
    submit = await centre.next("submit")
    await bank.settled(challenge, status="sent")
    with scripts_held_back(run.deployment):
        await told(centre, submit)
        await centre.do("enquire", session=submit["session"])
        await centre.next("enquired")
        run.worker.kill()
        await centre.next("closed")
    assert not centre.has("delivered")
    await started(run, centre)
    assert (await bank.get(challenge))["deliveries"][0]["status"] == "sent"
    assert await centre.receipt(submit | {"session": await session(centre)}, submit["id"]) == 0
    await ended(run, bank, centre, challenge, [submit])


async def test_killed_between_a_receipt_and_its_record(run: Run, bank: Bank, centre: SmsCentre) -> None:
    """Decided but not on record, and not answered: the next worker puts it on record, once, though told again."""
    challenge = (await bank.issue(**run.order("sms")))["id"]
    submit = await centre.next("submit")
    await bank.settled(challenge, status="sent")
    await run.events(challenge, "delivery.settled")
    async with commits_held_back(run.deployment):
        await told(centre, submit)

        async def decided() -> bool:
            return state_of(run.deployment, challenge).deliveries[-1].status == "delivered"

        await until(decided, "the receipt took effect")
        assert not centre.has("delivered")
        run.worker.kill()
        await centre.next("closed")
    await started(run, centre)
    assert await centre.receipt(submit | {"session": await session(centre)}, submit["id"]) == 0
    await ended(run, bank, centre, challenge, [submit])
    settled = await run.events(challenge, "delivery.settled", count=2)
    assert sorted(event["status"] for event in settled) == ["delivered", "sent"]


@pytest.mark.long
async def test_killed_amid_many_messages(run: Run, bank: Bank, centre: SmsCentre) -> None:
    """Half of them were just answered: all are delivered, none comes more often than the log says, or thrice."""
    centre.answers_all = False
    phones = [f"+49{LINE}{number:03d}" for number in range(24)]
    orders = [run.order("sms", psu=run.psu(phone=phone)) for phone in phones]
    challenges = [one["id"] for one in await asyncio.gather(*(bank.issue(**order) for order in orders))]
    submits = [await centre.next("submit") for _ in phones]
    for number, submit in enumerate(submits[::2]):
        submit["id"] = f"AAAA{number:04X}"
        await centre.answer(submit, id=submit["id"])
    await killed(run, centre)
    for challenge in challenges:
        end_lease(run.deployment, challenge)
    newest = await session(centre)
    for submit in submits[::2]:
        await centre.receipt(submit | {"session": newest}, submit["id"])
    delivering = asyncio.create_task(_deliver(centre, submits))
    try:
        for challenge in challenges:
            await bank.settled(challenge)
    finally:
        delivering.cancel()
    for phone, challenge in zip(phones, challenges, strict=True):
        mine = [submit for submit in submits if submit["destination_addr"] == phone[1:]]
        assert len({submit["text"] for submit in mine}) == 1
        assert await run.tries(challenge, count=len(mine)) in ([1], [1, 2])
        await run.approve(bank, challenge, mine[0]["text"])
    assert len(phones) < len(submits) <= 2 * len(phones)


async def _deliver(centre: SmsCentre, submits: list[dict[str, Any]]) -> None:
    """Take every message that comes, and tell that it arrived."""
    while True:
        submit = await centre.next("submit")
        submits.append(submit)
        reference = f"BBBB{len(submits):04X}"
        await centre.answer(submit, id=reference)
        await centre.receipt(submit, reference)


async def session(centre: SmsCentre) -> int:
    """The connection of the worker that runs now."""
    await centre.do("sessions")
    return int((await centre.next("sessions"))["sessions"][-1])


async def test_killed_again_and_again(run: Run, bank: Bank, centre: SmsCentre) -> None:
    """A message whose worker dies at each try is given up after three; it may be there, so its code counts."""
    centre.answers_all = False
    challenge = (await bank.issue(**run.order("sms")))["id"]
    submits = []
    for _ in range(3):
        submits.append(await centre.next("submit"))
        await killed(run, centre)
        end_lease(run.deployment, challenge)
    body = await bank.settled(challenge, status="failed")
    assert (body["status"], body["deliveries"][0]["reason"]) == ("pending", "worker_lost")
    assert await run.tries(challenge, count=3) == [1, 2, 3]
    await run.approve(bank, challenge, submits[0]["text"])
    assert not centre.has("submit")


async def told(centre: SmsCentre, submit: dict[str, Any]) -> None:
    """Send a receipt, without waiting for the answer."""
    fields = {
        "source_addr": submit["destination_addr"],
        "destination_addr": submit["source_addr"],
        "esm_class": 4,
        "short_message": f"id:{submit['id']} sub:001 dlvrd:001 submit date:2611221015 done date:2611221016 "
        "stat:DELIVRD err:000 text:Your",
    }
    await centre.do("deliver", session=submit["session"], label="", fields=fields)


async def ended(
    run: Run, bank: Bank, centre: SmsCentre, challenge: str, submits: list[dict[str, Any]]
) -> None:
    """Delivered with these messages and no others, each marked with its try; and the code in them is approved."""
    (delivery,) = (await bank.settled(challenge))["deliveries"]
    assert delivery["supplier"] == "centre"
    assert len({submit["text"] for submit in submits}) == 1
    assert await run.tries(challenge, count=len(submits)) == list(range(1, len(submits) + 1))
    await run.approve(bank, challenge, submits[0]["text"])
    assert not centre.has("submit")
