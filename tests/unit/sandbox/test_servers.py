"""The embedded servers keep what they are given, come back after a crash, and leave nothing behind."""

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from redis import Redis

from sca_service.kernel.errors import ConfigurationError
from sca_service.sandbox.servers import PostgresProcess, ValkeyProcess, start_servers

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another account")


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyProcess]:
    """A Valkey in `valkey` of the test's folder, running."""
    server = ValkeyProcess()
    server.start(tmp_path / "valkey")
    yield server
    server.stop()


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[PostgresProcess]:
    """A PostgreSQL in `postgres` of the test's folder, running."""
    server = PostgresProcess()
    server.start(tmp_path / "postgres")
    yield server
    server.stop()


@contextlib.contextmanager
def connected(valkey: ValkeyProcess) -> Iterator[Redis]:
    """A connection to Valkey that is closed in the end."""
    connection = Redis.from_url(valkey.url, decode_responses=True)
    try:
        yield connection
    finally:
        connection.close()


def run_sql(url: str, *statements: str) -> object:
    """Run statements on one connection; the first value that the last one returns."""

    async def run() -> object:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    return asyncio.run(run())


def is_alive(pid: int) -> bool:
    """Whether the process still runs (one that has ended and is not yet reaped does not)."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
    return False


def children_of(parent: int) -> set[int]:
    """The process ids of the children of a process."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return {int(pid) for pid, ppid in (line.split() for line in listed.splitlines()) if int(ppid) == parent}


def wait_until_gone(*pids: int) -> None:
    """Return when none of the processes runs any more; fails after a generous while."""
    deadline = time.monotonic() + 30
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a process was left behind"
        time.sleep(0.02)


def write_durably(valkey: ValkeyProcess, key: str, value: str) -> None:
    """Set a key and wait until it is in the file."""
    with connected(valkey) as connection:
        connection.set(key, value)
        assert connection.waitaof(1, 0, 10_000)[0] == 1


def read(valkey: ValkeyProcess, key: str) -> object:
    """What Valkey holds under a key."""
    with connected(valkey) as connection:
        return connection.get(key)


def test_valkey_keeps_what_it_holds_over_a_stop(valkey: ValkeyProcess, tmp_path: Path) -> None:
    """A clean stop loses nothing, and the address stays the same."""
    url, pid = valkey.url, valkey.pid
    with connected(valkey) as connection:
        connection.set("kept", "yes")
    valkey.stop()
    assert not is_alive(pid)
    valkey.start(tmp_path / "valkey")
    assert valkey.url == url
    assert read(valkey, "kept") == "yes"


@pytest.mark.race
def test_valkey_recovers_from_being_killed(valkey: ValkeyProcess, tmp_path: Path) -> None:
    """What was synced is there after a kill -9, by us or by another."""
    write_durably(valkey, "first", "1")
    valkey.kill()
    valkey.start(tmp_path / "valkey")
    write_durably(valkey, "second", "2")
    os.kill(valkey.pid, signal.SIGKILL)
    valkey.start(tmp_path / "valkey")
    assert (read(valkey, "first"), read(valkey, "second")) == ("1", "2")


def test_valkey_refuses_writes_rather_than_forget(valkey: ValkeyProcess) -> None:
    """It never evicts, logs no command's arguments, and has a file that is appended to."""
    with connected(valkey) as connection:
        settings = connection.config_get("*")
    assert settings["maxmemory-policy"] == "noeviction"
    assert (settings["appendonly"], settings["appendfsync"], settings["save"]) == ("yes", "everysec", "")
    assert settings["port"] == "0"
    assert settings["hide-user-data-from-log"] == "yes"
    assert settings["commandlog-execution-slower-than"] == "-1"


def test_postgres_keeps_what_it_holds_over_a_stop(postgres: PostgresProcess, tmp_path: Path) -> None:
    """A clean stop loses nothing, and the address stays the same."""
    url, pid = postgres.url, postgres.pid
    run_sql(postgres.url, "CREATE TABLE kept (word text)", "INSERT INTO kept VALUES ('yes')")
    postgres.stop()
    assert not is_alive(pid)
    postgres.start(tmp_path / "postgres")
    assert postgres.url == url
    assert run_sql(postgres.url, "SELECT word FROM kept") == "yes"


@pytest.mark.race
def test_postgres_recovers_from_being_killed(postgres: PostgresProcess, tmp_path: Path) -> None:
    """A commit survives a kill -9 of all its processes, by us or (of the first of them) by another."""
    run_sql(postgres.url, "CREATE TABLE kept (word text)", "INSERT INTO kept VALUES ('first')")
    everyone = children_of(postgres.pid) | {postgres.pid}
    postgres.kill()
    assert not any(is_alive(pid) for pid in everyone)
    postgres.start(tmp_path / "postgres")
    run_sql(postgres.url, "INSERT INTO kept VALUES ('second')")
    os.kill(postgres.pid, signal.SIGKILL)
    postgres.start(tmp_path / "postgres")
    assert run_sql(postgres.url, "SELECT string_agg(word, ' ') FROM kept") == "first second"


