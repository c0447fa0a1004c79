"""Software that others wrote opens our checkpoints, verifies our proofs and reads our tiles: golang.org/x/mod/sumdb."""

import asyncio
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sca_service.audit.log.checkpoint import Checkpoint
from sca_service.audit.log.note import NoteSigner, sign
from sca_service.audit.log.proof import TlogProof
from sca_service.audit.log.tiles import (
    WIDTH,
    RightEdge,
    TileId,
    consistency_spans,
    inclusion_spans,
    root_over,
    width_at,
)
from sca_service.audit.merkle import EMPTY_ROOT, HASH_BYTES, leaf_hash
from sca_service.log_keys import log_signers
from sca_service.settings import read_settings
from tests.harness import PATIENCE_SECONDS, Bank, Deployment
from tests.peers.go_tlog import GoVerifier, running_go_verifier

ORIGIN = "sca.example/log"
SIGNER = NoteSigner(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
NEWER = NoteSigner(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64))))


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoVerifier]:
    """The verifier in Go."""
    with running_go_verifier(tmp_path_factory.mktemp("go")) as verifier:
        yield verifier


@dataclass
class Tree:
    """A log made by the code of the service, without its stores."""

    edge: RightEdge = field(default_factory=lambda: RightEdge(0, []))
    tiles: dict[TileId, bytes] = field(default_factory=dict)
    leaves: list[bytes] = field(default_factory=list)
    roots: dict[int, bytes] = field(default_factory=lambda: {0: EMPTY_ROOT})

    def grow(self, count: int) -> None:
        """Add leaves, as one round of the sequencer does."""
        new = [b'{"n":%d,"salt":"%s"}' % (n, secrets.token_hex(4).encode()) for n in range(count)]
        self.leaves += new
        self.tiles |= self.edge.append([leaf_hash(leaf) for leaf in new])
        self.roots[self.edge.size] = self.edge.root()

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The proof of a leaf."""
        return [root_over(span, self.tiles) for span in inclusion_spans(index, size)]

    def consistency(self, old_size: int, size: int) -> list[bytes]:
        """The proof that a tree adds to an older one."""
        return [root_over(span, self.tiles) for span in consistency_spans(old_size, size)]

    def write(self, folder: Path) -> None:
        """Put the tiles and bundles of the tree into a folder, as they are served (C2SP tlog-tiles)."""
        size = self.edge.size
        for tile, hashes in self.tiles.items():
            width = width_at(tile, size)
            _put(folder / f"tile/{tile.level}" / _name(tile.index, width), hashes[: width * HASH_BYTES])
            if tile.level == 0:
                entries = self.leaves[tile.index * WIDTH : tile.index * WIDTH + width]
                bundle = b"".join(len(entry).to_bytes(2) + entry for entry in entries)
                _put(folder / "tile/entries" / _name(tile.index, width), bundle)


def _name(index: int, width: int) -> str:
    groups = f"{index:0{(len(str(index)) + 2) // 3 * 3}d}"
    parts = [groups[at : at + 3] for at in range(0, len(groups), 3)]
    path = "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]])
    return path if width == WIDTH else f"{path}.p/{width}"


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def grown(*counts: int) -> Tree:
    """A tree that grew in rounds of so many leaves."""
    tree = Tree()
    for count in counts:
        tree.grow(count)
    return tree


def changed(hashes: Sequence[bytes], at: int) -> list[bytes]:
    """The same hashes with one bit of one of them turned."""
    return [bytes((one[0] ^ 1, *one[1:])) if number == at else one for number, one in enumerate(hashes)]


def test_go_opens_our_checkpoints(go: GoVerifier) -> None:
    """With the verifier key that we print, also while a key is rotated; and not with another."""
    root = leaf_hash(b"{}")
    note = sign(Checkpoint(ORIGIN, 1, root).text, [NEWER, SIGNER])
    for keys in ([SIGNER.verifier_key], [NEWER.verifier_key], [SIGNER.verifier_key, NEWER.verifier_key]):
        opened = go.opens(note, *keys)
        assert opened == {"ok": True, "origin": ORIGIN, "size": 1, "root": root}
    assert not go.opens(note.replace("\n1\n", "\n2\n"), SIGNER.verifier_key)["ok"]
    stranger = NoteSigner(ORIGIN, Ed25519PrivateKey.generate())
    assert not go.opens(note, stranger.verifier_key)["ok"]


def test_go_opens_the_checkpoint_of_an_empty_log(go: GoVerifier) -> None:
    """Size zero, and the hash of nothing."""
    note = sign(Checkpoint(ORIGIN, 0, EMPTY_ROOT).text, [SIGNER])
    assert go.opens(note, SIGNER.verifier_key) == {
        "ok": True,
        "origin": ORIGIN,
        "size": 0,
        "root": EMPTY_ROOT,
    }


def test_go_verifies_every_inclusion_proof(go: GoVerifier) -> None:
    """Of every leaf in every tree up to 40 leaves, and around the sizes at which tiles fill."""
    tree = grown(*[1] * 40)
    places = [(index, size) for size in range(1, 41) for index in range(size)]
    for index, size in places:
        proof = tree.inclusion(index, size)
        assert go.has_record(tree.leaves[index], index, size, tree.roots[size], proof)
    tree = grown(255, 1, 1, 255, 1, 87)
    for size in (255, 256, 257, 512, 513, 600):
        for index in {0, 1, 254, 255, 256, 511, 512, size - 1}:
            if index < size:
                proof = tree.inclusion(index, size)
                assert go.has_record(tree.leaves[index], index, size, tree.roots[size], proof)


def test_go_verifies_every_consistency_proof(go: GoVerifier) -> None:
    """Between any two trees up to 40 leaves, and around the sizes at which tiles fill."""
    tree = grown(*[1] * 40)
    for size in range(1, 41):
        for old_size in range(1, size + 1):
            proof = tree.consistency(old_size, size)
            assert go.adds_only(old_size, tree.roots[old_size], size, tree.roots[size], proof)
    tree = grown(255, 1, 1, 255, 1, 87)
    for size in tree.roots:
        for old_size in tree.roots:
            if 0 < old_size <= size:
                proof = tree.consistency(old_size, size)
                assert go.adds_only(old_size, tree.roots[old_size], size, tree.roots[size], proof)


def test_go_refuses_what_was_changed(go: GoVerifier) -> None:
    """Any hash of a proof, the leaf, the index or a root: or this verifier would prove nothing."""
    tree = grown(5, 8)
    proof, root = tree.inclusion(4, 13), tree.roots[13]
    assert go.has_record(tree.leaves[4], 4, 13, root, proof)
    for at in range(len(proof)):
        assert not go.has_record(tree.leaves[4], 4, 13, root, changed(proof, at))
    assert not go.has_record(tree.leaves[5], 4, 13, root, proof)
    assert not go.has_record(tree.leaves[4], 5, 13, root, proof)
    assert not go.has_record(tree.leaves[4], 4, 13, root, proof[:-1])
    assert not go.has_record(tree.leaves[4], 4, 13, tree.roots[5], proof)
    proof = tree.consistency(5, 13)
    for at in range(len(proof)):
        assert not go.adds_only(5, tree.roots[5], 13, root, changed(proof, at))
    assert not go.adds_only(5, root, 13, root, proof)


@pytest.mark.parametrize("counts", [(1,), (255,), (256,), (257,), (3, 509, 188), (60_000, 5_536, 4_464)])
def test_go_reads_our_tiles(go: GoVerifier, tmp_path: Path, counts: tuple[int, ...]) -> None:
    """It reaches the root, the older tree and the entries from tiles and bundles alone, also with three levels."""
    tree = grown(*counts)
    tree.write(tmp_path)
    size, old_size = tree.edge.size, counts[0]
    indexes = sorted({0, size // 3, size // 2, size - 1})
    found = go.reads(tmp_path, size, tree.edge.root(), indexes=indexes, old=(old_size, tree.roots[old_size]))
    assert found == [tree.leaves[index] for index in indexes]


def test_go_finds_a_changed_tile_and_a_changed_entry(go: GoVerifier, tmp_path: Path) -> None:
    """One bit is enough."""
    tree = grown(300)
    tree.write(tmp_path)
    assert go.reads(tmp_path, 300, tree.edge.root(), indexes=[299]) == [tree.leaves[299]]
    for path in ("tile/0/001.p/44", "tile/entries/001.p/44"):
        content = (tmp_path / path).read_bytes()
        (tmp_path / path).write_bytes(content[:-1] + bytes((content[-1] ^ 1,)))
        assert isinstance(go.reads(tmp_path, 300, tree.edge.root(), indexes=[299]), str)
        (tmp_path / path).write_bytes(content)


async def checkpoint_of(
    go: GoVerifier, bank: Bank, keys: Sequence[str], *, least_size: int
) -> dict[str, Any]:
    """The service's checkpoint, once it has so many leaves, as Go reads it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        response = await bank.http.get("/log/checkpoint")
        if response.status_code == 200:
            opened = go.opens(response.text, *keys)
            assert opened["ok"], opened
            if opened["size"] >= least_size:
                return opened
        await asyncio.sleep(0.05)
    raise AssertionError("the log did not come so far")


