"""The log over HTTP, read as any client of C2SP tlog-tiles would: checkpoint, tiles, entries, proofs."""

import asyncio
import gzip
import time
from typing import Any

import httpx
import msgspec
import pytest

from sca_service.audit.log.checkpoint import Checkpoint
from sca_service.audit.log.note import NoteVerifier, open_note, verifier_key
from sca_service.audit.log.proof import TlogProof
from sca_service.audit.merkle import HASH_BYTES, check_consistency, leaf_hash, root_from_inclusion, root_of
from tests.harness import PATIENCE_SECONDS, Bank, Deployment, wrong
from tests.logs import entries_in

ORIGIN = "sca.example/log"
NEVER_CHANGES = "public, max-age=31536000, immutable"


def key_of(service: Deployment) -> NoteVerifier:
    """The key that an auditor was given."""
    (key,) = service.keyring.log_signing_keys
    return NoteVerifier.parse(verifier_key(ORIGIN, key.public_key().public_bytes_raw()))


async def checkpoint(anybody: httpx.AsyncClient, service: Deployment) -> Checkpoint:
    """The newest checkpoint, opened."""
    response = await anybody.get("/log/checkpoint")
    assert response.status_code == 200
    return Checkpoint.parse(open_note(response.text, [key_of(service)]).text)


def path_of(kind: str, index: int, width: int) -> str:
    """The path of a tile as the specification says."""
    digits = f"{index:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    named = "/".join([f"x{group}" for group in groups[:-1]] + [groups[-1]])
    return f"/log/tile/{kind}/{named}" + (f".p/{width}" if width < 256 else "")


