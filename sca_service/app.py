"""The composition root: the only file that knows every room. Builds the three roles and runs them."""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import asyncpg
import structlog
from prometheus_client import start_http_server

from sca_service.alerts.cards.watch import CardWatch
from sca_service.alerts.lane import LANE, Rounds
from sca_service.alerts.pruning.postgres_store import AlertPruning
from sca_service.analytics import counting as analytics
from sca_service.audit.drain import Drain
from sca_service.audit.following.follower import LogFollower
from sca_service.audit.log.housekeeping import Household
from sca_service.audit.log.retention import Retention
from sca_service.audit.log.sequencer import Sequencer
from sca_service.audit.log.witnesses.client import Witness
from sca_service.audit.log.witnesses.postgres_store import WitnessStore
from sca_service.audit.log.witnesses.publisher import Publisher
from sca_service.challenges.backlog.redis_store import BacklogStore
from sca_service.challenges.backlog.watch import BacklogWatch
from sca_service.challenges.model import PARTITIONS
from sca_service.challenges.record import StateSource
from sca_service.core import Core, log_signers, open_core
from sca_service.custody.postgres_store import SealedStore
from sca_service.custody.resealing import Resealer
from sca_service.delivery.dispatch import Dispatcher
from sca_service.delivery.http_client import HttpClient
from sca_service.delivery.redis_store import RedisDueSignal
from sca_service.desks import card_desk
from sca_service.entrance import open_entrance
from sca_service.exemptions.retention.postgres_store import AssessmentRetention
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.errors import ScaError
from sca_service.kernel.postgres import connect_postgres
from sca_service.kernel.stopping import Stop, stop_on_signal, until_hurried
from sca_service.kernel.telemetry import configure_logging
from sca_service.policy.load import load
from sca_service.risk.copying import Copier
from sca_service.risk.postgres_store import MarkRetention, MarkStore
from sca_service.sandbox.mailbox import MAILBOX_FILE, AsyncMailbox, Mailbox
from sca_service.serving import serve
from sca_service.settings import Settings
from sca_service.supply import open_suppliers
from sca_service.web import web_application
from sca_service.webhooks.caller import EndpointCaller
from sca_service.webhooks.outbox.fill import fill
from sca_service.webhooks.outbox.postgres_store import FOLLOWER, OutboxStore
from sca_service.webhooks.outbox.sender import WebhookSender

_LOG_STATEMENT_DEADLINE_SECONDS = 30.0
"""The log role's statements work on thousands of rows, and so do followers'; nobody waits for an answer from them."""

Run = Callable[[asyncio.Event], Coroutine[None, None, None]]
"""A loop that runs until the event is set."""

_WEBHOOK_CONNECTIONS = 4
_WEBHOOK_STATEMENT_SECONDS = 10.0
"""What follows the log and calls banks works on many rows at once; nobody waits for an answer from it."""

_LOCKING_CONNECTIONS = 2

_ALERT_CONNECTIONS = 3
"""What the lane of alerts has to PostgreSQL, beside what puts codes on record: neither waits for the other."""

log = structlog.get_logger()


async def run_api(settings: Settings, stop: Stop) -> None:
    """The api role: HTTP until the process is told to stop. Raises StoreUnavailable, ConfigurationError.

    Hurried, it serves on for nobody; what is under way it finishes in any case, since that takes seconds at most.
    """
    async with AsyncExitStack() as stack:
        core = await stack.enter_async_context(open_core(settings))
        mailbox = None
        if settings.sandbox_folder:
            mailbox = AsyncMailbox(Mailbox(settings.sandbox_folder / MAILBOX_FILE))
            stack.push_async_callback(mailbox.close)
        entrance = await stack.enter_async_context(open_entrance(core))
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(entrance.door.directory.keep_fresh(ended))
            await core.announcer("api").announce(core.policy.digest, core.settings.keyring)
            application = web_application(core, entrance, mailbox, stop)
            _collect_seldom()
            log.info("api.starting", url=settings.api_url)
            await serve(application, settings, stop)
            ended.set()


async def run_worker(settings: Settings, stop: Stop) -> None:
    """The worker role: sends what is due and commits what was left behind, until told to stop.

    Hurried, it leaves what it sends; the leases end, and another worker sends it again.
    """
    await until_hurried(stop, _work(settings, stop.begun))


async def _work(settings: Settings, stop: asyncio.Event) -> None:
    _serve_metrics(settings)
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
        _collect_seldom()
        log.info("worker.starting")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(due.listen(stop))
            tasks.create_task(dispatcher.run(stop))
            tasks.create_task(alert_dispatcher.run(stop))
            tasks.create_task(CardWatch(card_desk(core, alert_pool)).run(stop))
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


async def run_log(settings: Settings, stop: Stop) -> None:
    """The log role: puts committed events in order and signs them, as leader or waiting to be, until told to stop.

    Hurried, it breaks off its transaction, and gives up the lock with its connection.
    Raises StoreUnavailable, ConfigurationError.
    """
    await until_hurried(stop, _keep_log(settings, stop.begun))


async def _keep_log(settings: Settings, stop: asyncio.Event) -> None:
    policy = load(settings.policies)
    signers = log_signers(settings)
    witnesses = [Witness.parse(each.name, each.url, each.key) for each in settings.witnesses]
    _serve_metrics(settings)
    postgres = await connect_postgres(
        settings.postgres_url,
        most_connections=4,
        statement_deadline_seconds=_LOG_STATEMENT_DEADLINE_SECONDS,
    )
    http = HttpClient()
    sequencer = Sequencer(
        postgres,
        signers,
        housekeeper=Household(
            Retention(policy.retention.years, SystemClock()),
            AssessmentRetention(policy.exemptions),
            MarkRetention(),
            AlertPruning(policy.alerts.notices.keep_days, SystemClock()),
        ),
        awaits_witnesses=bool(witnesses),
    )
    try:
        log.info("log.starting", witnesses=len(witnesses))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(sequencer.run(stop))
            tasks.create_task(Publisher(WitnessStore(postgres), http, witnesses).run(stop))
    finally:
        await http.close()
        await postgres.close()


async def _counting(core: Core, stack: AsyncExitStack) -> LogFollower:
    """What counts the log, over a connection of its own. Raises StoreUnavailable."""
    pool = await connect_postgres(
        core.primary,
        most_connections=1,
        statement_deadline_seconds=_LOG_STATEMENT_DEADLINE_SECONDS,
    )
    stack.push_async_callback(pool.close)
    work = analytics.Counting(core.policy.analytics).work
    return LogFollower(
        pool, analytics.FOLLOWER, work, from_beginning=True, most_at_once=analytics.MOST_AT_ONCE
    )


def _collect_seldom() -> None:
    """Look for cycles of objects more seldom than Python does by itself: nearly all that requests make goes without.

    With Python's own thresholds an eighth of a request's CPU was this (docs/decisions/0024). What start-up made stays,
    so no collection has to look through it again.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def _serve_metrics(settings: Settings) -> None:
    """Serve this process's metrics where the configuration says; roles without HTTP have no other way."""
    if settings.metrics_port:
        start_http_server(settings.metrics_port, settings.metrics_host)


ROLES: Mapping[str, Callable[[Settings, Stop], Awaitable[None]]] = {
    "api": run_api,
    "worker": run_worker,
    "log": run_log,
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
