"""The sandbox suppliers: each behaviour does to messages and receipts what its name says."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sca_service.delivery.supplier import FailureReason, Message, ReceiptStatus, Supplier, SupplierFailure
from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.money import Price
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel
from sca_service.policy.supply import NetworkPrice, PriceTier, SenderKind, SenderRule, SupplierRule
from sca_service.policy.template import Placeholder
from sca_service.sandbox.mailbox import MAILBOX_FILE, AsyncMailbox, Behaviour, Mailbox
from sca_service.sandbox.supplier.receipts import SandboxWords
from sca_service.sandbox.supplier.sender import ReceiptSender
from sca_service.sandbox.supplier.settings import usual_rules
from sca_service.sandbox.supplier.supplier import SandboxSupplier
from sca_service.sandbox.supplier.wire import ReceiptBody, ReplyBody
from tests.unit.sandbox.listener import KEY, NOW_MS, Listener, StoppedClock, listening

NUMBER = "+491713920001"
SOON = "2023-11-14T22:13:20.020Z"
RULES = {rule.channel: rule for rule in usual_rules()}
IN_TEXT = (Channel.SMS, Channel.RCS, Channel.WHATSAPP)


@dataclass
class Sandbox:
    """A mailbox, a listener in the place of the api, and suppliers between the two."""

    mailbox: AsyncMailbox
    receipts: ReceiptSender
    api: Listener

    def supplier(
        self,
        channel: Channel = Channel.SMS,
        *,
        rule: SupplierRule | None = None,
        segments: Callable[[str], int] = lambda _: 1,
    ) -> SandboxSupplier:
        """The sandbox supplier of a channel, or of a section."""
        return SandboxSupplier(
            rule or RULES[channel],
            mailbox=self.mailbox,
            receipts=self.receipts,
            clock=StoppedClock(),
            segments=segments,
        )

    async def arrived(self) -> list[str]:
        """The deliveries in the mailbox."""
        return [received.delivery_id for received in await self.mailbox.messages()]


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A fresh sandbox that ends with its test."""
    async with listening() as api:
        mailbox = AsyncMailbox(Mailbox(tmp_path / MAILBOX_FILE))
        receipts = ReceiptSender(api.url, secret=KEY, clock=StoppedClock(), backoff_seconds=0.001)
        yield Sandbox(mailbox, receipts, api)
        await receipts.close()
        await mailbox.close()


def message(delivery_id: str = "dlv_1", channel: Channel = Channel.SMS) -> Message:
    """A message to be sent."""
    return Message(delivery_id, channel, Secret(NUMBER), Secret("123456"), "de-DE")


@pytest.mark.parametrize("channel", Channel)
async def test_deliver(sandbox: Sandbox, channel: Channel) -> None:
    """Unscripted, a message arrives over every channel; a good receipt follows that the api's reader believes."""
    supplier: Supplier = sandbox.supplier(channel)
    await supplier.send(message(channel=channel))
    (received,) = await sandbox.mailbox.messages()
    assert (received.to.reveal(), received.text.reveal(), received.at_ms) == (NUMBER, "123456", NOW_MS)
    assert (received.supplier, received.channel, received.sender) == (f"sandbox-{channel}", channel, "")
    posted = await sandbox.api.next()
    status = ReceiptStatus.ANSWERED if channel is Channel.VOICE else ReceiptStatus.DELIVERED
    assert posted.path == f"/receipts/sandbox-{channel}"
    assert posted.headers["content-type"] == "application/json"
    assert posted.told == ReceiptBody("dlv_1", status, SOON)
    word = SandboxWords(supplier.name, secret=KEY, clock=StoppedClock()).read(posted.call)
    assert [(one.delivery_id, one.status, one.at_ms) for one in word.receipts] == [
        ("dlv_1", status, NOW_MS + 20)
    ]
    await supplier.close()


