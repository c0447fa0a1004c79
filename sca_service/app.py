"""The composition root: the only file that knows every room. Builds the three roles and runs them."""

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg
import structlog
import uvicorn
from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi.config import OpenAPIConfig
from prometheus_client import start_http_server

from sca_service import __version__
from sca_service.api import audit as audit_routes
from sca_service.api import challenges as challenge_routes
from sca_service.api import operation_routes, sandbox
from sca_service.api import payers as payer_routes
from sca_service.api import receipts as receipt_routes
from sca_service.api.clients import ClientDirectory
from sca_service.api.document import KEYED
from sca_service.api.front import Front
from sca_service.api.idempotency import Idempotency
from sca_service.api.json_body import MOST_BYTES
from sca_service.api.operations import ChallengeOperations, PayerOperations
from sca_service.api.postgres_store import ClientStore, EventReader
from sca_service.api.receipts import ReceiptOperations, ReceiptReader
from sca_service.api.redis_store import IdempotencyStore
from sca_service.api.routes import StrictRequest, on_exception
from sca_service.audit.drain import Drain
from sca_service.audit.redis_store import Outbox
from sca_service.audit.sequencer import Sequencer
from sca_service.audit.writer import AuditWriter
from sca_service.challenges.authentication_code import AuthenticationCodeSigner, public_keys
from sca_service.challenges.delivery_book import ChallengeBook
from sca_service.challenges.follow import Follower
from sca_service.challenges.issue import Issuer
from sca_service.challenges.model import PARTITIONS
from sca_service.challenges.payers import Payers
from sca_service.challenges.postgres_store import ChallengeArchive
from sca_service.challenges.record import Recorder, StateSource
from sca_service.challenges.redis_store import ChallengeStore
from sca_service.challenges.verify import Verifier
from sca_service.delivery.dispatch import Dispatcher
from sca_service.delivery.redis_store import RedisDueSignal
from sca_service.delivery.render import sms_segments
from sca_service.delivery.supplier import Supplier
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.connections import RedisConnection, connect_postgres, in_time
from sca_service.kernel.errors import ConfigurationError, ScaError, StoreUnavailable
from sca_service.kernel.secret import Secret
from sca_service.kernel.telemetry import configure_logging
from sca_service.limits.redis_store import LimitStore
from sca_service.policy.load import load
from sca_service.policy.model import Channel, Policy
from sca_service.sandbox.mailbox import MAILBOX_FILE, AsyncMailbox, Mailbox
from sca_service.sandbox.suppliers import (
    ReceiptSender,
    SandboxReceiptReader,
    SandboxSupplier,
    supplier_name,
)
from sca_service.settings import Settings

