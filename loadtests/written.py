"""Where reports of measurements are written, and their form: Markdown, and what pictures are drawn from."""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from loadtests.drawn import Chart, write_charts

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "loadtests" / "results"
DRAWS = ROOT / ".venv" / "load" / "bin" / "python"
"""The Python that has matplotlib (`make bench` and `make loadtest` make it)."""


def write_report(  # noqa: PLR0913 - one argument for each part of a report
    console: Console,
    name: str,
    *,
    title: str,
    told: Sequence[str],
    titles: Sequence[str],
    rows: Mapping[str, Sequence[str]],
    charts: Sequence[Chart] = (),
    results: Path = RESULTS,
) -> Path:
    """Write `report.md` into a folder of this run and this name, and draw the charts where matplotlib is there."""
    folder = results / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{name}"
    folder.mkdir(parents=True)
    lines = [
        f"# {title}",
        "",
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, Python {platform.python_version()}.",
        "",
        *(line for paragraph in told for line in (paragraph, "")),
        table(titles, rows),
    ]
    if charts and DRAWS.exists():
        write_charts(folder / "charts.json", charts)
        command = [
            str(DRAWS),
            "-m",
            "loadtests.pictures",
            str(folder / "charts.json"),
            str(folder / "charts.svg"),
        ]
        subprocess.run(command, cwd=ROOT, check=True)
        lines += [f"![{title}](charts.svg)", ""]
    (folder / "report.md").write_text("\n".join(lines), "utf-8")
    console.print(f"» {folder}/report.md", soft_wrap=True)
    return folder


def table(titles: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    """A table of Markdown: its rows by name."""
    lines = [f"| | {' | '.join(titles)} |", f"|---|{'---:|' * len(titles)}"]
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()]
    return "\n".join([*lines, ""])
