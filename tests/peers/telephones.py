"""SIPp as a trunk that does as it is told, and baresip as a telephone that records; both on 127.0.0.1 only.

async with sipp(tmp_path, RINGING, ANSWER, BYE) as trunk:
    …  # the supplier calls 127.0.0.1:trunk.port
    assert await trunk.kept()  # every message came as the scenario wants it
"""

import asyncio
import contextlib
import json
import re
import socket
import wave
from array import array
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.peers import command_of
from tests.ports import free_ports, is_free

NUMBER = "+15005550006"
PATIENCE_SECONDS = 30.0


def answer(status: int, reason: str, *headers: str, sdp: bool = False) -> str:
    """SIPp answers the last request; a 200 to an INVITE is repeated until it is acknowledged."""
    lines = [
        f"SIP/2.0 {status} {reason}",
        "[last_Via:]",
        "[last_From:]",
        "[last_To:]" + (";tag=[pid]SIPpTag01[call_number]" if status != 200 or sdp else ""),
        "[last_Call-ID:]",
        "[last_CSeq:]",
        "Contact: <sip:[local_ip]:[local_port];transport=[transport]>",
        *headers,
    ]
    if sdp:
        lines += ["Content-Type: application/sdp", "Content-Length: [len]", "", *_SDP]
    else:
        lines += ["Content-Length: 0", "", ""]
    repeated = ' retrans="500"' if sdp else ""
    return f"<send{repeated}><![CDATA[\n\n" + "\n".join(lines) + "\n]]></send>"


_SDP = (
    "v=0",
    "o=trunk 1 1 IN IP[local_ip_type] [local_ip]",
    "s=-",
    "c=IN IP[media_ip_type] [media_ip]",
    "t=0 0",
    "m=audio [media_port] RTP/AVP 8 101",
    "a=rtpmap:8 PCMA/8000",
    "a=rtpmap:101 telephone-event/8000",
)

RINGING = answer(180, "Ringing")
OK = answer(200, "OK")


def wanted(method: str, action: str = "") -> str:
    """SIPp waits for this request; anything else breaks the scenario."""
    return f'<recv request="{method}" crlf="true">{action}</recv>'


def pause(seconds: float) -> str:
    """SIPp waits."""
    return f'<pause milliseconds="{round(seconds * 1000)}"/>'


def speaks(sound: Path) -> str:
    """SIPp sends this file of G.711 A-law once, in real time."""
    return f'<nop><action><exec rtp_stream="{sound},1,8"/></action></nop>'


def key_by_info(key: str) -> str:
    """SIPp tells a pressed key by INFO and waits for the 200."""
    body = f"Signal={key}\nDuration=160"
    return (
        "<send><![CDATA[\n\nINFO sip:bank@[remote_ip]:[remote_port] SIP/2.0\n"
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\n"
        "From: [$called];tag=[pid]SIPpTag01[call_number]\nTo: [$caller]\n"
        "Call-ID: [call_id]\nCSeq: 1[call_number] INFO\nMax-Forwards: 70\n"
        f"Content-Type: application/dtmf-relay\nContent-Length: [len]\n\n{body}\n]]></send>"
        '<recv response="200" crlf="true"></recv>'
    )


INVITE = wanted(
    "INVITE",
    '<action><ereg regexp="[^;]*" search_in="hdr" header="To:" assign_to="called"/>'
    '<ereg regexp=".*" search_in="hdr" header="From:" assign_to="caller"/></action>',
)
ANSWER = answer(200, "OK", sdp=True) + wanted("ACK")
HANG_UP = wanted("BYE") + OK


