"""Speech by espeak-ng: a text becomes sound for a telephone. Nothing of it is ever on a disk or a command line."""

import asyncio
import contextlib
import math
import shutil
import subprocess
from array import array
from collections.abc import Sequence
from functools import lru_cache
from operator import mul
from sys import byteorder
from typing import Final

import structlog

from sca_service.delivery.channels.voice.sip.rtp import SAMPLE_RATE
from sca_service.delivery.supplier import FailureReason, SupplierFailure
from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.secret import Secret

PROGRAM = "espeak-ng"
DEADLINE_SECONDS = 2.5
"""For one text, waiting for a place included; half a minute of speech takes 0.4 s."""

MOST_CHARACTERS = 2_000
MOST_SECONDS = 120
"""Of speech; what is longer is no message of ours."""

_BLOCK = 2_000
"""Samples that are worked on before others get their turn: 3 ms."""

_TAPS = 20
_EDGE_HZ = 3_700.0
_ENVIRONMENT: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
_QUIET: Final = str.maketrans({"[": " ", "]": " ", "<": " ", ">": " ", "\0": " "})
"""espeak-ng reads `[[…]]` as phonemes: a payee's name is none."""

_log = structlog.get_logger()


def find_program(folders: str = _ENVIRONMENT["PATH"]) -> str:
    """Where espeak-ng is, in folders as PATH has them. Raises ConfigurationError which says how it is installed."""
    path = shutil.which(PROGRAM, path=folders)
    if path is None:
        raise ConfigurationError(
            "a supplier of kind `sip` speaks with espeak-ng, which is not installed: apt-get install espeak-ng"
        )
    return path


def voices(program: str) -> frozenset[str]:
    """The languages it speaks, lower-case BCP 47 tags. Raises ConfigurationError when it does not run."""
    try:
        listed = subprocess.run(  # noqa: S603 - a fixed program, no input
            [program, "--voices"], capture_output=True, check=True, timeout=10, env=_ENVIRONMENT, text=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigurationError(f"espeak-ng does not tell its voices: {type(error).__name__}") from error
    rows = [line.split() for line in listed.splitlines()[1:]]
    return frozenset(row[1].lower() for row in rows if len(row) > 1)


def voice_for(locale: str, known: frozenset[str]) -> str:
    """The voice of a locale: its own (`pt-br`), else its language's (`de`), else English."""
    tag = locale.replace("_", "-").lower()
    language = tag.partition("-")[0]
    choices = (tag, _USUAL.get(language, language), "en-gb")
    return next((choice for choice in choices if choice in known), "en")


_USUAL: Final = {"en": "en-gb", "fr": "fr-fr", "zh": "cmn", "no": "nb"}
"""Where espeak-ng has no voice that is called by the language alone."""


class Speaker:
    """Speaks texts, a few at a time. A class because it holds the bounded places for its processes."""

    def __init__(self, program: str, known: frozenset[str], *, words_per_minute: int, places: int) -> None:
        self._program = program
        self._known = known
        self._words_per_minute = words_per_minute
        self._places = asyncio.Semaphore(places)

    async def speak(self, text: Secret[str], locale: str) -> bytes:
        """The text as 16-bit samples at 8 kHz, little-endian, one channel.

        Raises SupplierFailure (transient) when the program fails, or is not done in 2.5 seconds.
        """
        voice = voice_for(locale, self._known)
        words = text.reveal()[:MOST_CHARACTERS].translate(_QUIET).encode()
        try:
            async with asyncio.timeout(DEADLINE_SECONDS), self._places:
                samples, rate = parse_wave(await self._run(voice, words))
                return await to_telephone(samples, rate)
        except (OSError, TimeoutError, ValueError) as error:
            _log.error("speech.failed", program=PROGRAM, voice=voice, reason=type(error).__name__)
            raise SupplierFailure(FailureReason.SUPPLIER_DOWN, transient=True) from None

    async def _run(self, voice: str, words: bytes) -> bytes:
        process = await asyncio.create_subprocess_exec(
            self._program,
            *("--stdin", "--stdout", "-b", "1", "-v", voice, "-s", str(self._words_per_minute)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=_ENVIRONMENT,
        )
        try:
            wave, _ = await process.communicate(words)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode != 0:
            raise ValueError("espeak-ng failed")
        return wave


def parse_wave(wave: bytes) -> "tuple[array[int], int]":
    """Samples and their rate of a WAV of 16 bits and one channel, whose sizes a pipe leaves open. Raises ValueError."""
    start = wave.find(b"data", 12, 256)
    if wave[:4] != b"RIFF" or wave[8:12] != b"WAVE" or start < 0:
        raise ValueError("this is no WAV")
    channels, rate = int.from_bytes(wave[22:24], "little"), int.from_bytes(wave[24:28], "little")
    bits = int.from_bytes(wave[34:36], "little")
    if (channels, bits) != (1, 16) or not SAMPLE_RATE <= rate <= 48_000:
        raise ValueError("this is no speech of 16 bits and one channel")
    body = wave[start + 8 : start + 8 + 2 * MOST_SECONDS * rate]
    samples = array("h", body[: len(body) // 2 * 2])
    if byteorder == "big":
        samples.byteswap()
    return samples, rate


async def to_telephone(samples: "array[int]", rate: int) -> bytes:
    """Samples at 8 kHz of what is heard on a telephone, little-endian; others get their turn every few milliseconds.

    A windowed sinc in as many phases as the two rates have (rational resampling): what lies above the
    telephone's band would else come back as noise within it.
    """
    divisor = math.gcd(rate, SAMPLE_RATE)
    up, down = SAMPLE_RATE // divisor, rate // divisor
    phases = _filters(rate, up)
    margin = array("h", bytes(_TAPS + 2))
    padded = margin[: _TAPS // 2] + samples + margin
    spoken = array("h")
    count = len(samples) * up // down
    for begin in range(0, count, _BLOCK):
        block = range(begin, min(begin + _BLOCK, count))
        first, last = begin * down // up, block[-1] * down // up
        window = list(map(float, padded[first : last + _TAPS]))
        if any(window):
            spoken.extend(_filtered(phases, window, [divmod(n * down - first * up, up) for n in block]))
        else:
            spoken.extend([0] * len(block))
        await asyncio.sleep(0)
    if byteorder == "big":
        spoken.byteswap()
    return spoken.tobytes()


def _filtered(
    phases: Sequence[Sequence[float]], window: list[float], places: list[tuple[int, int]]
) -> Sequence[int]:
    values = [sum(map(mul, phases[phase], window[at : at + _TAPS])) for at, phase in places]
    if max(values) < 32_767 and min(values) > -32_767:
        return list(map(round, values))
    return [round(max(-32_767, min(32_767, value))) for value in values]


@lru_cache(maxsize=4)
def _filters(rate: int, up: int) -> tuple[tuple[float, ...], ...]:
    """One filter for each place that a sample of 8 kHz may have between two of `rate`; each sums to one."""
    made = []
    for phase in range(up):
        middle = _TAPS / 2 + phase / up
        taps = [_windowed_sinc(index - middle, _EDGE_HZ / rate) for index in range(_TAPS)]
        made.append(tuple(tap / sum(taps) for tap in taps))
    return tuple(made)


def _windowed_sinc(distance: float, edge: float) -> float:
    angle = 2 * math.pi * edge * distance
    sinc = math.sin(angle) / angle if angle else 1.0
    return sinc * (0.54 + 0.46 * math.cos(2 * math.pi * distance / (_TAPS + 2)))
