"""Runs what a guide shows: its blocks of commands in their order, in one shell, and compares what they print."""

import asyncio
import re
import subprocess
from pathlib import Path

_FENCED = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_PATIENCE_SECONDS = 120
_MARK = "=== block {} ==="


def steps_of(text: str) -> list[tuple[str, str | None]]:
    """Each block of commands, with the output that is shown for it, if any is."""
    steps: list[tuple[str, str | None]] = []
    for block in _FENCED.finditer(text):
        if block["language"] == "bash":
            steps.append((block["text"], None))
        elif block["language"] == "text":
            commands, _ = steps.pop()
            steps.append((commands, block["text"]))
    return steps


def as_pattern(shown: str) -> str:
    """What is shown, as a pattern: `…` stands for anything on its line, alone on a line for any lines."""
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


async def follow(steps: list[tuple[str, str | None]], folder: Path) -> None:
    """Run every block; each has to print what stands below it, and nothing where nothing does."""
    script = "".join(f"echo '{_MARK.format(at)}'\n{commands}" for at, (commands, _) in enumerate(steps))
    printed = await run(script, folder)
    pieces = re.split(_MARK.format(r"\d+") + "\n", printed)[1:]
    assert len(pieces) == len(steps)
    for (_, shown), piece in zip(steps, pieces, strict=True):
        if shown is None:
            assert not piece.strip()
        else:
            assert re.fullmatch(as_pattern(shown), piece), f"{shown}\nbut:\n{piece}"
