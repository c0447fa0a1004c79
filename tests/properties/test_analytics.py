"""Analytics: what a sketch promises, and that figures are a recount however the log is cut into portions."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from sca_service.analytics.model import Key, Span
from sca_service.analytics.sketch import ERROR, MOST_MS, bin_of, percentile_ms, value_of
from sca_service.analytics.stories import Story
from sca_service.analytics.tally import Tally, tally
from sca_service.policy.analytics import AnalyticsPolicy
from tests.recount import Recount, recount

KEPT = AnalyticsPolicy(minute_days=14, hour_days=400, day_days=3660, delivery_days=400)
NOW_MS = 1_795_800_000_000
DURATIONS = st.lists(st.integers(1, MOST_MS), min_size=1, max_size=60)
Growth = Counter[tuple[Span, int, Key, str, int]]


@given(DURATIONS, st.sampled_from([0.0, 0.5, 0.9, 0.95, 0.99, 1.0]))
def test_a_percentile_is_as_exact_as_is_said(durations: list[int], share: float) -> None:
    """Whatever was put in: the value told is within ERROR of the one of that rank, and the rounding to whole ms."""
    told = percentile_ms(Counter(map(bin_of, durations)), share)
    true = sorted(durations)[math.floor(share * (len(durations) - 1))]
    assert told is not None
    assert abs(told - true) <= true * ERROR * (1 + 1e-9) + 0.5


@given(st.integers(1, MOST_MS))
def test_the_error_is_used_up_by_nothing_smaller(duration: int) -> None:
    """A bin's ends are as far from its value as ERROR says, so no bin is finer than it has to be."""
    index = bin_of(duration)
    gamma = (1 + ERROR) / (1 - ERROR)
    least, most = gamma ** (index - 1), gamma**index
    assert math.isclose((most - value_of(index)) / most, ERROR)
    assert math.isclose((value_of(index) - least) / least, ERROR)


@given(DURATIONS, DURATIONS, DURATIONS)
def test_sketches_are_merged_in_any_order_and_lose_nothing(
    one: list[int], two: list[int], three: list[int]
) -> None:
    """The sum of sketches is the sketch of everything, whatever is added first."""
    first, second, third = (Counter(map(bin_of, part)) for part in (one, two, three))
    whole = Counter(map(bin_of, [*one, *two, *three]))
    assert (first + second) + third == third + (second + first) == whole


@st.composite
def logs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A log of a challenge and an alert in each other's way: failures, retries, receipts, answers, clicks."""
    at_ms = NOW_MS - draw(st.integers(0, 3 * 86_400_000))
    events: list[dict[str, Any]] = []
    tries: Counter[str] = Counter()
    for owner in ("chl_a", "alt_a"):
        kind = "challenge.issued" if owner.startswith("chl") else "alert.queued"
        events.append(_event(kind, owner, at_ms, purpose="payment", method="one_time_code", kind="notice"))
    for _ in range(draw(st.integers(0, 30))):
        at_ms += draw(st.sampled_from([1, 30, 900, 4_000, 70_000, 3_700_000]))
        owner = draw(st.sampled_from(["chl_a", "chl_a", "alt_a"]))
        delivery = f"dlv_{owner}{draw(st.integers(1, 2))}"
        events += (
            draw(_challenge_events(owner, delivery, at_ms, tries))
            if owner[0] == "c"
            else draw(_alert_events(owner, delivery, at_ms, tries))
        )
    return events


@st.composite
def _challenge_events(
    draw: st.DrawFn, owner: str, delivery: str, at_ms: int, tries: Counter[str]
) -> list[dict[str, Any]]:
    word = draw(
        st.sampled_from(
            [
                "attempted",
                "settled",
                "settled",
                "settled",
                "retried",
                "postponed",
                "answered",
                "answered",
                "over",
            ]
        )
    )
    named = {"delivery": delivery, "channel": "sms"}
    if word == "answered":
        outcome = draw(
            st.sampled_from(["approved", "incorrect", "incorrect", "transaction_mismatch", "already_used"])
        )
        left = draw(st.integers(0, 9))
        return [_event("challenge.answered", owner, at_ms, outcome=outcome, attempts_left=left)]
    if word == "over":
        ended = draw(st.sampled_from(["expired", "cancelled", "undeliverable", "declined"]))
        more = {"delivery": delivery} if ended == "declined" else {}
        return [_event(f"challenge.{ended}", owner, at_ms, **more)]
    if tries[delivery] < 0:  # no supplier was found for it: nothing more is heard of it
        return []
    if word == "attempted":
        tries[delivery] += 1
        tries[f"{delivery} in hand"] = 1
        return [_event("delivery.attempted", owner, at_ms, **named, **draw(_routes(tries[delivery])))]
    if word == "postponed":
        if not tries[f"{delivery} in hand"]:
            return []
        tries[delivery] -= 1
        tries[f"{delivery} in hand"] = 0
        return [_event("delivery.postponed", owner, at_ms, **named, **{"try": tries[delivery] + 1})]
    tries[f"{delivery} in hand"] = 0
    if word == "retried":
        return (
            [_event("delivery.retried", owner, at_ms, **named, reason="throttled")] if tries[delivery] else []
        )
    status = draw(st.sampled_from(["sent", "delivered", "undelivered", "failed", "answered", "no_answer"]))
    if not tries[delivery]:
        status, tries[delivery] = "failed", -1
    return [_event("delivery.settled", owner, at_ms, **named, status=status)]


