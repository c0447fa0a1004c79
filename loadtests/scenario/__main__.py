"""`python -m loadtests.scenario`: start the service, send, check everything, and write a report (`make loadtest`)."""

import asyncio
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from cyclopts import run
from rich.console import Console

from loadtests.scenario import checks, figures, report
from loadtests.scenario.plan import Notes, Plan, Rates
from loadtests.scenario.service import Service, running
from loadtests.scenario.watch import Watch
from sca_service.sandbox.mailbox import MAILBOX_FILE
from sca_service.sandbox.server_process import launcher

ROOT = Path(__file__).parents[2]
_DRAWN = ("issue", "verify", figures.MESSAGE)
_GRACE_SECONDS = 240.0
"""For the sender beyond the time of its plan: it gives journeys 150 s to end."""


def loadtest(  # noqa: PLR0913 - one option for each thing that a run varies
    *,
    shape: Literal["steady", "payday", "attack", "soak"] = "steady",
    minutes: float = 2.0,
    rate: float = 20.0,
    attacks: float = 8.0,
    think: float = 1.0,
    seed: int = 1,
    fault: str = "",
    results: Path = ROOT / "loadtests" / "results",
    sender: Path = ROOT / ".venv" / "load" / "bin" / "python",
) -> None:
    """Put a shape of traffic on the service. Exit status 1 when anything does not hold.

    Parameters
    ----------
    shape
        steady, payday (a peak in the middle), attack (attackers amid steady traffic), soak (steady, for long).
    minutes
        For how long journeys begin; those that have begun then get 150 s to end.
    rate
        Checkouts a second at the full rate; an issuer and an auditor keep their share of it.
    attacks
        Attacks a second, of four kinds together, where the shape has any.
    think
        Multiplies the time that payers take (6 s in the middle).
    fault
        Break the api (loadtests/scenario/broken.py), to see that the run notices.
    sender
        The Python that has Locust and matplotlib.
    """
    console = Console(highlight=False)
    load_before, began = os.getloadavg()[0], datetime.now(UTC)
    console.print(f"» {shape}: {minutes:g} minutes, {rate:g} checkouts a second, seed {seed}")
    with tempfile.TemporaryDirectory() as name, running(Path(name), fault=fault) as service:
        folder = Path(name)
        plan = Plan(
            url=service.deployment.api.url,
            keys=service.deployment.keys,
            mailbox=str(folder / MAILBOX_FILE),
            notes=str(folder / "notes.json"),
            shape=shape,
            seconds=minutes * 60,
            rates=Rates(rate, attacks),
            think=think,
            seed=seed,
        )
        before = asyncio.run(checks.without_ttl(service))
        watch = _send(sender, plan, service, folder)
        notes = Notes.read(Path(plan.notes))
        console.print("» Holding everything against each other")
        violations = asyncio.run(checks.violations(service, notes))
        after = asyncio.run(checks.without_ttl(service))
    outcome = report.Outcome(
        plan,
        notes,
        figures.rows(notes.requests),
        watch.samples,
        violations,
        (before, after),
        began,
        load_before,
    )
    folder = results / f"{began:%Y%m%d-%H%M%S}-{shape}{f'-{fault}' if fault else ''}"
    _write(outcome, folder, sender)
    for violation in violations[:20]:
        console.print(f"  [red]{violation}[/]", soft_wrap=True)
    console.print(
        f"» {'Everything holds' if not violations else f'{len(violations)} things do not hold'}: {folder}/report.md"
    )
    if violations:
        sys.exit(1)


def _send(sender: Path, plan: Plan, service: Service, folder: Path) -> Watch:
    """Run the sender to its end, and look on. Raises RuntimeError when it fails."""
    plan.write(folder / "plan.json")
    process = subprocess.Popen(
        [
            *launcher(death_signal="KILL"),
            str(sender),
            *("-m", "loadtests.scenario.sender", str(folder / "plan.json")),
        ],
        cwd=ROOT,
    )
    with Watch({**service.processes(), "sender": process.pid}) as watch:
        try:
            status = process.wait(plan.seconds + _GRACE_SECONDS)
        finally:
            process.kill()
    if status:
        raise RuntimeError(f"the sender ended with {status}")
    return watch


def _write(outcome: report.Outcome, folder: Path, sender: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    plan = outcome.plan
    title = (
        f"{plan.shape}, {plan.seconds / 60:g} minutes, {plan.rates.checkouts:g} checkouts/s, {os.cpu_count()} cores, "
        f"{outcome.began:%Y-%m-%d}"
    )
    drawn = figures.drawn(title, outcome.notes.requests, seconds=plan.seconds, delays_of=_DRAWN)
    report.add_processes(drawn, outcome.samples, outcome.notes.began_at)
    drawn.write(folder / "figures.json")
    command = [str(sender), "-m", "loadtests.scenario.pictures", str(folder / "figures.json"), str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)
    (folder / "report.md").write_text(report.markdown(outcome), "utf-8")


if __name__ == "__main__":
    run(loadtest)
