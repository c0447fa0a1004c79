"""A supplier over SMPP for tests: its context, messages for it, and an ear that keeps what it hears."""

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import Any

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.sms.smpp.supplier import SmppSupplier
from sca_service.delivery.http_client import HttpClient
from sca_service.delivery.supplier import Ear, Message, Word
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.keyring import Keyring, create_keyring_text
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel, Occasion
from sca_service.policy.supply import SupplierRule

NUMBER = "+4915112345678"
PASSWORD = "made-up"
KEYRING = Keyring.parse(create_keyring_text())
PATIENCE_SECONDS = 30.0


@dataclass
class KeptEar:
    """Keeps what it hears; deaf as often as `deaf` says, as if the store were away."""

    words: "asyncio.Queue[Word]" = field(default_factory=asyncio.Queue)
    deaf: int = 0

    async def hear(self, supplier: str, word: Word) -> None:
        """Take a word in. Raises StoreUnavailable while deaf."""
        assert supplier
        if self.deaf:
            self.deaf -= 1
            raise StoreUnavailable("the ear is deaf")
        self.words.put_nowait(word)

    async def next(self) -> Word:
        """The next word."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.words.get()


def smpp_supplier(
    port: int, redis: RedisConnection, ear: Ear, *, name: str = "", **options: Any
) -> SmppSupplier:
    """A supplier that binds to a centre on this machine; quick to come back. Call with a running event loop."""
    own = {
        "host": "127.0.0.1",
        "port": port,
        "system_id": "bank",
        "tls": False,
        "backoff_seconds": 0.05,
        "most_backoff_seconds": 0.2,
    }
    rule = SupplierRule(
        name=name or f"smpp-{secrets.token_hex(4)}",
        kind="smpp",
        channel=Channel.SMS,
        countries=(),
        currency="EUR",
        prices=(),
        options=own | options,
    )
    return SmppSupplier(
        Context(
            rule=rule,
            secrets={"password": Secret(PASSWORD)},
            public_url="http://127.0.0.1",
            http=HttpClient(),
            ear=ear,
            redis=redis,
            keyring=KEYRING,
            clock=SystemClock(),
        )
    )


def sms(text: str = "123456 is your code", *, to: str = NUMBER, **fields: Any) -> Message:
    """A message that nobody else has sent."""
    own: dict[str, Any] = {
        "delivery_id": f"dlv_{secrets.token_hex(16)}",
        "channel": Channel.SMS,
        "to": Secret(to),
        "text": Secret(text),
        "locale": "en-GB",
        "occasion": Occasion.PAYMENT,
    }
    return Message(**(own | fields))
