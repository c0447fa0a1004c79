"""A link between a role and a store that can be cut, held, slowed, and torn in the middle of what goes over it.

Own TCP proxies: a role is told the link's port instead of the store's, so that one role may lose a store that the
others have.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from pathlib import Path

_PORTION = 65_536


@dataclass(slots=True, eq=False)
class Link:
    """Takes connections on a port of its own and goes on to a store's socket. A class because it holds them."""

    port: int
    store: Path
    is_cut: bool = False
    delay_seconds: float = 0.0
    _flows: asyncio.Event = field(default_factory=asyncio.Event)
    _torn: str = ""
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def open(self) -> None:
        """Listen from now on."""
        self._flows.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=_PORTION)

    async def close(self) -> None:
        """Listen no more."""
        self.cut()
        if self._server:
            self._server.close()
        await asyncio.sleep(0)

    def cut(self) -> None:
        """End every connection, and take none."""
        self.is_cut = True
        self._end_all()

    def hold(self) -> None:
        """Let nothing through; connections stay, as behind a network that drops packets."""
        self._flows.clear()

    def tear(self, what: str) -> None:
        """Let half of the next `reply` or `request` through, and end that connection."""
        self._torn = what

    def mend(self) -> None:
        """As if nothing had been."""
        self.is_cut, self.delay_seconds, self._torn = False, 0.0, ""
        self._flows.set()

    @property
    def connections(self) -> int:
        """How many go over it now."""
        return len(self._writers) // 2

    def _end_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.transport.abort()
            return
        try:
            store_reader, store_writer = await asyncio.open_unix_connection(str(self.store), limit=_PORTION)
        except OSError:  # the store is down: so is the link
            writer.transport.abort()
            return
        ends = {writer, store_writer}
        self._writers |= ends
        try:
            with contextlib.suppress(asyncio.CancelledError):  # the loop ends
                await asyncio.gather(
                    self._pump(reader, store_writer, "request", ends),
                    self._pump(store_reader, writer, "reply", ends),
                )
        finally:
            self._writers -= ends
            for one in ends:
                one.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        what: str,
        ends: set[asyncio.StreamWriter],
    ) -> None:
        with contextlib.suppress(OSError):
            while portion := await reader.read(_PORTION):
                await self._flows.wait()
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                if self._torn == what:
                    self._torn = ""
                    writer.write(portion[: len(portion) // 2])
                    break
                writer.write(portion)
                await writer.drain()
        await asyncio.sleep(0)  # what was written leaves before the end
        for one in ends:
            one.close()
