"""The page on traffic: what is worse is said and comes first, and every figure leads to its messages."""

from collections.abc import Mapping
from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit

from sca_service.analytics.model import Figure, Key, Span, Subject
from sca_service.analytics.reading.answer import Line
from sca_service.analytics.reading.postgres_store import Listed
from sca_service.console.markup import TRAFFIC_PAGES, Reader
from sca_service.console.traffic.page import MessageList, messages_page, traffic_page
from sca_service.console.traffic.view import Pair, Traffic, Verdict, Window, pairs, pieces_of
from sca_service.kernel.money import Price
from sca_service.limits.pumping.model import Entry
from sca_service.policy.pumping import PumpingScope

_READER = Reader("operator", "0123abcd", TRAFFIC_PAGES)
_NOW = datetime(2026, 11, 28, 17, 30, tzinfo=UTC)
_UNTIL_MS = int(datetime(2026, 11, 28, 18, tzinfo=UTC).timestamp() * 1000)
_NORTH = {"route": "sms|north|262-01|BANK|EUR 0.07"}
_SOUTH = {"route": 'sms|so"u<th|208-01|BANK|EUR 0.04'}


class Outline(HTMLParser):
    """What a page holds: its links, and every piece of text. Raises AssertionError for what the policy forbids."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """No style and no script of its own stands in an element."""
        names = dict(attrs)
        assert "style" not in names
        assert not [name for name in names if name.startswith("on")]
        assert tag != "script" or names.get("src") == "/desk/static/desk.js"
        if tag == "a":
            self.links.append(names.get("href") or "")

    def handle_data(self, data: str) -> None:
        """A text of the page."""
        self.texts.append(data)


def line(group: Mapping[str, str], attempted: int, delivered: int, at_ms: int | None = None) -> Line:
    """Figures of messages all of which were sent, and of which those that did not arrive failed."""
    counts = dict.fromkeys(Figure, 0) | {
        Figure.ATTEMPTED: attempted,
        Figure.SENT: attempted,
        Figure.DELIVERED: delivered,
        Figure.FAILED: attempted - delivered,
        Figure.CONVERTED: delivered,
    }
    return Line(group, at_ms, counts, {Figure.DELIVERED_MS: {200: delivered}}, (Price("EUR", 1_000),))


def traffic(
    routes: tuple[Pair, ...] = (), *, whole: Pair | None = None, blocks: tuple[Entry, ...] | None = ()
) -> Traffic:
    """What the page shows of 24 hours in which one hour had messages."""
    since_ms = _UNTIL_MS - Window.DAY.length_ms
    pieces = pieces_of(since_ms, _UNTIL_MS, Span.HOUR, [line({}, 4, 3, since_ms)], [line({}, 5, 5, since_ms)])
    return Traffic(
        window=Window.DAY,
        since_ms=since_ms,
        until_ms=_UNTIL_MS,
        counted_at_ms=_UNTIL_MS - 30 * 60_000 - 2_000,
        whole=whole or Pair({}, line({}, 100, 75), line({}, 100, 97)),
        challenges=Pair({}, None, None),
        pieces=pieces,
        routes=routes,
        places=(Pair({"country": "FR", "channel": "sms"}, line({}, 40, 10), None),),
        suppliers=(Pair({"supplier": "north"}, line({}, 40, 10), None),),
        blocks=blocks,
    )


def test_what_is_worse_is_said_and_comes_first() -> None:
    """The route that delivers less than a week ago is in the headline, marked, and above a busier one."""
    busy = Pair(_NORTH, line(_NORTH, 500, 490), line(_NORTH, 500, 488))
    worse = Pair(_SOUTH, line(_SOUTH, 100, 75), line(_SOUTH, 100, 96))
    page = traffic_page(traffic((busy, worse)), _READER, _NOW)
    assert "1 route delivers less than a week ago" in page
    assert page.index("so&quot;u&lt;th") < page.index("<b>north</b>")
    assert '<span class="badge bad">worse</span>' in page
    assert "from 2 seconds ago" in page


def test_a_comparison_needs_enough_on_both_sides() -> None:
    """A handful of messages makes no route better or worse."""
    share = (Figure.DELIVERED, Figure.ATTEMPTED)
    assert Pair({}, line({}, 19, 0), line({}, 500, 500)).verdict(*share) is Verdict.UNKNOWN
    assert Pair({}, line({}, 20, 18), line({}, 20, 20)).verdict(*share) is Verdict.WORSE
    assert Pair({}, line({}, 200, 192), line({}, 200, 200)).verdict(*share) is Verdict.SAME
    assert Pair({}, line({}, 200, 200), line({}, 200, 150)).verdict(*share) is Verdict.BETTER
    assert Pair({}, line({}, 200, 200), None).verdict(*share) is Verdict.UNKNOWN


def test_every_figure_leads_to_its_messages() -> None:
    """Links of a route name the route, the time and the figure, whatever stands in a supplier's name."""
    page = traffic_page(traffic((Pair(_SOUTH, line(_SOUTH, 100, 75), line(_SOUTH, 100, 96)),)), _READER, _NOW)
    asked = [parse_qs(urlsplit(link).query) for link in Outline(page).links if "/messages?" in link]
    of_route = [one for one in asked if "route" in one]
    assert {one["counted"][0] for one in of_route} == {"attempted", "failed", "converted"}
    assert {one["route"][0] for one in of_route} == {_SOUTH["route"]}
    assert {one["from"][0] for one in asked} == {"2026-11-27T18:00:00.000Z"}
    assert {one["to"][0] for one in asked} == {"2026-11-28T18:00:00.000Z"}


