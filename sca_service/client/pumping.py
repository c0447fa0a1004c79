"""SMS pumping: what the guard has blocked, and what it is to let through."""

import msgspec

from sca_service.client.call import Call, Page, quoted


class Entry(msgspec.Struct, frozen=True):
    """What the pumping guard has blocked, or lets through."""

    id: str
    scope: str
    subject: str
    reason: str
    since: str
    until: str
    refused: int


def blocks(*, limit: int | None = None) -> Call[Page[Entry]]:
    """What the pumping guard has blocked.

    What is blocked now, the newest first: scope, subject, reason, end, how many messages it stopped.
    """
    return Call("GET", "/v1/blocks", Page[Entry], query={"limit": limit})


def lift(entry_id: str, *, reason: str) -> Call[Entry]:
    """Lift a block. Its subject is counted anew. Goes on record with the reason."""
    return Call("POST", f"/v1/blocks/{quoted(entry_id)}/lift", Entry, body={"reason": reason})


def allowed(*, limit: int | None = None) -> Call[Page[Entry]]:
    """What the pumping guard leaves alone. What is allowed now, what ends last first."""
    return Call("GET", "/v1/allow-list", Page[Entry], query={"limit": limit})


def allow(
    *, scope: str, subject: str, reason: str, days: int | None = None, client: str | None = None
) -> Call[Entry]:
    """Have the pumping guard leave something alone.

    Nothing is counted or blocked under this subject, and a block of it stops nothing; its messages still
    count under their other subjects. A prefix takes its neighbouring numbers with it. Once more replaces
    what stood there. Goes on record with the reason.
    """
    return Call(
        "POST",
        "/v1/allow-list",
        Entry,
        body={"scope": scope, "subject": subject, "reason": reason, "days": days, "client": client},
        repeats=False,
    )


def disallow(entry_id: str, *, reason: str) -> Call[Entry]:
    """Have the pumping guard watch it again. Goes on record with the reason."""
    return Call("POST", f"/v1/allow-list/{quoted(entry_id)}/remove", Entry, body={"reason": reason})
