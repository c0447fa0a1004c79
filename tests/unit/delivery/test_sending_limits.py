"""Limits on what goes out, in the worker's hands: what is passed over, what is counted, and what is given back."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import pytest

from sca_service.delivery.dispatch import Dispatcher, Outbound, Plan
from sca_service.delivery.supplier import FailureReason, SupplierFailure
from sca_service.kernel.errors import StoreUnavailable
from sca_service.routing.model import Route, RouteChoice, RouteReason
from tests.unit.delivery.test_dispatch import DOWN, PLAN, Book, Carrier, Notes, Routes, Signal

SILENT = SupplierFailure(FailureReason.TIMEOUT, transient=True)
REJECTED = SupplierFailure(FailureReason.REJECTED, transient=False)


@dataclass(slots=True)
class Counted:
    """So many messages, and so much money with each supplier; `held` is what was counted and not given back."""

    messages: int = 10
    money: dict[str, int] = field(default_factory=dict)
    is_away: bool = False
    held: Counter[str] = field(default_factory=Counter)

    async def take(self, _: Plan) -> tuple[str, ...] | None:
        """One message."""
        if self.held["message"] >= self.messages:
            return None
        self.held["message"] += 1
        return ("message",)

    async def take_money(self, route: Route) -> tuple[str, ...] | None:
        """One unit of its supplier's money."""
        if self.is_away:
            raise StoreUnavailable("away")
        if self.held[route.supplier] >= self.money.get(route.supplier, 10):
            return None
        self.held[route.supplier] += 1
        return (route.supplier,)

    def give_back(self, taken: tuple[str, ...]) -> None:
        """Never more than was counted."""
        self.held.subtract(taken)
        assert min(self.held.values(), default=0) >= 0


@dataclass(slots=True)
class Within(Routes):
    """Routes that heed whose money is spent."""

    async def choose(self, *arguments: object, spent: tuple[str, ...] = (), **members: object) -> RouteChoice:
        """The first supplier with money."""
        left = Routes([name for name in self.suppliers if name not in spent])
        return await left.choose(*arguments, **members)  # type: ignore[arg-type]


@dataclass(slots=True)
class ChoiceBook(Book):
    """Remembers the choices that it was told of."""

    choices: list[RouteChoice | None] = field(default_factory=list)
    goes_out: bool = True

    async def advance(self, due: int, plan: Plan | None, choice: RouteChoice | None) -> Outbound | None:
        """On record; it may turn out that nothing is sent."""
        self.choices.append(choice)
        return await Book.advance(self, due, plan, choice) if self.goes_out else None


async def send(limits: Counted, book: ChoiceBook, *carriers: Carrier) -> list[str]:
    """Work on what is due, one after the other: the suppliers that took it."""
    dispatcher = Dispatcher(
        book=book,
        suppliers={one.name: one for one in carriers},
        routes=Within([one.name for one in carriers]),
        limits=limits,
        notes=Notes(),
        signal=Signal(),
        partitions=[0],
    )
    await dispatcher.dispatch_due([0])
    stop = asyncio.Event()
    stop.set()
    await dispatcher.run(stop)
    return [one.name for one in carriers for _ in range(one.taken)]


async def test_a_supplier_whose_money_is_spent_is_passed_over() -> None:
    """The next one carries it; when none is left, nothing is sent and the ladder hears of it."""
    limits, book = Counted(money={"a": 2, "b": 1}), ChoiceBook([PLAN] * 5)
    assert await send(limits, book, Carrier("a"), Carrier("b")) == ["a", "a", "b"]
    assert [choice.route is not None for choice in book.choices if choice] == [True, True, True, False, False]
    assert +limits.held == {"message": 3, "a": 2, "b": 1}, "what found no route counts nowhere"


async def test_at_a_limit_on_messages_nothing_is_sent_that_way() -> None:
    """The ladder is told why; no supplier's money is touched."""
    limits, book = Counted(messages=2), ChoiceBook([PLAN] * 3)
    assert await send(limits, book, Carrier("a")) == ["a", "a"]
    assert book.choices[-1] == RouteChoice(None, (("", RouteReason.SEND_LIMIT),))
    assert +limits.held == {"message": 2, "a": 2}


@pytest.mark.parametrize(
    ("failure", "held"),
    [
        (DOWN, {}),
        (REJECTED, {}),
        (SILENT, {"message": 1, "a": 1}),
        (ValueError("odd"), {"message": 1, "a": 1}),
    ],
    ids=["down", "rejected", "silent", "stumbled"],
)
async def test_what_surely_was_not_sent_is_given_back(failure: Exception, held: dict[str, int]) -> None:
    """And what may have been sent is not."""
    limits = Counted()
    await send(limits, ChoiceBook([PLAN]), Carrier("a", [failure]))
    assert +limits.held == held


async def test_what_was_not_given_out_is_given_back() -> None:
    """The challenge was over, or another worker had it: nothing was sent."""
    limits = Counted()
    assert await send(limits, ChoiceBook([PLAN], goes_out=False), Carrier("a")) == []
    assert +limits.held == {}


async def test_without_the_store_nothing_is_sent() -> None:
    """The delivery comes up again; what was counted for it is given back as far as it goes."""
    limits, book = Counted(is_away=True), ChoiceBook([PLAN])
    assert await send(limits, book, Carrier("a")) == []
    assert book.choices == []
    assert +limits.held == {}
