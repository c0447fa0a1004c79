"""The release before this one, taken out of the repository: its code, its policies, and its migrations."""

import json
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from sca_service.sandbox.server_process import launcher
from tests.harness import Deployment, Role

_ROOT = Path(__file__).parents[1]
_PARTS = ("sca_service", "policies")


@dataclass(frozen=True, slots=True)
class Previous:
    """A commit, and the folder that holds what it was."""

    commit: str
    folder: Path

    def start(self, deployment: Deployment, name: str, port: int) -> Role:
        """Start a role of it over the deployment's stores, with the settings that every release knows."""
        config = deployment.folder / f"previous-{port}.toml"
        lines = [
            'environment = "sandbox"',
            'issuer = "https://sca.example"',
            f"policies = {json.dumps(str(self.folder / 'policies'))}",
            'keyring = "keyring.json"',
            f"redis.url = {json.dumps(deployment.servers.valkey.url)}",
            f"postgres.url = {json.dumps(deployment.servers.postgres.url)}",
            f"api.port = {port}",
            'sandbox.folder = "."',
        ]
        config.write_text("\n".join(lines) + "\n", "utf-8")
        with (deployment.folder / f"{name}-{port}.log").open("ab") as log:
            process = subprocess.Popen(
                [
                    *launcher(death_signal="KILL"),
                    sys.executable,
                    "-m",
                    "sca_service",
                    name,
                    "--config",
                    str(config),
                ],
                stdout=log,
                stderr=log,
                env=self._environ,
            )
        role = Role(name, port, process)
        deployment.roles.append(role)
        return role

    @property
    def _environ(self) -> dict[str, str]:
        """What has a process run this code, though it is started from a folder with another."""
        return {**os.environ, "PYTHONPATH": str(self.folder), "PYTHONSAFEPATH": "1"}

    def migrate(self, url: str) -> None:
        """Bring a database to the schema that this release had. Raises AssertionError when another's code ran."""
        program = "import sys, sca_service.migrations as its; its.migrate(sys.argv[1]); print(its.__file__)"
        command = [sys.executable, "-c", program, url]
        done = subprocess.run(command, env=self._environ, capture_output=True, check=True, text=True)
        assert done.stdout.strip().startswith(str(self.folder)), "another release's code was run"


def previous_commit() -> str | None:
    """The commit that `SCA_PREVIOUS` names, else the newest tag `v…` before this commit, else None."""
    wanted = os.environ.get("SCA_PREVIOUS")
    if wanted:
        return wanted
    found = _git("describe", "--tags", "--match", "v[0-9]*", "--abbrev=0", "HEAD")
    return found.decode().strip() if found else None


def take_out(commit: str, folder: Path) -> Previous | None:
    """Put a commit's code into a folder; None when the repository does not have it (a shallow clone)."""
    packed = _git("archive", "--format=tar", commit, *_PARTS)
    if packed is None:
        return None
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return Previous(commit, folder)


def _git(*arguments: str) -> bytes | None:
    try:
        done = subprocess.run(["git", "-C", str(_ROOT), *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
