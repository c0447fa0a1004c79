"""The filters of the event list: each form, each refusal, and the way back into a URL."""

from datetime import UTC, datetime
from urllib.parse import parse_qsl

import pytest

from sca_service.console.filters import Filters
from sca_service.kernel.errors import InvalidInput

_CHALLENGE = "chl_" + "0a" * 19


def test_every_filter_is_read() -> None:
    """Each name of the URL fills its member, and an empty one leaves it open."""
    filters = Filters.parse(
        [
            ("type", "challenge.answered"),
            ("challenge", _CHALLENGE),
            ("psu", " cust_1 "),
            ("client", ""),
            ("from", "2026-11-01T10:00:00+01:00"),
            ("to", "2026-11-02T08:30"),
        ]
    )
    assert filters == Filters(
        kind="challenge.answered",
        challenge=_CHALLENGE,
        psu="cust_1",
        since=datetime(2026, 11, 1, 9, tzinfo=UTC),
        until=datetime(2026, 11, 2, 8, 30, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("text", "hour", "second"),
    [
        ("2026-11-01", 0, 0),
        ("2026-11-01T07:00", 7, 0),
        ("2026-11-01T07:00:09", 7, 9),
        ("2026-11-01T07:00:09.5", 7, 9),
    ],
)
def test_a_time_without_an_offset_is_utc(text: str, hour: int, second: int) -> None:
    """What a form field sends has no offset; the page says that it is UTC."""
    assert Filters.parse([("from", text)]).since == datetime(2026, 11, 1, hour, 0, second, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("typ", "challenge.answered"),
        ("limit", "10"),
        ("type", "answered"),
        ("type", "challenge.answered'--"),
        ("challenge", "chl_123"),
        ("challenge", "+4915112345678"),
        ("client", "Bank!"),
        ("psu", "a\x00b"),
        ("psu", "x" * 129),
        ("from", "yesterday"),
        ("to", "2026-13-01"),
        ("cursor", "no"),
        ("cursor", "LTEuMg"),  # -1.2
    ],
)
def test_what_cannot_be_a_filter_is_refused(name: str, value: str) -> None:
    """A name or value that cannot be is refused and named, never ignored."""
    with pytest.raises(InvalidInput) as refused:
        Filters.parse([(name, value)])
    assert [mistake.pointer for mistake in refused.value.mistakes] == [f"/{name}"]


def test_a_filter_given_twice_is_refused() -> None:
    """Nobody has to guess which of two counts, even when one is empty."""
    with pytest.raises(InvalidInput):
        Filters.parse([("client", ""), ("client", "bank")])


def test_every_mistake_is_told() -> None:
    """The page lists all of them at once."""
    with pytest.raises(InvalidInput) as refused:
        Filters.parse([("type", "x"), ("colour", "red"), ("to", "never")])
    assert {mistake.pointer for mistake in refused.value.mistakes} == {"/type", "/colour", "/to"}


def test_filters_survive_the_url() -> None:
    """What a link of the page holds is read back as the same filters."""
    filters = Filters.parse([("psu", "Zoë & 50%"), ("from", "2026-11-01T10:00:01Z"), ("cursor", "MTIuMzQ")])
    assert filters.cursor == (12, 34)
    assert Filters.parse(parse_qsl(filters.query())) == filters
    assert filters.without("psu") == Filters(since=filters.since)
