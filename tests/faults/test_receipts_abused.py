"""Receipts that are lost, late, early, repeated, forged or another's, and suppliers that lie: no challenge is lost.

Two suppliers carry text messages here, and a payment may go over RCS and WhatsApp too.
"""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from sca_service.sandbox.supplier.wire import FRESH_MS
from sca_service.settings import shipped_policies
from tests.faults.checker import events_of, violations
from tests.faults.cuts import await_started, end_lease, restart, stopped, until
from tests.harness import Bank, Deployment, code_in, unique_psu
from tests.signed import body_of, now_ms, post_receipt

pytestmark = pytest.mark.race

SUPPLIERS = ("sandbox-sms", "sandbox-sms-2")
SMS_THEN_VOICE = [{"channel": "sms", "timeout_s": 300}, {"channel": "voice"}]
_SECOND = """
[sandbox-sms-2]
kind = "sandbox"
channel = "sms"
countries = []
currency = "EUR"
prices = [{ network = "*", from_messages = 0, price_micros = 90_000 }]
"""
_LADDER = """steps = [
    { channel = "rcs", timeout_seconds = 20, until = "delivered" },
    { channel = "whatsapp", timeout_seconds = 20, until = "delivered" },
    { channel = "sms", timeout_seconds = 45, until = "delivered" },
    { channel = "voice", until = "delivered" },
]"""


def _policies(folder: Path) -> Path:
    """The shipped policies, with a second supplier of text messages and a longer ladder for payments."""
    shutil.copytree(shipped_policies(), folder)
    suppliers = folder / "suppliers.toml"
    suppliers.write_text(_SECOND + suppliers.read_text("utf-8"), "utf-8")
    ladder = folder / "ladder.toml"
    before, payment = ladder.read_text("utf-8").split("[payment]")
    payment = re.sub(r"steps = \[.*?^\]", _LADDER, payment, count=1, flags=re.DOTALL | re.MULTILINE)
    ladder.write_text(f"{before}[payment]{payment}", "utf-8")
    return folder


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The whole service, with these policies."""
    folder = tmp_path_factory.mktemp("sca")
    deployment = Deployment(folder, policies=_policies(folder / "policies"))
    deployment.start_stores()
    try:
        deployment.start_all()
        for role in deployment.roles:
            await_started(deployment, role)
        yield deployment
    finally:
        deployment.stop()


@pytest.fixture
async def bank(deployment: Deployment) -> AsyncIterator[Bank]:
    """A bank; when the test is over, every supplier delivers again and everything holds together."""
    async with deployment.bank() as bank:
        yield bank
        for name in (*SUPPLIERS, "voice", "rcs", "whatsapp"):
            await bank.script(name, "deliver")
    assert await violations(deployment) == []


async def test_word_of_the_other_supplier_of_the_channel(bank: Bank, deployment: Deployment) -> None:
    """Of two suppliers of text messages only the one that was given the message can say what became of it."""
    challenge, delivery, supplier = await _waiting(bank)
    (other,) = set(SUPPLIERS) - {supplier}
    before = await bank.get(challenge)
    for status in ("undelivered", "delivered"):
        await post_receipt(bank, deployment, body_of(delivery, status), supplier=other)
    assert await bank.get(challenge) == before
    assert await post_receipt(bank, deployment, body_of(delivery, "delivered"), supplier=supplier) == 204
    assert (await bank.get(challenge))["deliveries"][0]["status"] == "delivered"


async def test_throttled_supplier_gives_way_to_the_other(bank: Bank, deployment: Deployment) -> None:
    """The first wants fewer messages: the same delivery goes to the second, and the first has no say in it."""
    usual = (await _delivered(bank))["supplier"]
    (other,) = set(SUPPLIERS) - {usual}
    await bank.script(usual, "throttle", delay_ms=100)
    await bank.script(other, "no_receipt")
    psu = unique_psu()
    issued = await bank.issue(psu=psu, channels=SMS_THEN_VOICE)
    challenge = await bank.settled(issued["id"], status="sent")
    (delivery,) = challenge["deliveries"]
    assert delivery["supplier"] == other
    await post_receipt(bank, deployment, body_of(delivery["id"]), supplier=usual)
    assert (await bank.get(issued["id"]))["deliveries"][0]["status"] == "sent"
    assert len(await bank.messages(psu["phone"])) == 1
    assert (await bank.verify(issued["id"], await bank.code(psu["phone"])))["outcome"] == "approved"


async def test_accepted_then_silent_is_not_given_to_the_other(bank: Bank, deployment: Deployment) -> None:
    """A supplier that may have taken the message: none other of its channel gets it, the next channel does, once."""
    for name in SUPPLIERS:
        await bank.script(name, "accept_timeout", delay_ms=0)
    psu = unique_psu()
    issued = await bank.issue(psu=psu, channels=SMS_THEN_VOICE)
    challenge = await bank.settled(issued["id"], status="answered")
    messages = await bank.messages(psu["phone"])
    assert [message["channel"] for message in messages] == ["sms", "voice"]
    assert await _attempts(deployment, issued["id"]) == [("sms", 1), ("voice", 1)]
    assert challenge["status"] == "pending"
    assert len({code_in(message["text"]) for message in messages}) == 1
    assert (await bank.verify(issued["id"], code_in(messages[0]["text"])))["outcome"] == "approved"


@pytest.mark.long
async def test_accepted_and_never_answered(bank: Bank, deployment: Deployment) -> None:
    """Nothing comes back within the worker's ten seconds though the message arrived: the next channel, and no third."""
    for name in SUPPLIERS:
        await bank.script(name, "accept_timeout", next=1)
    psu = unique_psu()
    issued = await bank.issue(psu=psu, channels=SMS_THEN_VOICE)
    await bank.settled(issued["id"], status="answered")
    assert [message["channel"] for message in await bank.messages(psu["phone"])] == ["sms", "voice"]
    assert await _attempts(deployment, issued["id"]) == [("sms", 1), ("voice", 1)]


