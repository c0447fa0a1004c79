"""The sandbox's suppliers: they do as scripted with a message and send signed receipts over HTTP."""

import asyncio
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import httpx
import msgspec
import structlog

from sca_service.delivery.supplier import (
    Accepted,
    FailureReason,
    Message,
    Receipt,
    ReceiptStatus,
    SupplierFailure,
)
from sca_service.kernel.clock import Clock, timestamp
from sca_service.kernel.errors import InvalidInput, NotFound, StoreUnavailable, Unauthorized
from sca_service.kernel.ids import new_id
from sca_service.kernel.money import Amount
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel
from sca_service.sandbox.mailbox import AsyncMailbox, Behaviour, Instruction

SIGNATURE_HEADER = "Sandbox-Signature"
RECEIPT_TRIES = 6
RECEIPT_DEADLINE_SECONDS = 5.0
RECEIPT_CONNECTIONS = 8
PENDING_RECEIPTS = 10_000
RECEIPT_DELAY_MS = 20

_USUAL_DELAY_MS: Final = {Behaviour.SLOW: 2_000, Behaviour.TIMEOUT: 60_000}
_PRICE_MINOR: Final = {Channel.SMS: 7, Channel.VOICE: 12, Channel.PUSH: 1}
_RECEIPTS: Final = {
    Channel.SMS: (ReceiptStatus.DELIVERED, ReceiptStatus.UNDELIVERED),
    Channel.VOICE: (ReceiptStatus.ANSWERED, ReceiptStatus.NO_ANSWER),
    Channel.PUSH: (ReceiptStatus.DELIVERED, ReceiptStatus.UNDELIVERED),
}

_log = structlog.get_logger()


class ReceiptBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sandbox receipt on the wire.

    `{"delivery": "dlv_…", "status": "delivered", "at": "2026-11-22T10:15:00.123Z"}`
    """

    delivery: str
    status: ReceiptStatus
    at: str


def supplier_name(channel: Channel) -> str:
    """The sandbox supplier of a channel: `sandbox-sms`, `sandbox-voice`, `sandbox-push`."""
    return f"sandbox-{channel}"


def supplier_named(name: str) -> str:
    """The whole name of a sandbox supplier: `sms` is short for `sandbox-sms`. Raises NotFound."""
    for channel in Channel:
        if name in (channel, supplier_name(channel)):
            return supplier_name(channel)
    raise NotFound


def signature(secret: Secret[bytes], body: bytes) -> str:
    """The value of the `Sandbox-Signature` header: `sha256=` and the body's HMAC-SHA256 in hexadecimal."""
    return "sha256=" + hmac.digest(secret.reveal(), body, "sha256").hex()


def verify_signature(secret: Secret[bytes], body: bytes, header: str) -> bool:
    """Whether the header signs exactly these bytes; constant in time, and False for anything malformed."""
    return hmac.compare_digest(signature(secret, body).encode(), header.encode(errors="replace"))


class ReceiptSender:
    """Posts receipts to `{api_url}/receipts/{supplier}`, signed; owns the tasks of those still to be sent.

    Each is tried six times, waiting 0.2, 0.4, 0.8, … seconds in between, so it outlasts a restart of the api;
    then it is given up with a log line. At most 10,000 wait at a time; more are dropped with a log line.
    """

    def __init__(self, api_url: str, secret: Secret[bytes], *, backoff_seconds: float = 0.2) -> None:
        self._secret = secret
        self._backoff_seconds = backoff_seconds
        self._tasks: set[asyncio.Task[bool]] = set()
        self._closed = False
        self._client = httpx.AsyncClient(
            base_url=api_url,
            timeout=RECEIPT_DEADLINE_SECONDS,
            limits=httpx.Limits(max_connections=RECEIPT_CONNECTIONS),
            trust_env=False,  # a proxy of the machine does not reach its loopback
        )

    @property
    def pending(self) -> int:
        """How many receipts are still to be sent."""
        return len(self._tasks)

    def send_later(self, receipt: Receipt, delay_ms: int) -> None:
        """Send a receipt in the background after a delay; dropped once closed, or when too many wait."""
        if self._closed or len(self._tasks) >= PENDING_RECEIPTS:
            _log.warning("receipt.dropped", supplier=receipt.supplier, status=receipt.status)
            return
        task = asyncio.create_task(self._send_after(delay_ms, receipt))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def send(self, receipt: Receipt) -> bool:
        """Send a receipt now, again and again if need be; tells whether the api took it."""
        body = msgspec.json.encode(ReceiptBody(receipt.delivery_id, receipt.status, timestamp(receipt.at_ms)))
        answer = ""
        for attempt in range(RECEIPT_TRIES):
            if attempt:
                await asyncio.sleep(self._backoff_seconds * 2 ** (attempt - 1))
            answer = await self._post(receipt.supplier, body)
            if not answer:
                return True
        _log.warning("receipt.given_up", supplier=receipt.supplier, status=receipt.status, answer=answer)
        return False

    async def close(self) -> None:
        """Cancel what is still to be sent, wait for it to end, and close the connections."""
        self._closed = True
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()

    async def _post(self, supplier: str, body: bytes) -> str:
        """Nothing when the api took it, else what went wrong."""
        headers = {"Content-Type": "application/json", SIGNATURE_HEADER: signature(self._secret, body)}
        try:
            response = await self._client.post(f"/receipts/{supplier}", content=body, headers=headers)
        except httpx.HTTPError as error:
            return type(error).__name__
        return "" if response.is_success else str(response.status_code)

    async def _send_after(self, delay_ms: int, receipt: Receipt) -> bool:
        await asyncio.sleep(delay_ms / 1000)
        return await self.send(receipt)


