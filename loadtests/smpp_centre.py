"""An SMS centre for benchmarks: `smpp34`'s server, which takes every message and may tell of each that it arrived.

`python -m loadtests.smpp_centre` prints its port and ends with its standard input.
"""

import argparse
import asyncio
import os
import sys

import smpp34

from tests.ports import free_port

_MOST_OUTSTANDING = 200


async def serve(port: int, *, receipts: bool) -> None:
    """Take messages until cancelled. An id is told in the other base than the one it was answered in."""
    server = smpp34.Server("127.0.0.1", port, system_id="centre")
    await server.start()
    sessions: dict[str, smpp34.Esme] = {}
    room = asyncio.Semaphore(_MOST_OUTSTANDING)
    telling: set[asyncio.Task[None]] = set()
    number = 0x1000_0000

    async def tell(message: smpp34.SubmitSmEvent, message_id: int) -> None:
        session = sessions.get(message.session_id)
        try:
            if session:
                await session.deliver_sm(
                    message.source_addr,
                    f"id:{message_id} sub:001 dlvrd:001 stat:DELIVRD err:000 text:".encode(),
                    source_addr=message.destination_addr,
                    esm_class=4,
                )
        except (RuntimeError, smpp34.SmppError):
            pass  # the bind has ended
        finally:
            room.release()

    try:
        while True:
            event = await server.next()
            if isinstance(event, smpp34.Esme):
                sessions[event.session_id] = event
            elif isinstance(event, smpp34.SubmitSmEvent):
                number += 1
                event.accept(f"{number:X}")
                if receipts:
                    await room.acquire()
                    task = asyncio.get_running_loop().create_task(tell(event, number))
                    telling.add(task)
                    task.add_done_callback(telling.discard)
    finally:
        await server.stop()


async def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--receipts", action="store_true")
    chosen = parser.parse_args()
    port = free_port()
    serving = asyncio.get_running_loop().create_task(serve(port, receipts=chosen.receipts))
    await asyncio.sleep(0.2)
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    serving.cancel()
    await asyncio.wait({serving})


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
    os._exit(0)  # the threads of the centre would be waited for