@dataclass(slots=True)
class Sipp:
    """One run of SIPp, for one call."""

    port: int
    process: asyncio.subprocess.Process

    async def kept(self) -> bool:
        """Whether the call went as the scenario says, to its end."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.process.wait() == 0


@contextlib.asynccontextmanager
async def sipp(folder: Path, *steps: str, transport: str = "udp") -> AsyncIterator[Sipp]:
    """SIPp as a trunk which takes one call, step by step after the INVITE; skips the test without it."""
    command, port = command_of("sipp"), free_ports(1)
    text = '<?xml version="1.0" encoding="ISO-8859-1" ?>\n<scenario name="trunk">\n'
    steps = steps if steps[0].startswith("<recv") else (INVITE, *steps)
    remembered = '<Reference variables="called,caller"/>' if INVITE in steps else ""
    text += "\n".join((*steps, remembered)) + "\n</scenario>\n"
    scenario = folder / f"trunk-{port}.xml"
    await asyncio.to_thread(scenario.write_text, text)
    process = await asyncio.create_subprocess_exec(
        *(*command, "-sf", str(scenario), "-i", "127.0.0.1", "-p", str(port), "-m", "1", "-nostdin"),
        *("-mi", "127.0.0.1", "-mp", str(free_ports(4))),
        *("-t", "u1" if transport == "udp" else "t1", "-timeout", "60", "-timeout_error"),
        cwd=folder,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await _until_taken(port, socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM)
        yield Sipp(port, process)
    finally:
        await _end(process)


@dataclass(slots=True)
class Baresip:
    """One telephone: it takes every call and records what it hears."""

    port: int
    folder: Path
    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def event(self, kind: str) -> None:
        """Return when it tells this, such as `CALL_ESTABLISHED` or `CALL_CLOSED`."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await self._message()).get("type") != kind:
                pass

    async def press(self, key: str) -> None:
        """Press a key: baresip tells it as a telephone-event in RTP."""
        await self._command("sndcode", key)

    async def hang_up(self) -> None:
        """End the call."""
        await self._command("hangup", "")

    async def hears(self, seconds: float) -> None:
        """Let it listen so long."""
        await asyncio.sleep(seconds)

    def recorded(self) -> "array[int]":
        """What it heard, as samples at 8 kHz."""
        (path,) = self.folder.glob("dump-*-dec.wav")
        with wave.open(str(path)) as heard:
            assert (heard.getnchannels(), heard.getsampwidth(), heard.getframerate()) == (1, 2, 8_000)
            return array("h", heard.readframes(heard.getnframes()))

    async def _command(self, command: str, params: str) -> None:
        body = json.dumps({"command": command, "params": params, "token": ""}).encode()
        self.writer.write(b"%d:%b," % (len(body), body))
        await self.writer.drain()

    async def _message(self) -> dict[str, Any]:
        length = int((await self.reader.readuntil(b":"))[:-1])
        told: dict[str, Any] = json.loads(await self.reader.readexactly(length))
        await self.reader.readexactly(1)
        return told


_CONFIG = """\
poll_method epoll
sip_listen 127.0.0.1:{port}
net_interface 127.0.0.1
call_max_calls 4
audio_player aubridge,out
audio_source aufile,{folder}/silence.wav
audio_alert aubridge,alert
audio_channels 1
ausrc_srate 8000
auplay_srate 8000
audio_level no
jitter_buffer_delay 5-25
rtp_ports {rtp}-{last_rtp}
module_path {modules}
module g711.so
module aubridge.so
module aufile.so
module sndfile.so
snd_path {folder}
module_app account.so
module_app menu.so
module ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control}
"""
_ACCOUNT = (
    "<sip:{number}@127.0.0.1:{port};transport=udp>;regint=0;answermode=auto;audio_codecs={codec}/8000/1\n"
)


@contextlib.asynccontextmanager
async def baresip(
    folder: Path, *, codec: str = "PCMA", number: str = NUMBER, port: int = 0
) -> AsyncIterator[Baresip]:
    """baresip as a telephone which takes calls by itself; skips the test without it.

    It needs six ports from `port` on; any free ones when that is 0.
    """
    command, rtp = command_of("baresip"), free_ports(20)
    port = port or free_ports(6)
    modules = next(path for path in _MODULES if path.is_dir())
    config = _CONFIG.format(
        port=port, rtp=rtp, last_rtp=rtp + 18, modules=modules, folder=folder, control=port + 4
    )
    for name, text in (
        ("config", config),
        ("accounts", _ACCOUNT.format(number=number, port=port, codec=codec)),
        ("contacts", ""),
    ):
        await asyncio.to_thread((folder / name).write_text, text)
    await asyncio.to_thread(_write_silence, folder / "silence.wav")
    process = await asyncio.create_subprocess_exec(
        *(*command, "-f", str(folder)),
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await _until_taken(port + 4, socket.SOCK_STREAM)
        reader, writer = await asyncio.open_connection("127.0.0.1", port + 4)
        yield Baresip(port, folder, process, reader, writer)
        writer.close()
    finally:
        await _end(process)


def _write_silence(path: Path) -> None:
    """A minute of it: baresip sends keys only while it has a sound to send as well."""
    with wave.open(str(path), "wb") as silence:
        silence.setnchannels(1)
        silence.setsampwidth(2)
        silence.setframerate(8_000)
        silence.writeframes(bytes(2 * 8_000 * 60))


_MODULES = tuple(Path(path) for path in ("/usr/lib/baresip/modules", "/usr/local/lib/baresip/modules"))


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _until_taken(port: int, kind: socket.SocketKind) -> None:
    """Return when a process holds the port; a connection would be a call to it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while is_free(port, kind):  # noqa: ASYNC110 - another process takes it
            await asyncio.sleep(0.02)


def in_sip(message: bytes, header: str) -> str:
    """A header's first value in a raw message, or nothing."""
    found = re.search(rf"^{header}: (.*?)\r$".encode(), message, re.MULTILINE | re.IGNORECASE)
    return found[1].decode() if found else ""
