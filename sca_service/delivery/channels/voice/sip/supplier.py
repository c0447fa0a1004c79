"""Calls through a SIP trunk: speech is made first, then the trunk is asked, and the call goes on by itself."""

import asyncio
import secrets
from dataclasses import dataclass
from functools import partial

import structlog

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.voice import keys
from sca_service.delivery.channels.voice.sip import speech, wire
from sca_service.delivery.channels.voice.sip.call import Call, Script, Terms
from sca_service.delivery.channels.voice.sip.leg import Leg, Login
from sca_service.delivery.channels.voice.sip.media import Media, Ports
from sca_service.delivery.channels.voice.sip.settings import Settings
from sca_service.delivery.channels.voice.sip.trunk import Place, Trunk
from sca_service.delivery.supplier import (
    Accepted,
    FailureReason,
    Message,
    Supplier,
    SupplierFailure,
    Word,
)
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel

STOP_SECONDS = 10.0
"""How long calls under way may go on when the worker stops."""

LAST_WORDS_SECONDS = 3.0
"""How long receipts may still take to be passed on then."""

_TELL_TRIES = 8
_TELL_BACKOFF_SECONDS = 0.2
"""Doubled each time: a receipt outlasts stores that are away for 25 s."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, eq=False)
class _Studio:
    """What calls are made of."""

    speaker: speech.Speaker
    trunk: Trunk
    ports: Ports
    login: Login | None


class SipSupplier:
    """Calls payers through one trunk. A class because it holds the trunk and the calls under way."""

    channel = Channel.VOICE

    def __init__(self, context: Context, settings: Settings, studio: _Studio) -> None:
        self.name = context.rule.name
        self._context = context
        self._settings = settings
        self._studio = studio
        self._calls: set[asyncio.Task[None]] = set()
        self._telling: set[asyncio.Task[None]] = set()
        self._preparing = 0
        self._closed = False

    async def send(self, message: Message) -> Accepted:
        """Call, and return once the trunk has taken the call on. Raises SupplierFailure.

        What comes of it is told to the ear: answered, no_answer, undelivered; and declined.
        """
        if self._closed or len(self._calls) + self._preparing >= self._settings.most_calls:
            raise SupplierFailure(FailureReason.SUPPLIER_DOWN, transient=True)
        self._preparing += 1
        try:
            script = await self._script(message)
            place = await self._studio.trunk.open()
            media = await self._studio.ports.open(place.host)
            parties = self._parties(message, place)
            call = self._call(message, script, parties, media, trunk_host=place.trunk_host)
            task = asyncio.create_task(call.run())
            self._calls.add(task)
            task.add_done_callback(partial(self._ended, media))
        finally:
            self._preparing -= 1
        try:
            await call.taken
        except asyncio.CancelledError:
            task.cancel()  # the dispatcher waits no longer: the telephone shall not ring any more
            raise
        return Accepted(parties.call_id, 1, None)

    async def close(self) -> None:
        """Let calls under way end within ten seconds, hang up what is left, and pass on what was heard."""
        self._closed = True
        if self._calls:
            await asyncio.wait(self._calls, timeout=STOP_SECONDS)
        left = tuple(self._calls)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        if self._telling:
            await asyncio.wait(self._telling, timeout=LAST_WORDS_SECONDS)
        self._studio.trunk.close()

    async def _script(self, message: Message) -> Script:
        """The whole speech of a call: made before it rings, so that nobody is called to hear nothing."""
        speak = self._studio.speaker.speak
        greeting = b""
        if self._settings.press_any_key:
            greeting = await speak(Secret(keys.greeting(message.locale)), message.locale)
        text = f"{message.text.reveal()}\n\n{keys.sentence(message.locale)}"
        return Script(greeting, await speak(Secret(text), message.locale), message.expires_at_ms)

    def _call(
        self, message: Message, script: Script, parties: wire.Parties, media: Media, *, trunk_host: str
    ) -> Call:
        settings, studio = self._settings, self._studio
        leg = Leg(
            studio.trunk,
            parties,
            offer=wire.offer(parties.host, media.port, settings.codecs, str(secrets.randbits(62))),
            codecs=settings.codecs,
            login=studio.login,
        )
        terms = Terms(
            self.name, message.delivery_id, trunk_host, settings.ring_seconds, settings.call_seconds
        )
        return Call(terms, script, leg=leg, media=media, clock=self._context.clock, tell=self._tell)

    def _parties(self, message: Message, place: Place) -> wire.Parties:
        settings = self._settings
        host = settings.public_address or place.host
        number = settings.number_prefix + message.to.reveal().removeprefix("+")
        caller = message.sender.id.replace(" ", "") if message.sender else settings.caller
        return wire.Parties(
            call_id=f"{message.delivery_id}.{message.attempt}.{secrets.token_hex(8)}",
            reference=message.delivery_id,
            tag=secrets.token_hex(8),
            caller=wire.parties_uri(caller, settings.caller_domain or host),
            called=Secret(wire.parties_uri(number, settings.domain or settings.trunk_host)),
            transport=settings.transport.upper(),
            host=host,
            port=place.port,
        )

    def _tell(self, word: Word) -> None:
        task = asyncio.create_task(self._tell_surely(word))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell_surely(self, word: Word) -> None:
        for attempt in range(_TELL_TRIES):
            try:
                await self._context.ear.hear(self.name, word)
            except StoreUnavailable:
                await asyncio.sleep(_TELL_BACKOFF_SECONDS * 2**attempt)
            else:
                return
        _log.error("receipt.given_up", supplier=self.name)

    def _ended(self, media: Media, task: asyncio.Task[None]) -> None:
        media.close()
        self._calls.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("call.stumbled", supplier=self.name, exc=error)


def build(context: Context) -> Supplier:
    """The supplier of a trunk. Raises ConfigurationError, also where espeak-ng is not installed."""
    settings = context.settings(Settings)
    program = speech.find_program()
    speaker = speech.Speaker(
        program,
        speech.voices(program),
        words_per_minute=settings.words_per_minute,
        places=settings.speech_programs,
    )
    login = Login(settings.auth_user, context.secret("password")) if settings.auth_user else None
    return SipSupplier(context, settings, _Studio(speaker, Trunk(settings), Ports(settings.rtp_ports), login))
