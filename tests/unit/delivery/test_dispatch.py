"""One delivery in the worker's hands: how it is sent, what is tried after a failure, and what is put down."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from sca_service.delivery.dispatch import (
    LONGEST_RETRY_MS,
    RETRY_MS,
    Dispatcher,
    Outbound,
    Plan,
    retry_wait_ms,
)
from sca_service.delivery.model import DeliveryStatus, SettledDelivery, Settlement
from sca_service.delivery.supplier import Accepted, FailureReason, Message, Supplier, SupplierFailure
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel, Occasion, Purpose
from sca_service.routing.model import Route, RouteChoice, RouteReason, SendOutcome
from tests.sending import Unlimited

MESSAGE = Message(
    delivery_id="dlv_1",
    channel=Channel.PUSH,
    to=Secret("a payer"),
    text=Secret("a text"),
    locale="en",
)
PLAN = Plan(MESSAGE, None, Purpose.LOGIN)
DOWN = SupplierFailure(FailureReason.SUPPLIER_DOWN, transient=True)


@dataclass(slots=True)
class Carrier:
    """A supplier that takes every message, or fails as it is told to, once after the other."""

    name: str
    failures: list[Exception] = field(default_factory=list)
    taken: int = 0
    channel: Channel = Channel.PUSH

    async def send(self, _: Message) -> Accepted:
        """Fail, or take it."""
        if self.failures:
            raise self.failures.pop(0)
        self.taken += 1
        return Accepted("reference", 1, None)

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(slots=True)
class Routes:
    """The first supplier that has not failed; one that is half open only for whoever may try it, and only once."""

    suppliers: Sequence[str]
    half_open: set[str] = field(default_factory=set)
    outcomes: list[SendOutcome] = field(default_factory=list)

    async def choose(
        self,
        channel: Channel,
        _: PhoneNumber | None,
        *,
        purpose: Purpose | None,
        occasion: Occasion | None,
        segments: int,
        tried: tuple[str, ...],
        prefer: str = "",
        spent: tuple[str, ...] = (),
    ) -> RouteChoice:
        """The route; a probe is given to a message that nobody may have yet."""
        assert (purpose, occasion, segments) == (Purpose.LOGIN, None, 1)
        for name in sorted(self.half_open - set(tried)):
            if not prefer:
                self.half_open.discard(name)
                return RouteChoice(self._route(channel, name))
        usable = [name for name in self.suppliers if name not in self.half_open]
        fresh = [name for name in usable if name not in tried]
        if not usable:
            return RouteChoice(None)
        return RouteChoice(self._route(channel, (fresh or usable)[0]))

    def observe(self, _: Route, outcome: SendOutcome, latency_ms: int) -> None:
        """What came of it."""
        assert latency_ms >= 0
        self.outcomes.append(outcome)

    @staticmethod
    def _route(channel: Channel, name: str) -> Route:
        return Route(name, channel, "", None, None, (RouteReason.ONLY_ROUTE,))


@dataclass(slots=True)
class Book:
    """One delivery; `away` is how often the store is away when something is to be put down."""

    plans: list[Plan]
    away: int = 0
    put_down: list[Settlement] = field(default_factory=list)
    asked: int = 0

    async def claim(self, _: int, *, most: int) -> list[int]:
        """Every plan once."""
        return list(range(len(self.plans)))[:most]

    def plan(self, due: int) -> Plan | None:
        """What would be sent."""
        return self.plans[due]

    async def advance(self, due: int, plan: Plan | None, choice: RouteChoice | None) -> Outbound | None:
        """It is on record."""
        if plan is None or choice is None or choice.route is None:
            return None
        return Outbound(replace(plan.message, attempt=due + 1), "bank", choice.route)

    async def settle(self, delivery: str, settlement: Settlement) -> SettledDelivery | None:
        """Remember it."""
        self.asked += 1
        if self.away:
            self.away -= 1
            raise StoreUnavailable("away")
        self.put_down.append(settlement)
        return SettledDelivery(delivery, settlement.status)


class Notes:
    """Nobody replies to a push."""

    async def note_sent(self, message: Message, client: str) -> None:
        """Not for a push."""
        raise AssertionError(message.channel, client)


class NotesAway:
    """Redis is away."""

    async def note_sent(self, message: Message, client: str) -> None:
        """It cannot be noted."""
        raise StoreUnavailable(f"away for {client} and {message.channel}")


class Signal:
    """Nothing is ever signalled."""

    async def wait(self, _: float) -> set[int]:
        """Nothing."""
        return set()


async def work(book: Book, routes: Routes, *carriers: Supplier) -> list[Settlement]:
    """What is put down when a worker has worked on everything that is due."""
    dispatcher = Dispatcher(
        book=book,
        suppliers={one.name: one for one in carriers},
        routes=routes,
        limits=Unlimited(),
        notes=Notes(),
        signal=Signal(),
        partitions=[0],
    )
    stop = asyncio.Event()
    assert await dispatcher.dispatch_due([0]) == len(book.plans)
    stop.set()
    await dispatcher.run(stop)
    return book.put_down


@pytest.mark.parametrize(
    ("attempt", "chance", "wait_ms"),
    [
        (1, 0.0, RETRY_MS),
        (1, 1.0, RETRY_MS // 2),
        (2, 0.0, 2_000),
        (3, 0.5, 3_000),
        (9, 0.0, LONGEST_RETRY_MS),
    ],
)
def test_each_wait_is_twice_as_long_and_spread(attempt: int, chance: float, wait_ms: int) -> None:
    """Those that failed together do not come back together, and none waits for ever."""
    assert retry_wait_ms(attempt, chance) == wait_ms


async def test_what_a_supplier_takes_is_sent() -> None:
    """And its route hears that."""
    routes = Routes(["a"])
    (settlement,) = await work(Book([PLAN]), routes, Carrier("a"))
    assert (settlement.status, settlement.supplier, settlement.transient) == (DeliveryStatus.SENT, "a", False)
    assert routes.outcomes == [SendOutcome.TAKEN]


async def test_another_supplier_follows_at_once() -> None:
    """What one surely did not take the next one gets without a wait."""
    (settlement,) = await work(Book([PLAN]), Routes(["a", "b"]), Carrier("a", [DOWN]), Carrier("b"))
    assert (settlement.status, settlement.transient) == (DeliveryStatus.FAILED, True)
    assert (settlement.supplier, settlement.retry_ms, settlement.attempt) == ("a", 0, 1)


@pytest.mark.parametrize(
    ("asked_ms", "most_ms"), [(0, RETRY_MS), (5_000, 5_000), (3_600_000, LONGEST_RETRY_MS)]
)
async def test_the_only_supplier_is_asked_again_later(asked_ms: int, most_ms: int) -> None:
    """After a wait, or after what it asks for, within reason."""
    failure = SupplierFailure(FailureReason.SUPPLIER_DOWN, transient=True, retry_after_ms=asked_ms)
    (settlement,) = await work(Book([PLAN]), Routes(["a"]), Carrier("a", [failure]))
    assert settlement.transient
    assert max(min(asked_ms, LONGEST_RETRY_MS), RETRY_MS // 2) <= settlement.retry_ms <= most_ms


async def test_when_all_have_failed_the_wait_begins() -> None:
    """The other one was tried before: coming back to it at once would only keep both busy."""
    plan = replace(PLAN, tried=("b",))
    (settlement,) = await work(Book([plan]), Routes(["a", "b"]), Carrier("a", [DOWN]), Carrier("b"))
    assert (settlement.transient, settlement.retry_ms > 0) == (True, True)


@pytest.mark.parametrize("others", [["a"], ["a", "b"]])
async def test_without_a_device_only_another_supplier_helps(others: list[str]) -> None:
    """The payer has none that this one reaches: waiting gives them none."""
    failure = SupplierFailure(FailureReason.NO_DEVICE, transient=True)
    carriers = [Carrier("a", [failure]), Carrier("b")]
    (settlement,) = await work(Book([PLAN]), Routes(others), *carriers)
    assert settlement.reason == FailureReason.NO_DEVICE
    assert (settlement.transient, settlement.retry_ms) == (len(others) > 1, 0)


async def test_looking_for_another_supplier_spends_no_probe() -> None:
    """A half-open supplier is tried by the message that is sent over it, not by a look at who might follow."""
    routes = Routes(["a", "b"], half_open={"b"})
    book = Book([replace(PLAN, began_with="a")])
    (settlement,) = await work(book, routes, Carrier("a", [DOWN]), Carrier("b"))
    assert routes.half_open == {"b"}
    assert settlement.retry_ms > 0


@pytest.mark.parametrize("reason", [FailureReason.REJECTED, FailureReason.TIMEOUT])
async def test_a_failure_for_good_is_not_tried_again(reason: FailureReason) -> None:
    """A refusal stays one, and what may have arrived nobody gets twice."""
    failure = SupplierFailure(reason, transient=False)
    (settlement,) = await work(Book([PLAN]), Routes(["a", "b"]), Carrier("a", [failure]), Carrier("b"))
    assert (settlement.status, settlement.reason, settlement.transient) == (
        DeliveryStatus.FAILED,
        reason,
        False,
    )


async def test_a_supplier_that_stumbles_may_have_taken_the_message() -> None:
    """A fault nobody thought of: it is put down at once that nobody knows, and nothing is sent again."""
    routes = Routes(["a", "b"])
    carriers = (Carrier("a", [ValueError("a fault")]), Carrier("b"))
    (settlement,) = await work(Book([PLAN]), routes, *carriers)
    assert (settlement.reason, settlement.transient) == (FailureReason.WORKER_LOST, False)
    assert (routes.outcomes, carriers[1].taken) == ([SendOutcome.FAILED], 0)


@pytest.mark.parametrize("failures", [[], [DOWN]])
async def test_what_became_of_it_is_put_down_when_the_store_is_back(failures: list[Exception]) -> None:
    """A store that is away for a moment costs no second message."""
    book = Book([PLAN], away=2)
    carrier = Carrier("a", list(failures))
    settlements = await work(book, Routes(["a"]), carrier)
    assert (len(settlements), book.asked) == (1, 3)
    assert (carrier.taken, carrier.failures) == (0 if failures else 1, [])


async def test_a_text_goes_out_though_it_cannot_be_noted() -> None:
    """A payer waits for the code; that a reply to it would not be understood is the lesser harm."""
    carrier = Carrier("one", channel=Channel.SMS)
    book = Book([replace(PLAN, message=replace(MESSAGE, channel=Channel.SMS))])
    dispatcher = Dispatcher(
        book=book,
        suppliers={"one": carrier},
        routes=Routes(["one"]),
        limits=Unlimited(),
        notes=NotesAway(),
        signal=Signal(),
        partitions=[0],
    )
    await dispatcher.dispatch_due([0])
    stop = asyncio.Event()
    stop.set()
    await dispatcher.run(stop)
    assert (carrier.taken, [each.status for each in book.put_down]) == (1, [DeliveryStatus.SENT])


@pytest.mark.parametrize("error", [OSError("cut"), StoreUnavailable("away"), ValueError("odd")])
async def test_only_a_supplier_says_that_it_did_not_take_a_message(error: Exception) -> None:
    """Whatever else goes wrong while it is handed over: it may have arrived, so no other supplier gets it too."""
    first, second = Carrier("one", [error]), Carrier("two")
    told = await work(Book([PLAN]), Routes(["one", "two"]), first, second)
    assert [(each.reason, each.transient) for each in told] == [(FailureReason.WORKER_LOST, False)]
    assert second.taken == 0
