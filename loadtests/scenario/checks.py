"""After the run: what clients saw, held against the stores, the mailbox, the signatures and the whole log."""

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import replace
from typing import Any

import asyncpg
import httpx
from joserfc.jwk import KeySet
from redis.asyncio import Redis

from loadtests.scenario import findings
from loadtests.scenario.findings import AlertsFound
from loadtests.scenario.plan import Notes
from loadtests.scenario.service import Service
from sca_service.audit.log.note import NoteVerifier
from sca_service.audit.offline.note import VerifierKey
from sca_service.audit.offline.source import open_source
from sca_service.audit.offline.verify import Demands, Held, verify
from sca_service.sandbox.mailbox import MAILBOX_FILE
from tests.faults.checker import settled, violations_in
from tests.faults.traffic import Told
from tests.logs import entries_in

_ALERT = "dlv_alt"
_ALERTS_SECONDS = 120.0
_WIDTH = 256
"""Entries of a bundle (C2SP tlog-tiles)."""
_MOST_HELD = 50


async def violations(service: Service, notes: Notes) -> list[str]:
    """Everything that does not hold, in words; empty when all does."""
    alerts = await _alerts(service)
    found = await settled(service.deployment)
    messages = _messages(service, notes)
    of_alerts = Counter(
        {f"alt_{one[7:39]}": count for one, count in messages.items() if one.startswith(_ALERT)}
    )
    of_challenges = Counter({one: count for one, count in messages.items() if not one.startswith(_ALERT)})
    told = [Told(*one) for one in notes.told]
    stores = violations_in(replace(found, messages=of_challenges), told)
    if stores:  # a challenge that expires between two reads disagrees for a moment: what is wrong stays wrong
        again = replace(await settled(service.deployment), messages=of_challenges)
        stores = [one for one in violations_in(again, told) if one in stores]
    log_key = next(iter(service.witness.logs.values()))
    async with httpx.AsyncClient(base_url=service.deployment.api.url, trust_env=False, timeout=30) as http:
        keys = KeySet.import_key_set((await http.get("/.well-known/jwks.json")).json())
        entries = await _entries(http, notes)
    return [
        *notes.surprises,
        *stores,
        *findings.missing_messages(found.events, of_challenges),
        *findings.wrong_codes(keys, notes.approvals),
        *findings.wrong_alerts(notes.alerts, alerts, of_alerts),
        *findings.refused_honest(notes.journeys),
        *findings.pumped(notes.journeys, notes.pumped, of_challenges),
        *findings.wrong_proofs(notes, entries, NoteVerifier.parse(log_key)),
        *await asyncio.to_thread(_log, service, notes),
        *await asyncio.to_thread(_reconciled, service),
    ]


async def without_ttl(service: Service) -> dict[str, int]:
    """Redis keys that live for ever, by what they are: their number may not grow with the traffic."""
    redis: Any = Redis.from_url(service.deployment.servers.valkey.url)
    counted: Counter[str] = Counter()
    try:
        async for key in redis.scan_iter(count=1000):
            if await redis.ttl(key) == -1:
                counted[key.decode().split("}:", 1)[-1].split(":")[0]] += 1
    finally:
        await redis.aclose()
    return dict(counted)


def _messages(service: Service, notes: Notes) -> Counter[str]:
    """How many arrived for each delivery: what the sender counted, and what came after it stopped."""
    counted = Counter(notes.messages)
    with closing(sqlite3.connect(service.deployment.folder / MAILBOX_FILE)) as mailbox:
        rows = mailbox.execute("SELECT delivery FROM messages WHERE id > ?", (notes.last_message,))
        counted.update(delivery for (delivery,) in rows)
    return counted


async def _alerts(service: Service) -> AlertsFound:
    """Where the alerts stand once nothing more is to be done, or time is over."""
    connection = await asyncpg.connect(service.deployment.servers.postgres.url)
    deadline = time.monotonic() + _ALERTS_SECONDS
    try:
        open_ = "SELECT count(*) FROM alerts WHERE status IN ('queued', 'sent')"
        while await connection.fetchval(open_) and time.monotonic() < deadline:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.2)
        statuses = await connection.fetch("SELECT id, status FROM alerts")
        tries = await connection.fetch(
            "SELECT body::jsonb ->> 'alert' AS alert, max((body::jsonb ->> 'try')::int) AS most FROM audit_events"
            " WHERE type = 'alert.attempted' GROUP BY 1"
        )
        return AlertsFound(dict(map(tuple, statuses)), dict(map(tuple, tries)))
    finally:
        await connection.close()


async def _entries(http: httpx.AsyncClient, notes: Notes) -> dict[int, bytes]:
    """What the log holds at the indexes that proofs were asked for, read as any auditor reads it."""
    head = (await http.get("/log/checkpoint")).text
    size = int(head.split("\n")[1])
    entries: dict[int, bytes] = {}
    for number in sorted({index // _WIDTH for index, _ in notes.proofs}):
        width = min(size - number * _WIDTH, _WIDTH)
        partial = "" if width == _WIDTH else f".p/{width}"
        answer = await http.get(f"/log/tile/entries/{_path(number)}{partial}")
        answer.raise_for_status()
        entries |= dict(enumerate(entries_in(answer.content), number * _WIDTH))
    return entries


def _path(number: int) -> str:
    """C2SP tlog-tiles: groups of three digits, all but the last with an x."""
    groups = [f"{number % 1000:03d}"]
    while number := number // 1000:
        groups.insert(0, f"x{number % 1000:03d}")
    return "/".join(groups)


def _log(service: Service, notes: Notes) -> list[str]:
    """The whole log recomputed, and all the checkpoints that the auditor was given, as `sca audit verify` does it."""
    step = max(len(notes.checkpoints) // _MOST_HELD, 1)
    held = [Held(f"checkpoint {at}", text.encode()) for at, text in enumerate(notes.checkpoints[::step])]
    demands = Demands(
        keys=[VerifierKey.parse(key) for key in service.witness.logs.values()],
        held=held,
        witnesses=[VerifierKey.parse(service.witness.verifier_key)],
        quorum=1,
    )
    source = open_source(f"{service.deployment.api.url}/log")
    report = verify(source, demands)
    said = [f"the log: {finding}" for finding in report.findings]
    if len(report.compared) < len(held):
        said.append(f"the log: of {len(held)} checkpoints, {len(report.compared)} were compared")
    return said


def _reconciled(service: Service) -> list[str]:
    """`sca audit reconcile`: challenges, deliveries and answers against the log, both ways."""
    config = service.deployment.config(service.deployment.api.port)
    command = [
        sys.executable,
        "-m",
        "sca_service",
        "audit",
        "reconcile",
        "--config",
        str(config),
        "--grace",
        "0",
    ]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return [] if told.returncode == 0 else [f"the log is not reconciled: {told.stdout}{told.stderr[-500:]}"]
