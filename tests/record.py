"""What is on record about a challenge, as an auditor reads it."""

from typing import Any

from tests.harness import Bank
from tests.storeroom import eventually


async def recorded(auditor: Bank, challenge: str, kind: str, *, count: int = 1) -> list[dict[str, Any]]:
    """A challenge's events, once so many of this type are among them.

    What became of a delivery is where a client reads it a moment before it is on record, so a test that has seen it
    there waits here before it looks at the events.
    """
    found: list[dict[str, Any]] = []

    async def are_there() -> bool:
        response = await auditor.http.get("/v1/audit/events", params={"challenge": challenge, "limit": 200})
        assert response.status_code == 200, response.text
        found[:] = response.json()["data"]
        return [event["type"] for event in found].count(kind) >= count

    await eventually(are_there)
    return found
