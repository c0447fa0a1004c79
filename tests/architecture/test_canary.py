"""No code, number, name or account in any byte that the service leaves behind: a canary is sent through all of it.

The service runs with everything it can log, through right and wrong answers, bad input, faults of its own, kills and
restarts. Then it is stopped, and every byte of its logs, its stores' files, dumps of what they hold, its metrics and
its responses is searched. Only the keyring and files whose names start with `sandbox` may hold anything.
"""

import asyncio
import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.access import SETTINGS
from tests.architecture.journey import CODES, IBAN, LINE, PAYEE, Leftovers, leave_everything
from tests.architecture.leaks import Canaries
from tests.collector import Collector
from tests.harness import Deployment

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def leftovers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leftovers]:
    """The service after all that can happen to it, stopped in order."""
    with Collector() as collector:
        deployment = Deployment(
            tmp_path_factory.mktemp("canary"), more_settings=(*collector.settings(), *SETTINGS), plainly=True
        )
        deployment.start_stores()
        left = Leftovers(deployment.folder, api_keys=set(deployment.keys.values()), traces=collector.bodies)
        try:
            deployment.start_all()
            asyncio.run(leave_everything(deployment, left))
        finally:
            deployment.stop()
    yield left


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def _leaks(canaries: Canaries, contents: dict[str, bytes]) -> list[str]:
    return [f"{name}: {leak}" for name, content in contents.items() for leak in canaries.found_in(content)]


