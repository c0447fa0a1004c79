"""The pages of the desk as markup: escaped, self-contained, readable in both colour schemes."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sca_service import console
from sca_service.console.events_page import EventList, Listed, events_page
from sca_service.console.filters import Filters
from sca_service.console.markup import Reader, age, exact
from sca_service.console.overview_page import Overview, overview_page
from sca_service.console.sign_in_page import fault_page, sign_in_page
from sca_service.console.story import (
    BAD,
    ELSEWHERE,
    ENDINGS,
    GOOD,
    LABELS,
    PERSONAL,
    SPELLED,
    TITLES,
    Step,
    Story,
)
from sca_service.console.story_page import TOLD_ABOVE, story_page
from sca_service.kernel.errors import Mistake

_STATIC = Path(console.__file__).parent / "static"
_STYLE = (_STATIC / "desk.css").read_text("utf-8")
_READER = Reader("auditor", "0123abcd")
_NASTY = '"><script>alert(1)</script>'
_NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


@dataclass(frozen=True)
class _Checkpoint:
    size: int
    root: bytes
    note: str
    made_at: datetime


_CHECKPOINT = _Checkpoint(8, bytes(32), "sca.example/log\n8\nAAAA\n\n— sca.example/log AAAAAAAA\n", _NOW)


class _Shape(HTMLParser):
    """Collects what a strict policy would stop, and checks that elements close in order."""

    _VOID = frozenset({"meta", "link", "input", "br", "rect", "line", "circle", "wbr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.stopped: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if any(name.startswith("on") or name == "style" for name in named) or tag == "style":
            self.stopped.append(tag)
        if tag == "script" and not (named.get("src") or "").startswith("/desk/static/"):
            self.stopped.append(tag)
        if named.get("id"):
            self.ids.append(str(named["id"]))
        if tag not in self._VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _story(leaf: str) -> str:
    step = Step.of(leaf, 3, None, opened=())
    return story_page(Story("chl_1", (step,)), checkpoint=_CHECKPOINT, keys=[], reader=_READER)


def _pages() -> dict[str, str]:
    members = {
        "id": "evt_1",
        "type": _NASTY,
        "at_ms": 1,
        "client": _NASTY,
        "psu": _NASTY,
        "challenge": _NASTY,
    }
    return {
        "sign-in": sign_in_page(wanted=_NASTY, failed=_NASTY),
        "fault": fault_page(status=422, title=_NASTY, meaning=_NASTY, mistakes=[Mistake(_NASTY, _NASTY)]),
        "overview": overview_page(Overview(_CHECKPOINT, [], None, _NOW), _READER),
        "events": events_page(
            EventList(
                Filters(psu=_NASTY), [Listed(members, None)], (1, 2), [_NASTY], [_NASTY], [(_NASTY, _NASTY)]
            ),
            _READER,
        ),
        "story": _story(json.dumps(members | {"outcome": _NASTY, "commitments": {}})),
    }


@pytest.mark.parametrize("name", list(_pages()))
def test_pages_are_well_formed_and_escaped(name: str) -> None:
    """Whatever stands in the log, a page has no markup of it, no inline script or style, and no id twice."""
    page = _pages()[name]
    shape = _Shape()
    shape.feed(page)
    assert shape.open == []
    assert shape.stopped == []
    assert len(shape.ids) == len(set(shape.ids))
    assert "<script>alert" not in page


def test_a_leaf_keeps_its_bytes() -> None:
    """What a browser reads back from the page is the leaf, to the character."""
    leaf = '{"at_ms":1,"id":"evt_1","note":"<a&b> \u2028\\n \\" é","type":"challenge.issued"}'

    class Leaf(HTMLParser):
        text, is_inside = "", False

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.is_inside = "data-leaf" in dict(attrs)

        def handle_endtag(self, tag: str) -> None:
            self.is_inside = False

        def handle_data(self, data: str) -> None:
            self.text += data if self.is_inside else ""

    reader = Leaf()
    reader.feed(_story(leaf))
    assert reader.text == leaf
    assert exact("a\rb") == "a&#13;b"


def test_without_javascript_a_story_says_how_to_check() -> None:
    """The page claims nothing that it did not compute."""
    page = _story('{"at_ms":1,"id":"evt_1","type":"challenge.issued"}')
    assert "sca audit check-evidence FILE" in page
    assert "Nothing was recomputed on this page" in page


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (7200, "2 hours"),
        (172_800, "2 days"),
    ],
)
def test_an_age_is_said_in_one_unit(seconds: int, said: str) -> None:
    """The largest unit of which there are two."""
    assert age(datetime.fromtimestamp(0, UTC), datetime.fromtimestamp(seconds, UTC)) == f"{said} ago"


def test_the_desk_loads_nothing_from_elsewhere() -> None:
    """No style sheet or script names a font, an address, or a file that does not stand beside it."""
    assert not re.search(r"url\(|@import|@font-face|//", _STYLE)
    for script in _STATIC.glob("*.js"):
        text = script.read_text("utf-8")
        assert not re.search(r"import\(|https?://|fetch\(", text)
        for name in re.findall(r"\bimport\b.*from(.*)", text):
            assert re.fullmatch(r' "\./[a-z]+\.js";', name)


def test_the_browser_has_the_words_of_the_pages() -> None:
    """What a browser compares the page with is what the page is made of: one list of words, in two languages."""
    found = re.search(
        r"^const WORDS = (\{.*?^\});", (_STATIC / "told.js").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert found
    assert json.loads(found[1]) == {
        "titles": TITLES,
        "spelled": SPELLED,
        "labels": LABELS,
        "personal": PERSONAL,
        "endings": sorted(ENDINGS),
        "good": sorted(GOOD),
        "bad": sorted(BAD),
        "elsewhere": sorted(ELSEWHERE),
        "above": sorted(TOLD_ABOVE),
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("front", "back", "least"),
    [
        *(
            (front, back, 4.5)
            for front in ("ink", "soft", "accent")
            for back in ("paper", "wash", "accent-wash")
        ),
        ("paper", "accent", 4.5),
        ("good", "good-wash", 4.5),
        ("good", "paper", 4.5),
        ("bad", "bad-wash", 4.5),
        ("bad", "paper", 4.5),
        ("accent", "good-wash", 4.5),
        ("accent", "bad-wash", 4.5),
        ("edge", "paper", 3),
        ("edge", "wash", 3),
        *((f"c{number}", "paper", 3) for number in range(1, 9)),
    ],
)
def test_colours_have_the_contrast_of_level_aa(scheme: str, front: str, back: str, least: float) -> None:
    """Text has 4.5 to 1 (WCAG 2.2, 1.4.3), the edges of fields and what a chart is made of 3 to 1 (1.4.11)."""
    light, dark = (
        dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", block)) for block in _STYLE.split("@media", 2)[:2]
    )
    colours = light if scheme == "light" else dark
    bright, dim = sorted((_luminance(colours[front]), _luminance(colours[back])), reverse=True)
    assert (bright + 0.05) / (dim + 0.05) >= least


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
