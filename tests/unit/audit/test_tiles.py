"""The tree in tiles, against the definitions of RFC 6962."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from sca_service.audit.log.tiles import (
    WIDTH,
    RightEdge,
    Span,
    TileId,
    consistency_spans,
    edge_tiles,
    inclusion_spans,
    root_over,
    tiles_of,
    width_at,
)
from sca_service.audit.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    ProofInvalid,
    check_consistency,
    leaf_hash,
    root_from_inclusion,
)
from tests.rfc6962 import Tree

MOST = 300
LEAVES = [b"leaf %d" % number for number in range(MOST)]
TREE = Tree(LEAVES)


def grown(size: int, *, at_once: int = 1_000_000) -> tuple[RightEdge, dict[TileId, bytes]]:
    """A tree of so many leaves, added in portions, and its tiles."""
    edge = RightEdge(0, [])
    tiles: dict[TileId, bytes] = {}
    hashes = [leaf_hash(b"leaf %d" % number) for number in range(size)]
    for at in range(0, size, at_once):
        tiles |= edge.append(hashes[at : at + at_once])
    return edge, tiles


@pytest.fixture(scope="module")
def tiles() -> dict[TileId, bytes]:
    """The tiles of the largest tree: those of each smaller one are in them."""
    return grown(MOST)[1]


def proof_of(spans: list[Span], tiles: dict[TileId, bytes]) -> list[bytes]:
    """The roots over these spans, from no other tiles than those that `tiles_of` names."""
    needed = {tile: tiles[tile] for tile in tiles_of(spans)}
    return [root_over(span, needed) for span in spans]


def test_the_root_is_that_of_the_definition() -> None:
    """Every size from the empty tree on, one leaf after another."""
    edge = RightEdge(0, [])
    assert edge.root() == EMPTY_ROOT == TREE.root(0)
    for size, leaf in enumerate(LEAVES, start=1):
        edge.append([leaf_hash(leaf)])
        assert edge.size == size
        assert edge.root() == TREE.root(size)


@pytest.mark.parametrize("at_once", [1, 7, 255, 256, 257, 1000])
def test_leaves_in_portions_make_the_same_tiles(at_once: int) -> None:
    """How many are added at a time changes nothing, up to the third level."""
    size = 66_000 if at_once > 7 else 1_500
    edge, tiles = grown(size, at_once=at_once)
    whole, wanted = grown(size)
    assert tiles == wanted
    assert edge == whole
    assert {tile: len(hashes) // HASH_BYTES for tile, hashes in tiles.items()} == {
        tile: width_at(tile, size) for tile in tiles
    }


def test_a_tile_holds_the_roots_that_the_specification_says() -> None:
    """Hash i of tile n of level l is MTH(D[(n * 256 + i) * 256**l : (n * 256 + i + 1) * 256**l])."""
    size = 70_000
    _, tiles = grown(size)
    assert {tile.level: tile for tile in tiles} == {
        0: TileId(0, 273),
        1: TileId(1, 1),
        2: TileId(2, 0),
    }
    assert [width_at(TileId(level, index), size) for level, index in ((0, 273), (1, 1), (2, 0))] == [
        112,
        17,
        1,
    ]
    for tile, place, start, end in (
        (TileId(0, 273), 111, 69_999, 70_000),
        (TileId(1, 1), 16, 272 * 256, 273 * 256),
        (TileId(2, 0), 0, 0, 65_536),
    ):
        wanted = Tree([b"leaf %d" % number for number in range(start, end)]).root()
        assert tiles[tile][place * HASH_BYTES : (place + 1) * HASH_BYTES] == wanted


def test_a_tree_goes_on_from_its_stored_edge() -> None:
    """What is loaded again is the edge that was left, for sizes around every change of form."""
    for size in (0, 1, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 65_792):
        edge, tiles = grown(size)
        loaded = RightEdge.of(size, {tile: tiles[tile] for tile in edge_tiles(size)})
        assert loaded.root() == edge.root()
        assert loaded.append([leaf_hash(b"more")]) == edge.append([leaf_hash(b"more")])
        assert loaded.root() == edge.root()


def test_the_edge_is_cut_from_wider_tiles() -> None:
    """A tile that has grown since still gives the edge of the older tree."""
    _, tiles = grown(MOST)
    for size in range(MOST + 1):
        assert RightEdge.of(size, tiles).root() == TREE.root(size)


def test_every_inclusion_proof_is_that_of_the_definition(tiles: dict[TileId, bytes]) -> None:
    """Every leaf of every tree up to the largest; each leads to the root (RFC 6962, section 2.1.1)."""
    for size in sizes():
        root = TREE.root(size)
        for index in range(size):
            proof = proof_of(inclusion_spans(index, size), tiles)
            assert root_from_inclusion(leaf_hash(LEAVES[index]), index, size, proof) == root
            if size in {1, 2, 3, 7, 8, 9, 255, 256, 257, MOST}:
                assert proof == TREE.path(index, 0, size)


def test_every_consistency_proof_is_that_of_the_definition(tiles: dict[TileId, bytes]) -> None:
    """Every pair of sizes up to the largest; each holds for both roots (RFC 6962, section 2.1.2)."""
    roots = [TREE.root(size) for size in range(MOST + 1)]
    for size in range(MOST + 1):
        for old_size in range(size + 1):
            proof = proof_of(consistency_spans(old_size, size), tiles)
            check_consistency(old_size, roots[old_size], size, roots[size], proof)
            if old_size and size in {1, 2, 3, 7, 8, 9, 255, 256, 257, MOST}:
                assert proof == TREE.proof(old_size, size)


def test_a_proof_against_another_root_is_refused(tiles: dict[TileId, bytes]) -> None:
    """The checks that the proofs above pass can fail."""
    proof = proof_of(consistency_spans(100, 200), tiles)
    with pytest.raises(ProofInvalid):
        check_consistency(100, TREE.root(99), 200, TREE.root(200), proof)
    proof = proof_of(inclusion_spans(5, 200), tiles)
    assert root_from_inclusion(leaf_hash(LEAVES[6]), 5, 200, proof) != TREE.root(200)


def test_proofs_need_no_tile_below_the_minimum_index() -> None:
    """Leaves and trees from a minimum index on are proved without the level-0 tiles before it."""
    size, first = 66_000, 512
    _, tiles = grown(size)
    kept = {tile: hashes for tile, hashes in tiles.items() if tile.level or tile.index >= first // WIDTH}
    for index in (512, 513, 1_000, 65_535, 65_536, size - 1):
        proof_of(inclusion_spans(index, size), kept)
    for old_size in (512, 513, 767, 768, 40_000, 65_536, size - 1):
        proof_of(consistency_spans(old_size, size), kept)
    with pytest.raises(KeyError):
        proof_of(inclusion_spans(511, size), kept)


def test_a_tile_that_is_too_narrow_is_no_answer() -> None:
    """A hash that is not there yet is an error, not a shorter proof."""
    _, tiles = grown(10)
    with pytest.raises(LookupError):
        root_over(Span(8, 16), tiles)


def test_widths_end_with_the_tree() -> None:
    """A tile has no hashes beyond the tree, and never more than a full one."""
    assert [width_at(TileId(0, 1), size) for size in (0, 256, 257, 511, 512, 9_999)] == [
        0,
        0,
        1,
        255,
        256,
        256,
    ]
    assert width_at(TileId(1, 0), 255) == 0
    assert width_at(TileId(63, 0), 2**62) == 0


def sizes() -> Iterator[int]:
    """Every size up to 130, then those around full tiles: all pairs beyond are walked by the consistency proofs."""
    yield from range(1, 131)
    yield from range(250, MOST + 1)


def test_the_sizes_cover_the_change_of_tiles() -> None:
    """The inclusion proofs above are made on both sides of a full tile."""
    walked = list(sizes())
    assert {255, 256, 257, MOST} <= set(walked)
    assert all(before < after for before, after in pairwise(walked))