async def test_the_sender_shown_is_in_the_mailbox(sandbox: Sandbox) -> None:
    """What a handset would show above the text can be read where the text is."""
    sender = SenderRule("DE", Channel.SMS, "EXAMPLEBANK", SenderKind.ALPHANUMERIC)
    await sandbox.supplier().send(replace(message(), sender=sender))
    (received,) = await sandbox.mailbox.messages()
    assert received.sender == "EXAMPLEBANK"


async def test_a_second_supplier_of_a_channel_has_its_own_name_and_script(sandbox: Sandbox) -> None:
    """A section of the policy makes one more: its receipts come to its own URL, and it is scripted by itself."""
    second = sandbox.supplier(
        rule=replace(RULES[Channel.SMS], name="sandbox-sms-2", options={"receipt_delay_ms": 7})
    )
    await sandbox.mailbox.script("sandbox-sms", Behaviour.ERROR)
    await second.send(message())
    (received,) = await sandbox.mailbox.messages()
    posted = await sandbox.api.next()
    assert received.supplier == second.name == "sandbox-sms-2"
    assert (posted.path, posted.told.at) == ("/receipts/sandbox-sms-2", "2023-11-14T22:13:20.007Z")


async def test_a_section_with_an_unknown_option_makes_no_supplier(sandbox: Sandbox) -> None:
    """The worker does not start with it."""
    with pytest.raises(ConfigurationError):
        sandbox.supplier(rule=replace(RULES[Channel.SMS], options={"receipt_delay": 7}))


async def test_the_answer_tells_segments_and_cost(sandbox: Sandbox) -> None:
    """A text of three segments costs three times the price of one, and each message has its own reference."""
    supplier = sandbox.supplier(segments=lambda text: 3 if text == "123456" else 1)
    first, second = await supplier.send(message()), await supplier.send(message())
    assert (first.segments, first.cost) == (3, Price("EUR", 210_000))
    assert first.reference != second.reference


async def test_a_supplier_with_prices_in_the_policy_says_none_itself(sandbox: Sandbox) -> None:
    """What the policy has agreed on stands, with its tiers; the sandbox does not contradict it."""
    prices = (NetworkPrice("*", (PriceTier(0, 63_000),)),)
    supplier = sandbox.supplier(rule=replace(RULES[Channel.SMS], prices=prices))
    assert (await supplier.send(message())).cost is None


async def test_a_code_does_not_travel_by_email(sandbox: Sandbox) -> None:
    """An e-mail with a code is refused for good and reaches no mailbox (NIST SP 800-63B-4 section 3.1.3.1)."""
    supplier = sandbox.supplier(Channel.EMAIL)
    with_code = replace(message(channel=Channel.EMAIL), values={Placeholder.CODE: Secret("123456")})
    with pytest.raises(SupplierFailure) as failure:
        await supplier.send(with_code)
    assert (failure.value.reason, failure.value.transient) == (FailureReason.REJECTED, False)
    assert await sandbox.arrived() == []


@pytest.mark.parametrize("channel", Channel)
async def test_undelivered(sandbox: Sandbox, channel: Channel) -> None:
    """The message is taken and never arrives; the receipt comes after the scripted delay and says so."""
    supplier = sandbox.supplier(channel)
    await sandbox.mailbox.script(supplier.name, Behaviour.UNDELIVERED, delay_ms=1)
    await supplier.send(message(channel=channel))
    posted = await sandbox.api.next()
    status = ReceiptStatus.NO_ANSWER if channel is Channel.VOICE else ReceiptStatus.UNDELIVERED
    assert posted.told == ReceiptBody("dlv_1", status, "2023-11-14T22:13:20.001Z")
    assert await sandbox.arrived() == []


async def test_no_receipt(sandbox: Sandbox) -> None:
    """The message arrives, and no receipt is even waiting to be sent."""
    await sandbox.mailbox.script("sandbox-sms", Behaviour.NO_RECEIPT)
    await sandbox.supplier().send(message())
    assert await sandbox.arrived() == ["dlv_1"]
    assert sandbox.receipts.pending == 0


