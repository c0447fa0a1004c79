"""What tests of webhooks share: endpoints, events that are told, senders, and time that passes at once."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import msgspec

from sca_service.audit.following.model import LoggedEvent
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.policy.load import load
from sca_service.policy.webhooks import WebhookPolicy
from sca_service.settings import shipped_policies
from sca_service.webhooks.caller import EndpointCaller
from sca_service.webhooks.desk import Opened, Wanted, WebhookDesk
from sca_service.webhooks.model import Message, MessageStatus, Scheme
from sca_service.webhooks.outbox.fill import fill
from sca_service.webhooks.outbox.postgres_store import OutboxStore
from sca_service.webhooks.outbox.sender import WebhookSender
from sca_service.webhooks.postgres_store import EndpointStore, MessageFilter
from tests.rude_server import RudeRequest

CLIENT = "bank"
ORIGIN = {"actor": f"client:{CLIENT}", "request": "req_webhooks", "policy": "sha256:" + "1" * 64}
POLICY: WebhookPolicy = load(shipped_policies()).webhooks
ANYTHING = MessageFilter()


def happened(kind: str, challenge: str, **members: Any) -> LoggedEvent:
    """An event on the log about a challenge of the client."""
    body = {"id": new_id("evt"), "type": kind, "at_ms": SystemClock().now_ms(), "client": CLIENT}
    return LoggedEvent.read(
        0, msgspec.json.encode(body | {"psu": "ab" * 16, "challenge": challenge} | members).decode()
    )


def settled(challenge: str, number: int) -> LoggedEvent:
    """A delivery of a challenge that was sent: there may be as many as one likes."""
    return happened("delivery.settled", challenge, delivery=f"dlv_{number:03d}", status="sent")


def told_in(request: RudeRequest) -> tuple[str, str]:
    """The challenge and the delivery that a call tells of."""
    said = json.loads(request.body)["data"]
    return said["challenge"], said["delivery"]


@dataclass(frozen=True, slots=True)
class PostRoom:
    """Everything that webhooks need, over one pool."""

    pool: asyncpg.Pool
    keyring: Keyring

    @property
    def desk(self) -> WebhookDesk:
        """Where endpoints are kept; they may be on this machine."""
        return WebhookDesk(
            store=EndpointStore(self.pool),
            keyring=self.keyring,
            policy=POLICY,
            clock=SystemClock(),
            sandbox=True,
        )

    async def endpoint(self, url: str, *types: str, scheme: Scheme = Scheme.V1) -> Opened:
        """A new endpoint of the client."""
        return await self.desk.create(CLIENT, Wanted(url=url, types=types), scheme, ORIGIN, unique=None)

    async def tell(self, *events: LoggedEvent) -> None:
        """Put what happened into the outbox, as the follower of the log does."""
        async with self.pool.acquire() as connection, connection.transaction():
            await fill(connection, events)

    @asynccontextmanager
    async def sender(
        self, *, policy: WebhookPolicy = POLICY, most_at_once: int = 64
    ) -> AsyncIterator[WebhookSender]:
        """A worker's sender; a wait is never stretched."""
        caller = EndpointCaller(answer_seconds=policy.answer_seconds, sandbox=True)
        try:
            yield WebhookSender(
                store=OutboxStore(self.pool),
                caller=caller,
                keyring=self.keyring,
                policy=policy,
                clock=SystemClock(),
                chance=lambda: 0,
                most_at_once=most_at_once,
            )
        finally:
            await caller.close()

    async def send_all(self, sender: WebhookSender) -> None:
        """Send what is due, and what that makes due, until nothing is."""
        while await sender.begin():
            await sender.finish()

    async def let_time_pass(self) -> None:
        """Whatever waits, or is leased, is due now."""
        await self.pool.execute("UPDATE webhook_messages SET due_at = now() WHERE due_at IS NOT NULL")

    async def messages(self, endpoint: Opened, status: MessageStatus | None = None) -> Sequence[Message]:
        """The messages to an endpoint, in the order they were put there."""
        found, _ = await self.desk.messages(
            CLIENT, endpoint.endpoint.id, MessageFilter(status=status), before=None, most=200
        )
        return found[::-1]

    async def statuses(self, endpoint: Opened) -> list[str]:
        """Where these messages stand."""
        return [message.status.value for message in await self.messages(endpoint)]

    async def events(self, endpoint: Opened) -> list[dict[str, Any]]:
        """What is on record about an endpoint."""
        rows = await self.pool.fetch(
            "SELECT body FROM audit_events WHERE type LIKE 'webhook.%' ORDER BY txid, position"
        )
        found = [json.loads(row["body"]) for row in rows]
        return [event for event in found if event["webhook"] == endpoint.endpoint.id]
