"""A challenge followed over server-sent events: what it says, when it ends, and whom it tells nothing."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sca_service.api.answer import HttpAnswer
from sca_service.api.call import Call
from sca_service.api.challenge_events import MOST_STREAMS, ChallengeStreams
from sca_service.api.clients import Client
from sca_service.kernel.errors import Overloaded
from tests.harness import Bank, Deployment, unique_psu, wrong
from tests.storeroom import eventually


async def events_in(lines: AsyncIterator[str]) -> AsyncIterator[dict[str, Any]]:
    """The events of a stream as they come: their data, with the event's id."""
    event: dict[str, str] = {}
    async for line in lines:
        if line:
            name, _, value = line.partition(": ")
            event[name] = value
        elif "data" in event:
            assert event["event"] == "challenge"
            yield json.loads(event.pop("data")) | {"event_id": event["id"]}


def following(bank: Bank, challenge: str, **headers: str) -> Any:
    """The open stream of a challenge."""
    return bank.http.stream("GET", f"/v1/challenges/{challenge}/events", headers=headers)


async def test_each_change_is_told_until_it_is_over(bank: Bank) -> None:
    """As it stands, when its message is delivered, when an answer is wrong, and approved: then the stream ends."""
    psu = unique_psu()
    challenge = (await bank.issue(psu=psu))["id"]
    told: list[dict[str, Any]] = []
    async with following(bank, challenge) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        async for event in events_in(response.aiter_lines()):
            told.append(event)
            if event["deliveries"][-1]["status"] == "delivered" and event["attempts_left"] == 5:
                code = await bank.code(psu["phone"])
                await bank.verify(challenge, wrong(code))
            elif event["status"] == "pending" and event["attempts_left"] == 4:
                await bank.verify(challenge, code)
    final = told.pop()
    assert {event["status"] for event in told} == {"pending"}
    assert final.pop("event_id")
    assert final == await bank.get(challenge)
    assert len({event["event_id"] for event in told}) == len(told)


async def test_what_was_heard_before_is_not_told_again(bank: Bank) -> None:
    """A client that was cut off after the end goes on from its last event, and hears nothing more."""
    challenge = (await bank.issue())["id"]
    await bank.settled(challenge)  # nothing is on its way any more, whose end would be told
    await bank.http.post(f"/v1/challenges/{challenge}/cancel")
    async with following(bank, challenge) as response:
        [event] = [event async for event in events_in(response.aiter_lines())]
    assert event["status"] == "cancelled"
    async with following(bank, challenge, **{"Last-Event-ID": event["event_id"]}) as response:
        assert [event async for event in events_in(response.aiter_lines())] == []


async def test_nobody_follows_anothers(service: Deployment, bank: Bank) -> None:
    """Another client's challenge answers as an unknown one."""
    challenge = (await bank.issue())["id"]
    async with service.bank(client="other-bank") as stranger:
        response = await stranger.http.get(f"/v1/challenges/{challenge}/events")
    assert (response.status_code, response.json()["code"]) == (404, "not-found")


class _Still:
    """A challenge that never changes. A class because it is `Readings`."""

    async def get(self, call: Call, challenge_id: str) -> HttpAnswer:
        """Pending for ever."""
        return HttpAnswer(200, b'{"status":"pending"}')


async def test_one_too_many_is_turned_away_and_who_leaves_makes_room() -> None:
    """A process follows so many at once: the next is told so at once, until one has gone."""
    streams = ChallengeStreams(_Still())
    clients = [Client(name, frozenset()) for name in ("bank", "other-bank", "third-bank")]
    calls = [Call(client, "req_12345678", "/", b"", None) for client in clients]
    opened = [await streams.follow(calls[number % 2], "chl_1", "") for number in range(MOST_STREAMS)]
    for stream in opened:
        assert await anext(stream)
    with pytest.raises(Overloaded):
        await streams.follow(calls[2], "chl_1", "")
    for stream in opened:
        await stream.aclose()  # type: ignore[attr-defined]
    again = await streams.follow(calls[2], "chl_1", "")
    assert await anext(again)
    await again.aclose()  # type: ignore[attr-defined]


async def listeners(bank: Bank) -> float:
    """How many follow a challenge now, as the api says."""
    text = (await bank.http.get("/metrics")).text
    [line] = [line for line in text.splitlines() if line.startswith("sca_challenge_streams ")]
    return float(line.split()[1])


async def test_a_client_that_leaves_is_not_followed_on(bank: Bank) -> None:
    """Streams that were half read end with their connections."""
    challenge = (await bank.issue())["id"]
    for _ in range(3):
        async with following(bank, challenge) as response:
            async for _ in events_in(response.aiter_lines()):
                break
            assert await listeners(bank) >= 1

    async def nobody_listens() -> bool:
        return await listeners(bank) == 0

    await eventually(nobody_listens)