async def test_error(sandbox: Sandbox) -> None:
    """The message is refused for good: nothing arrives, no receipt follows, and the next one is taken."""
    await sandbox.mailbox.script("sandbox-sms", Behaviour.ERROR, next_count=1)
    supplier = sandbox.supplier()
    with pytest.raises(SupplierFailure) as failure:
        await supplier.send(message("dlv_1"))
    assert (failure.value.reason, failure.value.transient) == (FailureReason.REJECTED, False)
    assert sandbox.receipts.pending == 0
    await supplier.send(message("dlv_2"))
    assert await sandbox.arrived() == ["dlv_2"]


@pytest.mark.parametrize(("delay_ms", "retry_after_ms"), [(None, 1_000), (50, 50)])
async def test_throttle(sandbox: Sandbox, delay_ms: int | None, retry_after_ms: int) -> None:
    """The message was not taken and may be sent again, after the delay that the supplier asks for."""
    await sandbox.mailbox.script("sandbox-sms", Behaviour.THROTTLE, delay_ms=delay_ms)
    with pytest.raises(SupplierFailure) as failure:
        await sandbox.supplier().send(message())
    assert (failure.value.reason, failure.value.transient) == (FailureReason.SUPPLIER_DOWN, True)
    assert failure.value.retry_after_ms == retry_after_ms
    assert await sandbox.arrived() == []
    assert sandbox.receipts.pending == 0


async def test_timeout_lasts_until_the_caller_gives_up(sandbox: Sandbox) -> None:
    """The supplier never answers; when the caller's deadline cancels it, nothing has arrived."""
    await sandbox.mailbox.script("sandbox-sms", Behaviour.TIMEOUT)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await sandbox.supplier().send(message())
    assert await sandbox.arrived() == []
    assert sandbox.receipts.pending == 0


async def test_timeout_ends_by_itself_for_a_caller_without_a_deadline(sandbox: Sandbox) -> None:
    """After the delay even a patient caller is told that there was no answer."""
    await sandbox.mailbox.script("sandbox-sms", Behaviour.TIMEOUT, delay_ms=1)
    with pytest.raises(SupplierFailure) as failure:
        await sandbox.supplier().send(message())
    assert (failure.value.reason, failure.value.transient) == (FailureReason.TIMEOUT, False)
    assert await sandbox.arrived() == []


async def test_accepted_then_silent(sandbox: Sandbox) -> None:
    """The message arrives though the caller never hears so: no second try may follow, and a late receipt comes."""
    await sandbox.mailbox.script("sandbox-sms", Behaviour.ACCEPT_TIMEOUT, delay_ms=1)
    with pytest.raises(SupplierFailure) as failure:
        await sandbox.supplier().send(message())
    assert (failure.value.reason, failure.value.transient) == (FailureReason.TIMEOUT, False)
    assert await sandbox.arrived() == ["dlv_1"]
    assert (await sandbox.api.next()).told.status is ReceiptStatus.DELIVERED


async def test_accepted_then_silent_until_the_caller_gives_up(sandbox: Sandbox) -> None:
    """The caller's own deadline does not take the message back: it has arrived, and its receipt comes."""
    await sandbox.mailbox.script("sandbox-sms", Behaviour.ACCEPT_TIMEOUT)
    sending = asyncio.create_task(sandbox.supplier().send(message()))
    while not await sandbox.arrived():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.001)
    sending.cancel()  # as a deadline does
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert await sandbox.arrived() == ["dlv_1"]
    assert (await sandbox.api.next()).told.status is ReceiptStatus.DELIVERED


