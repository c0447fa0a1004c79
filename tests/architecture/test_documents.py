"""The documents say what is true: files, commands, settings, bounds, metrics and log events that they name exist."""

import json
import re
import subprocess
import tomllib
from contextlib import suppress
from functools import cache
from io import StringIO
from pathlib import Path

import pytest
from cyclopts.exceptions import CycloptsError
from prometheus_client.metrics import MetricWrapperBase
from rich.console import Console

from sca_service.api.reference_page import reference_markdown
from sca_service.cli import app
from sca_service.docs_command import commands_markdown
from sca_service.kernel import telemetry
from sca_service.kernel.keyring import create_keyring_text
from sca_service.policy.bounds import BOUNDS, Bound
from sca_service.policy.load import FILES
from sca_service.policy.model import Occasion
from sca_service.policy.template import Placeholder
from sca_service.settings import Environment, read_settings

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_FENCED = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)#\s]+)(?:#[^)]*)?\)")
_QUOTED = re.compile(r"`(?P<text>[^`\n]+)`")
_FOLDERS = ("sca_service", "tests", "policies", "docs", "requirements", "loadtests")
_COMMAND = re.compile(r"(?:^|\s)(?:\.venv/bin/)?sca (?P<words>[a-z].*)")
_LOGGED = re.compile(r'log(?:ger\(\))?\.(?:debug|info|warning|error)\(\s*"(?P<event>[a-z_.]+)"')

every_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix()
)


def blocks(document: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return [
        block["text"]
        for block in _FENCED.finditer(document.read_text("utf-8"))
        if block["language"] == language
    ]


def prose(document: Path) -> str:
    """What stands outside the fenced blocks."""
    return _FENCED.sub("", document.read_text("utf-8"))


def commands(document: Path) -> list[str]:
    """Every `sca …` of the document, without what follows a `#`: in its blocks and in its sentences."""
    lines = [line for block in blocks(document, "bash") for line in block.splitlines()]
    lines += [quoted["text"] for quoted in _QUOTED.finditer(prose(document))]
    found = (_COMMAND.search(line.split("#")[0]) for line in lines)
    return [command["words"].strip() for command in found if command]


@cache
def help_of(*words: str) -> str:
    """What the command says of itself, on one line; nothing for a command that does not exist."""
    told = StringIO()
    console = Console(file=told, width=200)
    with suppress(SystemExit, CycloptsError):
        app([*words, "--help"], console=console, error_console=console, exit_on_error=False)
    return " ".join(told.getvalue().split())


@every_document
def test_every_block_of_commands_is_bash(document: Path) -> None:
    """A block that a reader pastes at least parses."""
    for text in blocks(document, "bash"):
        done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
        assert not done.stderr


@every_document
def test_every_command_exists_with_its_options(document: Path) -> None:
    """No document names a command or an option of `sca` that is not there."""
    for command in commands(document):
        words = re.match(
            r"(?:alerts|clients|policy|keys|routes|texts|audit|risk|reports) [a-z-]+|[a-z]+", command
        )
        assert words, command
        told = help_of(*words[0].split())
        assert f"Usage: sca {words[0]}" in told, command
        for option in re.findall(r"--[a-z-]+", command):
            assert option in told, command


def test_the_page_on_commands_is_what_they_say_of_themselves() -> None:
    """`docs/cli.md` is what `sca docs` writes now."""
    assert (ROOT / "docs" / "cli.md").read_text("utf-8") == commands_markdown()


def test_the_page_on_the_api_is_what_the_release_promised() -> None:
    """`docs/api.md` is what `sca docs` writes now of `docs/openapi.json`."""
    document = json.loads((ROOT / "docs" / "openapi.json").read_text("utf-8"))
    assert (ROOT / "docs" / "api.md").read_text("utf-8") == reference_markdown(document)


def test_the_site_has_every_page() -> None:
    """Each page of docs/ but the decisions is in the site's navigation, and nothing else is."""
    nav = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]["nav"]
    named = set(re.findall(r"[\w/-]+\.md", str(nav)))
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert {page for page in pages if not page.startswith("docs/decisions/")} <= named
    assert all((ROOT / page).is_file() for page in named)


