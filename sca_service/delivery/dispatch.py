"""The worker's loop: take what is due, choose its route, put the attempt on record, send, put down what became of it.

A delivery is leased to one worker. When that worker dies the lease ends and another sends it again under the same
reference: at most one message more, and the log says so (`try` is 2).
"""

import asyncio
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import structlog

from sca_service.delivery.model import DeliveryStatus, SettledDelivery, Settlement
from sca_service.delivery.spans import note_attempt
from sca_service.delivery.supplier import Accepted, FailureReason, Message, Supplier, SupplierFailure
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.tracing.traces import Traces
from sca_service.policy.model import Channel, Occasion, Purpose
from sca_service.routing.model import Route, RouteChoice, RouteReason, SendOutcome

SEND_DEADLINE_SECONDS = 10.0
RETRY_MS = 1_000
"""Before the first further try with the same supplier; twice as long before the next, less up to half by chance."""
LONGEST_RETRY_MS = 8_000
_PUT_DOWN_SECONDS = 5.0
"""How long what became of a message waits for a store: within the lease, or another worker sends it again."""
_SWEEP_SECONDS = 0.2
_MOST_PER_CLAIM = 100
_MOST_UNDER_WAY = 500
_LEAST_ROOM = 64

log = structlog.get_logger()

Due = TypeVar("Due")
Taken = TypeVar("Taken")

_UNSURE = (FailureReason.TIMEOUT, FailureReason.WORKER_LOST)
"""Nobody knows whether such a message was sent."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is about to be sent, as far as it is known before its route is; its delivery is not named yet.

    `tried` are suppliers that did not take it; `began_with` is the one that may have (its worker died), which can tell
    a repeated reference. `number` is None for channels that know none.
    """

    message: Message
    number: PhoneNumber | None
    purpose: Purpose | None
    segments: int = 1
    tried: tuple[str, ...] = ()
    began_with: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Outbound:
    """One message of a client to be sent now over its route; its attempt is on record."""

    message: Message
    client: str
    route: Route


class Book(Protocol[Due]):
    """Where deliveries stand, and whose they are. `Due` is its own word for something whose time has come."""

    async def claim(self, partition: int, *, most: int) -> list[Due]:
        """Lease what is due in a partition. Raises StoreUnavailable."""

    def plan(self, due: Due) -> Plan | None:
        """What would be sent now; None when nothing would."""

    async def advance(self, due: Due, plan: Plan | None, choice: RouteChoice | None) -> Outbound | None:
        """What is to be sent now, put on record; None when nothing is. Raises StoreUnavailable."""

    async def settle(self, delivery: str, settlement: Settlement) -> SettledDelivery | None:
        """Put down what became of a delivery; None for an unknown one. Raises StoreUnavailable."""


class Routes(Protocol):
    """Chooses who carries a message, and learns how that went. Never raises, never waits for long."""

    async def choose(  # noqa: PLR0913 - all that is known of one message
        self,
        channel: Channel,
        number: PhoneNumber | None,
        *,
        purpose: Purpose | None,
        occasion: Occasion | None,
        segments: int,
        tried: tuple[str, ...],
        prefer: str = "",
        spent: tuple[str, ...] = (),
    ) -> RouteChoice:
        """The route for one message, with none of the suppliers whose money is spent."""

    def observe(self, route: Route, outcome: SendOutcome, latency_ms: int) -> None:
        """What came of handing it over."""


class SendingLimits(Protocol[Taken]):
    """Counts messages and their money. `Taken` is its own word for what was counted."""

    async def take(self, plan: Plan) -> tuple[Taken, ...] | None:
        """Count a message before its route is chosen; None when no more may be sent. Raises StoreUnavailable."""

    async def take_money(self, route: Route) -> tuple[Taken, ...] | None:
        """Count what a route costs; None when no more may be spent with its supplier. Raises StoreUnavailable."""

    def give_back(self, taken: tuple[Taken, ...]) -> None:
        """The message was surely not sent. Never raises and never waits."""


class SentNote(Protocol):
    """Remembers to whom a text was sent last, so that a reply finds it."""

    async def note_sent(self, message: Message, client: str) -> None:
        """A text is about to go out. Raises StoreUnavailable."""


class DueSignal(Protocol):
    """Tells which partitions have something due."""

    async def wait(self, seconds: float) -> set[int]:
        """The partitions that were signalled, at the latest after so many seconds. Raises StoreUnavailable."""


