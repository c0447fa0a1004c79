"""The composition root: the only file that knows every room. Builds the three roles and runs them."""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

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
from sca_service.api import audit_export as audit_export_routes
from sca_service.api import authenticators as authenticator_routes
from sca_service.api import challenges as challenge_routes
from sca_service.api import evidence as evidence_routes
from sca_service.api import log as log_routes
from sca_service.api import operation_routes, sandbox
from sca_service.api import payers as payer_routes
from sca_service.api import push_subscriptions as push_subscription_routes
from sca_service.api import receipts as receipt_routes
from sca_service.api.clients import ClientDirectory
from sca_service.api.document import KEYED
from sca_service.api.front import Front
from sca_service.api.idempotency import Idempotency
from sca_service.api.json_body import MOST_BYTES
from sca_service.api.operations import ChallengeOperations, PayerOperations
from sca_service.api.postgres_store import ClientStore, EventReader
from sca_service.api.receipts import ReceiptOperations
from sca_service.api.redis_store import IdempotencyStore
from sca_service.api.routes import StrictRequest, on_exception
from sca_service.audit.drain import Drain
from sca_service.audit.export.exporter import Exporter
from sca_service.audit.export.postgres_store import LeafStore
from sca_service.audit.log.retention import Retention
from sca_service.audit.log.sequencer import Sequencer
from sca_service.audit.log.witnesses.client import Witness
from sca_service.audit.log.witnesses.postgres_store import WitnessStore
from sca_service.audit.log.witnesses.publisher import Publisher
from sca_service.audit.postgres_store import StoryReader
from sca_service.challenges.authentication_code import (
    AuthenticationCodeReader,
    AuthenticationCodeSigner,
    public_keys,
)
from sca_service.challenges.delivery_book import ChallengeBook
from sca_service.challenges.issue import Issuer
from sca_service.challenges.model import PARTITIONS
from sca_service.challenges.payers import Payers
from sca_service.challenges.record import StateSource
from sca_service.challenges.verify import Verifier
from sca_service.console import routes as console_routes
from sca_service.console.desk import Desk
from sca_service.console.postgres_store import DeskStore
from sca_service.console.redis_store import EndedSessions
from sca_service.console.session import Sessions
from sca_service.core import Core, log_signers, open_core
from sca_service.delivery.dispatch import Dispatcher
from sca_service.delivery.http_client import HttpClient
from sca_service.delivery.redis_store import RedisDueSignal
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.connections import connect_postgres, in_time
from sca_service.kernel.errors import ScaError, StoreUnavailable
from sca_service.kernel.telemetry import configure_logging
from sca_service.limits.redis_store import LimitStore
from sca_service.policy.load import load
from sca_service.sandbox.mailbox import MAILBOX_FILE, AsyncMailbox, Mailbox
from sca_service.sandbox.supplier.settings import sandbox_names
from sca_service.settings import Settings
from sca_service.supply import open_readers, open_suppliers

KEEP_ALIVE_SECONDS = 75
"""How long an idle connection stays open: longer than clients keep theirs, so that none is closed under a request."""
_LOG_STATEMENT_DEADLINE_SECONDS = 30.0
"""The log role's statements work on thousands of rows; nobody waits for an answer from it."""

log = structlog.get_logger()


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
        authenticators=core.generators(),
    )
    verifier = Verifier(
        policy=core.policy,
        keyring=keyring,
        store=core.store,
        archive=core.archive,
        recorder=core.recorder,
        signer=AuthenticationCodeSigner(keyring, core.settings.issuer),
        conversions=core.router,
        generators=core.generators(),
        pins=core.pins(),
        clock=core.clock,
    )
    return ChallengeOperations(
        issuer=issuer,
        verifier=verifier,
        follower=core.follower(),
        idempotency=Idempotency(IdempotencyStore(core.redis), keyring),
        keyring=keyring,
        clock=core.clock,
    )


def authenticator_operations(core: Core) -> authenticator_routes.AuthenticatorOperations:
    """The operations on authenticators, with all they need."""
    keyring = core.settings.keyring
    return authenticator_routes.AuthenticatorOperations(
        enrolment=core.enrolment(),
        reader=AuthenticationCodeReader(keyring, core.settings.issuer),
        follower=core.follower(),
        idempotency=Idempotency(IdempotencyStore(core.redis), keyring),
        policy=core.policy,
        clock=core.clock,
    )


