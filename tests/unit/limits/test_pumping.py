"""The pumping guard's decisions: budgets, the mark for conversion, what is counted by which name, and the promise."""

from dataclasses import replace

import pytest

from sca_service.kernel.addresses import site_of
from sca_service.kernel.keyring import Keyring, create_keyring_text
from sca_service.kernel.phone import PhoneNumber
from sca_service.limits.pumping.counters import MemoryCounters
from sca_service.limits.pumping.model import (
    DAY_SECONDS,
    HOUR_SECONDS,
    MINUTE_SECONDS,
    Asked,
    Counts,
    Entry,
    Passed,
    PumpingReason,
    Subject,
    address_name,
    allowing,
    asked_of,
    budget,
    counted,
    counts_all_approvals,
    history_days,
    is_never_sent_to,
    kept_seconds,
    line_name,
    reason_against,
)
from sca_service.limits.pumping.simulation import Cell, simulate
from sca_service.limits.pumping.traffic import Kind
from sca_service.policy.load import load
from sca_service.policy.pumping import AtBlock, BudgetRule, PumpingScope
from sca_service.settings import shipped_policies
from sca_service.simulate_command import simulate as simulate_command

POLICY = load(shipped_policies()).pumping
RULE = BudgetRule(floor=4, best_day_percent=30, day_percent=40, hour_percent=50, waiting=10, least_sent=20)
KEYRING = Keyring.parse(create_keyring_text())
NOW = 1_790_000_000


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (Counts(), 4),
        (Counts(best_day=13), 4),
        (Counts(best_day=17), 5),
        (Counts(verified_day=13), 5),
        (Counts(verified_hour=11), 5),
        (Counts(best_day=100, verified_day=100, verified_hour=100), 50),
        (Counts(best_day=1_000, verified_day=100, verified_hour=10), 300),
    ],
)
def test_the_budget_is_the_largest_of_floor_and_shares(counts: Counts, expected: int) -> None:
    """Shares are rounded down."""
    assert budget(counts, RULE) == expected


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        (Counts(sent=3), None),
        (Counts(sent=4), PumpingReason.BUDGET),
        (Counts(sent=104, answered=101), None),
        (Counts(sent=105, answered=101), PumpingReason.BUDGET),
        (Counts(sent=3, answered=9), None),
        (Counts(sent=20, answered=6, best_day=100), PumpingReason.CONVERSION),
        (Counts(sent=20, answered=7, best_day=100), None),
        (Counts(sent=19, answered=0, best_day=100), None),
        (Counts(sent=13, waiting=13), None),
        (Counts(sent=14, waiting=14), PumpingReason.BUDGET),
        (Counts(sent=13, waiting=9), PumpingReason.BUDGET),
        (Counts(sent=30, answered=7, waiting=10, best_day=100), None),
        (Counts(sent=30, answered=6, waiting=10, best_day=100), PumpingReason.CONVERSION),
        (Counts(sent=31, answered=7, waiting=11, best_day=100), PumpingReason.CONVERSION),
        (Counts(sent=29, answered=0, waiting=10, best_day=100), None),
        (Counts(sent=2_010, answered=700, waiting=10, best_day=9_000), None),
        (Counts(sent=2_010, answered=699, waiting=10, best_day=9_000), PumpingReason.CONVERSION),
        (Counts(sent=3, waiting=10), None),
    ],
)
def test_the_reason_is_the_budget_or_the_mark(counts: Counts, reason: PumpingReason | None) -> None:
    """At the budget, and under 35 % from twenty messages on; exactly 35 % is enough. Ten may wait unjudged."""
    assert reason_against(counts, RULE, 35) is reason


