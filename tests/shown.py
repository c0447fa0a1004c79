"""What the table of requirements names is run: a named test that was skipped, or never came up, fails the run.

A row of `sca_service/compliance/requirements.toml` is as good as the tests that it names. They are looked at when the
run ends: one that was skipped has to be listed here with what it needs, and the run says that it showed nothing. Where
everything is run, each has to have come up.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

import pytest

from tests.valkeys import ON_CLUSTER

VECTORS: Final = "beside the project|lies outside the repository"
"""What the reason says of a test that needs what others published, in `../shared`."""
PEERS: Final = "tests/peers/install"
"""What it says of one that needs a program of others."""
NEEDS: Final = {
    "tests/conformance/test_end_to_end_push_and_voice.py::"
    "test_a_browser_that_is_gone_is_forgotten_and_a_text_follows": PEERS,
    "tests/conformance/test_log_go.py::test_go_opens_our_checkpoints": PEERS,
    "tests/conformance/test_log_go.py::test_go_reads_our_tiles": PEERS,
    "tests/conformance/test_log_go.py::test_go_refuses_what_was_changed": PEERS,
    "tests/conformance/test_smpp_centre.py::test_binds_sends_and_unbinds": PEERS,
    "tests/conformance/test_smpp_centre.py::test_understands_receipts": PEERS,
    "tests/conformance/test_web_push_service.py::test_an_expired_device_is_dropped": PEERS,
    "tests/service/test_camara.py": VECTORS,
    "tests/unit/audit/test_note.py::test_the_published_vectors": VECTORS,
    "tests/unit/delivery/test_gsm.py::test_every_character_has_the_published_septets": VECTORS,
}
"""By the name in the table: what the test may be skipped for."""


class Shown:
    """Looks at the outcome of each named test. A class because pytest calls its hooks one by one."""

    def __init__(self, named: Collection[str], needs: Mapping[str, str], *, on_cluster: bool = False) -> None:
        """`named` are files and single tests, `needs` patterns of the reasons for which they may be skipped."""
        self._named = frozenset(named)
        self._needs = needs
        self._on_cluster = on_cluster
        self._came_up: set[str] = set()
        self._skipped: dict[str, str] = {}
        self._missing: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of one test is over."""
        self._note(report.nodeid, report.outcome, report.longrepr)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file was collected, or left out as a whole."""
        if report.outcome == "skipped":
            self._note(report.nodeid, report.outcome, report.longrepr)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a run in which something that is named showed nothing."""
        if session.config.getoption("collectonly", default=False) or hasattr(session.config, "workerinput"):
            return
        if _is_everything(session.config) and not (session.shouldstop or session.shouldfail):
            self._missing = sorted(self._named - self._came_up)
        if session.exitstatus == pytest.ExitCode.OK and (self._missing or self._unlisted()):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say what showed nothing, and why."""
        unlisted = self._unlisted()
        lines = [f"skipped: {name} ({why})" for name, why in sorted(self._skipped.items())]
        lines += [f"not run: {name}" for name in self._missing]
        if lines:
            terminalreporter.section("named by a requirement, and showed nothing")
            for line in lines:
                terminalreporter.write_line(line)
        if unlisted or self._missing:
            terminalreporter.write_line("Run them, or list in tests/shown.py what the skipped ones need.")

    def _note(self, nodeid: str, outcome: str, longrepr: object) -> None:
        test = nodeid.partition("[")[0]
        for name in {test, test.partition("::")[0]} & self._named:
            self._came_up.add(name)
            if outcome == "skipped":
                self._skipped[name] = str(longrepr[2]) if isinstance(longrepr, tuple) else "xfail"
        if outcome == "skipped":  # a file that is left out takes all that is named of it along
            reason = str(longrepr[2]) if isinstance(longrepr, tuple) else ""
            for name in self._named:
                if "::" not in test and name.startswith(f"{test}::"):
                    self._came_up.add(name)
                    self._skipped[name] = reason

    def _unlisted(self) -> list[str]:
        if self._on_cluster:
            return []
        return [
            name
            for name, why in self._skipped.items()
            if name not in self._needs or not re.search(self._needs[name], why)
        ]


def _is_everything(config: pytest.Config) -> bool:
    """Whether nobody asked for a part: all folders, all names, all marks but those that are left out by default."""
    return (
        config.args == config.getini("testpaths")
        and not config.option.keyword
        and config.option.markexpr in ("", "not on_demand")
        and not config.getoption("lf", default=False)
        and not config.getoption("deselect", default=None)
    )


def shown(named: Collection[str]) -> Shown:
    """What watches the tests that are named, as the runs of this project need it."""
    return Shown(named, NEEDS, on_cluster=ON_CLUSTER)