@pytest.mark.parametrize("word", ["delivered", "undelivered"])
async def test_late_receipt_sends_nothing(bank: Bank, deployment: Deployment, word: str) -> None:
    """The ladder has gone on by time when the first channel's receipt comes: it is put down, and nothing is sent."""
    for name in SUPPLIERS:
        await bank.script(name, "no_receipt")
    psu = unique_psu()
    ladder = [{"channel": "sms", "timeout_s": 1}, {"channel": "voice"}]
    issued = await bank.issue(psu=psu, channels=ladder)
    stepped = await bank.settled(issued["id"], status="answered")
    late = stepped["deliveries"][0]
    for _ in range(2):
        await post_receipt(bank, deployment, body_of(late["id"], word), supplier=late["supplier"])
    challenge = await bank.get(issued["id"])
    assert [one["status"] for one in challenge["deliveries"]] == [word, "answered"]
    assert challenge["status"] == "pending"
    assert len(await bank.messages(psu["phone"])) == 2


async def test_bad_receipt_many_times_at_once_steps_on_once(bank: Bank, deployment: Deployment) -> None:
    """Ten copies of `undelivered` at the same time: one step, one further message, one event."""
    challenge, delivery, supplier = await _waiting(bank)
    answered = await asyncio.gather(
        *(post_receipt(bank, deployment, body_of(delivery), supplier=supplier) for _ in range(10))
    )
    body = await bank.settled(challenge, status="answered")
    assert set(answered) == {204}
    assert [one["channel"] for one in body["deliveries"]] == ["sms", "voice"]
    settled = [one for one in await events_of(deployment, challenge) if one["type"] == "delivery.settled"]
    of_this = [one["status"] for one in settled if one["delivery"] == delivery]
    assert sorted(of_this) == ["sent", "undelivered"]


async def test_storm_of_receipts_while_the_payer_answers(bank: Bank, deployment: Deployment) -> None:
    """Forged, replayed, unknown, another's and genuine receipts at once with the answer: approved, once."""
    challenge, delivery, supplier = await _waiting(bank)
    (other,) = set(SUPPLIERS) - {supplier}
    bad, good, unknown = body_of(delivery), body_of(delivery, "delivered"), body_of("dlv_" + "0" * 40)
    old = now_ms() - FRESH_MS - 5_000
    (text,) = [
        message["text"]
        for message in (await bank.http.get("/sandbox/messages")).json()["data"]
        if message["delivery"] == delivery
    ]
    code = code_in(text)

    async def forged() -> int:
        return await post_receipt(bank, deployment, bad, supplier=supplier, key="another channel")

    async def replayed() -> int:
        return await post_receipt(bank, deployment, bad, supplier=supplier, at_ms=old)

    async def genuine() -> int:
        return await post_receipt(bank, deployment, good, supplier=supplier)

    async def of_nothing() -> int:
        return await post_receipt(bank, deployment, unknown, supplier=supplier)

    async def of_another() -> int:
        return await post_receipt(bank, deployment, bad, supplier=other)

    async def answer() -> int:
        return (await bank.answer(challenge, code)).status_code

    once = (forged, replayed, genuine, of_nothing, of_another, answer)
    statuses = await asyncio.gather(*(call() for call in once * 8))
    body = await bank.get(challenge)
    assert statuses[:5] == [401, 401, 204, 404, statuses[4]]
    assert statuses[4] < 500
    assert set(statuses[5::6]) == {200}
    assert body["status"] == "approved"
    assert [one["status"] for one in body["deliveries"]] == ["delivered"]


