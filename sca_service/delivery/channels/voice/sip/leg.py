"""Our side of one call towards the trunk: the INVITE, its dialog and its end, with their timers (RFC 3261).

State::

    calling ──▶ ringing ──▶ up ──▶ over
       └────────────┴──────────────┘

What is sent over UDP is repeated until it is answered. A call that was given up is still listened to for 32 seconds,
so that an answer which crossed our CANCEL is hung up again rather than left open.
"""

import asyncio
from dataclasses import dataclass
from enum import StrEnum

from aiosipua import SipRequest, SipResponse

from sca_service.delivery.channels.voice.sip import dtmf, wire
from sca_service.delivery.channels.voice.sip.events import (
    Answered,
    Event,
    HungUp,
    Pressed,
    Refused,
    Ringing,
    Trying,
    Unreachable,
)
from sca_service.delivery.channels.voice.sip.settings import Codec
from sca_service.delivery.channels.voice.sip.trunk import Trunk
from sca_service.kernel.secret import Secret

T1_SECONDS = 0.5
T2_SECONDS = 4.0
SILENT_SECONDS = 4.0
"""A trunk that says nothing to an INVITE for so long is down; RFC 3261 waits 32 s, payers do not."""

LINGER_SECONDS = 64 * T1_SECONDS
GOODBYE_SECONDS = 2.0
"""How long the answer to BYE or CANCEL is waited for."""


@dataclass(frozen=True, slots=True, eq=False)
class Login:
    """Our name and password at the trunk."""

    user: str
    password: Secret[str]


class _State(StrEnum):
    CALLING = "calling"
    RINGING = "ringing"
    UP = "up"
    OVER = "over"


