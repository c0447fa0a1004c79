"""What is forked from a process that has its imports behind it is what a plain start would have made."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import warm
from tests.faults.cuts import await_true

MODULE = "tests.printing"
STARTS_ONE_AND_WAITS = f"""
import time
from tests import warm
with open("said", "wb") as out:
    print(warm.start("{MODULE}", "0", "wait", stdout=out, stderr=out).pid, flush=True)
time.sleep(600)
"""


def known(done: warm.Done) -> dict[str, Any]:
    """What the process knew of itself."""
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def started(folder: Path, *words: str, plainly: bool = False) -> tuple[warm.Running, Path]:
    """A process that waits once it has said what it knows; and where it says it."""
    said = folder / "said"
    with said.open("wb") as out:
        running = warm.start(MODULE, *words, "wait", stdout=out, stderr=out, plainly=plainly)
    await_true(lambda: said.read_bytes().endswith(b"\n"), "it has started")
    return running, said


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT is not ignored here, as it is in a shell's background: a plain start would inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_it_has_its_own_words_environment_folder_and_group(tmp_path: Path) -> None:
    """Nothing of the environment of the process that forked is left; the input is empty."""
    done = warm.run(MODULE, "0", "ä b", env={"ONE": "two", "HOME": "/nowhere"}, cwd=tmp_path)
    said = known(done)
    assert (done.returncode, done.stderr) == (0, "")
    assert (said["words"], said["folder"], said["input"]) == (["0", "ä b"], str(tmp_path), "")
    assert said["environ"] == {"ONE": "two", "HOME": "/nowhere"}
    assert (said["group"], said["threads"], said["name"]) == (True, 1, "__main__")


def test_it_draws_its_own_randomness() -> None:
    """Two forks never draw the same."""
    first, second = (known(warm.run(MODULE, "0"))["random"] for _ in range(2))
    assert all(one != other for one, other in zip(first, second, strict=True))


def test_it_holds_no_connection_and_no_signal_of_the_process_that_forked(tmp_path: Path) -> None:
    """Not even those of others that were forked before it."""
    other, _ = started(tmp_path, "0")
    said = known(warm.run(MODULE, "0"))
    assert (said["sockets"], said["signals"]) == ([], [True, True])
    other.kill()
    assert other.wait(20) == -signal.SIGKILL


@pytest.mark.parametrize("plainly", [False, True], ids=["forked", "plain"])
@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (("0",), 0, ""),
        (("3",), 3, ""),
        (("complain",), 1, "said at the end\n"),
        (("raise",), 1, "ValueError: as told\n"),
    ],
)
def test_it_ends_as_a_plain_start_does(
    words: tuple[str, ...], status: int, complaint: str, plainly: bool
) -> None:
    """By a status, by a text, by an exception."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as told:
        assert warm.start(MODULE, *words, stdout=out, stderr=told, plainly=plainly).wait(60) == status
        told.seek(0)
        assert told.read().decode().endswith(complaint)


@pytest.mark.parametrize("plainly", [False, True], ids=["forked", "plain"])
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.usefixtures("interruptible")
def test_a_signal_ends_it(tmp_path: Path, by: signal.Signals, plainly: bool) -> None:
    """By its number, which no other process has until its end was seen; afterwards nothing is sent any more."""
    running, _ = started(tmp_path, "0", plainly=plainly)
    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(0.05)
    assert running.poll() is None
    os.kill(running.pid, by)
    assert running.wait(20) == -by
    running.kill()
    await_true(lambda: not Path(f"/proc/{running.pid}").exists(), "nothing is left of it")


def test_who_wants_python_otherwise_is_started_plainly(tmp_path: Path) -> None:
    """What Python reads when it starts was read already where it is forked."""
    with (tmp_path / "out").open("wb") as out:
        environ = {**os.environ, "PYTHONHASHSEED": "7"}
        running = warm.start(MODULE, "0", stdout=out, stderr=out, env=environ)
    assert isinstance(running, subprocess.Popen)
    assert running.wait(60) == 0


def test_it_is_killed_when_we_die(tmp_path: Path) -> None:
    """As a crash of the tests would leave it: nobody is there to end it."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTS_ONE_AND_WAITS],
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    ) as tests:
        assert tests.stdout
        pid = int(tests.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        tests.kill()
    await_true(lambda: not Path(f"/proc/{pid}").exists(), "it has ended too")
