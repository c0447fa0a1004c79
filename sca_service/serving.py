"""Serves HTTP until the process is told to stop, and then so that nobody who calls it notices.

`/readyz` is 503 at once, and for a while requests are served as before, until whoever spreads them has seen that; each
answer closes its connection meanwhile. Then no connection is taken any more, and what is under way is finished.
"""

import asyncio
from typing import Any

import uvicorn

from sca_service.kernel.stopping import Stop, pause
from sca_service.settings import Settings

KEEP_ALIVE_SECONDS = 75
"""How long an idle connection stays open: longer than clients keep theirs, so that none is closed under a request."""
FINISHED_SECONDS = 5
"""How long requests that are under way may take when no more are taken."""
_CLOSES = (b"connection", b"close")


async def serve(application: Any, settings: Settings, stop: Stop) -> None:
    """Serve until told to stop, drain, and finish. Ends the process (SystemExit) when it cannot listen."""
    config = uvicorn.Config(
        application,
        host=settings.host,
        port=settings.port,
        loop="none",
        http="httptools",
        lifespan="on",
        access_log=False,
        server_header=False,
        log_config=None,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=FINISHED_SECONDS,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()  # not `serve`, which takes the signals and would end the process by them
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.main_loop())
        await stop.begun.wait()
        await _drain(server, settings.drain_seconds, stop)
        stop.drained.set()
        server.should_exit = True
    await server.shutdown()


async def _drain(server: uvicorn.Server, seconds: float, stop: Stop) -> None:
    """Serve on for so long, or until hurried; who calls now is told to come back over another connection."""
    closing = [*server.config.encoded_headers, _CLOSES]
    server.config.encoded_headers = closing  # of which the server makes its headers anew every second
    server.server_state.default_headers = [*server.server_state.default_headers, _CLOSES]
    await pause(seconds, stop.hurried)
