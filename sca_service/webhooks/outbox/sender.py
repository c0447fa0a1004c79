"""The worker's loop of webhooks: lease what is due, call, put down what came of it.

A message is leased for longer than a call can take. When its worker dies the lease ends and another calls again under
the same `webhook-id`: each message arrives at least once. No endpoint waits for another: each has a few slots of its
own, one that fails has one, and whoever has the fewest calls under way is served first.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable

import structlog

from sca_service.audit.model import AuditEvent
from sca_service.kernel.clock import Clock
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring, SealBroken
from sca_service.kernel.postgres import POSTGRES_AWAY
from sca_service.kernel.telemetry import WEBHOOK_ATTEMPTS, WEBHOOK_LAG
from sca_service.policy.webhooks import WebhookPolicy
from sca_service.webhooks.announcements import CHECKPOINT, Announcement, payload
from sca_service.webhooks.caller import MOST_CONNECTIONS, EndpointCaller
from sca_service.webhooks.model import AttemptOutcome, CallResult, Claimed, WhyDisabled, wait_seconds
from sca_service.webhooks.outbox.fill import messages_about
from sca_service.webhooks.outbox.postgres_store import OutboxStore
from sca_service.webhooks.signature import SigningKeys

PAUSE_SECONDS = 0.2
MARGIN_SECONDS = 20
"""What a lease lasts beyond the longest call: a busy worker puts down late what came of one."""
_SETTLED_SECONDS = 2
"""How long a worker that is told to stop waits beyond the longest call; what is late by then is sent again."""
_TENDED_EVERY_SECONDS = 5.0
_PRUNED_EVERY_SECONDS = 3600.0
_PRUNED_AT_ONCE = 2000

log = structlog.get_logger()


class WebhookSender:
    """Sends what is in the outbox. A class because it holds the store, the connections and what is under way."""

    def __init__(
        self,
        *,
        store: OutboxStore,
        caller: EndpointCaller,
        keyring: Keyring,
        policy: WebhookPolicy,
        clock: Clock,
        chance: Callable[[], float] = random.random,
        most_at_once: int = MOST_CONNECTIONS,
    ) -> None:
        """`chance` is random, 0 to 1; `most_at_once` bounds the calls of this worker to all endpoints."""
        self._store = store
        self._caller = caller
        self._keyring = keyring
        self._policy = policy
        self._clock = clock
        self._chance = chance
        self._most_at_once = most_at_once
        self._busy: Counter[str] = Counter()
        self._under_way: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop` is set, then finish what is under way. A store that is away is waited for."""
        while not stop.is_set():
            begun = 0
            try:
                begun = await self.begin()
            except POSTGRES_AWAY as error:
                log.warning("webhooks.waiting", reason=type(error).__name__)
            except Exception as error:  # the worker's loop lives on (style, rule 10)
                log.error("webhooks.failed", exc=error)
            if not begun:
                await self._wait(stop)
        await self.finish()

    async def begin(self) -> int:
        """Begin to send what is due, as far as there is room. Returns how many messages.

        Raises asyncpg errors when the store is away.
        """
        self._ended.clear()
        room = self._most_at_once - len(self._under_way)
        if room <= 0:
            return 0
        claimed = await self._store.claim(
            at_once=self._policy.most_at_once,
            busy=self._busy,
            most=room,
            lease_seconds=self._policy.answer_seconds + MARGIN_SECONDS,
        )
        for one in claimed:
            self._busy[one.endpoint] += 1
            task = asyncio.get_running_loop().create_task(self._run(one))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        return len(claimed)

    async def finish(self) -> None:
        """Wait for what is under way."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=self._policy.answer_seconds + _SETTLED_SECONDS)

    async def tend(self, stop: asyncio.Event) -> None:
        """Tell of checkpoints, clear up and prune what is over, and measure the lag, until `stop` is set."""
        prune_at = 0.0
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            try:
                await self.tell_checkpoint()
                while await self._store.clear() and not stop.is_set():
                    continue
                WEBHOOK_LAG.set(await self._store.lag_seconds())
                if loop.time() >= prune_at:
                    gone = await self._store.prune(days=self._policy.kept_days, most=_PRUNED_AT_ONCE)
                    prune_at = loop.time() + (0 if gone == _PRUNED_AT_ONCE else _PRUNED_EVERY_SECONDS)
            except POSTGRES_AWAY as error:
                log.warning("webhooks.waiting", reason=type(error).__name__)
            except Exception as error:  # the worker's loop lives on (style, rule 10)
                log.error("webhooks.failed", exc=error)
            try:
                await asyncio.wait_for(stop.wait(), _TENDED_EVERY_SECONDS)
            except TimeoutError:
                continue

    async def tell_checkpoint(self) -> int:
        """Tell of the newest checkpoint whoever wants it and was told of none lately. Returns how many endpoints."""
        newest = await self._store.newest_checkpoint()
        if newest is None or not newest.size:
            return 0
        said = {"size": newest.size, "root": newest.root}
        body = payload(CHECKPOINT, newest.at_ms, said)
        told = Announcement(CHECKPOINT, None, "checkpoint", newest.at_ms, body)
        messages = messages_about([told], await self._store.subscribers())
        every_seconds = self._policy.checkpoint_seconds
        return await self._store.tell_checkpoint(newest.size, messages, every_seconds=every_seconds)

    async def send(self, claimed: Claimed) -> None:
        """Call once, and put down what came of it. Raises asyncpg errors; then the lease ends by itself."""
        result = await self._call(claimed)
        WEBHOOK_ATTEMPTS.labels(result.outcome).inc()
        await self._settle(claimed, result)

    async def _run(self, claimed: Claimed) -> None:
        try:
            await self.send(claimed)
        except POSTGRES_AWAY as error:  # the lease ends, and it is sent again
            log.warning("webhooks.unsettled", reason=type(error).__name__)
        except Exception as error:  # as above: one message holds up no other
            log.error("webhooks.failed", exc=error)
        finally:
            self._busy[claimed.endpoint] -= 1
            if not self._busy[claimed.endpoint]:
                del self._busy[claimed.endpoint]
            self._ended.set()

    async def _call(self, claimed: Claimed) -> CallResult:
        now_ms = self._clock.now_ms()
        try:
            keys = SigningKeys.opened(self._keyring, claimed.sealed, claimed.endpoint, claimed.scheme)
        except SealBroken:
            log.error("webhooks.unsigned", endpoint=claimed.endpoint)
            return CallResult(AttemptOutcome.UNREACHABLE, 0)
        at_s = now_ms // 1000
        headers = {
            "webhook-id": claimed.id,
            "webhook-timestamp": str(at_s),
            "webhook-signature": keys.sign(message=claimed.id, at_s=at_s, body=claimed.body, now_ms=now_ms),
        }
        return await self._caller.call(claimed.url, headers=headers, body=claimed.body)

    async def _settle(self, claimed: Claimed, result: CallResult) -> None:
        if result.outcome is AttemptOutcome.DELIVERED:
            await self._store.delivered(claimed, result)
            return
        wait = wait_seconds(
            self._policy,
            claimed.number - claimed.tries_before,
            chance=self._chance(),
            retry_after_seconds=result.retry_after_seconds,
        )
        since = await self._store.failed(claimed, result, wait)
        if since is None:
            return
        if result.outcome is AttemptOutcome.GONE:
            await self._disable(claimed, WhyDisabled.GONE)
        elif self._clock.now_ms() - since.timestamp() * 1000 > self._policy.disable_after_days * 86_400_000:
            await self._disable(claimed, WhyDisabled.FAILING)

    async def _disable(self, claimed: Claimed, why: WhyDisabled) -> None:
        endpoint = claimed.endpoint
        client = await self._store.client_of(endpoint)
        event = AuditEvent.create(
            event_id=new_id("evt"),
            kind="webhook.disabled",
            at_ms=self._clock.now_ms(),
            members={"client": client, "actor": "worker", "webhook": endpoint, "reason": why},
        )
        if await self._store.disable(endpoint, claimed.url, why, event):
            log.warning("webhook.disabled", endpoint=endpoint, reason=why)

    async def _wait(self, stop: asyncio.Event) -> None:
        """Until a call has ended, or for a moment."""
        waited = [asyncio.ensure_future(one.wait()) for one in (stop, self._ended)]
        try:
            await asyncio.wait(waited, timeout=PAUSE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waited:
                one.cancel()
