"""Cards in PostgreSQL."""

from datetime import timedelta

import asyncpg
import pytest

from sca_service.alerts.cards.model import CardState
from sca_service.kernel.keyring import Keyring
from tests.cards import BY, CLIENT, NOON, SetClock, a_card, balance, card_desk, past, upcoming


async def test_smoke(pool: asyncpg.Pool, keyring: Keyring) -> None:
    """Smoke."""
    clock = SetClock()
    desk = card_desk(pool, keyring, clock)
    ref = a_card()
    seen = await desk.put_balance(CLIENT, ref, balance(5000, threshold=2000), BY)
    assert seen.held.card.state is CardState.SUFFICIENT and seen.is_applied
    seen = await desk.put_balance(CLIENT, ref, balance(1900, at=NOON + timedelta(seconds=1), threshold=2000), BY)
    assert len(seen.queued) == 1
    charge, seen = await desk.expect(CLIENT, ref, upcoming(2500, NOON.date() + timedelta(days=2)), BY)
    print(charge, seen)
    assert len(seen.queued) == 1
    seen = await desk.put_balance(CLIENT, ref, balance(5000, at=NOON + timedelta(seconds=2), threshold=2000), BY)
    assert len(seen.taken_back) == 2
    print([dict(r) for r in await pool.fetch("select body from audit_events where body::jsonb->>'card' is not null")])
    learned = await desk.record(CLIENT, ref, [past(999, NOON.date() - timedelta(days=d), merchant="X") for d in (1, 31, 61, 92)], BY)
    print(learned)
    assert learned.recognised
    clock.at = NOON + timedelta(days=40)
    n = 0
    while await desk.look():
        n += 1
    print(n, await desk.upcoming(CLIENT, ref))
    assert 0
