"""Counters of exemptions: in no order of events, in parallel over two pools, more is exempt than the article allows.

Assessments that are open at the same time, executed late or twice, cancelled, lapsed, and authentications in between.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import asyncpg
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sca_service.exemptions import postgres_store
from sca_service.exemptions.rows import AssessmentRow, AssessmentState
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.postgres import connect_postgres
from sca_service.policy.exemptions import CounterMode, CounterRule, Counting
from tests.exemption_office import ExemptionOffice, counter_rule, exemptions, policy_with
from tests.harness import PATIENCE_SECONDS, Deployment

RULES = [
    counter_rule(exemptions().low_value, mode=mode, counting=counting)
    for mode in CounterMode
    for counting in Counting
]
CENTS = st.sampled_from([1, 999, 1_000, 1_001, 2_500, 2_999, 3_000])
PLACES = st.integers(0, 5)
Move = tuple[str, int]
MOVES: st.SearchStrategy[Move] = st.one_of(
    st.tuples(st.sampled_from(["pay", "open", "open"]), CENTS),
    st.tuples(st.sampled_from(["execute", "execute", "cancel", "lapse"]), PLACES),
    st.tuples(st.just("authenticate"), st.just(0)),
)


@dataclass(slots=True)
class Bench:
    """A loop, and two pools as two processes would have them."""

    runner: asyncio.Runner
    pools: tuple[asyncpg.Pool, asyncpg.Pool]
    keyring: Keyring

    def offices(self, rule: CounterRule) -> tuple[ExemptionOffice, ExemptionOffice]:
        """Two desks for one payer, whom nobody else has."""
        policy = policy_with(low_value=rule)
        first = ExemptionOffice(self.pools[0], self.keyring, policy)
        second = ExemptionOffice(self.pools[1], self.keyring, policy, client=first.client)
        second.whose = first.whose
        return first, second


@pytest.fixture(scope="module")
def bench(quiet_stores: Deployment) -> Iterator[Bench]:
    """On stores that no role works on, with time enough: a slow machine is no fault here."""
    url = quiet_stores.servers.postgres.url
    with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sca_service.kernel.postgres.STORE_DEADLINE_SECONDS", PATIENCE_SECONDS)
        pools = [
            runner.run(connect_postgres(url, most_connections=6, statement_deadline_seconds=PATIENCE_SECONDS))
            for _ in range(2)
        ]
        yield Bench(runner, (pools[0], pools[1]), quiet_stores.keyring)
        for pool in pools:
            runner.run(pool.close())


def euros(cents: int) -> str:
    """As a client writes them."""
    return f"{cents // 100}.{cents % 100:02d}"


async def make(office: ExemptionOffice, move: Move, rows: list[AssessmentRow]) -> None:
    """One move of the payer, the client or the time."""
    word, number = move
    match word:
        case "pay":
            row = await office.assess(euros(number))
            if row.assessment.exempt:
                await office.executed(row)
        case "open":
            rows.append(await office.assess(euros(number)))
        case "authenticate":
            await office.sca()
        case _ if number < len(rows):
            row = rows[number]
            match word:
                case "execute":
                    await office.executed(row)
                case "cancel":
                    await office.cancel(row)
                case "lapse":
                    await office.lapse(row)


async def exempt_money(office: ExemptionOffice) -> list[list[int]]:
    """What was executed under the article, in cents: a list from each authentication to the next."""
    statement = "SELECT body FROM audit_events WHERE psu = $1 AND type = 'payment.executed' ORDER BY position"
    stretches: list[list[int]] = [[]]
    for row in await office.pool.fetch(statement, office.psu):
        leaf = msgspec.json.decode(row["body"])
        if leaf["basis"] == "sca":
            stretches.append([])
        elif leaf["basis"] == "16":
            stretches[-1].append(int(leaf["euro_cents"]))
    return stretches


def is_allowed(rule: CounterRule, paid: Sequence[int]) -> bool:
    """What the article allows: to the letter, one payment more than what the previous ones keep.

    Previous to the one that took its place last, at its assessment: executed they may be in another order. Whichever
    that was, without the largest the others keep the limit.
    """
    previous = paid if rule.counting is Counting.WITH_CURRENT else sorted(paid)[:-1]
    if rule.mode is CounterMode.AMOUNT:
        return sum(previous) <= rule.cumulative_cents
    return len(previous) <= rule.count


PLACES_HELD: list[list[Move]] = [
    [("open", 3_000)],
    [("open", 1), ("open", 1)],
    [("pay", 2_500)],
    [("pay", 2_500), ("pay", 2_500), ("pay", 2_999)],
]
"""To the letter the last payment goes beyond the limit, and what holds its place since before is executed after it."""


@settings(max_examples=30, deadline=None)
@example(next(one for one in RULES if one.counting is Counting.PREVIOUS_ONLY), PLACES_HELD)
@given(st.sampled_from(RULES), st.lists(st.lists(MOVES, min_size=2, max_size=6), min_size=2, max_size=6))
def test_no_order_of_events_gets_more_exempt_money_than_allowed(
    bench: Bench, rule: CounterRule, rounds: list[list[Move]]
) -> None:
    """Rounds of moves that are made at once, on two pools."""
    offices = bench.offices(rule)
    rows: list[AssessmentRow] = []

    async def play() -> list[list[int]]:
        for moves in rounds:
            await asyncio.gather(*(make(offices[at % 2], move, rows) for at, move in enumerate(moves)))
        for at, row in enumerate(rows):  # whatever is open may still be executed
            await offices[at % 2].executed(row)
        return await exempt_money(offices[0])

    for paid in bench.runner.run(play()):
        assert is_allowed(rule, paid), paid


class Book:
    """The counter as a model: what is reserved and what was executed since the last authentication."""

    def __init__(self, rule: CounterRule) -> None:
        self.rule = rule
        self.counted: dict[str, int] = {}
        self.executed: set[str] = set()

    def has_room(self, cents: int) -> bool:
        """Whether one more of so many cents is exempt."""
        values = list(self.counted.values())
        if self.rule.counting is Counting.WITH_CURRENT:
            values.append(cents)
        if self.rule.mode is CounterMode.AMOUNT:
            return sum(values) <= self.rule.cumulative_cents
        return len(values) <= self.rule.count

    def execute(self, row: AssessmentRow) -> str:
        """What an execution rests on, and what it counts."""
        cents = row.cents or 0
        if not row.assessment.exempt:
            return "none"
        basis = "16" if row.id in self.counted or self.has_room(cents) else "none"
        self.counted[row.id] = cents
        self.executed.add(row.id)
        return basis

    def authenticate(self) -> None:
        """What was executed counts no more."""
        for one in self.executed:
            self.counted.pop(one, None)
        self.executed.clear()


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(RULES), st.lists(MOVES, min_size=6, max_size=25))
def test_one_after_the_other_the_counter_is_the_model_s(
    bench: Bench, rule: CounterRule, moves: list[Move]
) -> None:
    """Exempt exactly where there is room: neither more nor less."""
    office, _ = bench.offices(rule)
    bench.runner.run(follow(office, Book(rule), moves))


async def follow(office: ExemptionOffice, book: Book, moves: Sequence[Move]) -> None:
    """Make each move on both, and compare. A place is given up when the next assessment looks."""
    rows: list[AssessmentRow] = []
    late: set[str] = set()
    for word, number in moves:
        if word in ("pay", "open"):
            for one in late:
                book.counted.pop(one, None)
            late.clear()
            row = await office.assess(euros(number))
            assert row.assessment.exempt is book.has_room(number)
            rows.append(row)
            if row.assessment.exempt:
                book.counted[row.id] = number
            if word == "pay" and row.assessment.exempt:
                assert (await office.executed(row)).basis == book.execute(row)
        elif word == "authenticate":
            for one in late:
                book.counted.pop(one, None)
            late.clear()
            await office.sca()
            book.authenticate()
        elif number < len(rows):
            row = await office.desk.get(office.client, rows[number].id)
            if row.state is AssessmentState.EXECUTED:
                assert await office.executed(row) == row
                continue
            match word:
                case "execute":
                    late.discard(row.id)
                    assert (await office.executed(row)).basis == book.execute(row)
                case "cancel":
                    late.discard(row.id)
                    await office.cancel(row)
                    book.counted.pop(row.id, None)
                case "lapse" if row.state is AssessmentState.OPEN and row.id in book.counted:
                    await office.lapse(row)
                    late.add(row.id)


def test_without_the_lock_more_is_exempt_than_allowed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read, then decide, then write: eight at once pass a limit that has room for three."""
    (rule,) = [
        one for one in RULES if (one.mode, one.counting) == (CounterMode.AMOUNT, Counting.WITH_CURRENT)
    ]
    rush: list[Move] = [("pay", 3_000)] * 8

    async def paid_at_once() -> bool:
        offices = bench.offices(rule)
        await asyncio.gather(*(make(offices[at % 2], move, []) for at, move in enumerate(rush)))
        (paid,) = await exempt_money(offices[0])
        return is_allowed(rule, paid)

    assert all(bench.runner.run(paid_at_once()) for _ in range(10))
    monkeypatch.setattr(postgres_store, "_LOCK_PAYER", "SELECT $1::text")
    assert not all(bench.runner.run(paid_at_once()) for _ in range(10))
