"""The pumping guard: the scripts decide as the counters in memory do, over days, whatever happens in between."""

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sca_service.kernel.redis.commands import Script
from sca_service.limits.pumping import redis_store
from sca_service.limits.pumping.counters import MemoryCounters
from sca_service.limits.pumping.model import Asked, Counts, Entry, Passed, Subject, budget, reason_against
from sca_service.limits.pumping.redis_store import EntryKind, PumpingStore
from sca_service.policy.load import load
from sca_service.policy.pumping import AtBlock, BudgetRule, PumpingPolicy, PumpingScope
from sca_service.settings import shipped_policies
from tests.properties.line import Line

SHIPPED = load(shipped_policies()).pumping
RULES = st.builds(
    BudgetRule,
    floor=st.integers(1, 3) | st.integers(6, 20),
    best_day_percent=st.integers(0, 100),
    day_percent=st.integers(0, 100),
    hour_percent=st.integers(0, 100),
    waiting=st.integers(0, 4),
    least_sent=st.integers(5, 8),
)
POLICIES = st.builds(
    lambda rules, window, history, answer, conversion, countries: replace(
        SHIPPED,
        window_hours=window,
        history_days=history,
        answer_minutes=answer,
        block_seconds=5_400,
        conversion_percent=conversion,
        most_countries=countries,
        budgets=MappingProxyType(dict(zip(PumpingScope, rules, strict=True))),
    ),
    st.lists(RULES, min_size=5, max_size=5),
    st.integers(6, 24),
    st.integers(1, 14),
    st.integers(1, 10),
    st.integers(1, 60),
    st.integers(1, 3),
)
COUNTS = st.builds(Counts, *[st.integers(0, 10_000)] * 6)
BEGAN = 1_790_000_000
CLOCK = "{pumping}:clock"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens, `later` seconds after the one before."""

    what: str
    line: int
    address: int
    later: int


WHAT = ["ask"] * 12 + ["approve", "approve", "known", "give_back", "push", "lift", "allow"]
"""`known`: five known lines of the same subjects approve; `push`: a code came over a push, not over the line."""
STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(WHAT),
        st.integers(0, 7),
        st.integers(0, 2),
        st.sampled_from(
            [0, 0, 0, 0, 40, 100, 300, 600, 1_800, 3_600, 7_200, 6 * 3_600, 24 * 3_600, 10 * 86_400]
        ),
    ),
    min_size=30,
    max_size=60,
)


def asked(run: str, line: int, address: int) -> Asked:
    """A message to one of eight lines: four prefixes of two countries and more, from one of two addresses or none."""
    prefix = f"+{run}{line // 2}"
    subjects = [
        Subject(PumpingScope.NEIGHBOURS, f"{prefix}-{line % 2}"),
        Subject(PumpingScope.PREFIX, prefix),
        Subject(PumpingScope.COUNTRY, f"{run}{line // 3}"),
    ]
    if address:
        subjects.append(Subject(PumpingScope.IP, f"{run}-{address}"))
    subjects.append(Subject(PumpingScope.CLIENT, f"bank-{run}"))
    return Asked(f"{run}{line}", f"{run}{line // 3}", tuple(subjects))


@pytest.fixture(scope="module")
def timed(line: Line) -> Iterator[Line]:
    """The scripts with a clock that the test sets: only where they read the time they are not as they are."""
    names = ("_ASK", "_APPROVE", "_GIVE_BACK", "_LIFT", "_ALLOW", "_ENTRIES", "_RECORDED")
    held = {name: getattr(redis_store, name) for name in names}
    for name, script in held.items():
        source = script.source.replace(
            "tonumber(redis.call('TIME')[1])", f"tonumber(redis.call('GET', '{CLOCK}'))"
        )
        assert source != script.source
        setattr(redis_store, name, _named(script, source))
    yield line
    for name, script in held.items():
        setattr(redis_store, name, script)


def _named(script: Script, source: str) -> Script:
    sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    return Script(script.name, source, sha)


class Beside:
    """Does everything in Redis and in memory, and holds the verdicts against each other."""

    def __init__(self, line: Line, policy: PumpingPolicy) -> None:
        self.line, self.policy = line, policy
        self.run = secrets.token_hex(6)
        self.store, self.memory = PumpingStore(line.redis, policy), MemoryCounters(policy)
        self.now = BEGAN
        self.passed: list[Passed] = []
        self.blocks: dict[Subject, str] = {}

    def take(self, step: Step) -> None:
        """One step."""
        self.now += step.later
        self.line.command("SET", CLOCK, self.now)
        one = asked(self.run, step.line, step.address)
        match step.what:
            case "ask":
                self._ask(one)
            case "known":
                for other in range(5):
                    known = replace(one, line=f"{one.line}-{other}")
                    self.line.heard(partial(self.store.approve, known, over_line=True))
                    self.memory.approve(known, self.now)
            case "approve" | "push":
                over_line = step.what == "approve"
                self.line.heard(partial(self.store.approve, one, over_line=over_line))
                self.memory.approve(one, self.now, over_line=over_line)
            case "give_back" if self.passed:
                last = self.passed.pop()
                self.line.run(self.store.give_back(last))
                self.memory.give_back(last.asked, last.hour)
            case "lift" if self.blocks:
                subject, entry_id = self.blocks.popitem()
                if self.line.run(self.store.lift(EntryKind.BLOCK, entry_id)):
                    self.memory.lift(subject)
            case "allow":
                subject = one.subjects[1 + step.address]
                entry_id = f"alw_{secrets.token_hex(4)}"
                self.line.run(self.store.allow(subject, entry_id=entry_id, why="known", seconds=7_200))
                self.memory.allow(subject, self.now + 7_200)

    def _ask(self, one: Asked) -> None:
        block_id = f"blk_{secrets.token_hex(8)}"
        found = self.line.run(self.store.ask(one, AtBlock.REFUSE, block_id=block_id, event_id="evt"))
        expected = self.memory.ask(one, self.now)
        if isinstance(found, Entry):
            subject = Subject(found.scope, found.subject)
            assert (subject, found.why) == expected
            self.blocks[subject] = found.id
        else:
            assert expected is None
            self.passed.append(found)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(POLICIES, STEPS)
def test_the_scripts_decide_as_the_memory_does(timed: Line, policy: PumpingPolicy, steps: list[Step]) -> None:
    """The same verdicts, scopes and reasons, whatever is asked, approved, given back, lifted and allowed over days."""
    beside = Beside(timed, policy)
    for step in steps:
        beside.take(step)


@given(COUNTS, RULES, st.integers(1, 60))
def test_one_more_answer_never_speaks_against_a_subject(counts: Counts, rule: BudgetRule, mark: int) -> None:
    """What may be sent may be sent as well when more was answered and approved."""
    if reason_against(counts, rule, mark) is None:
        better = replace(
            counts,
            answered=counts.answered + 1,
            verified_hour=counts.verified_hour + 1,
            verified_day=counts.verified_day + 1,
        )
        assert reason_against(better, rule, mark) is None


@given(COUNTS, RULES, st.integers(1, 60))
def test_no_more_goes_unanswered_than_the_budget(counts: Counts, rule: BudgetRule, mark: int) -> None:
    """Where messages are let through one after the other and none is answered, they end at the budget.

    What may be waiting comes on top, while it waits.
    """
    most = budget(counts, rule)
    for waiting, ends_at in ((counts.waiting, most + rule.waiting), (0, most)):
        held, sent = replace(counts, waiting=waiting), counts.answered
        while reason_against(replace(held, sent=sent), rule, mark) is None:
            sent += 1
            if sent - counts.answered > ends_at:
                break
        assert sent - counts.answered <= ends_at