def test_a_number_is_counted_under_every_scope() -> None:
    """Hundred, prefix, country, address, client; spellings of one number are one, and nothing names the number."""
    asked = asked_of(PhoneNumber.parse("+49 151 12345678"), ip="203.0.113.7", client="bank", keyring=KEYRING)
    assert [one.scope for one in asked.subjects] == list(PumpingScope)
    names = {one.scope: one.name for one in asked.subjects}
    assert names[PumpingScope.PREFIX] == "+491511234"
    assert (names[PumpingScope.COUNTRY], names[PumpingScope.CLIENT]) == ("DE", "bank")
    assert names[PumpingScope.NEIGHBOURS].startswith("+491511234-")
    assert asked.line not in ("+4915112345678", "15112345678")
    again = asked_of(
        PhoneNumber.parse("0049 (0)151-12345678"), ip="203.0.113.7", client="bank", keyring=KEYRING
    )
    assert again == asked
    neighbour = asked_of(PhoneNumber.parse("+4915112345699"), ip="", client="bank", keyring=KEYRING)
    assert neighbour.subjects[0] == asked.subjects[0]
    other = asked_of(PhoneNumber.parse("+4915112345700"), ip="", client="bank", keyring=KEYRING)
    assert other.subjects[0] != asked.subjects[0]
    assert [one.scope for one in other.subjects] == [
        scope for scope in PumpingScope if scope is not PumpingScope.IP
    ]


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("203.0.113.7", "203.0.113.8", False),
        ("203.0.113.7", "::ffff:203.0.113.7", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
    ],
)
def test_an_address_is_one_or_its_network(one: str, other: str, is_same: bool) -> None:
    """IPv4 by address, also where it is written as IPv6; IPv6 by its /64."""
    first, second = (address_name(text, client="bank", keyring=KEYRING) for text in (one, other))
    assert first
    assert (first == second) is is_same
    assert address_name(one, client="other-bank", keyring=KEYRING) != first


@pytest.mark.parametrize("text", ["", "nowhere", "203.0.113", "203.0.113.7/32", "2001:db8::1%eth0%1"])
def test_what_is_no_address_has_no_name(text: str) -> None:
    """It is not counted."""
    assert address_name(text, client="bank", keyring=KEYRING) == ""


def test_ranges_of_the_policy_are_never_sent_to() -> None:
    """By their beginning; none where the policy has none."""
    assert is_never_sent_to("+447012345678", POLICY.never_sent_to)
    assert not is_never_sent_to("+447512345678", POLICY.never_sent_to)
    assert not is_never_sent_to("+447012345678", ())


def test_pseudonyms_are_for_one_use() -> None:
    """A line's, its neighbours' and an address's come of the keyring, each under a name of its own."""
    number = PhoneNumber.parse("+4915112345678")
    assert line_name(number, KEYRING) == KEYRING.pseudonym("phone", "+4915112345678")
    neighbours = KEYRING.pseudonym("pumping neighbours", "+49151123456")
    named = asked_of(number, ip="203.0.113.7", client="bank", keyring=KEYRING)
    assert named.line == line_name(number, KEYRING)
    assert named.subjects[0].name == f"+491511234-{neighbours[:16]}"
    site = site_of("203.0.113.7") or ""
    expected = KEYRING.pseudonym("pumping address", "bank", site)
    assert address_name("203.0.113.7", client="bank", keyring=KEYRING) == expected


def test_what_is_stored_and_told_keeps_its_words() -> None:
    """Reasons stand in Redis and in the log; a block that says no more is on record, and has stopped nothing."""
    assert [one.value for one in PumpingReason] == ["budget", "conversion", "countries", "range"]
    entry = Entry("blk_1", PumpingScope.COUNTRY, "DE", "budget", 1, 2)
    assert (entry.event, entry.is_recorded, entry.refused) == ("", True, 0)
    assert "secret-line" not in repr(Passed(Asked("secret-line", "DE", ()), 7))


def test_nothing_is_counted_of_who_never_came() -> None:
    """Every count begins at nothing, and an answer whose message has left the window is no debt."""
    assert Counts() == Counts(0, 0, 0, 0, 0, 0)
    assert Counts(sent=2, answered=5).unanswered == 0
    assert (MINUTE_SECONDS, HOUR_SECONDS, DAY_SECONDS) == (60, 60 * 60, 24 * 60 * 60)


@pytest.mark.parametrize(
    ("counts", "most"),
    [(Counts(verified_day=1_000), 400), (Counts(verified_hour=1_000), 500), (Counts(best_day=1_000), 300)],
)
def test_each_share_is_exact(counts: Counts, most: int) -> None:
    """In percent, of each of the three."""
    assert budget(counts, RULE) == most


