"""aiosmpplib beside us at the same SMS centre: a client that others wrote is seen there as we are."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiosmpplib import (  # type: ignore[import-untyped]
    ESME,
    NPI,
    TON,
    AbstractHook,
    DeliverSm,
    PhoneNumber,
    SmppMessage,
    SubmitSm,
)
from aiosmpplib.broker import SimpleBroker  # type: ignore[import-untyped]

from sca_service.delivery.channels.sms.smpp.receipts import read_receipt
from sca_service.delivery.channels.sms.smpp.wire import Inbound
from sca_service.kernel.connections import RedisConnection
from sca_service.policy.model import Channel
from sca_service.policy.supply import SenderKind, SenderRule
from tests.harness import Deployment
from tests.peers.sms_centre import PATIENCE_SECONDS, sms_centre
from tests.smpp_setup import NUMBER, PASSWORD, KeptEar, smpp_supplier, sms

SENDER = SenderRule("*", Channel.SMS, "MyBank", SenderKind.ALPHANUMERIC)
SEEN = (
    "text",
    "data_coding",
    "esm_class",
    "source_addr",
    "source_addr_ton",
    "source_addr_npi",
    "destination_addr",
    "dest_addr_ton",
    "dest_addr_npi",
    "registered_delivery",
    "service_type",
    "protocol_id",
)


class Receipts(AbstractHook):  # type: ignore[misc]
    """Keeps the receipts that aiosmpplib reads."""

    def __init__(self) -> None:
        self.read: asyncio.Queue[DeliverSm] = asyncio.Queue()

    async def sending(self, smpp_message: SmppMessage, pdu: bytes, client_id: str) -> None:
        """Nothing to do."""

    async def received(self, smpp_message: SmppMessage | None, pdu: bytes, client_id: str) -> None:
        """Keep a receipt."""
        if isinstance(smpp_message, DeliverSm):
            self.read.put_nowait(smpp_message)

    async def send_error(self, smpp_message: SmppMessage, error: Exception, client_id: str) -> None:
        """Never: the test would wait in vain."""


@pytest.fixture
async def redis(quiet_stores: Deployment) -> AsyncIterator[RedisConnection]:
    """A connection to the embedded Valkey."""
    connection = RedisConnection(quiet_stores.servers.valkey.url)
    yield connection
    await connection.close()


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # aiosmpplib leaves its writer open
@pytest.mark.parametrize(
    ("text", "encoding"),
    [("Your code: 123456 [€] ~ üÄ", "gsm0338"), ("Код 123456 漢字", "ucs2")],
)
async def test_both_voices_are_heard_alike(redis: RedisConnection, text: str, encoding: str) -> None:
    """The same text, seen by the same centre; its receipt, read by both."""
    broker, hook, ear = SimpleBroker(), Receipts(), KeptEar()
    async with sms_centre() as centre:
        other = ESME(
            "127.0.0.1", centre.port, "other", PASSWORD, broker=broker, hook=hook, log_level=logging.CRITICAL
        )
        running = asyncio.create_task(other.start())
        theirs = SubmitSm(
            short_message=text,
            source=PhoneNumber("MyBank", TON.ALPHANUMERIC, NPI.UNKNOWN),
            destination=PhoneNumber(NUMBER[1:], TON.INTERNATIONAL, NPI.ISDN),
            encoding=encoding,
            log_id="theirs",
        )
        await broker.enqueue(theirs)
        their_submit = await centre.next("submit")
        ours = smpp_supplier(centre.port, redis, ear)
        await ours.send(sms(text, sender=SENDER))
        our_submit = await centre.next("submit")
        assert fields_of(our_submit) == fields_of(their_submit)

        for submit in (their_submit, our_submit):
            assert await centre.receipt(submit, submit["id"]) == 0
        assert (await ear.next()).receipts
        async with asyncio.timeout(PATIENCE_SECONDS):
            told = await hook.read.get()
        heard = read_receipt(Inbound("", "", told.esm_class, 0, told.short_message.encode()), utc_minutes=0)
        assert told.is_receipt()
        assert heard
        assert told.parse_receipt()["id"] == heard.message.exact == their_submit["id"]
        await ours.close()
        await other.stop()
        await running
    gc.collect()


def fields_of(submit: dict[str, Any]) -> dict[str, Any]:
    """What the centre saw of a message, apart from what is each sender's own."""
    return {name: submit[name] for name in SEEN}
