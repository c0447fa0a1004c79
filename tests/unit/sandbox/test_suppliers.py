"""The sandbox suppliers: each behaviour does to messages and receipts what its name says."""

import asyncio
import hmac
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from sca_service.delivery.supplier import (
    FailureReason,
    Message,
    Receipt,
    ReceiptStatus,
    Supplier,
    SupplierFailure,
)
from sca_service.kernel.errors import NotFound
from sca_service.kernel.money import Amount
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel
from sca_service.sandbox.mailbox import MAILBOX_FILE, AsyncMailbox, Behaviour, Mailbox
from sca_service.sandbox.suppliers import (
    RECEIPT_TRIES,
    SIGNATURE_HEADER,
    ReceiptBody,
    ReceiptSender,
    SandboxSupplier,
    signature,
    supplier_named,
    verify_signature,
)

KEY = Secret(b"an example key of the sandbox")
NUMBER = "+491713920001"
NOW_MS = 1_700_000_000_000
PATIENCE_SECONDS = 10


class StoppedClock:
    """A clock that shows one time."""

    def now_ms(self) -> int:
        """Always the same instant."""
        return NOW_MS


@dataclass
class Posted:
    """One request as it came over the wire."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def receipt(self) -> ReceiptBody:
        """The body read."""
        return msgspec.json.decode(self.body, type=ReceiptBody)


@dataclass
class Listener:
    """A small HTTP server: answers with the statuses it was given, then 204, and keeps what came."""

    statuses: list[int] = field(default_factory=list)
    posted: asyncio.Queue[Posted] = field(default_factory=asyncio.Queue)
    url: str = ""

    async def next(self) -> Posted:
        """The next request, once it is there."""
        return await asyncio.wait_for(self.posted.get(), PATIENCE_SECONDS)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request, keep it, answer it, and hang up."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.posted.put_nowait(Posted(request.split()[1], headers, body))
        status = self.statuses.pop(0) if self.statuses else 204
        writer.write(f"HTTP/1.1 {status} Status\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def listening(*statuses: int) -> AsyncIterator[Listener]:
    """A listener on a free port of the loopback interface."""
    listener = Listener(list(statuses))
    server = await asyncio.start_server(listener.answer, "127.0.0.1", 0)
    listener.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield listener
    finally:
        server.close()
        await server.wait_closed()


@dataclass
class Sandbox:
    """A mailbox, a listener in the place of the api, and suppliers between the two."""

    mailbox: AsyncMailbox
    receipts: ReceiptSender
    api: Listener

    def supplier(
        self, channel: Channel = Channel.SMS, segments: Callable[[str], int] = len
    ) -> SandboxSupplier:
        """The sandbox supplier of a channel."""
        return SandboxSupplier(
            channel, mailbox=self.mailbox, receipts=self.receipts, clock=StoppedClock(), segments=segments
        )

    async def arrived(self) -> list[str]:
        """The deliveries in the mailbox."""
        return [received.delivery_id for received in await self.mailbox.messages()]


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A fresh sandbox that ends with its test."""
    async with listening() as api:
        mailbox = AsyncMailbox(Mailbox(tmp_path / MAILBOX_FILE))
        receipts = ReceiptSender(api.url, KEY, backoff_seconds=0.001)
        yield Sandbox(mailbox, receipts, api)
        await receipts.close()
        await mailbox.close()


def message(delivery_id: str = "dlv_1", channel: Channel = Channel.SMS) -> Message:
    """A message to be sent."""
    return Message(delivery_id, channel, Secret(NUMBER), Secret("123456"), "de-DE")


@pytest.mark.parametrize(
    ("channel", "status"),
    [
        (Channel.SMS, ReceiptStatus.DELIVERED),
        (Channel.PUSH, ReceiptStatus.DELIVERED),
        (Channel.VOICE, ReceiptStatus.ANSWERED),
    ],
)
async def test_deliver(sandbox: Sandbox, channel: Channel, status: ReceiptStatus) -> None:
    """Unscripted, a message arrives and a good receipt follows, signed, at the supplier's own URL."""
    supplier: Supplier = sandbox.supplier(channel)
    await supplier.send(message(channel=channel))
    (received,) = await sandbox.mailbox.messages()
    assert (received.to.reveal(), received.text.reveal(), received.at_ms) == (NUMBER, "123456", NOW_MS)
    assert (received.supplier, received.channel) == (f"sandbox-{channel}", channel)
    posted = await sandbox.api.next()
    assert posted.path == f"/receipts/sandbox-{channel}"
    assert posted.headers["content-type"] == "application/json"
    assert posted.receipt == ReceiptBody("dlv_1", status, "2023-11-14T22:13:20.020Z")
    assert verify_signature(KEY, posted.body, posted.headers[SIGNATURE_HEADER.lower()])


async def test_the_answer_tells_segments_and_cost(sandbox: Sandbox) -> None:
    """A text of three segments costs three times the price of one, and each message has its own reference."""
    supplier = sandbox.supplier(segments=lambda text: 3 if text == "123456" else 1)
    first, second = await supplier.send(message()), await supplier.send(message())
    assert (first.segments, first.cost) == (3, Amount("EUR", 21))
    assert first.reference != second.reference