@st.composite
def _alert_events(
    draw: st.DrawFn, owner: str, delivery: str, at_ms: int, tries: Counter[str]
) -> list[dict[str, Any]]:
    word = draw(
        st.sampled_from(["attempted", "sent", "retried", "stepped", "delivered", "failed", "clicked"])
    )
    named = {"delivery": delivery, "channel": "sms", "kind": "notice"}
    if word == "attempted":
        tries[delivery] += 1
        return [_event("alert.attempted", owner, at_ms, **named, **draw(_routes(tries[delivery])))]
    if word == "clicked":
        return [_event("alert.clicked", owner, at_ms, kind="notice")]
    if not tries[delivery]:
        return []
    more = {"reason": draw(st.sampled_from(["undelivered", "throttled"]))} if word != "delivered" else {}
    return [_event(f"alert.{word}", owner, at_ms, **named, **more)]


@st.composite
def _routes(draw: st.DrawFn, number: int) -> dict[str, Any]:
    return {
        "try": number,
        "supplier": draw(st.sampled_from(["north", "south"])),
        "price": draw(st.sampled_from(["", "EUR 0.0063", "USD 0.05"])),
        "purpose": "payment",
        "country": "DE",
    }


def _event(event: str, owner: str, at_ms: int, **members: Any) -> dict[str, Any]:
    of = "challenge" if owner.startswith("chl") else "alert"
    return {"type": event, "at_ms": at_ms, "client": "bank", of: owner, **members}


def _counted(portions: Sequence[Sequence[dict[str, Any]]]) -> Growth:
    """What portions come to, one after the other, with the stories put away in between as they are in the database."""
    growth: Growth = Counter()
    known: dict[str, Story] = {}
    counted_at = 0
    for portion in portions:
        counted: Tally = tally(portion, known, counted_at=counted_at, now_ms=NOW_MS * 2, policy=KEPT)
        counted_at = counted.counted_at
        known |= {
            owner: msgspec.json.decode(msgspec.json.encode(story), type=Story)
            for owner, story in counted.stories.items()
        }
        for (span, at, key, figure), counts in counted.growth.items():
            for index, number in counts.items():
                growth[span, at, key, figure, index] += number
    return growth


@settings(max_examples=150)
@given(logs(), st.lists(st.integers(1, 8), max_size=12))
def test_figures_are_a_recount_however_the_log_is_cut(events: list[dict[str, Any]], cuts: list[int]) -> None:
    """In portions of any size, figures by the minute are what a recount of the whole log says."""
    portions, rest = [], events
    for cut in cuts:
        portions.append(rest[:cut])
        rest = rest[cut:]
    assert by_minute(_counted([*portions, rest])) == recount(events)


@settings(max_examples=60)
@given(logs())
def test_minutes_make_hours_and_hours_make_days(events: list[dict[str, Any]]) -> None:
    """Every figure of an hour is the sum of its minutes', bin by bin, and a day's that of its hours."""
    growth = _counted([events])
    for shorter, longer in ((Span.MINUTE, Span.HOUR), (Span.HOUR, Span.DAY)):
        rolled: Growth = Counter()
        for (span, at, key, figure, index), number in growth.items():
            if span is shorter:
                rolled[longer, longer.begin(at), key, figure, index] += number
        assert rolled == Counter({place: n for place, n in growth.items() if place[0] is longer})


def by_minute(growth: Growth) -> Recount:
    """Figures by the minute as a recount names them."""
    numbers: Recount = Counter()
    for (span, at, key, figure, index), number in growth.items():
        if span is Span.MINUTE:
            told_apart = {
                "deliveries": key[2:3] + key[4:],
                "challenges": (key.purpose, key.method),
                "alerts": (key.purpose,),
            }[key.subject]
            numbers[str(key.subject), key.client, at, "/".join(told_apart), str(figure), index] += number
    assert all(number >= 0 for number in numbers.values())
    return +numbers