async def test_slow_takes_the_message_only_after_the_delay(sandbox: Sandbox) -> None:
    """With a delay that outlasts the test, the message is neither taken nor there."""
    await sandbox.mailbox.script("sandbox-sms", Behaviour.SLOW, delay_ms=600_000)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await sandbox.supplier().send(message())
    assert await sandbox.arrived() == []


async def test_slow_delivers_in_the_end(sandbox: Sandbox) -> None:
    """After its delay the message arrives, and a good receipt follows as soon as any other."""
    await sandbox.mailbox.script("sandbox-sms", Behaviour.SLOW, delay_ms=1)
    await sandbox.supplier().send(message())
    assert await sandbox.arrived() == ["dlv_1"]
    assert (await sandbox.api.next()).told == ReceiptBody("dlv_1", ReceiptStatus.DELIVERED, SOON)


async def test_early_receipt(sandbox: Sandbox) -> None:
    """The api has the receipt before the worker has the supplier's answer."""
    await sandbox.mailbox.script("sandbox-sms", Behaviour.EARLY_RECEIPT)
    await sandbox.supplier().send(message())
    assert sandbox.receipts.pending == 0
    assert sandbox.api.posted.get_nowait().told == ReceiptBody("dlv_1", ReceiptStatus.DELIVERED, SOON)


async def test_duplicate_receipt(sandbox: Sandbox) -> None:
    """One message arrives, and its receipt comes twice, word for word."""
    await sandbox.mailbox.script("sandbox-sms", Behaviour.DUPLICATE_RECEIPT)
    await sandbox.supplier().send(message())
    first, second = await sandbox.api.next(), await sandbox.api.next()
    assert first.told == second.told == ReceiptBody("dlv_1", ReceiptStatus.DELIVERED, SOON)
    assert await sandbox.arrived() == ["dlv_1"]


@pytest.mark.parametrize("channel", Channel)
async def test_decline(sandbox: Sandbox, channel: Channel) -> None:
    """The payer says no as the channel lets them: by a reply, by a key, on a device; by e-mail not at all."""
    supplier = sandbox.supplier(channel)
    await sandbox.mailbox.script(supplier.name, Behaviour.DECLINE, delay_ms=1)
    await supplier.send(message(channel=channel))
    told = (await sandbox.api.next()).told
    assert told.status is (ReceiptStatus.ANSWERED if channel is Channel.VOICE else ReceiptStatus.DELIVERED)
    assert told.declined is (channel in (Channel.VOICE, Channel.PUSH))
    assert told.reply == (ReplyBody(NUMBER, "NO") if channel in IN_TEXT else None)
    assert await sandbox.arrived() == ["dlv_1"]


async def test_a_damaged_mailbox_is_a_supplier_that_is_down(sandbox: Sandbox, tmp_path: Path) -> None:
    """The caller may try again later; the number and the text stay out of the failure."""
    with sqlite3.connect(tmp_path / MAILBOX_FILE) as vandal:
        vandal.execute("DROP TABLE messages")
    vandal.close()
    with pytest.raises(SupplierFailure) as failure:
        await sandbox.supplier().send(message())
    assert (failure.value.reason, failure.value.transient) == (FailureReason.SUPPLIER_DOWN, True)
    assert NUMBER not in str(failure.getrepr(style="native"))
    assert "123456" not in str(failure.getrepr(style="native"))


async def test_closing_cancels_what_waits_and_drops_what_comes_later(sandbox: Sandbox) -> None:
    """A worker that stops leaves no task behind and posts nothing more."""
    await sandbox.mailbox.script("sandbox-sms", Behaviour.DELIVER, delay_ms=600_000)
    supplier = sandbox.supplier()
    await supplier.send(message())
    assert sandbox.receipts.pending == 1
    await sandbox.receipts.close()
    assert sandbox.receipts.pending == 0
    with capture_logs() as logs:
        await supplier.send(message())
    assert sandbox.receipts.pending == 0
    assert [line["event"] for line in logs] == ["receipt.dropped"]
    assert sandbox.api.posted.empty()
