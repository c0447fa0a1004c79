"""A supplier that calls a trunk on this machine, what it is to say, and how alike two recordings are."""

import asyncio
import math
import secrets
from array import array
from dataclasses import dataclass, field
from operator import mul
from typing import Any

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.voice.sip.supplier import build
from sca_service.delivery.supplier import Message, ReceiptStatus, Supplier, Word
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel
from tests.adapters import adapter_context
from tests.peers import program
from tests.peers.telephones import NUMBER, PATIENCE_SECONDS
from tests.ports import free_ports

TEXT = "You pay 49.99. Code: 2, 7, 1, 8. Again: 2, 7, 1, 8."


@dataclass(slots=True)
class CallEar:
    """Keeps what it hears; deaf as often as `deaf` says, as if the store were away."""

    words: "asyncio.Queue[Word]" = field(default_factory=asyncio.Queue)
    deaf: int = 0

    async def hear(self, supplier: str, word: Word) -> None:
        """Take a word in. Raises StoreUnavailable while deaf."""
        assert supplier == "example-sip"
        if self.deaf:
            self.deaf -= 1
            raise StoreUnavailable("the ear is deaf")
        self.words.put_nowait(word)

    async def next(self) -> Word:
        """The next word."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.words.get()

    async def status(self) -> ReceiptStatus:
        """That of the next receipt."""
        (receipt,) = (await self.next()).receipts
        return receipt.status


def sip_supplier(port: int, ear: CallEar, *, password: str = "", **options: Any) -> Supplier:
    """A supplier of kind `sip`; skips the test without espeak-ng. Call with a running event loop."""
    program("espeak-ng")
    first = free_ports(100)
    own = {
        "trunk_host": "127.0.0.1",
        "trunk_port": port,
        "caller": "+4930000000",
        "rtp_port_first": first,
        "rtp_port_last": first + 99,
        "words_per_minute": 240,
    }
    bare = adapter_context("sip", own | options, {"password": password} if password else {})
    return build(
        Context(
            rule=bare.rule,
            secrets=bare.secrets,
            public_url=bare.public_url,
            http=bare.http,
            ear=ear,
            redis=bare.redis,
            keyring=bare.keyring,
            clock=SystemClock(),
        )
    )


def voice_message(text: str = TEXT, **fields: Any) -> Message:
    """A message that nobody else has sent."""
    own: dict[str, Any] = {
        "delivery_id": f"dlv_{secrets.token_hex(20)}",
        "channel": Channel.VOICE,
        "to": Secret(NUMBER),
        "text": Secret(text),
        "locale": "en-GB",
    }
    return Message(**(own | fields))


def correlation(sent: "array[int]", heard: "array[int]") -> float:
    """How alike what was heard is to what was sent, of 1: normalised, at the shift where they fit best.

    The shift is looked for around where the first loud second of what was sent begins.
    """
    loud = next(index for index, sample in enumerate(sent) if abs(sample) > 2_000)
    excerpt = sent[loud : loud + 2_000]
    begin = next(index for index, sample in enumerate(heard) if abs(sample) > 1_500)
    shifts = range(max(begin - 400, 0), begin + 400)
    best = max(shifts, key=lambda shift: sum(map(mul, excerpt, heard[shift : shift + len(excerpt)])))
    aligned = heard[best:]
    tail = sent[loud : loud + len(aligned)]
    aligned = aligned[: len(tail)]
    both, ours, theirs = (
        sum(map(mul, first, second)) for first, second in ((tail, aligned), (tail, tail), (aligned, aligned))
    )
    return float(both / math.sqrt(ours * theirs))
