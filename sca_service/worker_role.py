"""The worker role: deliveries, timers, webhooks, and what a killed api left behind."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import asyncpg
import structlog

from sca_service.alerts.cards.watch import CardWatch
from sca_service.alerts.lane import LANE, Rounds
from sca_service.analytics import counting as analytics
from sca_service.audit.drain import Drain
from sca_service.audit.following.follower import LogFollower
from sca_service.challenges.backlog.redis_store import BacklogStore
from sca_service.challenges.backlog.watch import BacklogWatch
from sca_service.challenges.model import PARTITIONS
from sca_service.challenges.record import StateSource
from sca_service.core import Core, open_core
from sca_service.custody.postgres_store import SealedStore
from sca_service.custody.resealing import Resealer
from sca_service.delivery.dispatch import Dispatcher
from sca_service.delivery.redis_store import RedisDueSignal
from sca_service.kernel.garbage import keep_what_is_there
from sca_service.kernel.postgres import connect_postgres
from sca_service.kernel.stopping import Stop, until_hurried
from sca_service.metrics_page import serve_metrics
from sca_service.risk.copying import Copier
from sca_service.risk.postgres_store import MarkStore
from sca_service.settings import Settings
from sca_service.supply import open_suppliers
from sca_service.webhooks.caller import EndpointCaller
from sca_service.webhooks.outbox.fill import fill
from sca_service.webhooks.outbox.postgres_store import FOLLOWER, OutboxStore
from sca_service.webhooks.outbox.sender import WebhookSender

Run = Callable[[asyncio.Event], Coroutine[None, None, None]]
"""A loop that runs until the event is set."""

_FOLLOWING_SECONDS = 30.0
_WEBHOOK_CONNECTIONS = 4
_WEBHOOK_STATEMENT_SECONDS = 10.0
"""What follows the log and calls banks works on many rows at once; nobody waits for an answer from it."""

_LOCKING_CONNECTIONS = 2

_ALERT_CONNECTIONS = 3
"""What the lane of alerts has to PostgreSQL, beside what puts codes on record: neither waits for the other."""

log = structlog.get_logger()


async def run_worker(settings: Settings, stop: Stop) -> None:
    """The worker role: sends what is due and commits what was left behind, until told to stop.

    Hurried, it leaves what it sends; the leases end, and another worker sends it again.
    """
    await until_hurried(stop, _work(settings, stop.begun))


async def _work(settings: Settings, stop: asyncio.Event) -> None:
    serve_metrics(settings)
    async with AsyncExitStack() as stack:
        core = await stack.enter_async_context(open_core(settings))
        book = core.book("worker")
        surroundings = core.surroundings(core.receipts(core.deliveries("worker")))
        suppliers = await stack.enter_async_context(open_suppliers(core.supply, surroundings))
        due = RedisDueSignal(core.redis)
        partitions = range(PARTITIONS)
        send = partial(
            Dispatcher,
            suppliers=suppliers,
            routes=core.router,
            limits=core.sending_limits(),
            notes=core.sent_texts(),
        )
        dispatcher = send(book=book, signal=due, partitions=partitions, traces=core.traces)
        alert_pool = await connect_postgres(core.primary, most_connections=_ALERT_CONNECTIONS)
        stack.push_async_callback(alert_pool.close)
        alert_book = core.alert_book("worker", alert_pool)
        alert_dispatcher = send(book=alert_book, signal=Rounds(), partitions=(LANE,))
        webhooks = await stack.enter_async_context(_webhooks(core))
        drain = Drain(core.outbox, core.writer, StateSource(core.store, core.settings.keyring), partitions)
        resealer = Resealer(
            store=SealedStore(await _sessions(core, stack)),
            writer=core.writer,
            keyring=settings.keyring,
            clock=core.clock,
        )
        counting = await _counting(core, stack)
        announcer = core.announcer("worker")
        await announcer.announce(core.policy.digest, core.settings.keyring)
        keep_what_is_there()
        log.info("worker.starting")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(due.listen(stop))
            tasks.create_task(dispatcher.run(stop))
            tasks.create_task(alert_dispatcher.run(stop))
            tasks.create_task(CardWatch(core.card_desk(alert_pool)).run(stop))
            tasks.create_task(drain.run(stop))
            tasks.create_task(BacklogWatch(BacklogStore(core.redis), partitions).run(stop))
            for run in webhooks:
                tasks.create_task(run(stop))
            tasks.create_task(announcer.keep_measuring(stop))
            tasks.create_task(core.allow_list_keeper().run(stop))
            tasks.create_task(resealer.run(stop))
            tasks.create_task(Copier(MarkStore(core.postgres), core.risk_store()).run(stop))
            tasks.create_task(counting.run(stop))


async def _sessions(core: Core, stack: AsyncExitStack) -> asyncpg.Pool:
    """Connections whose sessions hold locks: a pooler would give the lock to whoever comes next."""
    if core.direct is core.primary:
        return core.postgres
    pool = await connect_postgres(core.direct, most_connections=_LOCKING_CONNECTIONS, leaves_nothing=True)
    stack.push_async_callback(pool.close)
    return pool


@asynccontextmanager
async def _webhooks(core: Core) -> AsyncIterator[tuple[Run, ...]]:
    """What fills the outbox of webhooks from the log, what empties it, and what tends it: the worker runs all three."""
    policy, sandbox = core.policy.webhooks, core.settings.sandbox_folder is not None
    caller = EndpointCaller(answer_seconds=policy.answer_seconds, sandbox=sandbox)
    pool = await connect_postgres(
        core.primary,
        most_connections=_WEBHOOK_CONNECTIONS,
        statement_deadline_seconds=_WEBHOOK_STATEMENT_SECONDS,
        leaves_nothing=True,
    )
    try:
        follower = LogFollower(pool, FOLLOWER, fill, from_beginning=False)
        sender = WebhookSender(
            store=OutboxStore(pool),
            caller=caller,
            keyring=core.settings.keyring,
            policy=policy,
            clock=core.clock,
        )
        yield follower.run, sender.run, sender.tend
    finally:
        await caller.close()
        await pool.close()


async def _counting(core: Core, stack: AsyncExitStack) -> LogFollower:
    """What counts the log, over a connection of its own. Raises StoreUnavailable."""
    pool = await connect_postgres(
        core.primary,
        most_connections=1,
        statement_deadline_seconds=_FOLLOWING_SECONDS,
    )
    stack.push_async_callback(pool.close)
    work = analytics.Counting(core.policy.analytics).work
    return LogFollower(
        pool, analytics.FOLLOWER, work, from_beginning=True, most_at_once=analytics.MOST_AT_ONCE
    )