def test_the_sandbox_has_a_word_of_its_own() -> None:
    """What holds depends on whether messages cost anything."""
    policy = replace(POLICY, at_block=AtBlock.REFUSE, at_block_in_sandbox=AtBlock.OBSERVE)
    assert policy.at_block_where(sandbox=True) is AtBlock.OBSERVE
    assert policy.at_block_where(sandbox=False) is AtBlock.REFUSE


def test_four_tries_of_one_payer_count_as_one() -> None:
    """A phone that is switched off blocks no range; whoever has more sent to one number is counted for each."""
    assert [counted(messages) for messages in range(8)] == [0, 1, 1, 1, 1, 2, 3, 4]
    memory = MemoryCounters(POLICY)
    assert [memory.ask(one_line(1), NOW) for _ in range(4)] == [None] * 4
    assert memory.counts(one_line(1).subjects[1], NOW).unanswered == 1
    memory.approve(one_line(1), NOW)
    assert memory.counts(one_line(1).subjects[1], NOW).unanswered == 0
    often = [memory.ask(one_line(2), NOW) for _ in range(9)]
    assert often == [None] * 7 + [(one_line(2).subjects[0], PumpingReason.BUDGET)] * 2


def one_line(at: int) -> Asked:
    """A message to one line of one prefix."""
    subjects = (
        Subject(PumpingScope.NEIGHBOURS, f"p-{at}"),
        Subject(PumpingScope.PREFIX, "p"),
        Subject(PumpingScope.COUNTRY, "DE"),
        Subject(PumpingScope.CLIENT, "bank"),
    )
    return Asked(str(at), "DE", subjects)


def test_a_slow_attack_stays_in_the_window() -> None:
    """One message every five hours reaches the budget of a day all the same; after the block it begins again."""
    memory = MemoryCounters(POLICY)
    verdicts = [memory.ask(one_line(at), NOW + at * 5 * 3_600) for at in range(5)]
    assert verdicts == [None] * 4 + [(Subject(PumpingScope.PREFIX, "p"), PumpingReason.BUDGET)]
    later = NOW + 4 * 5 * 3_600 + POLICY.block_seconds
    assert memory.ask(one_line(9), later - 1) is not None
    assert memory.ask(one_line(9), later + 2 * DAY_SECONDS) is None


def anywhere(at: int) -> Asked:
    """A message to one line of a range of its own, in one country."""
    one = one_line(at)
    subjects = [replace(each, name=f"r-{at}") for each in one.subjects[:2]]
    return replace(one, subjects=(*subjects, *one.subjects[2:]))