def web_application(core: Core, directory: ClientDirectory, mailbox: AsyncMailbox | None) -> Front:
    """The HTTP application of the api role; with the sandbox's endpoints when there is a mailbox."""
    challenges = challenge_operations(core)
    book = core.book("api")
    dependencies: dict[str, object] = {
        "challenges": challenges,
        **_dependencies(core, book),
        **_desk(core, directory),
    }
    routes: list[Any] = [
        *challenge_routes.ROUTES,
        *payer_routes.ROUTES,
        *push_subscription_routes.ROUTES,
        *authenticator_routes.ROUTES,
        *audit_routes.ROUTES,
        *log_routes.ROUTES,
        *audit_export_routes.ROUTES,
        *evidence_routes.ROUTES,
        *console_routes.ROUTES,
        *receipt_routes.ROUTES,
        *operation_routes.ROUTES,
    ]
    if mailbox:
        routes += sandbox.ROUTES
        names = sandbox_names(core.supply.suppliers)
        dependencies["sandbox"] = sandbox.SandboxOperations(mailbox, book, names)
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


def _dependencies(core: Core, book: ChallengeBook) -> dict[str, object]:
    """What the framework's routes ask for, by name."""
    keyring = core.settings.keyring
    receipts = core.receipts(book)
    readers = open_readers(core.supply, core.surroundings(receipts))
    return {
        "payers": PayerOperations(
            Payers(policy=core.policy, keyring=keyring, store=core.store, recorder=core.recorder)
        ),
        "authenticators": authenticator_operations(core),
        "push_subscriptions": push_subscription_routes.PushSubscriptionOperations(
            subscriptions=core.devices(),
            idempotency=Idempotency(IdempotencyStore(core.redis), keyring),
            policy=core.policy,
            push_services=push_subscription_routes.push_services(core.supply.suppliers),
        ),
        "audit": audit_routes.AuditOperations(
            EventReader(core.reader), keyring, core.log_reader, core.readings()
        ),
        "log_reader": core.log_reader,
        "exports": audit_export_routes.AuditExports(
            Exporter(LeafStore(core.reader), core.writer, core.clock), LeafStore(core.reader), keyring
        ),
        "evidence": evidence_routes.EvidenceOperations(core.evidence(), core.readings()),
        "receipts": ReceiptOperations(readers, receipts, book, core.settings.receipts_url),
        "readiness": lambda: readiness(core),
        "public_keys": public_keys(keyring),
    }


def _desk(core: Core, directory: ClientDirectory) -> dict[str, object]:
    """What the auditor's desk asks for, by name."""
    keyring = core.settings.keyring
    sessions = Sessions(directory, keyring, core.clock, EndedSessions(core.redis))
    return {
        "door": console_routes.Door(sessions, LimitStore(core.redis), keyring),
        "desk": Desk(
            log=core.log_reader,
            events=EventReader(core.reader),
            stories=StoryReader(core.reader),
            store=DeskStore(core.reader),
            vault=core.vault,
            readings=core.readings(),
            keyring=keyring,
            clock=core.clock,
        ),
    }


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
            await core.announcer("api").announce(core.policy.digest, core.settings.keyring)
            gc.freeze()  # what start-up made stays: no collection has to look through it again
            log.info("api.starting", url=settings.api_url)
            await server.serve()
            stop.set()


async def run_worker(settings: Settings) -> None:
    """The worker role: sends what is due and commits what was left behind, until told to stop."""
    stop = _stop_on_signal()
    _serve_metrics(settings)
    async with AsyncExitStack() as stack:
        core = await stack.enter_async_context(open_core(settings))
        book = core.book("worker")
        surroundings = core.surroundings(core.receipts(book))
        suppliers = await stack.enter_async_context(open_suppliers(core.supply, surroundings))
        due = RedisDueSignal(core.redis)
        partitions = range(PARTITIONS)
        dispatcher = Dispatcher(
            book=book,
            suppliers=suppliers,
            routes=core.router,
            notes=core.sent_texts(),
            signal=due,
            partitions=partitions,
        )
        drain = Drain(core.outbox, core.writer, StateSource(core.store, core.settings.keyring), partitions)
        announcer = core.announcer("worker")
        await announcer.announce(core.policy.digest, core.settings.keyring)
        gc.freeze()  # what start-up made stays: no collection has to look through it again
        log.info("worker.starting")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(due.listen(stop))
            tasks.create_task(dispatcher.run(stop))
            tasks.create_task(drain.run(stop))
            tasks.create_task(announcer.keep_measuring(stop))


async def run_log(settings: Settings) -> None:
    """The log role: puts committed events in order and signs them, as leader or waiting to be, until told to stop.

    Raises StoreUnavailable, ConfigurationError.
    """
    stop = _stop_on_signal()
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
        housekeeper=Retention(policy.retention.years, SystemClock()),
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