class SandboxSupplier:
    """Carries one channel's messages into the mailbox, or does what else the mailbox's script says."""

    def __init__(
        self,
        channel: Channel,
        *,
        mailbox: AsyncMailbox,
        receipts: ReceiptSender,
        clock: Clock,
        segments: Callable[[str], int],
    ) -> None:
        """`segments` counts the parts in which this channel carries a text."""
        self.channel = channel
        self.name = supplier_name(channel)
        self._mailbox = mailbox
        self._receipts = receipts
        self._clock = clock
        self._segments = segments

    async def send(self, message: Message) -> Accepted:
        """Behave as scripted, see Behaviour. Raises SupplierFailure; a mailbox away is a supplier down."""
        try:
            instruction = await self._mailbox.take_behaviour(self.name)
            await self._refuse_or_wait(instruction)
            if instruction.behaviour is not Behaviour.UNDELIVERED:
                await self._mailbox.put(message, self.name, self._clock.now_ms())
        except StoreUnavailable as error:
            raise SupplierFailure(FailureReason.SUPPLIER_DOWN, transient=True) from error
        self._announce(message.delivery_id, instruction)
        segments = self._segments(message.text.reveal())
        return Accepted(new_id("sandbox"), segments, Amount("EUR", segments * _PRICE_MINOR[self.channel]))

    async def _refuse_or_wait(self, instruction: Instruction) -> None:
        behaviour = instruction.behaviour
        if behaviour is Behaviour.ERROR:
            raise SupplierFailure(FailureReason.REJECTED, transient=False)
        if behaviour in _USUAL_DELAY_MS:
            delay_ms = _USUAL_DELAY_MS[behaviour] if instruction.delay_ms is None else instruction.delay_ms
            await asyncio.sleep(delay_ms / 1000)
        if behaviour is Behaviour.TIMEOUT:
            raise SupplierFailure(FailureReason.TIMEOUT, transient=True)

    def _announce(self, delivery_id: str, instruction: Instruction) -> None:
        behaviour, delay_ms = instruction.behaviour, instruction.delay_ms
        if behaviour is Behaviour.NO_RECEIPT:
            return
        if delay_ms is None or behaviour is Behaviour.SLOW:  # its delay went by before it took the message
            delay_ms = RECEIPT_DELAY_MS
        good, bad = _RECEIPTS[self.channel]
        status = bad if behaviour is Behaviour.UNDELIVERED else good
        receipt = Receipt(self.name, delivery_id, status, self._clock.now_ms() + delay_ms)
        self._receipts.send_later(receipt, delay_ms)


class SandboxReceiptReader:
    """Reads the receipts that `ReceiptSender` sends. A class because it holds the shared key."""

    def __init__(self, secret: Secret[bytes]) -> None:
        self._secret = secret

    def read(self, supplier: str, headers: Mapping[str, str], body: bytes) -> Receipt:
        """The receipt in a request. Raises Unauthorized for a wrong signature, InvalidInput for a wrong shape."""
        if not verify_signature(self._secret, body, headers.get(SIGNATURE_HEADER.lower(), "")):
            raise Unauthorized("the receipt is not signed by the sandbox")
        try:
            receipt = msgspec.json.decode(body, type=ReceiptBody)
            at_ms = int(datetime.fromisoformat(receipt.at).timestamp() * 1000)
        except (msgspec.DecodeError, ValueError) as error:
            raise InvalidInput.at("", "is not a sandbox receipt") from error
        return Receipt(supplier, receipt.delivery, receipt.status, at_ms)