async def test_go_verifies_the_running_service(go: GoVerifier, service: Deployment) -> None:
    """Over HTTP, with nothing but the verifier key: checkpoints, tiles, entries, and the proof of one event."""
    keys = [signer.verifier_key for signer in log_signers(read_settings(service.config(service.api.port)))]
    async with service.bank() as bank, service.bank(client="auditor") as auditor:
        older = await checkpoint_of(go, bank, keys, least_size=0)
        challenge = await bank.issue()
        await bank.settled(challenge["id"])
        newer = await checkpoint_of(go, bank, keys, least_size=older["size"] + 2)
        size, root = newer["size"], newer["root"]
        url = f"{service.api.url}/log"
        old = (older["size"], older["root"]) if older["size"] else (0, b"")
        entries = await asyncio.to_thread(go.reads, url, size, root, indexes=range(size), old=old)
        assert isinstance(entries, list), entries
        mine = [index for index, entry in enumerate(entries) if challenge["id"].encode() in entry]
        assert mine
        response = await auditor.http.get(f"/v1/audit/events/{mine[0]}/proof")
        proof = TlogProof.parse(response.text)
    opened = go.opens(proof.note, *keys)
    assert proof.index == mine[0]
    assert go.has_record(entries[mine[0]], mine[0], opened["size"], opened["root"], proof.hashes)
