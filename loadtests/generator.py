"""The load: wrk where it is installed, else a bounded asyncio client. Loopback only, and it stops by itself."""

import asyncio
import json
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

CONNECTIONS = 64
PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9)
"""Of the latencies: what is drawn."""
_UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}

# Requests are read from a file, one a line: path, proof and body between tabs. Used up, the thread stops.
_WRK_SCRIPT = """
local headers = {["Content-Type"] = "application/json", ["Authorization"] = "%s"}
local requests = {}
for line in io.lines("%s") do
  local path, proof, body = line:match("^(.-)\\t(.-)\\t(.*)$")
  requests[#requests + 1] = {path, proof, body}
end
local at = 0
function request()
  at = at + 1
  if at > #requests then
    if %s then wrk.thread:stop() end
    at = 1
  end
  headers["DPoP"] = requests[at][2] ~= "" and requests[at][2] or nil
  return wrk.format("POST", requests[at][1], headers, requests[at][3])
end
function done(_, latency)
  for _, percent in ipairs({%s}) do
    io.write(string.format("percentile %%g %%d us\\n", percent, latency:percentile(percent)))
  end
end
"""


class Request(NamedTuple):
    """A POST: its path, its body, and the proof of a device that signed it (`DPoP`), where there is one."""

    path: str
    body: str
    proof: str = ""


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked, whether each is sent once only, and by whom. `scheme` comes before the key (`Authorization`)."""

    url: str
    api_key: str
    requests: Sequence[Request]
    each_once: bool
    scheme: str = "Bearer "
    connections: int = CONNECTIONS


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it. Latencies in milliseconds; `failed` are answers other than 2xx."""

    requests: int
    seconds: float
    failed: int
    percentiles_ms: Mapping[float, float]

    @property
    def p50_ms(self) -> float:
        """The latency of half of the requests at most."""
        return self.percentiles_ms[50.0]

    @property
    def p99_ms(self) -> float:
        """The latency of 99 per cent of the requests at most."""
        return self.percentiles_ms[99.0]

    @property
    def per_second(self) -> float:
        """Answered requests per second."""
        return (self.requests - self.failed) / self.seconds


def run(load: Load, *, seconds: int, core: int) -> Result:
    """Put the load on for some seconds from one core."""
    if shutil.which("wrk"):
        return _run_wrk(load, seconds, core)
    return asyncio.run(_run_asyncio(load, seconds))


def name() -> str:
    """Which generator this machine has."""
    return (
        "wrk"
        if shutil.which("wrk")
        else "asyncio client (wrk is not installed: rates are lower, ratios hold)"
    )


def _run_wrk(load: Load, seconds: int, core: int) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "requests"
        lines.write_text(
            "".join(f"{path}\t{proof}\t{body}\n" for path, body, proof in load.requests), "utf-8"
        )
        script = Path(folder) / "load.lua"
        script.write_text(
            _WRK_SCRIPT
            % (
                load.scheme + load.api_key,
                lines,
                str(load.each_once).lower(),
                ", ".join(map(str, PERCENTILES)),
            ),
            "utf-8",
        )
        command = [
            "taskset",
            "-c",
            str(core),
            "wrk",
            "-t1",
            f"-c{load.connections}",
            f"-d{seconds}s",
        ]
        said = subprocess.run(
            [*command, "-s", str(script), load.url],
            capture_output=True,
            text=True,
            check=True,
            timeout=seconds + 30,
        ).stdout
    total = re.search(r"(\d+) requests in ([\d.]+)(\w+),", said)
    if not total:
        raise RuntimeError(f"wrk said: {said}")
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    return Result(
        requests=int(total[1]),
        seconds=float(total[2]) * _UNITS_MS[total[3]] / 1000,
        failed=int(failed[1]) if failed else 0,
        percentiles_ms={
            float(percent): int(micros) / 1000
            for percent, micros in re.findall(r"percentile ([\d.]+) (\d+) us", said)
        },
    )


async def _run_asyncio(load: Load, seconds: int) -> Result:
    latencies: list[float] = []
    failed = 0
    upcoming = _sequence(load)
    began = time.perf_counter()

    async def connection() -> None:
        nonlocal failed
        place = urlsplit(load.url)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        try:
            for request in upcoming:
                if time.perf_counter() - began > seconds:
                    return
                asked = time.perf_counter()
                writer.write(
                    request_bytes(request.path, request.body, load.api_key, request.proof, scheme=load.scheme)
                )
                status, _ = await read_answer(reader)
                if status // 100 != 2:
                    failed += 1
                latencies.append(time.perf_counter() - asked)
        finally:
            writer.close()

    await asyncio.gather(*(connection() for _ in range(load.connections)))
    cuts = statistics.quantiles(latencies, n=1000)
    percentiles = {percent: cuts[round(percent * 10) - 1] * 1000 for percent in PERCENTILES}
    return Result(len(latencies), time.perf_counter() - began, failed, percentiles)


def _sequence(load: Load) -> Iterator[Request]:
    while True:
        yield from load.requests
        if load.each_once:
            return


async def exchange(
    url: str,
    api_key: str,
    requests: Sequence[Request],
    *,
    connections: int = CONNECTIONS,
    scheme: str = "Bearer ",
) -> list[bytes | None]:
    """Send each once over so many connections, unmeasured; the bodies of the answers, in order.

    None for what a busy machine had no time for (503), and for what a limit refused (429). Raises RuntimeError for any
    other failure.
    """
    answers: list[bytes | None] = [None] * len(requests)
    upcoming = iter(enumerate(requests))

    async def connection() -> None:
        place = urlsplit(url)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        try:
            for at, (path, body, proof) in upcoming:
                writer.write(request_bytes(path, body, api_key, proof, scheme=scheme))
                status, told = await read_answer(reader)
                if status // 100 == 2:
                    answers[at] = told
                elif status not in (429, 503):
                    raise RuntimeError(f"{path} was answered with {status}: {told.decode()}")
        finally:
            writer.close()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(connections):
            tasks.create_task(connection())
    return answers


def request_bytes(
    path: str, body: str, api_key: str, proof: str = "", *, scheme: str = "Bearer ", method: str = "POST"
) -> bytes:
    """A request on a connection that stays open."""
    payload = body.encode()
    signed = f"DPoP: {proof}\r\n" if proof else ""
    return (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{signed}"
        f"Authorization: {scheme}{api_key}\r\nContent-Length: {len(payload)}\r\n\r\n"
    ).encode() + payload


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of the next answer."""
    status, _, body = await read_whole_answer(reader)
    return status, body


async def read_whole_answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
    """Status, head and body of the next answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    body = await reader.readexactly(int(length[1]) if length else 0)
    return int(head.split(b" ", 2)[1]), head, body


def encode(body: object) -> str:
    """A body as one line of JSON."""
    return json.dumps(body, ensure_ascii=False)
