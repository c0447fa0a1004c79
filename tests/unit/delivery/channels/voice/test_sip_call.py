"""How a call goes after the answer, with a leg and a sound that the test plays: no network, no speech program."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from sca_service.delivery.channels.voice.sip import events, rtp, wire
from sca_service.delivery.channels.voice.sip.call import MOST_REPEATS, Call, Script, Terms
from sca_service.delivery.channels.voice.sip.leg import Leg
from sca_service.delivery.channels.voice.sip.media import Media
from sca_service.delivery.channels.voice.sip.settings import Codec
from sca_service.delivery.supplier import ReceiptStatus, Word
from tests.adapters import NOW_MS, StoppedClock

ANSWERED = events.Answered(wire.Sound("127.0.0.1", 4002, Codec.PCMA, 101))


@dataclass(slots=True)
class PlayedLeg:
    """Tells what the test puts in; remembers that it was hung up."""

    events: "asyncio.Queue[events.Event]" = field(default_factory=asyncio.Queue)
    hung_up: bool = False

    def dial(self) -> None:
        """Be answered at once, by somebody who presses a key to say so."""
        self.events.put_nowait(ANSWERED)
        self.events.put_nowait(events.Pressed("5"))

    async def hang_up(self) -> None:
        """Remember it."""
        self.hung_up = True


@dataclass(slots=True)
class PlayedMedia:
    """Remembers what was said; `keys` are pressed one by one, each while the next speech goes on."""

    leg: PlayedLeg
    keys: list[str]
    said: list[bytes] = field(default_factory=list)

    def start(self, sound: wire.Sound, *, trunk_host: str, heard: Callable[[rtp.Heard], None]) -> None:
        """Nothing is heard."""

    def say(self, speech: bytes, said: Callable[[], None] | None = None) -> None:
        """Have it said."""
        if speech:
            self.said.append(speech)
            # half a second apart, or a press is the echo of the one before
            asyncio.get_running_loop().call_later(
                0.5,
                self.leg.events.put_nowait,
                events.Pressed(self.keys.pop(0)) if self.keys else events.HungUp(),
            )

    def close(self) -> None:
        """Nothing to close."""


async def played(*keys: str, greeting: bytes = b"", expires_at_ms: int = 0) -> tuple[list[bytes], list[Word]]:
    """What was said and told in a call with these keys."""
    leg, told = PlayedLeg(), list[Word]()
    media = PlayedMedia(leg, list(keys))
    call = Call(
        Terms("trunk", "dlv_1", "127.0.0.1", 5, 20),
        Script(greeting, b"message", expires_at_ms),
        leg=cast("Leg", leg),
        media=cast("Media", media),
        clock=StoppedClock(),
        tell=told.append,
    )
    await call.run()
    assert leg.hung_up and call.taken.done()
    return media.said, told


def statuses(told: list[Word]) -> list[ReceiptStatus]:
    """Of all receipts."""
    return [receipt.status for word in told for receipt in word.receipts]


async def test_one_repeats_at_most_three_times() -> None:
    """1 has the message said again, three times; a fourth 1 ends the call; one receipt is told."""
    said, told = await played(*"11111")
    assert said == [b"message"] * (1 + MOST_REPEATS)
    assert statuses(told) == [ReceiptStatus.ANSWERED]


async def test_a_payer_may_listen_again_and_then_decline() -> None:
    """1 and then 9: the message twice, and a no."""
    said, told = await played("1", "9")
    assert said == [b"message"] * 2 and told[-1] == Word(declined=("dlv_1",))


async def test_nothing_is_said_before_the_key_that_was_asked_for() -> None:
    """9 at the greeting declines before any code was said; who hangs up there has not answered."""
    said, told = await played("9", greeting=b"greeting")
    assert said == [b"greeting"] and told[-1] == Word(declined=("dlv_1",))
    said, told = await played(greeting=b"greeting")
    assert said == [b"greeting"] and statuses(told) == [ReceiptStatus.NO_ANSWER]
    said, _ = await played("7", greeting=b"greeting")
    assert said == [b"greeting", b"message"]


async def test_a_code_of_no_more_use_is_not_said() -> None:
    """A call that is answered after the code expired ends without it."""
    said, told = await played(expires_at_ms=NOW_MS - 1)
    assert said == [] and statuses(told) == [ReceiptStatus.NO_ANSWER]
