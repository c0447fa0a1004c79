"""The worker is killed fifty times while it sends ten thousand alerts. `python -m loadtests.alert_kills`.

Each arrives, once or marked as sent again. Sandbox suppliers; bounded in count; it stops by itself.
"""

import asyncio
import random
import tempfile
import time
from pathlib import Path

from cyclopts import run
from rich.console import Console

from tests.faults.alert_batch import killed_batch
from tests.harness import Deployment


def kills(*, count: int = 10_000, kills: int = 50, seed: int = 7) -> None:
    """Order, kill, and check what came of it."""
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        deployment = Deployment(Path(folder))
        try:
            deployment.start_stores()
            deployment.start_all()
            began = time.perf_counter()
            outcome = asyncio.run(
                killed_batch(deployment, count=count, kills=kills, chance=random.Random(seed))  # noqa: S311
            )
            outcome.check(count)
            console.print(
                f"  {count:,} alerts, {kills} kills, {time.perf_counter() - began:.0f} s: all sent but "
                f"{outcome.given_up} that three workers died with, {outcome.sent_again} sent again and marked"
            )
        finally:
            deployment.stop()


if __name__ == "__main__":
    run(kills)
