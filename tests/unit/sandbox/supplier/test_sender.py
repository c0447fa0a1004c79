"""The sender of sandbox receipts: again and again, within bounds, and past every proxy."""

import pytest
from structlog.testing import capture_logs

from sca_service.delivery.supplier import ReceiptStatus
from sca_service.sandbox.supplier.sender import RECEIPT_TRIES, ReceiptSender
from sca_service.sandbox.supplier.wire import ReceiptBody
from tests.unit.sandbox.listener import KEY, StoppedClock, listening

TOLD = ReceiptBody("dlv_1", ReceiptStatus.DELIVERED, "2023-11-14T22:13:20.000Z")


def sender(url: str) -> ReceiptSender:
    """A sender that hardly waits between its tries."""
    return ReceiptSender(url, secret=KEY, clock=StoppedClock(), backoff_seconds=0.001)


async def test_a_receipt_is_sent_again_until_the_api_takes_it() -> None:
    """An api that fails or does not know the delivery yet gets the same receipt again."""
    async with listening(503, 404, 204) as api:
        receipts = sender(api.url)
        assert await receipts.send("sandbox-sms", TOLD)
        posted = [await api.next() for _ in range(3)]
        assert len({each.body for each in posted}) == 1
        assert api.posted.empty()
        await receipts.close()


async def test_a_receipt_is_given_up_after_its_tries() -> None:
    """A bounded number of tries, then one log line that names the supplier but no delivery."""
    async with listening(*[500] * (RECEIPT_TRIES + 1)) as api:
        receipts = sender(api.url)
        with capture_logs() as logs:
            assert not await receipts.send("sandbox-sms", TOLD)
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
        receipts = sender(api.url)
        assert await receipts.send("sandbox-sms", TOLD)
        assert (api.posted.qsize(), proxy.posted.qsize()) == (1, 0)
        await receipts.close()


async def test_an_api_that_is_away_is_given_up_without_an_error() -> None:
    """Nobody listens for receipts: the sender logs how it failed, and raises nothing."""
    async with listening() as gone:
        url = gone.url
    receipts = sender(url)
    with capture_logs() as logs:
        assert not await receipts.send("sandbox-sms", TOLD)
    assert [line["answer"] for line in logs] == ["ConnectError"]
    await receipts.close()


async def test_receipts_that_wait_are_bounded() -> None:
    """Beyond ten thousand waiting receipts the next one is dropped and logged; closing cancels them all."""
    receipts = sender("http://127.0.0.1:9")
    with capture_logs() as logs:
        for _ in range(10_001):
            receipts.send_later("sandbox-sms", TOLD, 600_000)
    assert receipts.pending == 10_000
    assert [line["event"] for line in logs] == ["receipt.dropped"]
    await receipts.close()
    assert receipts.pending == 0
