"""Ids: prefixed, in the order of their time, never the same, and not guessable."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from sca_service.kernel.ids import digits_at, new_id

_TIMES_MS = st.integers(0, 2**48 - 1)
_CHANCE = st.text("0123456789abcdef", min_size=20, max_size=32)


def test_an_id_is_its_prefix_its_time_and_80_random_bits() -> None:
    """In hexadecimal, so that it may stand in a URL, a log and a header; as long as those that were all chance."""
    before_ms = time.time_ns() // 1_000_000
    made = new_id("evt")
    assert re.fullmatch(r"evt_[0-9a-f]{32}", made)
    assert before_ms <= int(made[4:16], 16) <= time.time_ns() // 1_000_000


def test_no_id_can_be_guessed_from_another() -> None:
    """No digit behind the time is fixed: each place has every value, whatever the time."""
    ids = [new_id("req")[4:] for _ in range(2_000)]
    assert all({one[place] for one in ids} == set("0123456789abcdef") for place in range(12, 32))


def test_no_two_ids_are_the_same() -> None:
    """However many are made within a millisecond, by several threads at once."""
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: [new_id("evt") for _ in range(2_500)], range(4)))
    assert len({one for some in made for one in some}) == 10_000


@given(_TIMES_MS, _TIMES_MS, _CHANCE, _CHANCE)
def test_ids_sort_by_their_time(one_ms: int, other_ms: int, one: str, other: str) -> None:
    """As text, so in an index too; those of one millisecond by chance."""
    if one_ms != other_ms:
        assert (digits_at(one_ms, one) < digits_at(other_ms, other)) == (one_ms < other_ms)
    assert len(digits_at(one_ms, one)) == 32
