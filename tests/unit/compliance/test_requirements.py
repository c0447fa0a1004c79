"""Each requirement names what answers it, and what it names is there."""

import csv
import re
from pathlib import Path

import pytest

from sca_service.compliance.page import compliance_markdown
from sca_service.compliance.requirements import Requirement, Verdict, faults_of, requirements

_ROOT = Path(__file__).parents[3]
_LIST = _ROOT.parent / "shared" / "requirements" / "requirements.csv"
_ROWS = requirements()
_SOURCES = "".join(
    path.read_text("utf-8") for path in (_ROOT / "sca_service").rglob("*") if path.suffix in (".py", ".lua")
)


def missing(row: Requirement, root: Path = _ROOT) -> list[str]:
    """What a row names that is not there."""
    absent = [f"sca_service/{path}" for path in row.code if not (root / "sca_service" / path).exists()]
    absent += [f"policies/{path}" for path in row.policies if not (root / "policies" / path).is_file()]
    for named in row.tests:
        path, _, test = named.partition("::")
        file = root / path
        if not file.is_file() or (test and f"def {test}(" not in file.read_text("utf-8")):
            absent.append(named)
    absent += [event for event in row.events if not re.search(rf"""["']{event}["']""", _SOURCES)]
    return absent


@pytest.mark.parametrize("row", _ROWS, ids=lambda row: row.id)
def test_a_row_says_what_answers_it_and_that_is_there(row: Requirement) -> None:
    """Code, policies, tests and events that are named exist; what is not met says why."""
    assert faults_of(row) == []
    assert missing(row) == []


def test_no_row_stands_twice() -> None:
    """An id is one row's."""
    assert len({row.id for row in _ROWS}) == len(_ROWS)


def test_a_row_that_promises_too_much_is_found() -> None:
    """Without a test, a reason or a word on what is done; and with a path, a test and an event that are not there."""
    claims = Requirement(id="X-1", source="s", asks="a", met=Verdict.PARTLY)
    assert len(faults_of(claims)) == 3
    row = Requirement(
        id="X-2",
        source="s",
        asks="a",
        code=("nowhere.py",),
        policies=("none.toml",),
        tests=("tests/unit/compliance/test_requirements.py::test_of_nothing", "tests/none.py"),
        events=("nothing.happened",),
    )
    assert len(missing(row)) == 5


def test_the_page_in_the_documents_is_this_one() -> None:
    """`docs/compliance.md` is what `sca docs` writes now."""
    assert (_ROOT / "docs" / "compliance.md").read_text("utf-8") == compliance_markdown(_ROWS)


def test_the_page_says_what_is_not_met() -> None:
    """A row that is not met stands in the first table, with its reason, and its link leads to its section."""
    row = Requirement(id="RTS-9.9z", source="s", asks="a", met=Verdict.NO, why="it | is hard")
    page = compliance_markdown([row])
    assert "| [RTS-9.9z](#rts-99z) | **not met** | it \\| is hard |" in page
    assert "### RTS-9.9z" in page


@pytest.mark.skipif(not _LIST.is_file(), reason="the list of requirements lies outside of the project")
def test_no_requirement_is_left_out() -> None:
    """The list that the project was given has no row that is not here."""
    with _LIST.open(encoding="utf-8", newline="") as file:
        asked = {row["id"] for row in csv.DictReader(file)}
    assert asked - {row.id for row in _ROWS} == set()
