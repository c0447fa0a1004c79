"""What SIP calls are made of: messages, sound, keys, listening, options and speech. No network."""

import math
import struct
from array import array
from pathlib import Path
from typing import Any

import pytest
from aiosipua import SipResponse

from sca_service.delivery.channels.context import checked_options
from sca_service.delivery.channels.voice.sip import dtmf, receipts, rtp, speech, wire
from sca_service.delivery.channels.voice.sip.listening import LISTEN_MS, Listener, Verdict
from sca_service.delivery.channels.voice.sip.settings import Codec, Settings
from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel
from sca_service.policy.supply import SupplierRule

PARTIES = wire.Parties(
    call_id="dlv_1.1.abc",
    reference="dlv_1",
    tag="ours",
    caller="sip:+4930000000@127.0.0.1",
    called=Secret("sip:+15005550006@trunk.example"),
    transport="UDP",
    host="127.0.0.1",
    port=5080,
)
BOTH = (Codec.PCMA, Codec.PCMU)


def options(**own: Any) -> Settings:
    """A section's options as they are read."""
    section = {"trunk_host": "trunk.example", "caller": "bank"} | own
    return checked_options(SupplierRule("trunk", "sip", Channel.VOICE, (), "EUR", (), section), Settings)


@pytest.mark.parametrize(
    "own",
    [
        {"trunk_host": "a b"},
        {"caller": "x\r\nEvil: 1"},
        {"rtp_port_first": 40_000, "rtp_port_last": 40_000},
        {"most_calls": 101},
        {"codecs": ["PCMA", "PCMA"]},
        {"codecs": []},
        {"transport": "sctp"},
        {"unknown": 1},
    ],
)
def test_wrong_options_are_refused(own: dict[str, Any]) -> None:
    """A section that cannot work is a mistake at start, not at the first call."""
    with pytest.raises(ConfigurationError, match=r"suppliers\.toml:trunk"):
        options(**own)


def test_sound_uses_even_ports() -> None:
    """RTP has the even ports of the range (RFC 3550 section 11)."""
    assert list(options(rtp_port_first=4001, rtp_port_last=4007, most_calls=3).rtp_ports) == [
        4002,
        4004,
        4006,
    ]


def test_an_invite_reads_back() -> None:
    """Our INVITE holds number, caller, reference and an offer of both codecs and of keys."""
    offer = wire.offer("127.0.0.1", 4002, BOTH, "1")
    invite = wire.read(bytes(wire.invite(PARTIES, 1, offer)))
    assert invite is not None
    assert invite.get_header(wire.REFERENCE_HEADER) == "dlv_1"
    assert wire.agreed_sound(invite.body, BOTH) == wire.Sound("127.0.0.1", 4002, Codec.PCMA, 101)
    assert wire.agreed_sound(invite.body, (Codec.PCMU,)) == wire.Sound("127.0.0.1", 4002, Codec.PCMU, 101)


def test_requests_in_a_call_take_the_way_back() -> None:
    """Record-Route is followed in reverse, to their Contact (12.1.2)."""
    ok = SipResponse(status_code=200)
    ok.headers.set_single("To", "<sip:a@b>;tag=theirs")
    ok.headers.set_single("Contact", "<sip:x@10.0.0.9:5070>")
    for hop in ("<sip:near;lr>", "<sip:far;lr>"):
        ok.headers.append("Record-Route", hop)
    bye = wire.in_dialog(PARTIES, wire.dialog_of(ok, PARTIES), "BYE", 2)
    assert bye.uri == "sip:x@10.0.0.9:5070"
    assert bye.get_header_values("Route") == ["<sip:far;lr>", "<sip:near;lr>"]
    assert wire.tag_of(bye, "to") == "theirs" and wire.number_of(bye) == 2


@pytest.mark.parametrize(
    "body", [b"", b"v=x", b"m=audio x RTP/AVP 8", b"v=0\r\nc=IN IP4 1.1.1.1\r\nm=audio 0 RTP/AVP 8"]
)
def test_an_answer_without_sound_is_none(body: bytes) -> None:
    """What agrees on no sound is never spoken to."""
    assert wire.agreed_sound(body, BOTH) is None


@pytest.mark.parametrize(
    "data", [b"", b"\r\n\r\n", b"SIP/2.0 200", b"INVITE sip:a SIP/2.0\r\nCSeq: 1\r\n\r\n", b"\xff" * 99]
)
def test_what_is_no_message_is_none(data: bytes) -> None:
    """Noise on the port is dropped."""
    assert wire.read(data) is None


def test_a_stream_is_cut_by_content_length() -> None:
    """A message's size is known once its headers are there (18.3)."""
    assert wire.message_size(b"SIP/2.0 200 OK\r\nContent-Le") is None
    assert wire.message_size(b"SIP/2.0 200 OK\r\nl: 4\r\n\r\nab") == 28


def test_retry_after_is_bounded() -> None:
    """Seconds, perhaps with a remark; nothing else is believed."""
    for text, milliseconds in (
        ("5", 5_000),
        ("18 (busy);duration=3", 18_000),
        ("999999", 3_600_000),
        ("x", 0),
    ):
        answer = SipResponse(status_code=503)
        answer.headers.set_single("Retry-After", text)
        assert wire.retry_after_ms(answer) == milliseconds


