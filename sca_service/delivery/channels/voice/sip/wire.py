"""SIP messages of our side of a call, the sound agreed on (SDP), and what a trunk's answers mean. Pure.

The messages themselves are read and written by aiosipua; RFC numbers without a name are RFC 3261's sections.
"""

from dataclasses import dataclass
from enum import StrEnum

from aiosipua import SipMessage, SipRequest, SipResponse
from aiosipua.auth import SipDigestAuth, answer_challenge
from aiosipua.headers import stringify_uri
from aiosipua.sdp import SdpMessage, build_sdp, parse_sdp, serialize_sdp
from aiosipua.utils import format_addr, generate_branch

from sca_service.delivery.channels.voice.sip.rtp import PAYLOAD_TYPES
from sca_service.delivery.channels.voice.sip.settings import Codec
from sca_service.kernel.secret import Secret

EVENTS_PAYLOAD_TYPE = 101
"""Offered for telephone-events, as nearly everybody does; what counts is the payload type of the answer."""

REFERENCE_HEADER = "X-Delivery"
"""Carries the delivery's id: a repeated call carries the same one."""


@dataclass(frozen=True, slots=True, eq=False)
class Parties:
    """Who calls whom, and where we are reached; `transport` is `UDP` or `TCP`, `host` and `port` are ours."""

    call_id: str
    reference: str
    tag: str
    caller: str
    called: Secret[str]
    transport: str
    host: str
    port: int


@dataclass(frozen=True, slots=True, eq=False)
class Dialog:
    """What an answered INVITE agreed on (12.1.2): their tag, where requests go and by which way."""

    tag: str
    target: Secret[str]
    route: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sound:
    """Where their sound is, in which codec; `events` is the payload type of pressed keys, None without."""

    host: str
    port: int
    codec: Codec
    events: int | None


class Meaning(StrEnum):
    """What a final answer other than 200 says of a call."""

    UNAUTHORIZED = "unauthorized"  # the trunk does not know us, or not the caller we show
    WRONG_NUMBER = "wrong_number"  # it will never work: the number, or what we offer
    NO_ANSWER = "no_answer"  # busy, declined, or nobody there
    DOWN = "down"  # the trunk cannot do it now


def parties_uri(user: str, domain: str) -> str:
    """`sip:user@domain`, with an IPv6 address in brackets."""
    host = f"[{domain}]" if domain.count(":") > 1 and not domain.startswith("[") else domain
    return f"sip:{user}@{host}"


def offer(host: str, port: int, codecs: tuple[Codec, ...], session: str) -> str:
    """Our offer: G.711 in 20 ms packets, and telephone-events. `session` is a number nobody else uses."""
    sdp = build_sdp(host, port, PAYLOAD_TYPES[codecs[0]], codecs[0], session_id=session)
    audio = sdp.media[0]
    for other in codecs[1:]:
        audio.formats.insert(1, str(PAYLOAD_TYPES[other]))
        audio.attributes["rtpmap"].insert(1, f"{PAYLOAD_TYPES[other]} {other}/8000")
    return serialize_sdp(sdp)


def agreed_sound(body: bytes, codecs: tuple[Codec, ...]) -> Sound | None:
    """What their answer to our offer chose; None when it is no answer we can speak to."""
    try:
        sdp = parse_sdp(body.decode("utf-8", errors="replace"))
    except (ValueError, IndexError):
        return None
    return _sound(sdp, codecs)


def _sound(sdp: SdpMessage, codecs: tuple[Codec, ...]) -> Sound | None:
    place, audio = sdp.rtp_address, sdp.audio
    if place is None or audio is None or not 0 < place[1] < 65_536:
        return None
    ours = {PAYLOAD_TYPES[codec]: codec for codec in codecs}
    chosen = next((ours[codec.payload_type] for codec in audio.codecs if codec.payload_type in ours), None)
    if chosen is None:
        return None
    events = (codec for codec in audio.codecs if codec.encoding_name.lower() == "telephone-event")
    return Sound(place[0], place[1], chosen, next((codec.payload_type for codec in events), None))


def invite(parties: Parties, number: int, body: str, login: tuple[str, str] | None = None) -> SipRequest:
    """An INVITE with our offer. `number` is its CSeq; `login` a header that answers a challenge."""
    request = _request(parties, "INVITE", parties.called.reveal(), number)
    request.headers.set_single("To", f"<{parties.called.reveal()}>")
    request.headers.set_single("Contact", f"<{_contact(parties)}>")
    request.headers.set_single("Allow", "INVITE, ACK, CANCEL, BYE, INFO, OPTIONS, UPDATE")
    request.headers.set_single(REFERENCE_HEADER, parties.reference)
    if login is not None:
        request.headers.set_single(*login)
    request.headers.set_single("Content-Type", "application/sdp")
    request.text = body
    return request


def login(
    challenge: SipResponse, user: str, password: Secret[str], uri: Secret[str]
) -> tuple[str, str] | None:
    """The header that answers a 401 or 407 (RFC 7616); None for a challenge of a kind we do not know."""
    auth = SipDigestAuth(user, password.reveal())
    try:
        return answer_challenge(auth, challenge, challenge.status_code, "INVITE", uri.reveal())
    except (ValueError, IndexError):
        return None