KEEP_ALIVE_SECONDS = 75
"""How long an idle connection stays open: longer than clients keep theirs, so that none is closed under a request."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Core:
    """What every role shares: the stores, the policy, and the way to put something on record."""

    settings: Settings
    policy: Policy
    redis: RedisConnection
    postgres: asyncpg.Pool
    store: ChallengeStore
    archive: ChallengeArchive
    outbox: Outbox
    writer: AuditWriter
    recorder: Recorder
    clock: SystemClock

    def book(self, actor: str) -> ChallengeBook:
        """The deliveries of challenges, kept by a role (`worker`, `api`)."""
        return ChallengeBook(
            policy=self.policy,
            keyring=self.settings.keyring,
            store=self.store,
            recorder=self.recorder,
            actor=actor,
        )


@asynccontextmanager
async def open_core(settings: Settings) -> AsyncIterator[Core]:
    """Connect to the stores and load the policy. Raises StoreUnavailable, ConfigurationError."""
    policy = load(settings.policies)
    async with AsyncExitStack() as stack:
        redis = RedisConnection(settings.redis_url)
        stack.push_async_callback(redis.close)
        await redis.ready()
        postgres = await connect_postgres(settings.postgres_url, most_connections=6)
        stack.push_async_callback(postgres.close)
        archive = ChallengeArchive(postgres)
        writer = AuditWriter(postgres, archive)
        stack.push_async_callback(writer.close)
        outbox = Outbox(redis)
        stack.push_async_callback(outbox.close)
        store = ChallengeStore(redis)
        yield Core(
            settings=settings,
            policy=policy,
            redis=redis,
            postgres=postgres,
            store=store,
            archive=archive,
            outbox=outbox,
            writer=writer,
            recorder=Recorder(writer=writer, outbox=outbox, archive=archive, store=store),
            clock=SystemClock(),
        )


def challenge_operations(core: Core) -> ChallengeOperations:
    """The operations on challenges, with all they need."""
    keyring = core.settings.keyring
    limits = LimitStore(core.redis)
    issuer = Issuer(
        policy=core.policy,
        keyring=keyring,
        store=core.store,
        limits=limits,
        recorder=core.recorder,
    )
    verifier = Verifier(
        policy=core.policy,
        keyring=keyring,
        store=core.store,
        archive=core.archive,
        recorder=core.recorder,
        signer=AuthenticationCodeSigner(keyring, core.settings.issuer),
        clock=core.clock,
    )
    follower = Follower(
        policy=core.policy,
        keyring=keyring,
        store=core.store,
        archive=core.archive,
        limits=limits,
        recorder=core.recorder,
    )
    return ChallengeOperations(
        issuer=issuer,
        verifier=verifier,
        follower=follower,
        idempotency=Idempotency(IdempotencyStore(core.redis), keyring),
        keyring=keyring,
        clock=core.clock,
    )


def web_application(core: Core, directory: ClientDirectory, mailbox: AsyncMailbox | None) -> Front:
    """The HTTP application of the api role; with the sandbox's endpoints when there is a mailbox."""
    keyring = core.settings.keyring
    challenges = challenge_operations(core)
    book = core.book("api")
    dependencies: dict[str, object] = {
        "challenges": challenges,
        "payers": PayerOperations(
            Payers(policy=core.policy, keyring=keyring, store=core.store, recorder=core.recorder)
        ),
        "audit": audit_routes.AuditOperations(EventReader(core.postgres), keyring),
        "receipts": ReceiptOperations(_receipt_readers(core.settings), book),
        "readiness": lambda: readiness(core),
        "public_keys": public_keys(keyring),
    }
    routes = [
        *challenge_routes.ROUTES,
        *payer_routes.ROUTES,
        *audit_routes.ROUTES,
        *receipt_routes.ROUTES,
        *operation_routes.ROUTES,
    ]
    if mailbox:
        routes += sandbox.ROUTES
        dependencies["sandbox"] = sandbox.SandboxOperations(mailbox, book)
    framework = Litestar(
        routes,
        dependencies={name: _provide(value) for name, value in dependencies.items()},
        request_class=StrictRequest,
        request_max_body_size=MOST_BYTES,
        exception_handlers={Exception: on_exception},
        openapi_config=OpenAPIConfig(
            title="SCA service", version=__version__, path="/openapi", render_plugins=[], components=KEYED
        ),
        state=State({"clients": directory}),
        logging_config=None,
    )
    return Front(framework, directory, challenges)


def _provide(value: object) -> Provide:
    return Provide(lambda: value, use_cache=True, sync_to_thread=False)


async def readiness(core: Core) -> dict[str, str]:
    """The parts that have to be there, each `ok` or what is the matter (architecture, decision 7)."""

    async def postgres() -> None:
        if await in_time(core.postgres.fetchval("SELECT pg_is_in_recovery()")):
            raise StoreUnavailable("PostgreSQL takes no writes: the audit log cannot be written")

    checks: dict[str, Callable[[], Awaitable[None]]] = {"redis": core.redis.ready, "audit_log": postgres}
    parts = {"policy": "ok"}
    for name, check in checks.items():
        try:
            await check()
        except ScaError as error:
            parts[name] = error.detail
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            parts[name] = "does not answer"
        else:
            parts[name] = "ok"
    return parts