def test_postgres_starts_where_a_killed_one_left_a_number_that_another_has_now(
    postgres: PostgresProcess, tmp_path: Path
) -> None:
    """The `postmaster.pid` of a crash does not count, even when a process of that number runs."""
    postgres.kill()
    cluster = tmp_path / "postgres" / "cluster"
    with subprocess.Popen(["sleep", "60"], user=cluster.stat().st_uid) as other:
        try:
            (cluster / "postmaster.pid").write_text(f"{other.pid}\n", "ascii")
            postgres.start(tmp_path / "postgres")
            assert run_sql(postgres.url, "SELECT 1") == 1
            assert other.poll() is None
        finally:
            other.kill()


def test_postgres_gives_us_a_database_and_no_more(postgres: PostgresProcess) -> None:
    """The role owns its database, is no superuser, and nobody gets in over the network or as another role."""
    assert run_sql(postgres.url, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
    assert run_sql(postgres.url, owner) == "sca"
    assert run_sql(postgres.url, "SHOW listen_addresses") == ""
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        run_sql(postgres.url.replace("sca@", "postgres@"), "SELECT 1")


def test_postgres_is_durable_and_speaks_utc_and_unicode(postgres: PostgresProcess) -> None:
    """Commits are synced, times are UTC, and text is UTF-8."""
    wanted = {
        "fsync": "on",
        "synchronous_commit": "on",
        "TimeZone": "UTC",
        "server_encoding": "UTF8",
        "max_connections": "100",
        "shared_buffers": "64MB",
    }
    found = {name: run_sql(postgres.url, f"SHOW {name}") for name in wanted}
    assert found == wanted
    assert run_sql(postgres.url, "SELECT upper('é')") == "É"


async def test_postgres_logs_no_value(postgres: PostgresProcess, tmp_path: Path) -> None:
    """Whatever goes wrong with a statement, what was in it is not in the log."""
    connection = await asyncpg.connect(postgres.url)
    try:
        await connection.execute("CREATE TABLE guarded (word text PRIMARY KEY CHECK (length(word) < 20))")
        await connection.execute("INSERT INTO guarded VALUES ($1)", "canary")
        for word in ("canary", "canary" * 10):
            with pytest.raises(asyncpg.IntegrityConstraintViolationError):
                await connection.execute("INSERT INTO guarded VALUES ($1)", word)
        with pytest.raises(asyncpg.DataError):
            await connection.fetchval("SELECT 'canary'::int")
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await connection.copy_records_to_table("guarded", records=[("canary",)])
        with pytest.raises(asyncpg.UndefinedColumnError):
            await connection.fetchval("SELECT canary FROM guarded")
    finally:
        await connection.close()
    postgres.stop()
    log = (tmp_path / "postgres" / "postgres.log").read_text("utf-8")
    assert "ready to accept connections" in log
    assert "canary" not in log


def test_a_first_start_that_was_cut_short_is_made_again(tmp_path: Path) -> None:
    """Half-made files of PostgreSQL are thrown away."""
    half = tmp_path / "cluster.unfinished" / "base"
    half.mkdir(parents=True)
    server = PostgresProcess()
    server.start(tmp_path)
    try:
        assert run_sql(server.url, "SELECT 1") == 1
    finally:
        server.stop()
    assert not half.exists()


def test_both_start_together_and_leave_nothing(tmp_path: Path) -> None:
    """Both answer, and after the stop none of their processes is left."""
    servers = start_servers(tmp_path)
    try:
        pids = {servers.valkey.pid, servers.postgres.pid, *children_of(servers.postgres.pid)}
        assert all(is_alive(pid) for pid in pids)
        assert read(servers.valkey, "nothing") is None
        assert run_sql(servers.postgres.url, "SELECT 1") == 1
    finally:
        servers.stop()
    assert not any(is_alive(pid) for pid in pids)


def test_neither_runs_when_one_cannot_start(tmp_path: Path) -> None:
    """When PostgreSQL has no folder, Valkey is stopped again and lets go of its own."""
    (tmp_path / "postgres").write_text("in the way", "ascii")
    with pytest.raises(ConfigurationError, match="PostgreSQL cannot use"):
        start_servers(tmp_path)
    valkey = ValkeyProcess()
    valkey.start(tmp_path / "valkey")
    valkey.stop()


def test_they_end_when_we_are_killed(tmp_path: Path) -> None:
    """A kill -9 of the process that started them leaves none of them behind, and the next start works."""
    script = (
        "import sys, time; from pathlib import Path; from sca_service.sandbox.servers import start_servers;"
        "servers = start_servers(Path(sys.argv[1]));"
        "print(servers.valkey.pid, servers.postgres.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE, text=True
    ) as ours:
        assert ours.stdout is not None
        valkey, postgres = (int(pid) for pid in ours.stdout.readline().split())
        everyone = {valkey, postgres, *children_of(postgres)}
        ours.kill()
    wait_until_gone(*everyone)
    start_servers(tmp_path).stop()


def test_a_ctrl_c_in_the_terminal_does_not_reach_them(
    valkey: ValkeyProcess, postgres: PostgresProcess
) -> None:
    """They run in sessions of their own, so that they are stopped by us, in order."""
    assert os.getsid(valkey.pid) == valkey.pid
    assert os.getsid(postgres.pid) == postgres.pid


def test_a_folder_belongs_to_one_at_a_time(valkey: ValkeyProcess, tmp_path: Path) -> None:
    """A second server on the same folder is refused, and so is a second start; the first runs on."""
    with pytest.raises(ConfigurationError, match="in use"):
        ValkeyProcess().start(tmp_path / "valkey")
    with pytest.raises(ConfigurationError, match="already running"):
        valkey.start(tmp_path / "other")
    assert read(valkey, "nothing") is None


def test_a_long_path_with_odd_characters_works(tmp_path: Path) -> None:
    """A socket's path holds 107 bytes; a folder's may be longer, and hold what a URL does not."""
    folder = tmp_path / "a, b % c @ d" / ("long" * 40)
    servers = start_servers(folder)
    sockets = [servers.valkey.socket.parent, servers.postgres.socket.parent]
    try:
        assert [stat.S_IMODE(place.stat().st_mode) for place in sockets] == [0o700, 0o700]
        assert read(servers.valkey, "nothing") is None
        assert run_sql(servers.postgres.url, "SELECT 1") == 1
    finally:
        servers.stop()
    assert not any(place.exists() for place in sockets)


def test_stopping_what_does_not_run_is_no_mistake(valkey: ValkeyProcess) -> None:
    """Stop and kill may be said twice, and of a server that was never started."""
    valkey.stop()
    valkey.stop()
    valkey.kill()
    PostgresProcess().stop()


def test_a_file_in_place_of_the_folder_is_told(tmp_path: Path) -> None:
    """The mistake names the path and the system's reason."""
    (tmp_path / "file").write_text("", "ascii")
    with pytest.raises(ConfigurationError, match=r"Valkey cannot use .*/file/valkey: Not a directory"):
        ValkeyProcess().start(tmp_path / "file" / "valkey")


@pytest.mark.parametrize("server", ["ValkeyProcess", "PostgresProcess"])
def test_a_folder_that_we_may_not_write_to_is_told(tmp_path: Path, server: str) -> None:
    """The mistake names the path and says that permission is missing."""
    tmp_path.chmod(0o500)
    powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    script = (
        f"import sys; from pathlib import Path; from sca_service.sandbox.servers import {server};"
        f"{server}().start(Path(sys.argv[1]) / 'below')"
    )
    tried = subprocess.run(
        [*powerless, sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False
    )
    tmp_path.chmod(0o700)
    assert tried.stderr.splitlines()[-1].endswith(f"cannot use {tmp_path}/below: Permission denied")


def test_files_that_the_server_cannot_read_are_told(postgres: PostgresProcess, tmp_path: Path) -> None:
    """The mistake gives the server's own reason, nothing is left running, and a repair is enough."""
    version = tmp_path / "postgres" / "cluster" / "PG_VERSION"
    right = version.read_text("ascii")
    postgres.stop()
    version.write_text("9.6\n", "ascii")
    with pytest.raises(ConfigurationError, match=r"PostgreSQL did not start: .*FATAL: .*incompatible"):
        postgres.start(tmp_path / "postgres")
    assert not is_alive(postgres.pid)
    version.write_text(right, "ascii")
    postgres.start(tmp_path / "postgres")


@needs_root
def test_root_runs_postgres_as_another_account_and_changes_no_other_folder(tmp_path: Path) -> None:
    """Only PostgreSQL's own files change hands; a folder closed to others stays closed."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = PostgresProcess()
    server.start(closed / "postgres")
    try:
        assert Path(f"/proc/{server.pid}").stat().st_uid != 0
    finally:
        server.stop()
    for folder in (tmp_path, closed, closed / "postgres"):
        assert (folder.stat().st_uid, stat.S_IMODE(folder.stat().st_mode)) == (0, 0o700)
    assert (closed / "postgres" / "cluster").stat().st_uid != 0


@needs_root
def test_root_may_copy_the_files(postgres: PostgresProcess, tmp_path: Path) -> None:
    """A copy that root has made, and that is root's therefore, is started like the original."""
    run_sql(postgres.url, "CREATE TABLE kept (word text)", "INSERT INTO kept VALUES ('yes')")
    postgres.stop()
    copied = tmp_path / "copy"
    subprocess.run(["cp", "-r", tmp_path / "postgres", copied], check=True)
    assert (copied / "cluster").stat().st_uid == 0
    server = PostgresProcess()
    server.start(copied)
    try:
        assert run_sql(server.url, "SELECT word FROM kept") == "yes"
    finally:
        server.stop()
