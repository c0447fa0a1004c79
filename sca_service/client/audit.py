"""The audit log, and the keys that authentication codes are signed with."""

from typing import Any

from sca_service.client.call import Call, Page, quoted


def events(
    *,
    psu: str | None = None,
    challenge: str | None = None,
    type_: str | None = None,
    client: str | None = None,
    from_: str | None = None,
    to: str | None = None,
    limit: int | None = None,
) -> Call[Page[dict[str, Any]]]:
    """Read the audit log.

    In the order of the log. `index` is null for a moment, until the log role has sequenced an event.
    """
    return Call(
        "GET",
        "/v1/audit/events",
        Page[dict[str, Any]],
        query={
            "psu": psu,
            "challenge": challenge,
            "type": type_,
            "client": client,
            "from": from_,
            "to": to,
            "limit": limit,
        },
    )


def proof(index: int) -> Call[str]:
    """Prove that an event is in the log.

    C2SP tlog-proof: the inclusion proof of the event, and the signed checkpoint it leads to. Anybody can
    verify it without us. 404 until a published checkpoint has the event, a second or so after it happened,
    and again when it is not kept any more.
    """
    return Call("GET", f"/v1/audit/events/{quoted(index)}/proof", str)


def export(
    *,
    format_: str,
    psu: str | None = None,
    challenge: str | None = None,
    type_: str | None = None,
    client: str | None = None,
    from_: str | None = None,
    to: str | None = None,
) -> Call[bytes]:
    """Export the audit log.

    Streams every event that has an index when the call arrives, in the order of the log. JSON Lines hold
    each canonical leaf to the byte. In CSV a cell that a spreadsheet would take for a formula begins with
    an apostrophe. Parquet needs the service's extra `parquet`. A filter that names what is not on record
    is refused. The export is an event itself, on record before the first byte. A file that ends early was
    cut off.
    """
    return Call(
        "GET",
        "/v1/audit/export",
        bytes,
        query={
            "format": format_,
            "psu": psu,
            "challenge": challenge,
            "type": type_,
            "client": client,
            "from": from_,
            "to": to,
        },
    )


def checkpoint() -> Call[str]:
    """The newest checkpoint of the log.

    A signed note (C2SP tlog-checkpoint): the log's name, its size, and its root.
    """
    return Call("GET", "/log/checkpoint", str)


def keys() -> Call[dict[str, Any]]:
    """Keys of authentication codes."""
    return Call("GET", "/.well-known/jwks.json", dict[str, Any])
