"""How a process is told to stop, and told again by whoever cannot wait."""

import asyncio
import signal
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import structlog

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Stop:
    """What a process was told: `begun` by the first signal, `hurried` by the next.

    `drained` is the api's own word: nobody sends requests here any more, what stays open for long ends now.
    """

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    drained: asyncio.Event = field(default_factory=asyncio.Event)
    hurried: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self) -> None:
        """Stop; or, to one that is stopping, do not wait for what is under way."""
        if self.begun.is_set():
            log.warning("role.hurried")
            self.hurried.set()
        else:
            log.info("role.stopping")
            self.begun.set()


def stop_on_signal() -> Stop:
    """What SIGTERM and SIGINT tell this process from now on."""
    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.tell)
    return stop


async def until_hurried(stop: Stop, work: Coroutine[Any, Any, None]) -> None:
    """Work to the end, or cut it off when the process is hurried. Raises what the work raises."""
    working = asyncio.ensure_future(work)
    hurried = asyncio.ensure_future(stop.hurried.wait())
    try:
        await asyncio.wait((working, hurried), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        for one in (working, hurried):
            one.cancel()
        await asyncio.gather(working, hurried, return_exceptions=True)


async def pause(seconds: float, *until: asyncio.Event) -> None:
    """Wait so long, or until one of the events has come."""
    waited = [asyncio.ensure_future(one.wait()) for one in until]
    try:
        await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waited:
            one.cancel()