def _receipt_readers(settings: Settings) -> Mapping[str, ReceiptReader]:
    if not settings.sandbox_folder:
        return {}
    reader = SandboxReceiptReader(_receipt_secret(settings))
    return {supplier_name(channel): reader for channel in Channel}


def _receipt_secret(settings: Settings) -> Secret[bytes]:
    return Secret(settings.keyring.channel_key("sandbox receipts"))


@asynccontextmanager
async def open_suppliers(settings: Settings) -> AsyncIterator[Mapping[Channel, Supplier]]:
    """The suppliers that carry messages. Raises ConfigurationError when a channel has none."""
    if not settings.sandbox_folder:
        raise ConfigurationError("no suppliers are configured, and the sandbox's are not for production")
    mailbox = AsyncMailbox(Mailbox(settings.sandbox_folder / MAILBOX_FILE))
    receipts = ReceiptSender(settings.api_url, _receipt_secret(settings))
    try:
        yield {
            channel: SandboxSupplier(
                channel,
                mailbox=mailbox,
                receipts=receipts,
                clock=SystemClock(),
                segments=sms_segments if channel is Channel.SMS else lambda _: 1,
            )
            for channel in Channel
        }
    finally:
        await receipts.close()
        await mailbox.close()


async def run_api(settings: Settings) -> None:
    """The api role: HTTP until the process is told to stop. Raises StoreUnavailable, ConfigurationError."""
    async with AsyncExitStack() as stack:
        core = await stack.enter_async_context(open_core(settings))
        mailbox = None
        if settings.sandbox_folder:
            mailbox = AsyncMailbox(Mailbox(settings.sandbox_folder / MAILBOX_FILE))
            stack.push_async_callback(mailbox.close)
        directory = ClientDirectory(ClientStore(core.postgres), settings.keyring)
        await directory.refresh()
        stop = _stop_on_signal()  # or the server, which takes the same signals, would end the process by them
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(directory.keep_fresh(stop))
            server = uvicorn.Server(
                uvicorn.Config(
                    web_application(core, directory, mailbox),
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
                    timeout_graceful_shutdown=5,
                )
            )
            gc.freeze()  # what start-up made stays: no collection has to look through it again
            log.info("api.starting", url=settings.api_url)
            await server.serve()
            stop.set()


async def run_worker(settings: Settings) -> None:
    """The worker role: sends what is due and commits what was left behind, until told to stop."""
    stop = _stop_on_signal()
    _serve_metrics(settings)
    async with open_core(settings) as core, open_suppliers(settings) as suppliers:
        due = RedisDueSignal(core.redis)
        partitions = range(PARTITIONS)
        dispatcher = Dispatcher(
            book=core.book("worker"), suppliers=suppliers, signal=due, partitions=partitions
        )
        drain = Drain(core.outbox, core.writer, StateSource(core.store), partitions)
        log.info("worker.starting")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(due.listen(stop))
            tasks.create_task(dispatcher.run(stop))
            tasks.create_task(drain.run(stop))


async def run_log(settings: Settings) -> None:
    """The log role: puts committed events in order, as leader or waiting to be, until told to stop."""
    stop = _stop_on_signal()
    _serve_metrics(settings)
    postgres = await connect_postgres(settings.postgres_url, most_connections=2)
    try:
        log.info("log.starting")
        await Sequencer(postgres).run(stop)
    finally:
        await postgres.close()


def _serve_metrics(settings: Settings) -> None:
    """Serve this process's metrics where the configuration says; roles without HTTP have no other way."""
    if settings.metrics_port:
        start_http_server(settings.metrics_port, settings.metrics_host)


def _stop_on_signal() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


ROLES: Mapping[str, Callable[[Settings], Awaitable[None]]] = {
    "api": run_api,
    "worker": run_worker,
    "log": run_log,
}


def run_role(role: str, settings: Settings) -> None:
    """Run one role in this process until it is told to stop. Raises StoreUnavailable, ConfigurationError."""
    configure_logging(settings.log_level)

    async def main() -> None:
        await ROLES[role](settings)

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