def test_whoever_begins_may_wait_for_the_first_answers() -> None:
    """A hundred new payers within five seconds, and many more, shut no country before they had the time to answer."""
    memory, room = MemoryCounters(POLICY), POLICY.budgets[PumpingScope.COUNTRY].waiting
    country = Subject(PumpingScope.COUNTRY, "DE")
    assert [memory.ask(anywhere(at), NOW + at // 20) for at in range(room)] == [None] * room
    assert memory.counts(country, NOW + room // 20).waiting == room
    for at in range(room):
        memory.approve(anywhere(at), NOW + at // 20 + 40)
    assert memory.counts(country, NOW + room // 20 + 40).waiting == 0
    assert memory.ask(anywhere(room), NOW + DAY_SECONDS // 2) is None


def test_what_nobody_answers_in_time_is_judged() -> None:
    """A country whose messages wait for longer than payers take is shut, by the next message."""
    memory, floor = MemoryCounters(POLICY), POLICY.budgets[PumpingScope.COUNTRY].floor
    assert [memory.ask(anywhere(at), NOW) for at in range(floor)] == [None] * floor
    in_time = NOW + POLICY.answer_minutes * 60
    assert memory.ask(anywhere(floor), in_time) is None
    stopped = memory.ask(anywhere(floor + 1), in_time + 60)
    assert stopped == (Subject(PumpingScope.COUNTRY, "DE"), PumpingReason.BUDGET)


def test_an_attack_that_is_faster_than_payers_ends_all_the_same() -> None:
    """What waits beyond the room is judged as if nobody would answer; a fifth message to one line never waits."""
    memory, rule = MemoryCounters(POLICY), POLICY.budgets[PumpingScope.COUNTRY]
    found = [memory.ask(anywhere(at), NOW) for at in range(rule.waiting + rule.floor + 9)]
    assert found.count(None) == rule.waiting + rule.floor
    again = MemoryCounters(POLICY)
    for _ in range(6):
        again.ask(anywhere(1), NOW)
    counts = again.counts(Subject(PumpingScope.COUNTRY, "DE"), NOW)
    assert (counts.sent, counts.waiting) == (3, 1)


def cells() -> list[Cell]:
    """The table that is promised, at the sizes that are quick; the others are in docs/pumping.md."""
    return list(simulate(POLICY, (100, 1_000, 10_000), seed=1))


def test_the_shipped_policy_keeps_its_promise_in_every_cell() -> None:
    """95 % of each attack stopped, less than 0.5 % of the honest messages lost; the days are what they should be."""
    found = cells()
    broken = [cell for cell in found if cell.kind.is_promised and not cell.keeps_the_promise]
    assert broken == []
    assert len(found) == len(Kind) * 3
    for cell in found:
        assert cell.honest >= 10_000
        assert cell.new * 50 > cell.honest
        assert cell.pumped == (cell.size * cell.days if cell.kind.attack_seconds else 0)


@pytest.mark.parametrize(
    ("weaker", "kind", "size"),
    [
        ({PumpingScope.PREFIX: {"floor": 60, "least_sent": 1_000}}, Kind.FAST_AT_HOME, 1_000),
        (
            {PumpingScope.CLIENT: {"floor": 1, "day_percent": 0, "best_day_percent": 0, "waiting": 0}},
            Kind.CAMPAIGN,
            1_000,
        ),
        ({PumpingScope.COUNTRY: {"waiting": 0}}, Kind.OPENING, 10_000),
    ],
    ids=["too generous", "too strict", "no time to answer"],
)
def test_a_worse_policy_breaks_the_promise(
    weaker: dict[PumpingScope, dict[str, int]], kind: Kind, size: int
) -> None:
    """The table tells a policy that lets attacks through, and one that loses honest payers, from the shipped one."""
    budgets = {scope: replace(rule, **weaker.get(scope, {})) for scope, rule in POLICY.budgets.items()}
    (cell,) = simulate(replace(POLICY, budgets=budgets), (size,), seed=1, kinds=(kind,))
    assert not cell.keeps_the_promise


def test_the_same_seed_makes_the_same_days() -> None:
    """A figure that is printed can be had again."""
    kinds = (Kind.FAST_ABROAD,)
    first = list(simulate(POLICY, (10_000,), seed=7, kinds=kinds))
    assert list(simulate(POLICY, (10_000,), seed=7, kinds=kinds)) == first
    assert list(simulate(POLICY, (10_000,), seed=8, kinds=kinds)) != first


def test_the_command_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """A row for each kind of day, with what got through, what was lost and what it cost."""
    simulate_command(sizes=(10_000,), cents=10)
    told = capsys.readouterr().out
    for kind in Kind:
        assert kind in told
    row = next(line.split() for line in told.splitlines() if "slow attack abroad" in line)
    assert row[-5:] == ["10000", "40", "99.60", "4.00", "996.00"]


@pytest.mark.parametrize("scope", PumpingScope)
def test_what_a_history_is_kept_of(scope: PumpingScope) -> None:
    """Of prefixes, countries and clients, a day longer than is looked for; of what is many, two days."""
    is_long = scope in (PumpingScope.PREFIX, PumpingScope.COUNTRY, PumpingScope.CLIENT)
    policy = replace(POLICY, history_days=28)
    assert kept_seconds(scope, policy) == (29 if is_long else 2) * 86_400
    assert history_days(scope, policy) == (28 if is_long else 1)
    assert counts_all_approvals(scope) is is_long


def test_neighbours_are_allowed_by_their_prefix() -> None:
    """Every other subject by itself."""
    asked = one_line(1)
    neighbours, *others = asked.subjects
    assert allowing(asked, neighbours) == Subject(PumpingScope.PREFIX, "p")
    assert [allowing(asked, one) for one in others] == others
