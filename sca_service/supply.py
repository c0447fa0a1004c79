"""Builds suppliers, and the readers of what they tell, from the policy: the composition root's part for delivery."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import structlog

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.kinds import SANDBOX, make_reader, make_supplier
from sca_service.delivery.channels.push.model import Devices
from sca_service.delivery.http_client import HttpClient
from sca_service.delivery.supplier import Ear, Supplier, WordReader
from sca_service.kernel.clock import Clock
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import ConfigurationError
from sca_service.policy.model import Policy
from sca_service.policy.supply import SupplierRule, SupplyPolicy
from sca_service.routing.portability import Portability, network_source
from sca_service.routing.redis_store import NetworkStore, RouteStore
from sca_service.routing.router import Router
from sca_service.sandbox.mailbox import MAILBOX_FILE, AsyncMailbox, Mailbox
from sca_service.sandbox.supplier import receipts as sandbox_receipts
from sca_service.sandbox.supplier import supplier as sandbox_supplier
from sca_service.sandbox.supplier.sender import ReceiptSender
from sca_service.sandbox.supplier.settings import receipt_key
from sca_service.settings import Settings

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """What every supplier is built with."""

    settings: Settings
    redis: RedisConnection
    clock: Clock
    devices: Devices
    ear: Ear
    http: HttpClient

    def context(self, rule: SupplierRule) -> Context:
        """What one supplier is built with."""
        return Context(
            rule=rule,
            secrets=self.settings.secrets_of(rule.name),
            public_url=self.settings.receipts_url,
            http=self.http,
            ear=self.ear,
            redis=self.redis,
            keyring=self.settings.keyring,
            clock=self.clock,
            subscriptions=self.devices,
        )


def working_supply(policy: Policy, *, sandbox: bool) -> SupplyPolicy:
    """The policy's suppliers that exist here: those of the sandbox are not for production.

    Raises ConfigurationError when a ladder names a channel that none of them carries.
    """
    suppliers = tuple(rule for rule in policy.supply.suppliers if sandbox or rule.kind != SANDBOX)
    carried = {rule.channel for rule in suppliers}
    missing = [
        f"ladder.toml:{ladder.purpose}: names {step.channel}, which no supplier of suppliers.toml carries"
        for ladder in policy.ladders
        for step in ladder.steps
        if step.channel not in carried
    ]
    if missing:
        where = "" if sandbox else "the sandbox's suppliers are not for production\n"
        raise ConfigurationError(where + "\n".join(missing))
    return replace(policy.supply, suppliers=suppliers)


def open_readers(supply: SupplyPolicy, surroundings: Surroundings) -> dict[str, WordReader]:
    """The readers of suppliers' call-backs by the suppliers' names. Raises ConfigurationError."""
    readers: dict[str, WordReader] = {}
    for rule in supply.suppliers:
        context = surroundings.context(rule)
        build: Callable[[Context], WordReader | None] = (
            sandbox_receipts.build if rule.kind == SANDBOX else make_reader
        )
        if reader := build(context):
            readers[rule.name] = reader
    return readers


def open_router(settings: Settings, supply: SupplyPolicy, redis: RedisConnection, http: HttpClient) -> Router:
    """What chooses the routes of messages. Raises ConfigurationError."""
    portability = Portability(
        prefixes=supply.networks,
        rule=supply.portability,
        source=network_source(supply.portability, http, settings.portability_authorization),
        memory=NetworkStore(redis),
        keyring=settings.keyring,
    )
    return Router(supply=supply, portability=portability, store=RouteStore(redis, supply.breaker))


@asynccontextmanager
async def open_suppliers(
    supply: SupplyPolicy, surroundings: Surroundings
) -> AsyncIterator[Mapping[str, Supplier]]:
    """The suppliers by their names; they are closed at the end. Raises ConfigurationError."""
    async with AsyncExitStack() as stack:
        suppliers: dict[str, Supplier] = {}
        sandbox = None
        try:
            for rule in supply.suppliers:
                context = surroundings.context(rule)
                if rule.kind == SANDBOX:
                    sandbox = sandbox or await _open_sandbox(stack, surroundings)
                    suppliers[rule.name] = sandbox_supplier.build(context, *sandbox)
                else:
                    suppliers[rule.name] = make_supplier(context)
            yield suppliers
        finally:
            await close_all(suppliers)


async def close_all(suppliers: Mapping[str, Supplier]) -> None:
    """Close them side by side: a stop takes as long as the slowest, and no fault of one keeps another open."""
    closed = await asyncio.gather(*(one.close() for one in suppliers.values()), return_exceptions=True)
    for name, fault in zip(suppliers, closed, strict=True):
        if fault is not None:
            log.error("supplier.not_closed", supplier=name, exc=fault)


async def _open_sandbox(
    stack: AsyncExitStack, surroundings: Surroundings
) -> tuple[AsyncMailbox, ReceiptSender]:
    settings = surroundings.settings
    if settings.sandbox_folder is None:
        raise ConfigurationError("the sandbox's suppliers are not for production")
    mailbox = AsyncMailbox(Mailbox(settings.sandbox_folder / MAILBOX_FILE))
    stack.push_async_callback(mailbox.close)
    sender = ReceiptSender(settings.api_url, secret=receipt_key(settings.keyring), clock=surroundings.clock)
    stack.push_async_callback(sender.close)
    return mailbox, sender
