"""The log role: the order of the audit log, and what is kept of it."""

import asyncio

import structlog

from sca_service.alerts.pruning.postgres_store import AlertPruning
from sca_service.audit.log.housekeeping import Household
from sca_service.audit.log.retention import Retention
from sca_service.audit.log.sequencer import Sequencer
from sca_service.audit.log.witnesses.client import Witness
from sca_service.audit.log.witnesses.postgres_store import WitnessStore
from sca_service.audit.log.witnesses.publisher import Publisher
from sca_service.delivery.http_client import HttpClient
from sca_service.exemptions.retention.postgres_store import AssessmentRetention
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.postgres import connect_postgres
from sca_service.kernel.stopping import Stop, until_hurried
from sca_service.log_keys import log_signers
from sca_service.metrics_page import serve_metrics
from sca_service.policy.load import load
from sca_service.risk.postgres_store import MarkRetention
from sca_service.settings import Settings

_STATEMENT_DEADLINE_SECONDS = 30.0
"""Its statements work on thousands of rows; nobody waits for an answer from them."""

log = structlog.get_logger()


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
    serve_metrics(settings)
    postgres = await connect_postgres(
        settings.postgres_url,
        most_connections=4,
        statement_deadline_seconds=_STATEMENT_DEADLINE_SECONDS,
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