class Leg:
    """One call as SIP sees it. A class because it holds where the call stands and what is being repeated."""

    def __init__(
        self,
        trunk: Trunk,
        parties: wire.Parties,
        *,
        offer: str,
        codecs: tuple[Codec, ...],
        login: Login | None,
    ) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self._trunk = trunk
        self._parties = parties
        self._offer = offer
        self._codecs = codecs
        self._login = login
        self._state = _State.CALLING
        self._number = 0
        self._their_number = -1
        self._invite = SipRequest()
        self._dialog: wire.Dialog | None = None
        self._given_up = False
        self._done = asyncio.Event()  # the answer to our BYE or CANCEL came
        self._repeat: asyncio.TimerHandle | None = None
        self._silence: asyncio.TimerHandle | None = None
        self._acks: dict[tuple[int, str], bytes] = {}

    def dial(self) -> None:
        """Send the INVITE; what comes of it comes as events."""
        self._trunk.attach(self._parties.call_id, self)
        self._send_invite(None)

    async def hang_up(self) -> None:
        """End the call, however far it got; waits two seconds for the trunk's answer. May be called again."""
        self._stop_timers()
        if self._given_up:
            return
        self._given_up = True
        state, self._state = self._state, _State.OVER
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self._forget)
        if state is _State.RINGING:
            self._send_repeatedly(bytes(wire.cancel(self._invite)))
        elif state is _State.UP and self._dialog is not None:
            self._send_bye(self._dialog)
        else:
            return
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._done.wait()
        except TimeoutError:
            pass
        finally:
            self._stop_timers()

    def lost(self) -> None:
        """The trunk is not there; a call that is up goes on, its sound does not need the trunk's SIP."""
        if self._state in (_State.CALLING, _State.RINGING):
            reached = self._state is _State.RINGING
            self._stop_timers()
            if not reached or self._trunk.reliable:
                self._tell(Unreachable())

    def receive(self, message: SipRequest | SipResponse) -> None:
        """Take in a message of this call."""
        if isinstance(message, SipRequest):
            self._requested(message)
        elif message.cseq is not None and message.cseq.method == "INVITE":
            self._invite_answered(message)
        elif message.cseq is not None and message.cseq.method == "BYE" and message.status_code >= 200:
            self._stop_timers()
            self._done.set()

    def _invite_answered(self, answer: SipResponse) -> None:
        status, number, tag = answer.status_code, wire.number_of(answer), wire.tag_of(answer, "to")
        if (before := self._acks.get((number, tag))) is not None:
            self._trunk.send(before)  # our ACK was lost
        elif number != wire.number_of(self._invite):
            return
        elif status < 200:
            self._progressed(status)
        elif status < 300:
            self._accepted(answer)
        else:
            self._refused(answer)

    def _progressed(self, status: int) -> None:
        if self._given_up:
            self._trunk.send(bytes(wire.cancel(self._invite)))  # too late for us: take it back
        elif self._state in (_State.CALLING, _State.RINGING):
            self._stop_timers()
            self._state = _State.RINGING
            self._tell(Trying() if status == 100 else Ringing())

    def _accepted(self, answer: SipResponse) -> None:
        dialog = wire.dialog_of(answer, self._parties)
        number = wire.number_of(self._invite)
        ack = bytes(wire.in_dialog(self._parties, dialog, "ACK", number))
        self._acks[number, dialog.tag] = ack
        self._trunk.send(ack)
        self._stop_timers()
        if self._state in (_State.UP, _State.OVER):
            self._send_bye(dialog)  # a second telephone took it (forking), or after we gave up
            return
        self._state, self._dialog = _State.UP, dialog
        sound = wire.agreed_sound(answer.body, self._codecs)
        self._tell(Answered(sound) if sound else Refused(488, 0))

    def _refused(self, answer: SipResponse) -> None:
        self._stop_timers()
        ack = bytes(wire.ack_refusal(self._invite, answer))
        self._acks[wire.number_of(self._invite), wire.tag_of(answer, "to")] = ack
        self._trunk.send(ack)
        if answer.status_code in (401, 407) and self._login is not None and not self._given_up:
            login, self._login = self._login, None  # asked again, the password is wrong
            header = wire.login(answer, login.user, login.password, self._parties.called)
            if header is not None:
                self._state = _State.CALLING
                self._send_invite(header)
                return
        self._done.set()
        self._end(Refused(answer.status_code, wire.retry_after_ms(answer)))

    def _requested(self, request: SipRequest) -> None:
        dialog = self._dialog
        if request.method == "ACK":
            return
        if dialog is None or (wire.tag_of(request, "from"), wire.tag_of(request, "to")) != (
            dialog.tag,
            self._parties.tag,
        ):
            self._reply(request, 481, "Call Does Not Exist")
            return
        repeated = wire.number_of(request) <= self._their_number
        self._their_number = max(self._their_number, wire.number_of(request))
        match request.method:
            case "BYE":
                self._reply(request, 200, "OK")
                self._done.set()
                self._end(HungUp())
            case "INFO":
                self._reply(request, 200, "OK")
                key = dtmf.key_of_info(request.content_type or "", request.text)
                if key and not repeated:
                    self._tell(Pressed(key))
            case "OPTIONS":
                self._reply(request, 200, "OK")
            case "UPDATE" if not request.body:
                self._reply(request, 200, "OK")
            case "INVITE" | "UPDATE":
                # A refused change leaves the call as it is (14.1), and our calls are short.
                self._reply(request, 488, "Not Acceptable Here")
            case _:
                self._reply(request, 501, "Not Implemented")

    def _send_invite(self, login: tuple[str, str] | None) -> None:
        self._number += 1
        self._invite = wire.invite(self._parties, self._number, self._offer, login)
        self._silence = asyncio.get_running_loop().call_later(SILENT_SECONDS, self.lost)
        self._send_repeatedly(bytes(self._invite))

    def _send_bye(self, dialog: wire.Dialog) -> None:
        self._number += 1
        self._send_repeatedly(bytes(wire.in_dialog(self._parties, dialog, "BYE", self._number)))

    def _send_repeatedly(self, message: bytes, wait_seconds: float = T1_SECONDS) -> None:
        self._trunk.send(message)
        if not self._trunk.reliable:
            longer = min(2 * wait_seconds, T2_SECONDS)
            loop = asyncio.get_running_loop()
            self._repeat = loop.call_later(wait_seconds, self._send_repeatedly, message, longer)

    def _reply(self, request: SipRequest, status: int, reason: str) -> None:
        self._trunk.send(bytes(wire.reply(request, status, reason)))

    def _tell(self, event: Event) -> None:
        if not self._given_up:
            self.events.put_nowait(event)

    def _end(self, event: Event) -> None:
        if self._state is not _State.OVER:
            self._state = _State.OVER
            self._tell(event)

    def _stop_timers(self) -> None:
        for timer in (self._repeat, self._silence):
            if timer is not None:
                timer.cancel()
        self._repeat = self._silence = None

    def _forget(self) -> None:
        self._stop_timers()
        self._trunk.detach(self._parties.call_id)
