"""A run fails when a test that a requirement names showed nothing, and says which and why."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[3]
_CONFTEST = """
from tests.shown import Shown

def pytest_configure(config):
    named = {"test_one.py::test_of_digits", "test_one.py::test_of_peers", "test_two.py::test_of_all", "test_three.py"}
    needs = {"test_one.py::test_of_peers": "install", "test_two.py::test_of_all": "install"}
    config.pluginmanager.register(Shown(named, needs))
"""
_FILES = {
    "conftest.py": _CONFTEST,
    "pytest.ini": "[pytest]\ntestpaths = .\n",
    "test_one.py": """
import pytest

@pytest.mark.parametrize("digit", [1, 2])
def test_of_digits(digit): ...

def test_of_peers(): pytest.skip("tests/peers/install")

def test_that_nobody_names(): pytest.skip("a whim")
""",
    "test_two.py": "import pytest\npytest.importorskip('none', reason='install it')\ndef test_of_all(): ...\n",
    "test_three.py": "def test_something(): ...\n",
}


def run(folder: Path, changed: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Run the small folder of tests with some files changed: the exit status, and what was said."""
    for name, text in (_FILES | changed).items():
        (folder / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(_ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


_WHIM = _FILES["test_one.py"].replace("(digit): ...", "(digit):\n    if digit == 2: pytest.skip('a whim')")


@pytest.mark.parametrize(
    ("changed", "arguments", "status", "said"),
    [
        ({}, (), 0, "skipped: test_one.py::test_of_peers (Skipped: tests/peers/install)"),
        ({"test_one.py": _WHIM}, (), 1, "skipped: test_one.py::test_of_digits (Skipped: a whim)"),
        (
            {"test_two.py": "import pytest\npytest.skip('a whim', allow_module_level=True)"},
            (),
            1,
            "(Skipped: a whim)",
        ),
        ({"test_three.py": "def of_nothing(): ..."}, (), 1, "not run: test_three.py"),
        ({"test_three.py": "def of_nothing(): ..."}, ("test_one.py",), 0, "showed nothing"),
    ],
    ids=["needs a peer", "one of two", "a whole file", "never came up", "a part is run"],
)
def test_what_showed_nothing_fails_the_run(
    tmp_path: Path, changed: dict[str, str], arguments: tuple[str, ...], status: int, said: str
) -> None:
    """Unless it is listed with what it needs, and was skipped for that; where a part is run nothing else is missed."""
    code, told = run(tmp_path, changed, *arguments)
    assert said in told
    assert code == status, told