def ack_refusal(sent: SipRequest, answer: SipResponse) -> SipRequest:
    """The ACK of a refusal: part of the INVITE's own transaction (17.1.1.3)."""
    return _of_transaction(sent, "ACK", to=answer.get_header("to") or "")


def cancel(sent: SipRequest) -> SipRequest:
    """Take an INVITE back (9.1); only once it was answered provisionally."""
    return _of_transaction(sent, "CANCEL", to=sent.get_header("to") or "")


def dialog_of(answer: SipResponse, parties: Parties) -> Dialog:
    """The dialog that a 200 to our INVITE made (12.1.2)."""
    contact = answer.contact
    target = stringify_uri(contact[0].uri) if contact and contact[0].uri.host else parties.called.reveal()
    return Dialog(
        tag_of(answer, "to"), Secret(target), tuple(reversed(answer.get_header_values("record-route")))
    )


def in_dialog(parties: Parties, dialog: Dialog, method: str, number: int) -> SipRequest:
    """A request within the call: the ACK of a 200 (13.2.2.4, with the INVITE's `number`), or BYE."""
    request = _request(parties, method, dialog.target.reveal(), number)
    tag = f";tag={dialog.tag}" if dialog.tag else ""
    request.headers.set_single("To", f"<{parties.called.reveal()}>{tag}")
    for hop in dialog.route:
        request.headers.append("Route", hop)
    return request


def reply(request: SipRequest, status: int, reason: str) -> SipResponse:
    """Our answer to a request of theirs (8.2.6)."""
    response = SipResponse(status_code=status, reason_phrase=reason)
    for name in ("Via", "Record-Route", "From", "To", "Call-ID", "CSeq"):
        for value in request.get_header_values(name):
            response.headers.append(name, value)
    return response


def read(data: bytes) -> SipRequest | SipResponse | None:
    """A message with what every message has (8.1.1); None for anything else."""
    try:
        message = SipMessage.parse(data)
        cseq = message.cseq
        complete = message.via and message.call_id and message.from_addr and message.to_addr and cseq
    except (ValueError, IndexError):
        return None
    return message if complete and cseq and cseq.method else None


def message_size(buffer: bytes) -> int | None:
    """How long the message at a stream's front is (18.3); None while its headers are not all there."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    for line in buffer[:end].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() in (b"content-length", b"l") and value.strip().isdigit():
            return end + 4 + int(value)
    return end + 4


def tag_of(message: SipMessage, name: str) -> str:
    """The tag in `from` or `to`, or nothing."""
    party = message.from_addr if name == "from" else message.to_addr
    return (party.tag if party else None) or ""


def number_of(message: SipMessage) -> int:
    """The number in CSeq."""
    return message.cseq.seq if message.cseq else 0


def meaning(status: int) -> Meaning:
    """What a final answer from 300 on says of the call (21.3 to 21.6). Redirections are not followed."""
    if status in _NO_ANSWER:
        return Meaning.NO_ANSWER
    if status in (401, 403, 407):
        return Meaning.UNAUTHORIZED
    return Meaning.DOWN if 500 <= status < 600 else Meaning.WRONG_NUMBER


def retry_after_ms(answer: SipResponse) -> int:
    """What `Retry-After` asks for (20.33), at most an hour; 0 when it asks nothing."""
    digits = (answer.get_header("retry-after") or "").strip().partition(";")[0].partition("(")[0].strip()
    return min(int(digits), 3_600) * 1_000 if digits.isascii() and digits.isdigit() and len(digits) < 9 else 0


_NO_ANSWER = frozenset({408, 480, 486, 487, 600, 603, 607, 608})
"""Time-out, unavailable, busy, taken back, busy everywhere, declined, unwanted, rejected (RFC 8197, 8688)."""


def _request(parties: Parties, method: str, uri: str, number: int) -> SipRequest:
    request = SipRequest(method=method, uri=uri)
    sent_by = format_addr(parties.host, parties.port)
    via = f"SIP/2.0/{parties.transport} {sent_by};branch={generate_branch()};rport"
    request.headers.set_single("Via", via)
    request.headers.set_single("Max-Forwards", "70")
    request.headers.set_single("From", f"<{parties.caller}>;tag={parties.tag}")
    request.headers.set_single("Call-ID", parties.call_id)
    request.headers.set_single("CSeq", f"{number} {method}")
    return request


def _of_transaction(sent: SipRequest, method: str, *, to: str) -> SipRequest:
    request = SipRequest(method=method, uri=sent.uri)
    for name in ("Via", "Max-Forwards", "From", "Call-ID", "Route"):
        for value in sent.get_header_values(name):
            request.headers.append(name, value)
    request.headers.set_single("To", to)
    request.headers.set_single("CSeq", f"{number_of(sent)} {method}")
    return request


def _contact(parties: Parties) -> str:
    kind = ";transport=tcp" if parties.transport == "TCP" else ""
    return f"sip:{format_addr(parties.host, parties.port)}{kind}"