def test_busy_is_no_failure_of_the_trunk() -> None:
    """A call that the payer did not take was taken on; all else is a failure with its reason."""
    assert receipts.failure(wire.meaning(486), 0) is None
    for status in (401, 403, 404, 484, 488, 302, 500, 503):
        assert receipts.failure(wire.meaning(status), 0) is not None


@pytest.mark.parametrize(("codec", "loudest", "quiet"), [(Codec.PCMA, 0xAA, 0xD5), (Codec.PCMU, 0x80, 0xFF)])
def test_g711_has_the_sign_of_the_standard(codec: Codec, loudest: int, quiet: int) -> None:
    """The largest positive sample and silence are the bytes that ITU-T G.711 gives them."""
    assert rtp.encode(codec, struct.pack("<hh", 32_767, 0)) == bytes((loudest, quiet))


def test_packets_read_back_and_noise_does_not() -> None:
    """Sound and keys come out as they went in; RTCP, other types and cut packets come out as nothing."""
    data = rtp.packet(8, number=70_000, stamp=1 << 33, source=7, first=True, payload=b"\xd5" * 160)
    assert rtp.read(data, sound=8, events=101) == rtp.Heard(b"\xd5" * 160, "", 0)
    nine = rtp.packet(101, number=1, stamp=160, source=7, first=True, payload=b"\x09\x0a\x00\xa0")
    assert rtp.read(nine, sound=8, events=101) == rtp.Heard(b"", "9", 160)
    assert rtp.read(nine, sound=8, events=None) is None
    for noise in (nine[:13], data[:11], b"\x80\xc8\x00\x06" + bytes(24), b""):
        assert rtp.read(noise, sound=8, events=101) is None


def test_a_press_is_told_once() -> None:
    """The packets of one press, and its echo by INFO, are one press; the next press is another."""
    keypad = dtmf.Keypad()
    assert keypad.begins(160) and not keypad.begins(160) and keypad.begins(320)
    assert not keypad.is_echo("9", at_ms=1_000)
    assert keypad.is_echo("9", at_ms=1_200)
    assert not keypad.is_echo("9", at_ms=2_000)


@pytest.mark.parametrize(
    ("kind", "body", "key"),
    [
        ("application/dtmf-relay", "Signal=9\r\nDuration=160\r\n", "9"),
        ("application/dtmf-relay; x=y", "signal = 1", "1"),
        ("application/dtmf", "1\r\n", "1"),
        ("application/dtmf", "12", ""),
        ("text/plain", "Signal=9", ""),
    ],
)
def test_info_tells_keys(kind: str, body: str, key: str) -> None:
    """Both forms that are in use, and nothing else."""
    assert dtmf.key_of_info(kind, body) == key


def listened(*sounds: tuple[int, int, int]) -> tuple[Verdict | None, int]:
    """The verdict over (loudness, from ms, to ms), and when it fell."""
    listener = Listener()
    for at in range(0, LISTEN_MS + 1, 20):
        for loudness, begin, end in sounds:
            if begin <= at < end:
                listener.hear(loudness, length_ms=20, at_ms=at)
        verdict = listener.judge(at)
        if verdict is not None:
            return verdict, at
    return None, LISTEN_MS


def test_a_hello_and_a_pause_is_a_person() -> None:
    """Who says a word and waits is spoken to a second later; who says nothing, soon."""
    assert listened((10**7, 300, 900)) == (Verdict.PERSON, 1_880)
    assert listened() == (Verdict.PERSON, 2_500)
    assert listened((10_000, 0, 4_000)) == (Verdict.PERSON, 2_500)  # a line's noise


def test_a_long_greeting_is_a_machine() -> None:
    """2.5 seconds of speech with breaths are no hello."""
    assert listened((10**7, 500, 1_800), (10**7, 2_300, 4_000))[0] is Verdict.MACHINE


@pytest.mark.parametrize(
    ("locale", "voice"),
    [("de-DE", "de"), ("en-GB", "en-gb"), ("en", "en-gb"), ("pt_BR", "pt-br"), ("xx-YY", "en-gb")],
)
def test_a_locale_finds_its_voice(locale: str, voice: str) -> None:
    """The locale's own voice, else its language's, else English."""
    assert speech.voice_for(locale, frozenset({"de", "en-gb", "en-us", "pt-br"})) == voice


def test_a_missing_program_is_told_at_start(tmp_path: Path) -> None:
    """Without espeak-ng the service does not start, and says what to install."""
    with pytest.raises(ConfigurationError, match="apt-get install espeak-ng"):
        speech.find_program(str(tmp_path))


async def test_what_a_telephone_cannot_carry_is_left_out() -> None:
    """1 kHz passes as it is; 6 kHz, which would come back as 2 kHz at 8,000 samples a second, is gone."""

    async def level(hertz: int) -> float:
        wave = array("h", [round(10_000 * math.sin(math.tau * hertz * n / 22_050)) for n in range(11_025)])
        heard = array("h", await speech.to_telephone(wave, 22_050))[200:-200]
        return math.sqrt(2 * sum(sample * sample for sample in heard) / len(heard))

    assert 9_700 < await level(1_000) < 10_300
    assert await level(6_000) < 100


@pytest.mark.parametrize("wave", [b"", b"RIFF" + bytes(60), b"RIFF1234WAVEfmt " + bytes(20) + b"data1234"])
def test_what_is_no_speech_is_refused(wave: bytes) -> None:
    """Anything but a WAV of 16 bits and one channel is a failed program."""
    with pytest.raises(ValueError, match="this is no"):
        speech.parse_wave(wave)
