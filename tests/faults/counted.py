"""A role that tells how many tasks it has: `python -m tests.faults.counted <role> --config <config>`.

At SIGUSR1 it writes the number into `<its process>.tasks`, beside its configuration. Else it is the role.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from sca_service import app
from sca_service.settings import read_settings


def tell_tasks(folder: Path) -> None:
    """Tell at SIGUSR1; a signal's handler runs within the loop."""

    def told(*_: object) -> None:
        written = folder / f"{os.getpid()}.new"
        written.write_text(str(len(asyncio.all_tasks())))
        written.replace(folder / f"{os.getpid()}.tasks")

    signal.signal(signal.SIGUSR1, told)


if __name__ == "__main__":
    config = Path(sys.argv[3])
    tell_tasks(config.parent)
    app.run_role(sys.argv[1], read_settings(config))