@every_document
def test_every_link_leads_to_a_file(document: Path) -> None:
    """A link within the project is not broken."""
    for link in _LINK.finditer(prose(document)):
        if "://" not in link["target"]:
            assert (document.parent / link["target"]).exists(), link["target"]


@every_document
def test_every_file_that_is_named_exists(document: Path) -> None:
    """A path in backquotes is there: from the root, or within the package."""
    for quoted in _QUOTED.finditer(prose(document)):
        name = quoted["text"]
        looks_like_a_file = re.fullmatch(r"[\w.-]+(?:/[\w.-]+)+\.(?:py|lua|toml|md|txt)", name)
        if looks_like_a_file or name.split("/")[0] in _FOLDERS:
            places = (ROOT / name, ROOT / "sca_service" / name)
            assert any(place.exists() for place in places) or any(ROOT.glob(name)), name


def test_the_configuration_in_the_readme_is_read(tmp_path: Path) -> None:
    """What a reader copies is accepted as it stands; only the keys are theirs to make."""
    (example,) = blocks(ROOT / "README.md", "toml")
    path = tmp_path / "sca.toml"
    path.write_text(example, "utf-8")
    settings = read_settings(path, {"SCA_KEYRING": create_keyring_text()})
    assert settings.environment is Environment.PRODUCTION
    assert settings.policies == Path("/etc/sca/policies")


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda bound: f"{bound.file}:{bound.key}")
def test_every_bound_of_a_policy_stands_in_the_page(bound: Bound) -> None:
    """The page on policies has each number with its bounds."""
    section = policies_section(bound.file)
    (row,) = [line for line in section.splitlines() if line.startswith(f"| `{bound.key}` |")]
    assert f"| {bound.least} to {bound.most} |" in row


@pytest.mark.parametrize("file", [name for name in FILES if name != "texts.toml"])
def test_every_key_of_the_shipped_policies_stands_in_the_page(file: str) -> None:
    """The page knows each key of each file, and what the shipped files say where they say one thing."""
    section = policies_section(file)
    for key, value in tomllib.loads((ROOT / "policies" / file).read_text("utf-8")).items():
        names = value if isinstance(value, dict) else value[0] if key == "limit" else {key: value}
        for name in names:
            assert re.search(rf"^\| `[^`]*\b{name}\b[^`]*` \|", section, re.MULTILINE), f"{file}:{key}.{name}"
        if isinstance(value, int):
            assert f"| `{key}` | {value} |" in section


def test_every_placeholder_and_occasion_stands_in_the_page() -> None:
    """Whoever writes texts finds everything that may stand in them."""
    section = policies_section("texts.toml")
    for placeholder in Placeholder:
        assert f"`{{{placeholder}}}`" in section
    for occasion in Occasion:
        assert f"`{occasion}`" in section


def test_every_metric_stands_in_the_page_on_operations() -> None:
    """An operator finds what each number means, and no number that is not there."""
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    kept = {
        family.name
        for metric in vars(telemetry).values()
        if isinstance(metric, MetricWrapperBase)
        for family in metric.describe()
    }
    assert kept
    assert set(re.findall(r"^\| `(sca_\w+)` \|", page, re.MULTILINE)) == kept


def test_every_log_event_stands_in_the_page_on_operations() -> None:
    """An operator finds what each line means, and no line that is never written."""
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    table = page.split("## Logs")[1].split("\n## ")[0]
    told = {
        event
        for row in re.findall(r"^\| (`[^|]+`) \|", table, re.MULTILINE)
        for event in row.split("`")[1::2]
    }
    written = {
        found["event"]
        for path in (ROOT / "sca_service").rglob("*.py")
        for found in _LOGGED.finditer(path.read_text("utf-8"))
    }
    assert written
    assert told == written


def policies_section(file: str) -> str:
    """What the page on policies says of one file."""
    page = (ROOT / "docs" / "policies.md").read_text("utf-8")
    return page.split(f"\n## {file}\n")[1].split("\n## ")[0]
