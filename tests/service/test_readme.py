"""The README's payment with curl, run as a reader would: every block in order, in one shell, against the service."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import Deployment

README = Path(__file__).resolve().parents[2] / "README.md"
_FENCED = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_PATIENCE_SECONDS = 120
_MARK = "=== block {} ==="


def walkthrough(section: str = "One payment with curl") -> list[tuple[str, str | None]]:
    """Each block of commands in a section, with the output that the README shows for it, if it shows any."""
    section = README.read_text("utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    steps: list[tuple[str, str | None]] = []
    for block in _FENCED.finditer(section):
        if block["language"] == "bash":
            steps.append((block["text"], None))
        else:
            commands, _ = steps.pop()
            steps.append((commands, block["text"]))
    return steps


def as_pattern(shown: str) -> str:
    """What the README shows, as a pattern: `…` stands for anything on its line, alone on a line for any lines."""
    return "".join(
        "(?:.*\n)*?" if line.strip() == "…" else ".*".join(map(re.escape, line.split("…"))) + "\n"
        for line in shown.splitlines()
    )


async def run(commands: str, folder: Path) -> str:
    """What the commands print, in one bash that stops at the first failure."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-eu", "-o", "pipefail", "-c", commands),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            printed, complained = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, complained.decode()
    return printed.decode()


@pytest.fixture
def sandbox(service: Deployment, tmp_path: Path) -> Path:
    """A folder in which the running service has left its address and keys, as `sca dev` does."""
    clients = {name: {"api_key": key} for name, key in service.keys.items()}
    (tmp_path / ".sca").mkdir()
    (tmp_path / ".sca" / "sandbox.json").write_text(
        json.dumps({"base_url": service.api.url, "clients": clients}), "utf-8"
    )
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


async def test_the_payment_in_the_readme_goes_as_it_says(sandbox: Path) -> None:
    """Every block runs, in its order, and prints what stands below it."""
    steps = walkthrough()
    script = "".join(f"echo '{_MARK.format(at)}'\n{commands}" for at, (commands, _) in enumerate(steps))
    printed = await run(script, sandbox)
    pieces = re.split(_MARK.format(r"\d+") + "\n", printed)[1:]
    assert len(pieces) == len(steps)
    for (_, shown), piece in zip(steps, pieces, strict=True):
        if shown is None:
            assert not piece.strip()
        else:
            assert re.fullmatch(as_pattern(shown), piece), f"{shown}\nbut:\n{piece}"


async def test_the_payment_in_the_readme_can_be_played_twice(sandbox: Path) -> None:
    """A reader who pastes it again meets no leftover of the first time."""
    script = "".join(commands for commands, _ in walkthrough())
    first, second = await run(script, sandbox), await run(script, sandbox)
    for printed in (first, second):
        assert "\napproved\napproved\nalready_used\n" in printed
        assert printed.endswith("transaction_mismatch\nrejected\n")


def test_the_payment_in_the_readme_shows_what_it_promises() -> None:
    """The walk-through issues, reads the message, fails, passes, proves, and shows the record; none of it got lost."""
    commands = "".join(text for text, _ in walkthrough())
    for call in ("/v1/challenges", "/sandbox/messages", "/verify", "/v1/audit/events", "authentication_code"):
        assert call in commands
    assert sum(shown is not None for _, shown in walkthrough()) >= 7


async def test_the_payment_from_python_goes_as_it_says(sandbox: Path) -> None:
    """The program is written, runs, and prints what stands below it: issue, listen, verify, believe."""
    [(commands, shown)] = walkthrough("The same from Python")
    assert shown
    issuer = 'issuer=sandbox["base_url"]'  # so it is in `sca dev`; the test's service says another name
    assert issuer in commands
    printed = await run(commands.replace(issuer, 'issuer="https://sca.example"'), sandbox)
    assert re.fullmatch(as_pattern(shown), printed), printed
