"""Runs the three roles, each in a process of its own, of whose rooms it imports no more than the role needs."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping

import structlog

from sca_service.kernel.errors import ScaError
from sca_service.kernel.stopping import Stop, stop_on_signal
from sca_service.kernel.telemetry import configure_logging
from sca_service.settings import Settings

log = structlog.get_logger()


async def _api(settings: Settings, stop: Stop) -> None:
    from sca_service.api_role import run_api  # noqa: PLC0415 - no role waits for what another imports

    await run_api(settings, stop)


async def _worker(settings: Settings, stop: Stop) -> None:
    from sca_service.worker_role import run_worker  # noqa: PLC0415 - as above

    await run_worker(settings, stop)


async def _log(settings: Settings, stop: Stop) -> None:
    from sca_service.log_role import run_log  # noqa: PLC0415 - as above

    await run_log(settings, stop)


ROLES: Mapping[str, Callable[[Settings, Stop], Awaitable[None]]] = {
    "api": _api,
    "worker": _worker,
    "log": _log,
}


def run_role(role: str, settings: Settings) -> None:
    """Run one role in this process until it is told to stop. Raises StoreUnavailable, ConfigurationError."""
    configure_logging(settings.log_level)

    async def main() -> None:
        await ROLES[role](settings, stop_on_signal())

    try:
        with asyncio.Runner(loop_factory=_loop) as runner:
            runner.run(main())
    except ScaError:
        raise
    except Exception as error:  # a traceback would print texts, which may hold what callers sent
        log.error("role.failed", role=role, exc=error)
        sys.exit(1)


def _loop() -> asyncio.AbstractEventLoop:
    import uvloop  # noqa: PLC0415 - only processes that run a role need it

    return uvloop.new_event_loop()