@pytest.mark.parametrize(
    ("channel", "status"),
    [
        (Channel.SMS, ReceiptStatus.UNDELIVERED),
        (Channel.PUSH, ReceiptStatus.UNDELIVERED),
        (Channel.VOICE, ReceiptStatus.NO_ANSWER),
    ],
)
async def test_undelivered(sandbox: Sandbox, channel: Channel, status: ReceiptStatus) -> None:
    """The message is taken and never arrives; the receipt comes after the scripted delay and says so."""
    supplier = sandbox.supplier(channel)
    await sandbox.mailbox.script(supplier.name, Behaviour.UNDELIVERED, delay_ms=1)
    await supplier.send(message(channel=channel))
    posted = await sandbox.api.next()
    assert posted.receipt == ReceiptBody("dlv_1", status, "2023-11-14T22:13:20.001Z")
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
    assert (failure.value.reason, failure.value.transient) == (FailureReason.TIMEOUT, True)
    assert await sandbox.arrived() == []


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
    posted = await sandbox.api.next()
    assert posted.receipt == ReceiptBody("dlv_1", ReceiptStatus.DELIVERED, "2023-11-14T22:13:20.020Z")


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


@pytest.mark.parametrize("name", ["sms", "sandbox-sms"])
def test_a_supplier_by_its_short_or_whole_name(name: str) -> None:
    """`sms` is short for `sandbox-sms`."""
    assert supplier_named(name) == "sandbox-sms"


@pytest.mark.parametrize("name", ["", "sandbox-", "sandbox-fax", "SMS", "sandbox-sandbox-sms"])
def test_a_supplier_that_does_not_exist(name: str) -> None:
    """Any other name is not found."""
    with pytest.raises(NotFound):
        supplier_named(name)


def test_the_signature_is_the_hmac_of_the_body() -> None:
    """Computed a second way, as whoever writes a receipt by hand would."""
    expected = hmac.new(b"an example key of the sandbox", b"{}", "sha256").hexdigest()
    assert signature(KEY, b"{}") == f"sha256={expected}"
    assert verify_signature(KEY, b"{}", f"sha256={expected}")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "sha256=",
        signature(KEY, b"{}").removeprefix("sha256="),
        signature(KEY, b"{}").upper(),
        signature(KEY, b"{ }"),
        signature(Secret(b"another key"), b"{}"),
        signature(KEY, b"{}") + "0",
        "sha256=ü",
        "sha256=\udcff",
    ],
)
def test_a_wrong_signature(header: str) -> None:
    """Another body, another key, and anything malformed are all refused without an error."""
    assert not verify_signature(KEY, b"{}", header)


async def test_a_receipt_is_sent_again_until_the_api_takes_it() -> None:
    """An api that fails or does not know the delivery yet gets the same receipt again."""
    async with listening(503, 404, 204) as api:
        receipts = ReceiptSender(api.url, KEY, backoff_seconds=0.001)
        assert await receipts.send(Receipt("sandbox-sms", "dlv_1", ReceiptStatus.DELIVERED, NOW_MS))
        posted = [await api.next() for _ in range(3)]
        assert len({each.body for each in posted}) == 1
        assert api.posted.empty()
        await receipts.close()


async def test_a_receipt_is_given_up_after_its_tries() -> None:
    """A bounded number of tries, then one log line that names the supplier but no delivery."""
    async with listening(*[500] * (RECEIPT_TRIES + 1)) as api:
        receipts = ReceiptSender(api.url, KEY, backoff_seconds=0.001)
        with capture_logs() as logs:
            assert not await receipts.send(Receipt("sandbox-sms", "dlv_1", ReceiptStatus.DELIVERED, NOW_MS))
        assert api.posted.qsize() == RECEIPT_TRIES
        assert logs == [
            {
                "event": "receipt.given_up",
                "log_level": "warning",
                "supplier": "sandbox-sms",
                "status": "delivered",
                "answer": "500",
            }
        ]
        await receipts.close()


async def test_a_proxy_of_the_machine_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Receipts reach the loopback interface whatever proxy the environment names."""
    async with listening() as proxy, listening() as api:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        receipts = ReceiptSender(api.url, KEY)
        assert await receipts.send(Receipt("sandbox-sms", "dlv_1", ReceiptStatus.DELIVERED, NOW_MS))
        assert (api.posted.qsize(), proxy.posted.qsize()) == (1, 0)
        await receipts.close()


async def test_an_api_that_is_away_is_no_error_of_the_supplier(sandbox: Sandbox) -> None:
    """The message is taken and arrives even though nobody listens for receipts."""
    async with listening() as gone:
        url = gone.url
    receipts = ReceiptSender(url, KEY, backoff_seconds=0.001)
    supplier = SandboxSupplier(
        Channel.SMS, mailbox=sandbox.mailbox, receipts=receipts, clock=StoppedClock(), segments=len
    )
    await supplier.send(message())
    assert await sandbox.arrived() == ["dlv_1"]
    with capture_logs() as logs:
        assert not await receipts.send(Receipt("sandbox-sms", "dlv_1", ReceiptStatus.DELIVERED, NOW_MS))
    assert "ConnectError" in {line["answer"] for line in logs}
    await receipts.close()


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


async def test_receipts_that_wait_are_bounded(sandbox: Sandbox) -> None:
    """Beyond ten thousand waiting receipts the next one is dropped and logged."""
    receipt = Receipt("sandbox-sms", "dlv_1", ReceiptStatus.DELIVERED, NOW_MS)
    with capture_logs() as logs:
        for _ in range(10_001):
            sandbox.receipts.send_later(receipt, 600_000)
    assert sandbox.receipts.pending == 10_000
    assert [line["event"] for line in logs] == ["receipt.dropped"]
