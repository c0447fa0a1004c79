"""Ids: prefixed, never the same, and nothing but chance."""

import re

from sca_service.kernel.ids import new_id


def test_an_id_is_its_prefix_and_128_random_bits() -> None:
    """In hexadecimal, so that it may stand in a URL, a log and a header."""
    assert re.fullmatch(r"evt_[0-9a-f]{32}", new_id("evt"))


def test_no_two_ids_are_the_same() -> None:
    """And no digit of them is fixed: each place has every value."""
    ids = [new_id("req")[4:] for _ in range(2_000)]
    assert len(set(ids)) == 2_000
    assert all({one[place] for one in ids} == set("0123456789abcdef") for place in range(32))
