"""Whether PostgreSQL, what payers see and what the log tells are what the model has."""

import json
from collections import defaultdict
from collections.abc import Sequence

from sca_service.authenticators.enrolment.model import Whose
from tests.properties.authenticator_desk import Desk
from tests.properties.authenticator_model import (
    ACTIVE,
    DEVICE,
    HOTP,
    MOST_OF_A_PAYER,
    MOST_TRIES,
    ONE_OF_A_KIND,
    PENDING,
    PHONE,
    PIN,
    SUSPENDED,
    TOTP,
    Book,
)

_IN_TURN = (TOTP, HOTP, PIN, DEVICE)
"""Asked after one at a time, another with each event: that is a query for each payer after each move."""


def check_rows(desk: Desk, psus: Sequence[str], book: Book) -> None:
    """Where each one stands; only what is revoked has lost its seed, hash or key (RTS Art. 27)."""
    query = "SELECT * FROM authenticators WHERE psu = ANY($1) ORDER BY created_at, id"
    rows = desk.rows(query, psus)
    assert [
        (row["id"], row["state"], row["tries"], row["last_step"], row["last_challenge"]) for row in rows
    ] == [(one.id, one.state, one.tries, one.last_step, one.last_challenge) for one in book.kept]
    for row in rows:
        assert (row["sealed"] == "") is (row["state"] == "revoked")
        assert row["tries"] <= MOST_TRIES  # RTS Art. 4(3)(b)


def check_sight(desk: Desk, whose: Whose, psu: str, book: Book) -> None:
    """What a payer's client is shown, and with what the payer could answer now."""
    seen = desk.run(desk.enrolment.all_of(whose))
    assert [(one.id, one.type, one.state, one.label, one.used_at_ms > 0) for one in seen] == [
        (one.id, one.kind, one.state, "Anna", one.is_used) for one in book.of(psu, PENDING, ACTIVE, SUSPENDED)
    ]
    assert len(seen) <= MOST_OF_A_PAYER
    for kind in ONE_OF_A_KIND:
        assert len(book.of(psu, ACTIVE, SUSPENDED, kind=kind)) <= 1
    active = {one.kind: one.line for one in book.of(psu, ACTIVE)}
    kind = _IN_TURN[sum(map(len, book.lives.values())) % len(_IN_TURN)]
    assert desk.run(desk.generators.has_active(psu, kind)) is (kind in active)
    line = desk.run(desk.generators.line(psu))
    assert (line.number.e164 if line else None) == active.get(PHONE)


def check_log(desk: Desk, psus: Sequence[str], book: Book) -> None:
    """Each was enrolled first, activated at most once, paused in turn, and nothing follows its end."""
    query = "SELECT body FROM audit_events WHERE psu = ANY($1) ORDER BY txid, position"
    told = [json.loads(row["body"]) for row in desk.rows(query, psus)]
    events = [
        one for one in told if one["type"].startswith("authenticator.")
    ]  # notices are told of beside them
    lives = defaultdict(list)
    for one in events:
        lives[one["authenticator"]].append((one["type"], one.get("reason", "")))
    assert lives == book.lives
    for life in lives.values():
        kinds = [kind.removeprefix("authenticator.") for kind, _ in life]
        assert (kinds[0], kinds.count("enrolled")) == ("enrolled", 1)
        assert kinds.count("activated") <= 1
        pauses = [kind for kind in kinds if kind in {"suspended", "resumed"}]
        assert pauses == [("suspended", "resumed")[at % 2] for at in range(len(pauses))]
        assert "revoked" not in kinds[:-1]
