"""The report of a run, in Markdown: what was done, what did not hold, figures and pictures."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from loadtests.scenario.figures import Figures, Row
from loadtests.scenario.plan import Notes, Plan
from loadtests.scenario.shapes import SHAPES
from loadtests.scenario.watch import Sample

_MOST_SAID = 30


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a report tells. `without_ttl` are Redis keys that live for ever, by what they are, before and after."""

    plan: Plan
    notes: Notes
    rows: Sequence[Row]
    samples: Mapping[str, Sequence[Sample]]
    violations: Sequence[str]
    without_ttl: tuple[Mapping[str, int], Mapping[str, int]]
    began: datetime
    load_before: float
    """The machine's load (one minute) before anything was started."""


def add_processes(figures: Figures, samples: Mapping[str, Sequence[Sample]], began_at: float) -> None:
    """CPU and memory of each process, as the figures are drawn: means of as many seconds as a bucket has."""
    step = max(int(figures.bucket_seconds), 1)
    for name, looked in samples.items():
        kept = [one for one in looked if one.at >= began_at - step][::step]
        pairs = [(before, after) for before, after in pairwise(kept) if after.at > before.at]
        figures.process_seconds[name] = [round(after.at - began_at, 2) for _, after in pairs]
        figures.cpu[name] = [
            round(max(after.cpu - before.cpu, 0) / (after.at - before.at) * 100, 2) for before, after in pairs
        ]
        figures.memory[name] = [round(after.mib, 1) for _, after in pairs]


def markdown(outcome: Outcome) -> str:
    """The whole report."""
    plan, notes = outcome.plan, outcome.notes
    sent = len([1 for _, name, _, _ in notes.requests if name != "message arrives"])
    lines = [
        f"# Load test: {plan.shape}",
        "",
        f"{outcome.began:%Y-%m-%d %H:%M} UTC, {plan.seconds / 60:g} minutes at"
        f" {plan.rates.checkouts:g} checkouts a second ({SHAPES[plan.shape].meaning}), on {os.cpu_count()} cores and"
        f" {_memory_gib():.0f} GiB, load {outcome.load_before:.1f} before the run. Payers take {plan.think:g} times"
        f" their usual time; seed {plan.seed}.",
        "",
        _verdict(outcome.violations),
        "",
        "Every delay counts from when the request was due, not from when it was sent.",
        "",
        "![Delays over time and their distribution](latency.svg)",
        "",
        "![Requests, refusals, CPU and memory](load.svg)",
        "",
        "## Requests",
        "",
        "| | count | a second | 4xx | failed | p50 ms | p95 ms | p99 ms | worst ms |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(_row(row, plan.seconds) for row in outcome.rows),
        "",
        "## What became of the journeys",
        "",
        "| | count |",
        "|---|---:|",
        *(f"| {what} | {count:,} |" for what, count in sorted(notes.journeys.items())),
        "",
        "## Processes",
        "",
        "| | CPU s | % of a core | MiB at first | MiB in the end | most MiB |",
        "|---|---:|---:|---:|---:|---:|",
        *(_process(name, looked) for name, looked in outcome.samples.items()),
        "",
        f"The sender took {notes.sender_cpu_seconds / max(sent, 1) * 1e6:,.0f} µs of CPU for each of {sent:,} requests,"
        f" and began them at most {notes.latest_ms:,.0f} ms late, which counts as delay.",
        "",
        "## Held against each other",
        "",
        f"{len(notes.told):,} answers that banks were told, {len(notes.approvals):,} authentication codes,"
        f" {sum(notes.messages.values()):,} messages at the suppliers, {len(notes.alerts):,} alerts,"
        f" {len(notes.proofs):,} inclusion proofs, {len(notes.checkpoints):,} checkpoints,"
        f" {notes.exported:,} lines of exports.",
        "",
        "Keys in Redis without a time to live, before and after: " + _ever(*outcome.without_ttl),
        "",
    ]
    return "\n".join(lines)


def _verdict(violations: Sequence[str]) -> str:
    if not violations:
        return "**Everything holds.**"
    shown = [f"- {one}" for one in violations[:_MOST_SAID]]
    if len(violations) > _MOST_SAID:
        shown.append(f"- and {len(violations) - _MOST_SAID:,} more")
    return "\n".join([f"**{len(violations):,} things do not hold:**", "", *shown])


def _row(row: Row, seconds: float) -> str:
    delays = " | ".join(f"{value:,.1f}" for value in (row.p50, row.p95, row.p99, row.worst))
    counts = f"{row.count:,} | {row.count / seconds:,.1f} | {row.refused:,} | {row.failed:,}"
    return f"| {row.name} | {counts} | {delays} |"


def _process(name: str, looked: Sequence[Sample]) -> str:
    cpu, took = looked[-1].cpu - looked[0].cpu, looked[-1].at - looked[0].at
    return (
        f"| {name} | {cpu:,.1f} | {cpu / took * 100 if took else math.nan:,.1f} | {looked[0].mib:,.0f} |"
        f" {looked[-1].mib:,.0f} | {max(one.mib for one in looked):,.0f} |"
    )


def _ever(before: Mapping[str, int], after: Mapping[str, int]) -> str:
    kinds = sorted({*before, *after})
    return ", ".join(f"{kind} {before.get(kind, 0)} → {after.get(kind, 0)}" for kind in kinds) or "none"


def _memory_gib() -> float:
    for line in Path("/proc/meminfo").read_text("ascii").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) / 2**20
    return math.nan
