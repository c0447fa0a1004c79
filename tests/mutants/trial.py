"""One file's trial: `python -m tests.mutants.trial limits/model.py`.

What the file and its tests import is imported once; each mutant is a fork of that, in which the file is replaced before
anything that imports it is there. A mutant that does not end counts as noticed.
"""

import ast
import contextlib
import importlib
import os
import resource
import signal
import sys
import time
import types
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import sca_service
from tests.mutants.changes import Mutant, mutants_of
from tests.mutants.watched import TESTS_OF

_PACKAGE = Path(sca_service.__file__).parent
_SECONDS = 10
"""Of CPU, for the tests of one mutant: a change may make a loop that does not end."""
_QUIET = (
    "-q",
    "-x",
    "--noconftest",
    "-p",
    "no:cacheprovider",
    "--tb=no",
    "--assert=plain",
    "-m",
    "not on_demand",
)


def main() -> None:
    """Print the figures of one file and the mutants that live. Ends with an error where the unchanged file fails."""
    place = sys.argv[1]
    tests = TESTS_OF[place]
    source = (_PACKAGE / place).read_text()
    settings.register_profile(
        "mutants", derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    settings.load_profile("mutants")
    name = "sca_service." + place.removesuffix(".py").replace("/", ".")
    _import_what_does_not_depend_on(name, tests)
    if not _lives(name, ast.parse(source), tests):
        sys.exit(f"{place}: its tests fail without a change")
    begun = time.monotonic()
    mutants = list(mutants_of(source))
    alive = [mutant for mutant in mutants if _lives(name, mutant.tree, tests)]
    seconds = time.monotonic() - begun
    print(f"{place}: {len(mutants) - len(alive)} of {len(mutants)} noticed, {seconds:.0f} s", flush=True)
    for mutant in alive:
        print(f"    {_told(mutant)}", flush=True)


def _import_what_does_not_depend_on(name: str, tests: Sequence[str]) -> None:
    """Import what a run of the tests imports, but for the module and all that was imported after it began to be."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        before = set(sys.modules)
        importlib.import_module(name)
        needed = [one for one in sys.modules if one not in before and one != name]
        _run(tests)
        later = [one for one in sys.modules if not one.startswith(("sca_service", "tests", "test_", "_"))]
        os.write(writing, "\n".join(dict.fromkeys((*needed, *later))).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as listed:
        for one in listed.read().split("\n"):
            with contextlib.suppress(ImportError):
                importlib.import_module(one)
    os.waitpid(pid, 0)
    assert name not in sys.modules


def _lives(name: str, tree: ast.Module, tests: Sequence[str]) -> bool:
    """Whether the tests pass with this in the place of the module."""
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
        signal.alarm(4 * _SECONDS)
        with contextlib.suppress(BaseException):
            _replace(name, tree)
            os._exit(_run(tests))
        os._exit(1)
    _, status = os.waitpid(pid, 0)
    return status == 0


def _replace(name: str, tree: ast.Module) -> None:
    path = _PACKAGE.parent / (name.replace(".", "/") + ".py")
    module = types.ModuleType(name)
    module.__file__, module.__package__ = str(path), name.rpartition(".")[0]
    sys.modules[name] = module
    exec(compile(tree, str(path), "exec"), vars(module))  # noqa: S102 - what mutants are for
    setattr(sys.modules[module.__package__], name.rpartition(".")[2], module)


def _run(tests: Sequence[str]) -> int:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return int(pytest.main([*_QUIET, *tests]))


def _told(mutant: Mutant) -> str:
    before, after = (text.split("\n")[0] for text in (mutant.before, mutant.after))
    return f"line {mutant.line}: {before}  ->  {after}"


if __name__ == "__main__":
    main()