@pytest.mark.parametrize("channel", ["rcs", "whatsapp", "sms"])
async def test_payer_replies_no(bank: Bank, deployment: Deployment, channel: str) -> None:
    """The reply finds the payer's challenge by the number it comes from: declined, and nothing further is sent."""
    for name in SUPPLIERS if channel == "sms" else (channel,):
        await bank.script(name, "decline")
    psu = unique_psu()
    ladder = [{"channel": channel, "timeout_s": 60}, {"channel": "voice"}]
    issued = await bank.issue(psu=psu, channels=ladder)
    await bank.reached(issued["id"], "declined")
    (message,) = await bank.messages(psu["phone"])
    assert message["channel"] == channel
    assert (await bank.verify(issued["id"], code_in(message["text"])))["outcome"] == "declined"


async def test_worker_killed_between_the_early_receipt_and_the_answer(
    bank: Bank, deployment: Deployment
) -> None:
    """The receipt is there, the supplier's answer never comes: nobody sends it again."""
    for name in SUPPLIERS:
        await bank.script(name, "early_receipt", delay_ms=60_000, next=1)
    psu = unique_psu()
    issued = await bank.issue(psu=psu, channels=SMS_THEN_VOICE)
    await bank.settled(issued["id"])
    worker = next(role for role in deployment.roles if role.name == "worker")
    worker.kill()
    restart(deployment, worker)
    end_lease(deployment, issued["id"])
    await _delivered(bank)  # by then the new worker has looked at what was due
    assert [one["status"] for one in (await bank.get(issued["id"]))["deliveries"]] == ["delivered"]
    assert len(await bank.messages(psu["phone"])) == 1
    assert await _attempts(deployment, issued["id"]) == [("sms", 1)]


async def test_receipt_outlasts_a_killed_api(bank: Bank, deployment: Deployment) -> None:
    """No api is there when the receipt comes: the supplier tells it again, and it is put down."""
    for name in SUPPLIERS:
        await bank.script(name, "deliver", delay_ms=300)
    psu = unique_psu()
    issued = await bank.issue(psu=psu, channels=SMS_THEN_VOICE)
    await bank.message(psu["phone"])
    api = deployment.api
    api.kill()
    restart(deployment, api)
    challenge = await bank.settled(issued["id"])
    assert len(challenge["deliveries"]) == len(await bank.messages(psu["phone"])) == 1


async def test_receipt_while_redis_is_away_is_taken_afterwards(bank: Bank, deployment: Deployment) -> None:
    """A receipt that cannot be put down is 503, so that the supplier repeats it; then it counts."""
    challenge, delivery, supplier = await _waiting(bank)
    body = body_of(delivery, "delivered")
    with stopped(deployment.servers.valkey.pid):
        assert await post_receipt(bank, deployment, body, supplier=supplier) == 503

    async def taken() -> bool:
        return await post_receipt(bank, deployment, body, supplier=supplier) == 204

    await until(taken, "the receipt is taken")
    assert (await bank.get(challenge))["deliveries"][0]["status"] == "delivered"


async def _waiting(bank: Bank) -> tuple[str, str, str]:
    """A challenge, its delivery and who carries it: sent, and without a receipt."""
    for name in SUPPLIERS:
        await bank.script(name, "no_receipt")
    issued = await bank.issue(channels=SMS_THEN_VOICE)
    (delivery,) = (await bank.settled(issued["id"], status="sent"))["deliveries"]
    return issued["id"], delivery["id"], delivery["supplier"]


async def _delivered(bank: Bank) -> Any:
    """A delivery by text message to somebody else, delivered."""
    return (await bank.settled((await bank.issue(channels=SMS_THEN_VOICE))["id"]))["deliveries"][0]


async def _attempts(deployment: Deployment, challenge: str) -> list[tuple[str, int]]:
    """Every attempt on record: channel and try, in the ladder's order."""
    events = await events_of(deployment, challenge)
    attempts = [one for one in events if one["type"] == "delivery.attempted"]
    return [(one["channel"], one["try"]) for one in sorted(attempts, key=lambda one: one["at_ms"])]
