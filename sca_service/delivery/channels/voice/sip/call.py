"""One call from dialling to hanging up: ring, find out who took it, say the message, do as the keys say.

dial ─▶ taken on ─▶ answered ─▶ person? ─▶ (a key?) ─▶ message ─▶ 1: again, 9: declined, nothing: goodbye
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from sca_service.delivery.channels.voice.keys import Key
from sca_service.delivery.channels.voice.sip import events, receipts, rtp, wire
from sca_service.delivery.channels.voice.sip.dtmf import Keypad
from sca_service.delivery.channels.voice.sip.leg import Leg
from sca_service.delivery.channels.voice.sip.listening import Listener, Verdict
from sca_service.delivery.channels.voice.sip.media import Media
from sca_service.delivery.channels.voice.sip.settings import Codec
from sca_service.delivery.supplier import FailureReason, SupplierFailure, Word
from sca_service.kernel.clock import Clock

MOST_REPEATS = 3
KEY_SECONDS = 6.0
"""How long a key is waited for after the last word."""

TRYING_SECONDS = 1.0
"""A trunk that has the INVITE and says no more is believed after so long; a refusal mostly follows at once."""

_GLANCE_SECONDS = 0.05
_ANY_KEY = frozenset("0123456789*#")
_OUR_KEYS = frozenset(key.value for key in Key)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, eq=False)
class Script:
    """What is said, as samples: `greeting` asks for a key before any code is said, empty where none is asked for.

    `expires_at_ms` (Unix time) is when the code is of no more use; 0 when it always is.
    """

    greeting: bytes
    message: bytes
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a call may ring, and may last; and whose call it is."""

    supplier: str
    delivery_id: str
    trunk_host: str
    ring_seconds: int
    call_seconds: int


