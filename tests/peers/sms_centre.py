"""An SMS centre that others wrote: node-smpp in a process of its own, told line by line what to do."""

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.peers import PEERS, command_of, node_module

PATIENCE_SECONDS = 30.0
"""How long what has to come may take on a busy machine."""


class SmsCentre:
    """node-smpp as an SMS centre; it does nothing by itself but let in, answer `enquire_link` and unbind.

    With `answers_all` it takes every message under an id of its own, until a test wants to say it.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.port = 0
        self.answers_all = True
        self._process = process
        self._events: defaultdict[str, asyncio.Queue[dict[str, Any]]] = defaultdict(asyncio.Queue)
        self._ids = 0

    async def listen(self) -> None:
        """Read what it tells, until it ends."""
        assert self._process.stdout
        while line := await self._process.stdout.readline():
            event = json.loads(line)
            if event["event"] == "submit" and self.answers_all:
                self._ids += 1
                event["id"] = f"C0DE{self._ids:04X}"
                await self.answer(event, id=event["id"])
            self._events[event["event"]].put_nowait(event)

    async def next(self, kind: str) -> dict[str, Any]:
        """The next event of a kind: `bind`, `submit`, `delivered`, `enquire`, `unbind`, `closed`."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._events[kind].get()

    def has(self, kind: str) -> bool:
        """Whether such an event is there already."""
        return not self._events[kind].empty()

    async def answer(self, submit: dict[str, Any], *, status: int = 0, id: str = "") -> None:  # noqa: A002
        """Answer a submit, with a status or an id."""
        await self.do("answer", key=submit["key"], status=status, id=id)

    async def deliver(self, session: int, **fields: Any) -> int:
        """Send a `deliver_sm`; the status it is answered with. `text_hex` is a text as bytes."""
        await self.do("deliver", session=session, label="", fields=fields)
        return int((await self.next("delivered"))["status"])

    async def receipt(self, submit: dict[str, Any], id: str, stat: str = "DELIVRD", **fields: Any) -> int:  # noqa: A002
        """Send a receipt of a message that was submitted, as text; the status it is answered with."""
        text = f"id:{id} sub:001 dlvrd:001 submit date:2611221015 done date:2611221016 stat:{stat} err:000 text:Your"
        own = {
            "source_addr": submit["destination_addr"],
            "destination_addr": submit["source_addr"],
            "esm_class": 4,
            "short_message": text,
        }
        return await self.deliver(submit["session"], **(own | fields))

    async def drop(self, session: int) -> None:
        """Cut a connection."""
        await self.do("drop", session=session)

    async def rules(self, *, bind_status: int = 0, mute: bool = False) -> None:
        """Refuse binds from now on; leave `enquire_link` unanswered."""
        await self.do("rules", bind_status=bind_status, mute=mute)

    async def do(self, command: str, **fields: Any) -> None:
        """Tell it something that `sms_centre.js` knows."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"do": command, **fields}).encode() + b"\n")
        await self._process.stdin.drain()


@asynccontextmanager
async def sms_centre(*, key: str = "", certificate: str = "", port: int = 0) -> AsyncIterator[SmsCentre]:
    """A running centre, with TLS when it has a key (PEM); the test is skipped where node-smpp is not installed.

    It listens on any free port when `port` is 0.
    """
    node_module("smpp")
    options = {"key": key, "cert": certificate} if key else {}
    process = await asyncio.create_subprocess_exec(
        *command_of("node"),
        PEERS / "sms_centre.js",
        json.dumps(options),
        str(port),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=PEERS,
    )
    centre = SmsCentre(process)
    listening = asyncio.create_task(centre.listen())
    try:
        port_told = asyncio.create_task(centre.next("listening"))
        await asyncio.wait((port_told, listening), return_when=asyncio.FIRST_COMPLETED)
        if listening.done():
            port_told.cancel()
            raise AssertionError(f"the SMS centre ended: is port {port} taken?")
        centre.port = (await port_told)["port"]
        yield centre
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await listening
