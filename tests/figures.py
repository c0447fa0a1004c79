"""What tests of figures share: a log that was made up, and what the tables hold as a recount names it."""

import random
from collections import Counter
from typing import Any

import asyncpg

from sca_service.analytics.model import Key, Span
from sca_service.audit.model import AuditEvent
from sca_service.kernel.ids import new_id
from tests.recount import Recount

_FIGURES = """
    SELECT key.*, figure.at, figure.figure, part.bin, part.number FROM analytics_figures AS figure
    JOIN analytics_keys AS key ON key.id = figure.key
    CROSS JOIN LATERAL unnest(figure.bins, figure.numbers) AS part (bin, number)
    WHERE figure.span = $1 AND ($2::text IS NULL OR key.client = $2) AND part.number <> 0
"""


async def rolled_up(pool: asyncpg.Pool, span: Span, client: str | None = None) -> Recount:
    """What the tables have, of one client or of all."""
    numbers: Recount = Counter()
    for row in await pool.fetch(_FIGURES, span, client):
        key = Key(*(row[name] for name in Key._fields))
        at_ms = round(row["at"].timestamp() * 1000)
        numbers[str(key.subject), key.client, at_ms, told_apart(key), row["figure"], row["bin"]] += row[
            "number"
        ]
    return numbers


def by_span(by_minute: Recount, span: Span) -> Recount:
    """A recount by the hour or the day."""
    numbers: Recount = Counter()
    for (subject, client, at_ms, told, figure, index), number in by_minute.items():
        numbers[subject, client, span.begin(at_ms), told, figure, index] += number
    return numbers


def told_apart(key: Key) -> str:
    """What a key tells apart beside client and time."""
    parts = {
        "deliveries": key[2:3] + key[4:],
        "challenges": (key.purpose, key.method),
        "alerts": (key.purpose,),
    }
    return "/".join(parts[key.subject])


def made_up_log(seed: int, *, challenges: int, since_ms: int, step_ms: int = 700) -> list[AuditEvent]:
    """A log of challenges that go on side by side: sent over one of two suppliers, some lost, some answered."""
    chance = random.Random(seed)
    told: list[tuple[int, str, dict[str, Any]]] = []
    for number in range(challenges):
        at_ms = since_ms + number * step_ms
        owner = {"challenge": f"chl_{number:038x}", "client": f"bank-{number % 3}"}
        told.append((at_ms, "challenge.issued", {**owner, "purpose": "payment", "method": "one_time_code"}))
        named = {**owner, "delivery": f"dlv_{number:038x}01", "channel": "sms"}
        route = {
            "supplier": chance.choice(("north", "south")),
            "country": chance.choice(("DE", "FR", "PL")),
            "price": chance.choice(("EUR 0.0063", "EUR 0.07")),
            "purpose": "payment",
            "try": 1,
        }
        told.append((at_ms + 20, "delivery.attempted", {**named, **route}))
        taken_ms = at_ms + chance.randint(30, 900)
        told.append((taken_ms, "delivery.settled", {**named, "status": "sent"}))
        status = chance.choice(("delivered", "delivered", "undelivered"))
        heard_ms = taken_ms + chance.randint(500, 9000)
        told.append((heard_ms, "delivery.settled", {**named, "status": status}))
        if chance.random() < 0.7:
            answer = {"outcome": "approved", "attempts_left": 4}
            told.append((heard_ms + 4000, "challenge.answered", {**owner, **answer}))
    told.sort(key=lambda one: one[0])
    return [
        AuditEvent.create(event_id=new_id("evt"), kind=kind, at_ms=at_ms, members=members)
        for at_ms, kind, members in told
    ]