class Call:
    """Carries one message. A class because it holds the call's two sides, SIP and sound, and what was told of it."""

    def __init__(
        self,
        terms: Terms,
        script: Script,
        *,
        leg: Leg,
        media: Media,
        clock: Clock,
        tell: Callable[[Word], None],
    ) -> None:
        """`tell` passes a receipt on without making the call wait."""
        self.taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._terms = terms
        self._script = script
        self._leg = leg
        self._media = media
        self._clock = clock
        self._tell = tell
        self._keypad = Keypad()
        self._listener: Listener | None = None
        self._codec = Codec.PCMA
        self._answered_at = 0.0
        self._told = False

    async def run(self) -> None:
        """Make the call; returns when it is over. `taken` tells when the trunk took it on, or why it did not."""
        try:
            sound = await self._ring()
            if sound is not None:
                async with asyncio.timeout(self._terms.call_seconds):
                    await self._converse(sound)
        except TimeoutError:
            _log.info("call.cut_off", supplier=self._terms.supplier, after_seconds=self._terms.call_seconds)
        finally:
            self._media.close()
            if self.taken.done() and not self.taken.cancelled() and self.taken.exception() is None:
                self._tell_once(receipts.not_answered)  # whatever ended it, nobody heard the code
            elif not self.taken.done():
                self.taken.set_exception(SupplierFailure(FailureReason.SUPPLIER_DOWN, transient=True))
            await self._leg.hang_up()

    async def _ring(self) -> wire.Sound | None:
        loop = asyncio.get_running_loop()
        self._leg.dial()
        trying: asyncio.TimerHandle | None = None
        try:
            async with asyncio.timeout(self._terms.ring_seconds):
                while True:
                    match await self._leg.events.get():
                        case events.Trying():
                            trying = trying or loop.call_later(TRYING_SECONDS, self._take)
                        case events.Ringing():
                            self._take()
                        case events.Answered(sound):
                            self._take()
                            return sound
                        case events.Refused(status, retry_after_ms):
                            self._refuse(status, retry_after_ms)
                            return None
                        case events.Unreachable():
                            self._fail(SupplierFailure(FailureReason.SUPPLIER_DOWN, transient=True))
                            return None
                        case _:
                            pass
        except TimeoutError:
            return None  # it rang long enough
        finally:
            if trying is not None:
                trying.cancel()

    def _take(self) -> None:
        if not self.taken.done():
            self.taken.set_result(None)

    def _refuse(self, status: int, retry_after_ms: int) -> None:
        meaning = wire.meaning(status)
        if meaning is wire.Meaning.UNAUTHORIZED:
            _log.error("call.refused", supplier=self._terms.supplier, status=status, meaning=meaning)
        else:
            _log.info("call.refused", supplier=self._terms.supplier, status=status, meaning=meaning)
        failure = receipts.failure(meaning, retry_after_ms)
        if failure is None:
            self._take()
        else:
            self._fail(failure)

    def _fail(self, failure: SupplierFailure) -> None:
        if self.taken.done():
            self._tell_once(receipts.undelivered)
        else:
            self.taken.set_exception(failure)

    async def _converse(self, sound: wire.Sound) -> None:
        self._answered_at = asyncio.get_running_loop().time()
        self._codec = sound.codec
        self._listener = listener = Listener()
        self._media.start(sound, trunk_host=self._terms.trunk_host, heard=self._hear)
        if await self._who(listener) is not Verdict.PERSON:
            return
        self._listener = None
        if self._script.greeting:
            key = await self._say(self._script.greeting, _ANY_KEY)
            if key == Key.NOT_ME:
                self._decline()
            if key in ("", Key.NOT_ME):
                return
        for _ in range(1 + MOST_REPEATS):
            if self._is_expired():
                return
            self._tell_once(receipts.answered)
            key = await self._say(self._script.message, _OUR_KEYS)
            if key == Key.NOT_ME:
                self._decline()
            if key != Key.AGAIN:
                return

    async def _who(self, listener: Listener) -> Verdict | None:
        """Listen to who took the call; None when they hung up. A key is pressed by a person."""
        while (verdict := listener.judge(self._at_ms())) is None:
            event = await self._next(asyncio.get_running_loop().time() + _GLANCE_SECONDS)
            if isinstance(event, events.HungUp):
                return None
            if isinstance(event, events.Pressed):
                return Verdict.PERSON
        if verdict is Verdict.MACHINE:
            _log.info("call.met_machine", supplier=self._terms.supplier)
        return verdict

    async def _say(self, speech: bytes, wanted: frozenset[str]) -> str:
        """Speak until a wanted key is pressed, and wait for one a while; nothing when none came, or they hung up."""
        loop = asyncio.get_running_loop()
        self._media.say(speech, lambda: self._leg.events.put_nowait(events.Said()))
        until: float | None = None
        while True:
            match await self._next(until):
                case events.Pressed(key) if key in wanted:
                    self._media.say(b"")
                    return key
                case events.Said():
                    until = loop.time() + KEY_SECONDS
                case None | events.HungUp():
                    return ""
                case _:
                    pass

    async def _next(self, until: float | None) -> events.Event | None:
        """What happens next; None when nothing does until then (the loop's time)."""
        try:
            async with asyncio.timeout_at(until):
                while True:
                    event = await self._leg.events.get()
                    if not isinstance(event, events.Pressed):
                        return event
                    if not self._keypad.is_echo(event.key, at_ms=self._at_ms()):
                        return event
        except TimeoutError:
            return None

    def _hear(self, heard: rtp.Heard) -> None:
        if heard.key:
            if self._keypad.begins(heard.started):
                self._leg.events.put_nowait(events.Pressed(heard.key))
        elif self._listener is not None:
            self._listener.hear(
                rtp.loudness(self._codec, heard.payload),
                length_ms=len(heard.payload) * 1_000 // rtp.SAMPLE_RATE,
                at_ms=self._at_ms(),
            )

    def _decline(self) -> None:
        _log.info("call.declined", supplier=self._terms.supplier)
        self._tell_once(receipts.answered)
        self._tell(receipts.declined(self._terms.delivery_id))

    def _tell_once(self, word: Callable[[str, str, int], Word]) -> None:
        if not self._told:
            self._told = True
            self._tell(word(self._terms.supplier, self._terms.delivery_id, self._clock.now_ms()))

    def _is_expired(self) -> bool:
        return 0 < self._script.expires_at_ms <= self._clock.now_ms()

    def _at_ms(self) -> int:
        return int((asyncio.get_running_loop().time() - self._answered_at) * 1_000)
