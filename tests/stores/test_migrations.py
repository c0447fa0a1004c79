"""The schema: it comes up, comes up again, goes down without a trace, and two who migrate wait for each other."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from alembic.config import Config

import sca_service.migrations
from sca_service.migrations import migrate
from sca_service.sandbox.servers import PostgresProcess

TABLES = {
    "acceptances",
    "alembic_version",
    "alert_consents",
    "alert_links",
    "alerts",
    "analytics_deliveries",
    "analytics_figures",
    "analytics_keys",
    "analytics_progress",
    "analytics_stories",
    "api_keys",
    "authenticators",
    "beneficiary_authorisations",
    "card_charges",
    "cards",
    "exemption_accesses",
    "exemption_assessments",
    "exemption_series",
    "fraud_reports",
    "payment_totals",
    "risk_marks",
    "trusted_beneficiaries",
    "upcoming_charges",
    "audit_events",
    "audit_leaves",
    "audit_private",
    "challenges",
    "client_certificates",
    "clients",
    "erasures",
    "followers",
    "log_checkpoints",
    "log_keys",
    "log_state",
    "log_tiles",
    "log_witnesses",
    "oauth_credentials",
    "opt_outs",
    "payer_keys",
    "pumping_allowances",
    "push_subscriptions",
    "webhook_attempts",
    "webhook_endpoints",
    "webhook_messages",
}


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    postgres = PostgresProcess()
    postgres.start(tmp_path)
    yield postgres.url
    postgres.stop()


def tables(url: str) -> set[str]:
    """The tables there are."""

    async def read() -> set[str]:
        connection = await asyncpg.connect(url)
        try:
            rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        finally:
            await connection.close()
        return {row["tablename"] for row in rows}

    return asyncio.run(read())


def configuration(url: str) -> Config:
    """What alembic needs to know to go down, which the service never does."""
    config = Config()
    config.set_main_option("script_location", str(Path(sca_service.migrations.__file__).parent))
    config.attributes["url"] = url
    return config


def test_up_down_and_up_again(url: str) -> None:
    """Every step has its way back, which leaves nothing behind that would be in the way."""
    assert tables(url) == set()
    migrate(url)
    assert tables(url) == TABLES
    migrate(url)
    assert tables(url) == TABLES
    command.downgrade(configuration(url), "base")
    assert tables(url) == {"alembic_version"}
    migrate(url)
    assert tables(url) == TABLES


@pytest.mark.race
def test_several_at_once_wait_for_each_other(url: str) -> None:
    """Every replica may migrate when it starts."""

    async def at_once() -> None:
        await asyncio.gather(*(asyncio.to_thread(migrate, url) for _ in range(3)))

    asyncio.run(at_once())
    assert tables(url) == TABLES
