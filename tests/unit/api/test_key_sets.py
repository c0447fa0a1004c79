"""Clients' keys where they publish them: whom we call for them, how often, and what a rude server can do."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from joserfc.jwk import ECKey, KeySet

from sca_service.api.oauth import key_sets as module
from sca_service.api.oauth.key_sets import KeySets
from tests.rude_server import RudeServer

KEYS = {name: ECKey.generate_key("P-256", {"kid": name}) for name in ("one", "two")}


def published(*names: str) -> dict[str, Any]:
    """A JWK set."""
    return dict(KeySet([KEYS[name] for name in names]).as_dict(private=False))


@pytest.fixture
async def server() -> AsyncIterator[RudeServer]:
    """A client's server."""
    async with RudeServer() as server:
        yield server


@pytest.fixture
async def key_sets() -> AsyncIterator[KeySets]:
    """What fetches, in the sandbox, where this machine may be asked."""
    made = KeySets(sandbox=True)
    yield made
    await made.close()


def names_of(keys: KeySet | None) -> list[str]:
    """The ids of the keys that were found."""
    return [str(key.get("kid")) for key in keys.keys] if keys else []


async def test_keys_are_fetched_once_for_many(server: RudeServer, key_sets: KeySets) -> None:
    """Also for those who want them at once."""
    server.answer(200, published("one"))
    found = await asyncio.gather(*(key_sets.keys_at(server.url, wanted="one") for _ in range(20)))
    assert [names_of(keys) for keys in found] == [["one"]] * 20
    assert len(server.requests) == 1


async def test_a_key_that_is_not_among_them_is_asked_for_after_a_moment(
    server: RudeServer, key_sets: KeySets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that changes keys is believed soon; whoever makes up names of keys has us call nobody."""
    server.answer(200, published("one"))
    await key_sets.keys_at(server.url, wanted="one")
    server.answer(200, published("one", "two"))
    for _ in range(5):
        assert names_of(await key_sets.keys_at(server.url, wanted="two")) == ["one"]
    assert len(server.requests) == 1
    monkeypatch.setattr(module, "_AGAIN_SECONDS", 0.0)
    assert names_of(await key_sets.keys_at(server.url, wanted="two")) == ["one", "two"]
    assert len(server.requests) == 2
    await key_sets.keys_at(server.url, wanted="one")
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (404, published("one"), {}),
        (302, b"", {"Location": "https://bank.example/"}),
        (200, b"rubbish", {}),
        (200, {"keys": []}, {}),
        (200, {"keys": [KEYS["one"].as_dict(private=True)]}, {}),
        (200, b" " * 70_000 + b"{}", {}),
    ],
)
async def test_what_is_no_key_set_is_none(
    server: RudeServer, key_sets: KeySets, status: int, body: Any, headers: dict[str, str]
) -> None:
    """No redirect is followed, and no more is read than a set of keys has."""
    server.answer(status, body, headers=headers)
    assert await key_sets.keys_at(server.url, wanted="one") is None
    assert len(server.requests) == 1


async def test_a_server_that_cuts_off_gives_none(server: RudeServer, key_sets: KeySets) -> None:
    """Nothing that it does is raised."""
    server.answer(200, published("one"))
    server.reset_next()
    assert await key_sets.keys_at(server.url, wanted="one") is None


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["169.254.169.254"], []])
async def test_an_address_inside_is_never_called(addresses: list[str]) -> None:
    """Whatever name it has: outside the sandbox public addresses alone are called, by the guard of webhooks."""
    connected: list[object] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(writer)
        writer.close()

    guarded = KeySets(sandbox=False, resolve=resolve)
    async with await asyncio.start_server(note, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await guarded.keys_at(f"https://bank.example:{port}/jwks", wanted="") is None
        assert await guarded.keys_at(f"http://127.0.0.1:{port}/jwks", wanted="") is None
    assert connected == []
    await guarded.close()
