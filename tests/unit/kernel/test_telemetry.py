"""Logs: an exception is told by its type and place, a library's line by its logger, and neither by its text."""

import json
import subprocess
import sys
import textwrap

import pytest

CANARY = "693554"


def said(body: str, level: str = "DEBUG") -> list[str]:
    """What a process of its own writes to standard error."""
    program = f"""
import logging
import structlog
from sca_service.kernel.telemetry import configure_logging, log_failure
configure_logging({level!r})
log = structlog.get_logger()
{textwrap.dedent(body)}
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert ran.stdout == ""
    return ran.stderr.splitlines()


def test_a_log_line_is_json_with_its_time() -> None:
    """One line each, in UTC."""
    (line,) = said("log.info('challenge.answered', outcome='approved')")
    members = json.loads(line)
    assert (members["event"], members["outcome"], members["level"]) == (
        "challenge.answered",
        "approved",
        "info",
    )
    assert members["timestamp"].endswith("Z")


def test_a_failure_is_told_by_its_type_and_place_only() -> None:
    """Its text may hold what a caller sent, and so may that of what caused it."""
    (line,) = said(
        f"""
        def decide():
            try:
                int("{CANARY}x")
            except ValueError as error:
                raise LookupError("{CANARY}") from error
        try:
            decide()
        except LookupError as error:
            log_failure(error)
        """
    )
    members = json.loads(line)
    assert (members["event"], members["error"]) == ("request.failed", "LookupError")
    assert members["at"].startswith("decide:")
    assert CANARY not in line


def test_what_is_below_the_level_is_not_said() -> None:
    """The level is the one configured."""
    lines = said("log.debug('a'); log.info('b'); log.warning('c'); log.error('d')", level="warning")
    assert [json.loads(line)["event"] for line in lines] == ["c", "d"]


@pytest.mark.parametrize(
    "call",
    [
        f"logging.getLogger('lib').debug('{CANARY}')",
        f"logging.getLogger('lib').info('%s', '{CANARY}')",
        f"logging.getLogger('lib').warning('{CANARY} %s', '{CANARY}')",
        f"""
try:
    raise ValueError('{CANARY}')
except ValueError:
    logging.getLogger('lib').exception('{CANARY}')
""",
    ],
)
def test_a_library_says_where_and_how_bad_and_nothing_else(call: str) -> None:
    """Libraries log URLs, arguments and texts of exceptions: none of it comes through."""
    text = "\n".join(said(call))
    assert CANARY not in text
    if "warning" in call or "exception" in call:
        assert "lib" in text