def _read(left: Leftovers, paths: list[Path]) -> dict[str, bytes]:
    return {str(path.relative_to(left.folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("role", ["api", "worker", "log"])
def test_no_log_of_a_role_holds_any(leftovers: Leftovers, role: str) -> None:
    """What the roles log with the level DEBUG, faults of their own included."""
    contents = _read(leftovers, leftovers.files(f"{role}-*.log"))
    assert contents
    assert _leaks(leftovers.canaries, contents) == []


@pytest.mark.parametrize("store", ["valkey", "postgres"])
def test_no_file_of_a_store_holds_any(leftovers: Leftovers, store: str) -> None:
    """Append-only files, snapshots, tables, indexes, the write-ahead log and the servers' own logs."""
    contents = _read(leftovers, [path for path in leftovers.files() if store in path.parts])
    text = b"".join(contents.values())
    assert all(challenge.encode() in text for challenge in leftovers.challenges), "not all of it is there"
    assert _leaks(leftovers.canaries, contents) == []


def test_no_other_file_holds_any(leftovers: Leftovers) -> None:
    """Whatever else the service wrote, but its keyring and the sandbox's own files."""
    elsewhere = [path for path in leftovers.files() if not {"valkey", "postgres"} & set(path.parts)]
    assert _leaks(leftovers.canaries, _read(leftovers, elsewhere)) == []


def test_no_webhook_holds_any(leftovers: Leftovers) -> None:
    """What banks' endpoints were sent: bodies and headers."""
    assert any(b"challenge.approved" in sent for sent in leftovers.webhooks)
    contents = {f"webhook {number}": sent for number, sent in enumerate(leftovers.webhooks)}
    assert _leaks(leftovers.canaries, contents) == []


def test_no_trace_holds_any(leftovers: Leftovers) -> None:
    """What the collector was sent: spans of every challenge that was issued, delivered and answered."""
    pytest.importorskip("opentelemetry", reason="the extra `otlp` is not installed")
    assert all(name in b"".join(leftovers.traces) for name in (b"challenge.issue", b"delivery.attempt"))
    contents = {f"batch {number}": sent for number, sent in enumerate(leftovers.traces)}
    assert _leaks(leftovers.canaries, contents) == []


def test_no_dump_of_a_store_holds_any(leftovers: Leftovers) -> None:
    """Every value of Redis and PostgreSQL, uncompressed."""
    redis, postgres = leftovers.dumps
    assert _leaks(leftovers.canaries, {"redis": redis, "postgres": postgres}) == []


def test_no_metric_and_no_audit_event_holds_any(leftovers: Leftovers) -> None:
    """What operators and auditors read."""
    assert b"sca_challenges_issued_total" in leftovers.metrics[0]
    assert b"challenge.answered" in b"".join(leftovers.events)
    assert _leaks(leftovers.canaries, {"metrics": b"".join(leftovers.metrics)}) == []
    assert _leaks(leftovers.canaries, {"events": b"".join(leftovers.events)}) == []


def test_no_response_holds_a_code_a_number_or_a_key(leftovers: Leftovers) -> None:
    """Every response to the bank, but what the sandbox's handset shows; the payee is told as it was sent."""
    content = b"\n".join(leftovers.responses)
    assert PAYEE.encode() in content
    assert _leaks(leftovers.canaries_of_responses, {"responses": content}) == []


def test_the_faults_were_logged_by_type(leftovers: Leftovers) -> None:
    """The forced faults did reach the log, as a type and a place and no more."""
    lines = b"".join(_read(leftovers, leftovers.files("api-*.log")).values()).splitlines()
    failed = [json.loads(line) for line in lines if b'"request.failed"' in line]
    assert len(failed) >= 4
    assert all(set(line) <= {"event", "level", "timestamp", "error", "at"} for line in failed)


def test_a_role_that_fails_says_no_more_than_the_type(leftovers: Leftovers) -> None:
    """A fault that ends a role, with a text that holds what a caller sent: status 1, its type, and none of the text."""
    (config, *_) = leftovers.folder.glob("sca-*.toml")
    program = f"""
import asyncio
from pathlib import Path
from sca_service import app
from sca_service.settings import read_settings

async def fail(settings: object, stop: object) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.to_thread(int, "{PAYEE}"))

app.ROLES = {{"worker": fail}}
app.run_role("worker", read_settings(Path({str(config)!r})))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, env=_environment()
    )
    assert done.returncode == 1
    assert json.loads(done.stderr)["error"] == "ValueError"
    assert leftovers.canaries.found_in(done.stdout + done.stderr) == []


def test_the_scan_finds_what_the_sandbox_received(leftovers: Leftovers) -> None:
    """The same scan over the one file that may hold it all finds every code, the number and the payee."""
    content = b"".join(path.read_bytes() for path in leftovers.folder.glob("sandbox*"))
    assert len(leftovers.codes) > CODES // 2
    for code in leftovers.codes:
        assert Canaries(codes=frozenset({code})).found_in(content), "a code was not found"
    assert Canaries(numbers=frozenset({LINE})).found_in(content)
    assert Canaries(texts=frozenset({PAYEE})).found_in(content)


@pytest.mark.parametrize(
    "planted",
    [
        b'{"event": "challenge.answered", "code": "014725"}',
        b"code=014725",
        b"Code: 014725, valid for 5 minutes",
        b"\xa6014725\xa5state",
        b"$6\r\n014725\r\n",
        b"Your code is: 0, 1, 4, 7, 2, 5.",
        "014725".encode("utf-16-le"),
        b"MDE0NzI1",
        b"303134373235",
        b"tel:+4915190817001",
        b"+49 151 9081 7001",
        b"(0)151/90 81-7 001",
        b"NDkxNTE5MDgxNzAwMQ==",
        b"ZWITSCHERVOGEL KANARIENHAUS",
        "Zwitschervogel Kanarienhaus".encode("utf-16-le"),
        base64.b64encode(b"Zwitschervogel Kanarienhaus"),
        base64.urlsafe_b64encode(b'{"name":"Zwitschervogel Kanarienhaus"}'),
        base64.b64encode(b"to Zwitschervogel Kanarienhaus"),
        b"Zwitschervogel Kanarienhaus".hex().encode(),
    ],
)
def test_the_scan_finds_a_planted_canary(planted: bytes) -> None:
    """In a file of many numbers, a canary is found in each form in which it could have been written."""
    canaries = Canaries(frozenset({"014725"}), frozenset({LINE}), frozenset({PAYEE}))
    noise = (
        b'{"timestamp": "2026-11-22T10:15:00.014725Z", "at_ms": 1763014725123, "id": "evt_a014725b"}\n' * 50
    )
    assert canaries.found_in(noise) == []
    assert len(canaries.found_in(noise + planted + b"\n" + noise)) == 1


def test_the_payees_account_is_a_valid_one() -> None:
    """The canary's IBAN passes the check of ISO 13616, or it would never have been stored."""
    assert re.fullmatch(r"[A-Z]{2}\d{20}", IBAN)
    assert int(IBAN[4:] + "1314" + IBAN[2:4]) % 97 == 1
