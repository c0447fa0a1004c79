"""`sca risk backtest`: how good the risk policy is, on requests of which is known what became of them.

`sca risk explain`: why one request was decided as it was, by what the audit log says of it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from sca_service.audit.postgres_store import StoryReader, StoryRow
from sca_service.core import open_core
from sca_service.kernel.clock import timestamp
from sca_service.kernel.errors import InvalidInput
from sca_service.policy.load import load
from sca_service.policy.risk import FACTOR_ARTICLES, Decision, Factor, RiskPolicy
from sca_service.risk.backtest import RATE_OF_SIGNALS, Backtest
from sca_service.risk.backtest import backtest as run_backtest
from sca_service.risk.labelled import read_labelled
from sca_service.risk.picture import picture as draw
from sca_service.risk.record import RiskMembers, SignalMembers
from sca_service.settings import Settings, read_settings, shipped_policies

_WIDTH = 120
_MOST_EVENTS = 20  # the first of a challenge says how it was issued

Config = Annotated[Path, Parameter(help="The configuration file (see sca_service/settings.py).")]


def backtest(file: Path, *, policies: Path | None = None, picture: Path | None = None) -> None:
    """Show how well the risk policy tells fraud from honest requests, and what each signal adds.

    Parameters
    ----------
    file
        CSV, or Parquet by its name's end: a column for each fact that is known (docs/risk.md), and `fraud`.
    policies
        The folder of policies; those that come with the service when left out. Its folder `next` is shown beside.
    picture
        Write the curves to this file as SVG.
    """
    policy = load(policies or shipped_policies())
    found = {"in force": _run(file, policy.risk)}
    if policy.next_risk is not None:
        found["next"] = _run(file, policy.next_risk)
    console = Console(width=_WIDTH, highlight=False)
    first = found["in force"]
    console.print(f"{first.honest + first.fraud} requests, {first.fraud} of them fraud", markup=False)
    console.print(_figures(found))
    console.print(_caught(found))
    console.print(_decisions(found))
    for name, one in found.items():
        console.print(_signals(name, one))
    if picture is not None:
        try:
            picture.write_text(draw(found), encoding="utf-8")
        except OSError as error:
            raise InvalidInput.at("/picture", f"cannot be written: {error.strerror}") from error
        console.print(f"Written: {picture}", markup=False)


def _run(file: Path, risk: RiskPolicy) -> Backtest:
    try:
        return run_backtest(read_labelled(file), risk)
    except ValueError as error:
        raise InvalidInput.at("/file", str(error)) from error


def _table(title: str, headings: Sequence[str], *, figures: int = _WIDTH) -> Table:
    """A table whose first column names something; as many as `figures` after it hold numbers."""
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    for at, heading in enumerate(headings):
        table.add_column(heading, justify="right" if 0 < at <= figures else "left")
    return table


def _figures(found: Mapping[str, Backtest]) -> Table:
    table = _table("Curves", ("policy", "area under ROC", "average precision"))
    for name, one in found.items():
        table.add_row(name, f"{one.curve.area:.4f}", f"{one.curve.average_precision:.4f}")
    return table


def _caught(found: Mapping[str, Backtest]) -> Table:
    columns = [heading for name in found for heading in (f"fraud caught ({name})", f"precision ({name})")]
    table = _table("Fraud caught, the highest scores challenged first", ("challenged", *columns))
    for rows in zip(*(one.caught for one in found.values()), strict=True):
        cells = [cell for one in rows for cell in (_share(one.caught), _share(one.precision))]
        table.add_row(_share(rows[0].rate), *cells)
    return table


def _decisions(found: Mapping[str, Backtest]) -> Table:
    columns = [heading for name in found for heading in (f"honest ({name})", f"fraud ({name})")]
    table = _table("Decisions", ("decision", *columns))
    for decision in Decision:
        counts = [str(count) for one in found.values() for count in one.decisions[decision]]
        table.add_row(decision, *counts)
    return table


def _signals(name: str, one: Backtest) -> Table:
    """What adds most stands first: without it the curve falls."""
    base = next(caught for caught in one.caught if caught.rate == RATE_OF_SIGNALS)
    table = _table(
        f"What each signal adds ({name})",
        ("signal", "on fraud", "on honest", "area it adds", f"caught it adds at {RATE_OF_SIGNALS:.0%}"),
    )
    for signal in one.signals:
        table.add_row(
            signal.name,
            str(signal.on_fraud),
            str(signal.on_honest),
            f"{one.curve.area - signal.area_without:+.4f}",
            f"{(base.caught - signal.caught_without) * 100:+.1f} %",
        )
    return table


def _share(share: float) -> str:
    return f"{share * 100:.1f} %"


def explain(request: str, *, config: Config) -> None:
    """Show why a challenge or a payment was decided as it was: the score, what added to it, and what was looked at.

    It prints what the audit log says. Of the facts themselves the log holds none.

    Parameters
    ----------
    request
        The id of a challenge, chl_…, or of an assessment, ass_….
    """
    row = asyncio.run(_event_of(read_settings(config), request))
    if row is None:
        raise InvalidInput.at("/request", "is on record as no challenge and no assessment")
    event: dict[str, Any] = msgspec.json.decode(row.body)
    try:
        told = msgspec.convert(event.get("risk"), RiskMembers)
    except msgspec.ValidationError as error:
        raise InvalidInput.at("/request", "was decided without a risk analysis") from error
    console = Console(width=_WIDTH, highlight=False)
    place = "not in the log yet" if row.index is None else f"leaf {row.index}"
    console.print(f"{request}  {event['type']}  {timestamp(event['at_ms'])}  {place}", markup=False)
    if "exempt" in event:
        by = f"exempt by Art. {event['article']}" if event["exempt"] else "not exempt"
        against = ", ".join(event["reasons"]) or "nothing"
        console.print(f"{by}; what stood against articles: {against}", markup=False)
    for name, one in (("in force", told), ("on trial, not applied", told.shadow)):
        if one is not None:
            console.print(f"\n{name}: {one.decision}, score {one.score}, policy {one.policy}", markup=False)
            console.print(_spoke(one))
            console.print(_factors(one))


async def _event_of(settings: Settings, request: str) -> StoryRow | None:
    """The event of a decision; that it was read is on record before it is shown."""
    async with open_core(settings) as core:
        reader = StoryReader(core.reader)
        if request.startswith("ass_"):
            row = await reader.assessment(request)
        else:
            story = await reader.story(request, client=None, most=_MOST_EVENTS)
            row = next((one for one in story if "risk" in msgspec.json.decode(one.body)), None)
        if row is not None:
            members = {"actor": "operator", "page": "risk explain", "subject": request}
            await core.readings().put_down("audit.read", client="", request="", members=members)
    return row


def _spoke(told: RiskMembers) -> Table:
    table = _table(
        "What spoke, the heaviest first", ("signal or rule", "adds", "because", "reason"), figures=1
    )
    for one in told.signals or [SignalMembers(name, "") for name in told.reasons]:
        table.add_row(one.name, f"{one.weight:+d}", one.verdict, one.reason)
    return table


def _factors(told: RiskMembers) -> Table:
    table = _table("What was looked at", ("factor", "found", "article"), figures=0)
    for name, state in told.factors.items():
        article = FACTOR_ARTICLES.get(Factor(name), "") if name in set(Factor) else ""
        table.add_row(name, state, article)
    return table
