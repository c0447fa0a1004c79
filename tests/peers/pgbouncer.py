"""PgBouncer in front of a PostgreSQL, giving out its sessions one transaction at a time."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from sca_service.sandbox.server_process import launcher
from tests.faults.cuts import await_true

_OLDEST = (1, 21)
"""The first that keeps prepared statements through transactions."""
_PORT = 6432


def installed() -> str:
    """Its program; the test is skipped where there is none, or an older one."""
    found = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if found is None:
        pytest.skip("pgbouncer is not installed: tests/peers/install")
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"(\d+)\.(\d+)", said)
    assert version, said
    if (int(version[1]), int(version[2])) < _OLDEST:
        pytest.skip(f"pgbouncer {version[0]} forgets prepared statements: 1.21 or later is needed")
    return found


@dataclass(slots=True)
class PgBouncer:
    """A running one."""

    folder: Path
    process: "subprocess.Popen[bytes]"

    @classmethod
    def start(
        cls, folder: Path, server: str, account: Sequence[str], *, sessions: int, prepared: int = 1000
    ) -> "PgBouncer":
        """In front of the PostgreSQL whose socket is in `server`, under an account that may reach it."""
        program = installed()
        folder.mkdir(mode=0o777)
        folder.chmod(0o777)
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\nsca = host={server} port=5432 dbname=sca user=sca\n"
            f"[pgbouncer]\nlisten_addr =\nlisten_port = {_PORT}\nunix_socket_dir = {folder}\n"
            "auth_type = any\npool_mode = transaction\n"
            f"default_pool_size = {sessions}\nmax_prepared_statements = {prepared}\n",
            "utf-8",
        )
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [*(account or launcher(death_signal="KILL")), program, str(settings)], stdout=log, stderr=log
            )
        started = cls(folder, process)
        await_true((folder / f".s.PGSQL.{_PORT}").exists, "PgBouncer listens")
        return started

    @property
    def url(self) -> str:
        """Where roles reach PostgreSQL through it."""
        return f"postgresql://sca@/sca?host={self.folder}&port={_PORT}"

    def stop(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()
