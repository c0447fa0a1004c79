"""A load test in small: it holds for the service as it is, and finds an api that approves a used code again."""

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_SENDER = _ROOT / ".venv" / "load" / "bin" / "python"

pytestmark = [
    pytest.mark.on_demand,
    pytest.mark.skipif(not _SENDER.exists(), reason="`make loadtest` makes the sender's environment"),
]


def run(results: Path, *options: str) -> tuple[int, str, str]:
    """Some seconds of it: exit status, what was said, and the report."""
    command = [
        sys.executable,
        "-m",
        "loadtests.scenario",
        "--minutes",
        "0.4",
        "--rate",
        "5",
        "--think",
        "0.3",
    ]
    said = subprocess.run(
        [*command, "--results", str(results), *options],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    (folder,) = results.iterdir()
    assert {"latency.svg", "load.svg"} < {path.name for path in folder.iterdir()}
    return said.returncode, said.stdout + said.stderr, (folder / "report.md").read_text("utf-8")


def test_it_finds_nothing_wrong_with_the_service(tmp_path: Path) -> None:
    """Attackers amid honest payers; a machine too busy for a store's second says 503, and that alone is let pass."""
    status, said, report = run(tmp_path, "--shape", "attack")
    wrong = [line for line in report.split("## Requests")[0].splitlines() if line.startswith("- ")]
    assert not [line for line in wrong if ": 503 at " not in line], said
    assert status == bool(wrong)


def test_it_finds_an_api_that_approves_twice(tmp_path: Path) -> None:
    """Payers who click twice are told twice that they are approved: exit status 1, and the challenge by its id."""
    status, said, report = run(tmp_path, "--fault", "generous")
    assert status == 1, said
    assert "clients were told 2 times that it is approved" in report
