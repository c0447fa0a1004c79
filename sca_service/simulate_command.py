"""`sca risk simulate`: what the pumping guard lets through and what honest payers lose, on made-up days."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from sca_service.kernel.errors import InvalidInput, ScaError
from sca_service.limits.pumping.simulation import LEAST_STOPPED, MOST_LOST, Cell
from sca_service.limits.pumping.simulation import simulate as play
from sca_service.policy.load import load
from sca_service.settings import shipped_policies

_WIDTH = 140
_LEAST_SIZE, _MOST_SIZE = 100, 1_000_000
_QUICK_SIZES = (100, 1_000, 10_000)
_MOST_CENTS = 1_000


def simulate(
    *,
    sizes: Annotated[tuple[int, ...], Parameter(consume_multiple=True)] = _QUICK_SIZES,
    policies: Path | None = None,
    seed: int = 1,
    cents: int = 10,
) -> None:
    """Play honest days and attacks against the pumping guard, and show what came of them.

    Exits with 1 when a cell breaks what the shipped policy promises: 95 % of an attack stopped, less than 0.5 % of the
    honest messages lost.

    Parameters
    ----------
    sizes
        Messages of a usual day, 100 to 1000000, one or more. A million takes half a minute for each kind of day.
    policies
        The folder of policies; those that come with the service when left out.
    seed
        The same seed makes the same days.
    cents
        What a message costs, for the sum that the attack is worth.
    """
    for size in sizes:
        if not _LEAST_SIZE <= size <= _MOST_SIZE:
            raise InvalidInput.at("/sizes", f"must be {_LEAST_SIZE} to {_MOST_SIZE} messages a day")
    if not 0 <= cents <= _MOST_CENTS:
        raise InvalidInput.at("/cents", f"must be 0 to {_MOST_CENTS}")
    policy = load(policies or shipped_policies()).pumping
    table = _table()
    broken = []
    for cell in play(policy, sizes, seed=seed):
        table.add_row(*_row(cell, cents))
        if cell.kind.is_promised and not cell.keeps_the_promise:
            broken.append(f"{cell.kind} at {cell.size}")
    Console(width=_WIDTH, highlight=False).print(table)
    if broken:
        raise ScaError(f"less than {LEAST_STOPPED:.0%} stopped or {MOST_LOST:.1%} lost: {', '.join(broken)}")


def _table() -> Table:
    table = Table(box=SIMPLE_HEAD, title="The pumping guard on made-up days", title_justify="left")
    table.caption = "* nothing is promised of it (docs/pumping.md)"
    table.caption_justify = "left"
    table.add_column("day", no_wrap=True)
    for heading in (
        *("messages a day", "days", "honest", "to new lines", "lost", "lost %"),
        *("pumped", "through", "stopped %", "cost", "saved"),
    ):
        table.add_column(heading, justify="right")
    return table


def _row(cell: Cell, cents: int) -> list[str]:
    lost = [str(cell.lost), f"{cell.lost_share * 100:.3f}"]
    honest = [str(cell.size), str(cell.days), str(cell.honest), str(cell.new), *lost]
    if not cell.pumped:
        return [cell.kind, *honest, *[""] * 5]
    saved = (cell.pumped - cell.through) * cents
    money = [f"{amount / 100:.2f}" for amount in (cell.through * cents, saved)]
    return [
        cell.kind if cell.kind.is_promised else f"{cell.kind} *",
        *honest,
        *(str(cell.pumped), str(cell.through), f"{cell.stopped_share * 100:.2f}"),
        *money,
    ]