def test_blocks_are_shown_to_who_may_see_them() -> None:
    """An operator sees what is on; a bank that sees its own figures is not told that there are any."""
    block = Entry(
        "blk_1", PumpingScope.PREFIX, "+49151123", "budget", 1_795_000_000, 1_795_900_000, refused=12
    )
    told = " ".join(Outline(traffic_page(traffic(blocks=(block,)), _READER, _NOW)).texts)
    assert "+49151123" in told
    assert "Nothing is blocked." in traffic_page(traffic(), _READER, _NOW)
    assert "blocked" not in traffic_page(traffic(blocks=None), _READER, _NOW)


def test_nothing_at_all_is_a_page_too() -> None:
    """Before the first message there are words in place of pictures."""
    empty = traffic(whole=Pair({}, None, None))
    assert "No message was attempted" in traffic_page(empty, _READER, _NOW)


def test_lines_of_two_answers_are_put_side_by_side() -> None:
    """By their group, whichever of them has it."""
    one, two = {"channel": "sms"}, {"channel": "voice"}
    found = pairs([line(one, 1, 1)], [line(one, 2, 2), line(two, 3, 3)])
    assert [(pair.group, pair.count(Figure.SENT), pair.count_before(Figure.SENT)) for pair in found] == [
        (one, 1, 2),
        (two, 0, 3),
    ]


def test_the_list_names_messages_and_escapes_what_it_shows() -> None:
    """Each try with its route, status and reason; a story is linked only for who may read it."""
    key = Key(Subject.DELIVERIES, client="bank", purpose="payment", channel="sms", supplier='so"u<th')
    tried = Listed(
        "dlv_1", 2, "chl_1", key, _UNTIL_MS, "failed", "supplier_down", None, None, True, None, False
    )
    filters = {"country": "", "counted": "failed"}
    page = messages_page(MessageList(filters, [tried], "next"), _READER)
    outline = Outline(page)
    assert "so&quot;u&lt;th" in page
    assert "supplier down" in unescape(page)
    assert [link for link in outline.links if "cursor=next" in link]
    assert not [link for link in outline.links if "/desk/challenges/" in link]
    auditor = Reader("auditor", "0123abcd", (("/desk", "Overview"), *TRAFFIC_PAGES))
    assert "/desk/challenges/chl_1" in messages_page(MessageList(filters, [tried], None), auditor)