class Dispatcher(Generic[Due, Taken]):
    """Sends what is due. A class because it holds what is under way."""

    def __init__(  # noqa: PLR0913 - the loop holds all that it works with
        self,
        *,
        book: Book[Due],
        suppliers: Mapping[str, Supplier],
        routes: Routes,
        limits: SendingLimits[Taken],
        notes: SentNote,
        signal: DueSignal,
        partitions: Iterable[int],
        traces: Traces | None = None,
    ) -> None:
        """`suppliers` by name, as routes name them; `traces` where challenges' messages are to be traced."""
        self._traces = traces
        self._book = book
        self._suppliers = suppliers
        self._routes = routes
        self._limits = limits
        self._notes = notes
        self._signal = signal
        self._partitions = frozenset(partitions)
        self._under_way: set[asyncio.Task[None]] = set()
        self._room_made = asyncio.Event()
        self._more_due: set[int] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Dispatch until `stop` is set, then finish what is under way. Stores that are away are waited for."""
        loop = asyncio.get_running_loop()
        next_sweep = loop.time()
        while not stop.is_set():
            try:
                due = await self._signal.wait(0 if self._more_due else max(next_sweep - loop.time(), 0))
                due |= self._more_due
                if loop.time() >= next_sweep:
                    due = set(self._partitions)
                    next_sweep = loop.time() + _SWEEP_SECONDS
                await self.dispatch_due(due & self._partitions)
            except StoreUnavailable as away:
                log.warning("dispatch.waiting", reason=away.detail)
                await asyncio.sleep(_SWEEP_SECONDS)
            except Exception as error:  # the worker loop lives on (style, rule 10)
                log.error("dispatch.failed", exc=error)
                await asyncio.sleep(_SWEEP_SECONDS)
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=SEND_DEADLINE_SECONDS)

    async def dispatch_due(self, partitions: Iterable[int]) -> int:
        """Begin to work on what is due in these partitions, as far as there is room. Returns how much.

        A partition that cannot be worked on does not hold up the others; StoreUnavailable is raised when all are away.
        """
        wanted = list(partitions)
        random.shuffle(wanted)  # where there is not room for all, it is not always the same that wait
        room = await self._room()
        chosen = wanted[:room]
        most = min(_MOST_PER_CLAIM, max(room // max(len(chosen), 1), 1))
        self._more_due = set(wanted[room:])
        claims = await asyncio.gather(
            *(self._book.claim(partition, most=most) for partition in chosen), return_exceptions=True
        )
        failures = [claim for claim in claims if isinstance(claim, BaseException)]
        if failures and len(failures) == len(claims):
            raise failures[0]
        for failure in failures:
            log.error("dispatch.stumbled", exc=failure)
        begun = 0
        for partition, claim in zip(chosen, claims, strict=True):
            if isinstance(claim, BaseException):
                continue
            if len(claim) == most:
                self._more_due.add(partition)
            for due in claim:
                self._begin(due)
            begun += len(claim)
        return begun

    async def _room(self) -> int:
        """How much may be begun; waits until that is more than a little. What is leased too early is leased in vain."""
        while len(self._under_way) > _MOST_UNDER_WAY - _LEAST_ROOM:
            self._room_made.clear()
            await self._room_made.wait()
        return _MOST_UNDER_WAY - len(self._under_way)

    def _begin(self, due: Due) -> None:
        task = asyncio.get_running_loop().create_task(self._deliver_one(due))
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._room_made.set()

    async def _deliver_one(self, due: Due) -> None:
        try:
            plan = self._book.plan(due)
            choice, taken = await self._choose_within_limits(plan) if plan else (None, ())
            outbound = await self._advanced(due, plan, choice, taken)
            if plan and outbound:
                if outbound.message.channel.needs_phone:
                    await self._note(outbound)
                settlement = await self._send(plan, outbound)
                if settlement.status is DeliveryStatus.FAILED and settlement.reason not in _UNSURE:
                    self._limits.give_back(taken)
                await self._put_down(outbound.message.delivery_id, settlement)
        except StoreUnavailable as away:
            log.warning("delivery.postponed", reason=away.detail)  # its timer brings it up again
        except Exception as error:  # the worker loop lives on (style, rule 10); the lease brings it back
            log.error("delivery.stumbled", exc=error)

    async def _choose_within_limits(self, plan: Plan) -> tuple[RouteChoice, tuple[Taken, ...]]:
        """The route, and what was counted for it; a supplier whose money is spent is passed over."""
        taken = await self._limits.take(plan)
        if taken is None:
            return RouteChoice(None, (("", RouteReason.SEND_LIMIT),)), ()
        spent: tuple[str, ...] = ()
        while True:
            choice = await self._choose(plan, spent=spent)
            if choice.route is None:
                self._limits.give_back(taken)
                return choice, ()
            try:
                money = await self._limits.take_money(choice.route)
            except StoreUnavailable:
                self._limits.give_back(taken)
                raise
            if money is not None:
                return choice, (*taken, *money)
            spent = (*spent, choice.route.supplier)

    async def _advanced(
        self, due: Due, plan: Plan | None, choice: RouteChoice | None, taken: tuple[Taken, ...]
    ) -> Outbound | None:
        """What is to be sent now, on record; what was counted for a message that is not, is given back."""
        outbound = None
        try:
            outbound = await self._book.advance(due, plan, choice)
        finally:
            if outbound is None:
                self._limits.give_back(taken)
        return outbound

    async def _note(self, outbound: Outbound) -> None:
        """Without the note a payer's reply is not understood; without the message there is nothing to reply to."""
        try:
            await self._notes.note_sent(outbound.message, outbound.client)
        except StoreUnavailable as away:
            log.warning("sent_text.not_noted", reason=away.detail)

    async def _choose(self, plan: Plan, also_tried: str = "", spent: tuple[str, ...] = ()) -> RouteChoice:
        return await self._routes.choose(
            plan.message.channel,
            plan.number,
            purpose=plan.purpose,
            occasion=plan.message.occasion,
            segments=plan.segments,
            tried=(*plan.tried, also_tried) if also_tried else plan.tried,
            prefer=also_tried or plan.began_with,  # asking who could follow must claim no probe
            spent=spent,
        )

    async def _put_down(self, delivery: str, settlement: Settlement) -> None:
        """Put down what became of it; telling it again changes nothing. Raises StoreUnavailable."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _PUT_DOWN_SECONDS
        while True:
            try:
                await self._book.settle(delivery, settlement)
            except StoreUnavailable:
                if loop.time() >= until:
                    raise
                await asyncio.sleep(_SWEEP_SECONDS)
            else:
                return

    async def _send(self, plan: Plan, outbound: Outbound) -> Settlement:
        loop = asyncio.get_running_loop()
        began, began_ns = loop.time(), self._traces.now_ns() if self._traces else 0
        settlement, outcome = await self._hand_over(outbound)
        self._routes.observe(outbound.route, outcome, int((loop.time() - began) * 1000))
        if self._traces:
            country = plan.number.country if plan.number else ""
            note_attempt(self._traces, began_ns, outbound.message, country, settlement)
        if settlement.transient:
            return await self._again(plan, outbound, settlement)
        return settlement

    async def _hand_over(self, outbound: Outbound) -> tuple[Settlement, SendOutcome]:
        name = outbound.route.supplier
        supplier = self._suppliers[name]
        try:
            async with asyncio.timeout(SEND_DEADLINE_SECONDS):
                accepted = await supplier.send(outbound.message)
        except TimeoutError:
            return Settlement(
                DeliveryStatus.FAILED, name, reason=FailureReason.TIMEOUT
            ), SendOutcome.TIMED_OUT
        except SupplierFailure as failure:
            settlement = Settlement(
                DeliveryStatus.FAILED,
                name,
                reason=failure.reason,
                transient=failure.transient,
                retry_ms=failure.retry_after_ms,
            )
            return settlement, _outcome(failure)
        except Exception as error:  # the worker lives on (style, rule 10); whether it was taken nobody knows
            log.error("supplier.stumbled", supplier=name, exc=error)
            lost = Settlement(DeliveryStatus.FAILED, name, reason=FailureReason.WORKER_LOST)
            return lost, SendOutcome.FAILED
        return _sent(name, accepted), SendOutcome.TAKEN

    async def _again(self, plan: Plan, outbound: Outbound, settlement: Settlement) -> Settlement:
        """A failure that passes: another supplier at once, else the same one later, never one without a device."""
        tried = {*plan.tried, settlement.supplier}
        choice = await self._choose(plan, also_tried=settlement.supplier)
        if choice.route and choice.route.supplier not in tried:
            retry_ms = 0
        elif settlement.reason == FailureReason.NO_DEVICE:
            return Settlement(DeliveryStatus.FAILED, settlement.supplier, reason=settlement.reason)
        else:
            retry_ms = max(settlement.retry_ms, retry_wait_ms(outbound.message.attempt, random.random()))  # noqa: S311
        return Settlement(
            settlement.status,
            settlement.supplier,
            reason=settlement.reason,
            transient=True,
            retry_ms=min(retry_ms, LONGEST_RETRY_MS),
            attempt=outbound.message.attempt,
        )


def retry_wait_ms(attempt: int, chance: float) -> int:
    """Milliseconds before the try after number `attempt`; `chance` (0 to 1) spreads those that failed together."""
    return int(min(RETRY_MS * 2 ** (attempt - 1), LONGEST_RETRY_MS) * (1 - chance / 2))


def _outcome(failure: SupplierFailure) -> SendOutcome:
    if failure.reason is FailureReason.TIMEOUT:
        return SendOutcome.TIMED_OUT
    if failure.reason is FailureReason.SUPPLIER_DOWN:
        return SendOutcome.FAILED
    return SendOutcome.REFUSED


def _sent(supplier: str, accepted: Accepted) -> Settlement:
    cost = f"{accepted.cost.currency} {accepted.cost.text}" if accepted.cost else ""
    return Settlement(DeliveryStatus.SENT, supplier, segments=accepted.segments, cost=cost)
