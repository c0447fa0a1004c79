"""Sends what sandbox suppliers tell later over HTTP, signed, again and again until the api takes it."""

import asyncio

import httpx2
import msgspec
import structlog

from sca_service.kernel.clock import Clock
from sca_service.kernel.secret import Secret
from sca_service.sandbox.supplier.wire import SIGNATURE_HEADER, ReceiptBody, signature

RECEIPT_TRIES = 6
RECEIPT_DEADLINE_SECONDS = 5.0
RECEIPT_CONNECTIONS = 8
PENDING_RECEIPTS = 10_000

_log = structlog.get_logger()


class ReceiptSender:
    """Posts call-backs to `{api_url}/receipts/{supplier}`; owns the tasks of those still to be sent.

    Each is tried six times, waiting 0.2, 0.4, 0.8, … seconds in between, so it outlasts a restart of the api;
    then it is given up with a log line. At most 10,000 wait at a time; more are dropped with a log line.
    """

    def __init__(
        self, api_url: str, *, secret: Secret[bytes], clock: Clock, backoff_seconds: float = 0.2
    ) -> None:
        self._secret = secret
        self._clock = clock
        self._backoff_seconds = backoff_seconds
        self._tasks: set[asyncio.Task[bool]] = set()
        self._closed = False
        self._client = httpx2.AsyncClient(
            base_url=api_url,
            timeout=RECEIPT_DEADLINE_SECONDS,
            limits=httpx2.Limits(max_connections=RECEIPT_CONNECTIONS),
            trust_env=False,  # a proxy of the machine does not reach its loopback
        )

    @property
    def pending(self) -> int:
        """How many call-backs are still to be sent."""
        return len(self._tasks)

    def send_later(self, supplier: str, told: ReceiptBody, delay_ms: int) -> None:
        """Send a call-back in the background after a delay; dropped once closed, or when too many wait."""
        if self._closed or len(self._tasks) >= PENDING_RECEIPTS:
            _log.warning("receipt.dropped", supplier=supplier, status=told.status)
            return
        task = asyncio.create_task(self._send_after(delay_ms, supplier, told))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def send(self, supplier: str, told: ReceiptBody) -> bool:
        """Send a call-back now, again and again if need be; tells whether the api took it."""
        body = msgspec.json.encode(told)
        answer = ""
        for attempt in range(RECEIPT_TRIES):
            if attempt:
                await asyncio.sleep(self._backoff_seconds * 2 ** (attempt - 1))
            answer = await self._post(supplier, body)
            if not answer:
                return True
        _log.warning("receipt.given_up", supplier=supplier, status=told.status, answer=answer)
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
        signed = signature(self._secret, supplier, at_ms=self._clock.now_ms(), body=body)
        headers = {"Content-Type": "application/json", SIGNATURE_HEADER: signed}
        try:
            response = await self._client.post(f"/receipts/{supplier}", content=body, headers=headers)
        except httpx2.HTTPError as error:
            return type(error).__name__
        return "" if response.is_success else str(response.status_code)

    async def _send_after(self, delay_ms: int, supplier: str, told: ReceiptBody) -> bool:
        await asyncio.sleep(delay_ms / 1000)
        return await self.send(supplier, told)