async def bundles(anybody: httpx.AsyncClient, size: int) -> list[bytes]:
    """Every entry of a tree of this size."""
    found: list[bytes] = []
    for index in range(-(-size // 256)):
        response = await anybody.get(path_of("entries", index, min(256, size - index * 256)))
        assert response.status_code == 200
        found += entries_in(response.content)
    return found


@pytest.fixture
async def anybody(service: Deployment) -> Any:
    """Somebody without an API key."""
    async with httpx.AsyncClient(
        base_url=service.api.url, trust_env=False, timeout=PATIENCE_SECONDS
    ) as client:
        yield client


async def in_the_log(
    anybody: httpx.AsyncClient, service: Deployment, challenge: str, kind: str
) -> list[dict[str, Any]]:
    """The leaves once one about this challenge and of this type is among them."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        size = (await checkpoint(anybody, service)).size
        leaves = [msgspec.json.decode(entry) for entry in await bundles(anybody, size)]
        if any(leaf.get("challenge") == challenge and leaf["type"] == kind for leaf in leaves):
            return leaves
        await asyncio.sleep(0.1)
    raise AssertionError(f"{kind} did not come into the log")


async def test_what_happens_is_in_the_log_within_seconds(
    bank: Bank, anybody: httpx.AsyncClient, service: Deployment
) -> None:
    """Issue, delivery and a wrong answer are leaves, in that order, each once."""
    challenge = await bank.issue()
    await bank.settled(challenge["id"])
    await bank.answer(challenge["id"], "000000")
    leaves = await in_the_log(anybody, service, challenge["id"], "challenge.answered")
    kinds = [leaf["type"] for leaf in leaves if leaf.get("challenge") == challenge["id"]]
    assert (
        kinds.index("challenge.issued")
        < kinds.index("delivery.attempted")
        < kinds.index("challenge.answered")
    )
    ids = [leaf["id"] for leaf in leaves]
    assert len(ids) == len(set(ids))


async def test_the_root_is_recomputed_from_the_entries(
    bank: Bank, anybody: httpx.AsyncClient, service: Deployment
) -> None:
    """The whole log, read by somebody who trusts only the key: entries, tiles and root agree."""
    await in_the_log(anybody, service, (await bank.issue())["id"], "challenge.issued")
    head = await checkpoint(anybody, service)
    assert head.origin == ORIGIN
    hashes = [leaf_hash(entry) for entry in await bundles(anybody, head.size)]
    assert len(hashes) == head.size
    assert root_of(hashes) == head.root
    for index in range(-(-head.size // 256)):
        width = min(256, head.size - index * 256)
        tile = await anybody.get(path_of("0", index, width))
        assert tile.content == b"".join(hashes[index * 256 : index * 256 + width])


async def test_full_tiles_and_the_level_above(
    bank: Bank, anybody: httpx.AsyncClient, service: Deployment
) -> None:
    """After 256 events there is a full tile, also as its parts, and a level 1 that holds its root."""
    await grown_to(bank, anybody, service, 256)
    full = await anybody.get("/log/tile/0/000")
    assert len(full.content) == 256 * HASH_BYTES
    hashes = [full.content[at : at + HASH_BYTES] for at in range(0, len(full.content), HASH_BYTES)]
    part = await anybody.get("/log/tile/0/000.p/17")
    assert part.content == full.content[: 17 * HASH_BYTES]
    above = await anybody.get("/log/tile/1/000.p/1")
    assert above.content == root_of(hashes)
    bundle = await anybody.get("/log/tile/entries/000")
    assert [leaf_hash(entry) for entry in entries_in(bundle.content)] == hashes


async def test_how_long_each_may_be_kept(bank: Bank, anybody: httpx.AsyncClient, service: Deployment) -> None:
    """What never changes may be kept for ever, the checkpoint for a second; the types are the specification's."""
    await in_the_log(anybody, service, (await bank.issue())["id"], "challenge.issued")
    newest = await anybody.get("/log/checkpoint")
    assert newest.headers["content-type"] == "text/plain; charset=utf-8"
    assert newest.headers["cache-control"] == "public, max-age=1"
    for path in ("/log/tile/0/000.p/1", "/log/tile/entries/000.p/1"):
        response = await anybody.get(path)
        assert response.headers["content-type"] == "application/octet-stream"
        assert response.headers["cache-control"] == NEVER_CHANGES
    missing = await anybody.get("/log/tile/0/x999/999.p/1")
    assert missing.status_code == 404
    assert "immutable" not in missing.headers.get("cache-control", "")


async def test_entries_are_compressed_for_those_who_ask(
    bank: Bank, anybody: httpx.AsyncClient, service: Deployment
) -> None:
    """gzip where it is accepted, plain bytes where it is not, and caches are told of the difference."""
    await in_the_log(anybody, service, (await bank.issue())["id"], "challenge.issued")
    path = "/log/tile/entries/000.p/2"
    plain = await anybody.get(path, headers={"Accept-Encoding": "identity"})
    async with anybody.stream("GET", path, headers={"Accept-Encoding": "gzip, identity"}) as response:
        raw = b"".join([part async for part in response.aiter_raw()])
    assert "content-encoding" not in plain.headers
    assert response.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == plain.content
    assert {plain.headers["vary"], response.headers["vary"]} == {"Accept-Encoding"}


@pytest.mark.parametrize(
    "path",
    [
        "0/000.p/0", "0/000.p/256", "0/000.p/01", "0/000.p/", "0/00.p/1", "0/0000.p/1", "0/x000/000.p/1", "00/000.p/1",
        "0/999999", "0/x999/999/x999", "entries", "entries/", "1/000/000", "0/%EF%BC%90%EF%BC%90%EF%BC%90.p/1",
        "x/000", "-1/000", "64/000", "0/x999/x999/x999/x999/x999/x999/x999/x999/999", "0/000.p/1%0A",
    ],
)  # fmt: skip
async def test_any_other_path_is_not_there(anybody: httpx.AsyncClient, path: str) -> None:
    """One spelling for each tile: what is not it is a 404 problem, never an error of ours."""
    response = await anybody.get(f"/log/tile/{path}")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


async def test_nothing_is_served_beyond_the_checkpoint(
    anybody: httpx.AsyncClient, service: Deployment
) -> None:
    """A tile of a width that no published checkpoint has is not there."""
    head = await checkpoint(anybody, service)
    index, width = divmod(head.size + 200, 256)
    for kind in ("0", "entries"):
        assert (await anybody.get(path_of(kind, index + 1, max(1, width)))).status_code == 404
    assert (await anybody.get("/log/tile/5/000.p/1")).status_code == 404


async def test_a_parameter_is_refused(anybody: httpx.AsyncClient) -> None:
    """None is known, so none is ignored; caches would keep each spelling."""
    for path in ("/log/checkpoint", "/log/tile/0/000.p/1"):
        assert (await anybody.get(path, params={"a": "1"})).status_code == 422


async def test_the_log_only_grows(bank: Bank, anybody: httpx.AsyncClient, service: Deployment) -> None:
    """An older checkpoint is a beginning of the newer one: whoever kept it finds the same entries and more."""
    await in_the_log(anybody, service, (await bank.issue())["id"], "challenge.issued")
    old = await checkpoint(anybody, service)
    await grown_to(bank, anybody, service, old.size + 3)
    new = await checkpoint(anybody, service)
    hashes = [leaf_hash(entry) for entry in await bundles(anybody, new.size)]
    assert root_of(hashes[: old.size]) == old.root
    check_consistency(new.size, new.root, new.size, root_of(hashes), [])


async def test_the_proof_of_an_event_verifies(
    bank: Bank, auditor: Bank, anybody: httpx.AsyncClient, service: Deployment
) -> None:
    """From the leaf that the log serves to the root that the log signed, by the auditor's key alone."""
    challenge = await bank.issue()
    await in_the_log(anybody, service, challenge["id"], "challenge.issued")
    page = (await auditor.http.get("/v1/audit/events", params={"challenge": challenge["id"]})).json()
    index = page["data"][0]["index"]
    response = await auditor.http.get(f"/v1/audit/events/{index}/proof")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    proof = TlogProof.parse(response.text)
    head = Checkpoint.parse(open_note(proof.note, [key_of(service)]).text)
    entry = (await bundles(anybody, head.size))[index]
    assert msgspec.json.decode(entry)["id"] == page["data"][0]["id"]
    assert proof.index == index
    assert root_from_inclusion(leaf_hash(entry), index, head.size, proof.hashes) == head.root


async def test_what_is_not_in_the_log_has_no_proof(bank: Bank, auditor: Bank) -> None:
    """404 for an index to come, 422 for what is no index, 403 for a client without the scope."""
    assert (await auditor.http.get("/v1/audit/events/999999999/proof")).status_code == 404
    assert (await auditor.http.get(f"/v1/audit/events/{2**63}/proof")).status_code == 422
    assert (await auditor.http.get("/v1/audit/events/-1/proof")).status_code == 422
    assert (await auditor.http.get("/v1/audit/events/0/proof", params={"size": 1})).status_code == 422
    assert (await bank.http.get("/v1/audit/events/0/proof")).status_code == 403


async def grown_to(bank: Bank, anybody: httpx.AsyncClient, service: Deployment, size: int) -> None:
    """Let things happen until the log has so many leaves."""
    deadline = time.monotonic() + 2 * PATIENCE_SECONDS
    while (await checkpoint(anybody, service)).size < size:
        assert time.monotonic() < deadline
        issued = await asyncio.gather(*(bank.issue() for _ in range(10)))
        await asyncio.gather(*(bank.answer(one["id"], wrong("111111")) for one in issued))
