"""Keeps one bind to an SMS centre up, and lets no more onto it than its window and its pace allow."""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import structlog

from sca_service.delivery.channels.sms.smpp.pace import Pace
from sca_service.delivery.channels.sms.smpp.session import ROK, Answer, BindRefused, Session
from sca_service.delivery.channels.sms.smpp.settings import Settings
from sca_service.delivery.channels.sms.smpp.wire import Submit
from sca_service.delivery.supplier import FailureReason, SupplierFailure

THROTTLED = frozenset({0x58, 0x14})
"""ESME_RTHROTTLED, ESME_RMSGQFUL: the same message is taken when it comes later."""

NOT_BOUND = 0x04
"""ESME_RINVBNDSTS: the SMS centre takes no messages over this bind."""

_MOST_WAIT_SECONDS = 3.0
"""Longer nobody waits for a turn: the dispatcher would give up after 10 s, and not know that nothing was sent."""
_FIRST_BIND_SECONDS = 2.0
_STEADY_SECONDS = 10.0
_BACKOFF_RANDOM = random.SystemRandom()

log = structlog.get_logger()


class Link:
    """A bind that comes back by itself. A class because it holds the session and what waits for a turn."""

    def __init__(self, name: str, settings: Settings, opens: Callable[[], Awaitable[Session]]) -> None:
        self._name = name
        self._settings = settings
        self._opens = opens
        self._session: Session | None = None
        self._tried = asyncio.Event()
        self._next_try_at = 0.0
        self._window = asyncio.Semaphore(settings.window)
        self._pace = Pace(settings.messages_per_second or math.inf)
        self._loop = asyncio.get_running_loop()
        self._keeper = self._loop.create_task(self._keep_up())

    async def submit(self, submit: Submit) -> "asyncio.Future[Answer | None]":
        """Write a message when it is its turn; the answer comes later, None when none will.

        Raises SupplierFailure (supplier down, transient) when there is no bind, or none that has room soon.
        """
        await self._may_submit()
        session = self._session
        if session is None or not session.is_open:
            self._window.release()
            raise self._down()
        answer = session.submit(submit)
        answer.add_done_callback(partial(self._answered, session))
        return answer

    async def close(self) -> None:
        """Finish what is under way, unbind, and stay away."""
        self._keeper.cancel()
        session, self._session = self._session, None
        if session:
            await session.close()
        await asyncio.wait({self._keeper})

    async def _may_submit(self) -> None:
        """Wait for a turn; it holds one place of the window. Raises SupplierFailure."""
        if not self._tried.is_set():  # the service starts: the first bind is on its way
            with suppress(TimeoutError):
                async with asyncio.timeout(_FIRST_BIND_SECONDS):
                    await self._tried.wait()
        if self._session is None:
            raise self._down()
        wait = self._pace.wait(self._loop.time())
        if wait > _MOST_WAIT_SECONDS:
            raise _too_busy(wait)
        wait = self._pace.spend(self._loop.time())
        if wait > 0:
            await asyncio.sleep(wait)
        try:
            if not self._window.locked():
                await self._window.acquire()  # at once: a timeout costs as much as all the rest of it
                return
            async with asyncio.timeout(_MOST_WAIT_SECONDS):
                await self._window.acquire()
        except TimeoutError:
            raise _too_busy(1.0) from None

    def _answered(self, session: Session, answer: "asyncio.Future[Answer | None]") -> None:
        self._window.release()
        told = answer.result()
        if told is None:
            return
        if told.status == ROK:
            self._pace.taken(self._loop.time())
        elif told.status in THROTTLED:
            self._pace.throttled(self._loop.time())
        elif told.status == NOT_BOUND:
            session.abort()  # it has forgotten our bind, and only a new one helps

    def _down(self) -> SupplierFailure:
        wait = max(self._next_try_at - self._loop.time(), 0.0)
        return SupplierFailure(
            FailureReason.SUPPLIER_DOWN, transient=True, retry_after_ms=math.ceil(wait * 1_000)
        )

    async def _keep_up(self) -> None:
        failures = 0
        while True:
            session = await self._open()
            if session:
                self._session = session
                self._tried.set()
                bound_at = self._loop.time()
                log.info("smpp.bound", supplier=self._name)
                await session.ended.wait()
                self._session = None
                log.warning("smpp.unbound", supplier=self._name)
                if self._loop.time() - bound_at >= _STEADY_SECONDS:
                    failures = 0
            wait = self._backoff(failures)
            failures += 1
            self._next_try_at = self._loop.time() + wait
            self._tried.set()
            await asyncio.sleep(wait)

    async def _open(self) -> Session | None:
        try:
            return await self._opens()
        except BindRefused as refused:
            log.error("smpp.bind_refused", supplier=self._name, status=f"0x{refused.status:02x}")
        except (OSError, TimeoutError) as away:
            log.warning("smpp.unreachable", supplier=self._name, reason=type(away).__name__)
        except Exception as error:  # the loop lives on (style, rule 10): nobody else would ever bind again
            log.error("smpp.bind_failed", supplier=self._name, exc=error)
        return None

    def _backoff(self, failures: int) -> float:
        """Half of it is jitter: workers that lost their SMS centre together do not come back together."""
        own = self._settings
        longest = min(own.backoff_seconds * 2.0 ** min(failures, 20), own.most_backoff_seconds)
        return longest * _BACKOFF_RANDOM.uniform(0.5, 1.0)


def _too_busy(wait_seconds: float) -> SupplierFailure:
    return SupplierFailure(
        FailureReason.SUPPLIER_DOWN, transient=True, retry_after_ms=math.ceil(wait_seconds * 1_000)
    )
