"""The tree in tiles (C2SP tlog-tiles): how it grows at its right edge, and which tiles a proof is made of. Pure.

A tile of level L and index N holds up to 256 hashes: the roots of the full subtrees of 256**L leaves each, from number
N * 256 on. Level 0 has the hashes of leaves. A tile that is not full yet is the beginning of the full one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

from sca_service.audit.merkle import HASH_BYTES, node_hash, root_of

WIDTH = 256
"""How many hashes a full tile has, and how many entries a full bundle."""
MOST_LEVEL = 63

_BITS = WIDTH.bit_length() - 1


@dataclass(frozen=True, slots=True)
class TileId:
    """Where a tile stands: its level, and its index within the level."""

    level: int
    index: int


Tiles = Mapping[TileId, bytes]


class Span(NamedTuple):
    """The leaves `start` to `end` (exclusive), whose common root is part of a proof.

    Starts at a multiple of the smallest power of two that is not less than its length.
    """

    start: int
    end: int


@dataclass(slots=True)
class RightEdge:
    """What has to be known of a tree for more leaves to be added: its size, and the hashes of its partial tiles."""

    size: int
    partial: list[bytes]

    @classmethod
    def of(cls, size: int, tiles: Tiles) -> "RightEdge":
        """The edge of a tree of this size. Raises KeyError when a tile of `edge_tiles(size)` is missing."""
        partial = []
        for level in _levels(size):
            width = (size >> _BITS * level) % WIDTH
            whole = tiles[TileId(level, size >> _BITS * (level + 1))] if width else b""
            partial.append(whole[: width * HASH_BYTES])
        return cls(size, partial)

    def append(self, hashes: Sequence[bytes]) -> dict[TileId, bytes]:
        """Add leaves by their hashes. Returns each tile that grew, in its widest form."""
        grown: dict[TileId, bytes] = {}
        adding = hashes
        for level in count():
            if not adding:
                break
            adding = self._append_at(level, adding, grown)
        self.size += len(hashes)
        return grown

    def root(self) -> bytes:
        """The root of the tree."""
        rest: list[bytes] = []
        for hashes in self.partial:
            row = _split(hashes) + rest
            rest = [root_of(row)] if row else []
        return rest[0] if rest else root_of(())

    def _append_at(self, level: int, adding: Sequence[bytes], grown: dict[TileId, bytes]) -> list[bytes]:
        """Add hashes to one level. Returns the roots of the tiles that became full: they go up a level."""
        if level == len(self.partial):
            self.partial.append(b"")
        index = self.size >> _BITS * (level + 1)
        row = self.partial[level] + b"".join(adding)
        tile_bytes = WIDTH * HASH_BYTES
        full = []
        for at in range(0, len(row), tile_bytes):
            tile = row[at : at + tile_bytes]
            grown[TileId(level, index + at // tile_bytes)] = tile
            if len(tile) == tile_bytes:
                full.append(root_of(_split(tile)))
        self.partial[level] = row[len(row) // tile_bytes * tile_bytes :]
        return full


def edge_tiles(size: int) -> list[TileId]:
    """The partial tiles of a tree of this size, those of no width left out."""
    return [
        TileId(level, size >> _BITS * (level + 1))
        for level in _levels(size)
        if (size >> _BITS * level) % WIDTH
    ]


def width_at(tile: TileId, size: int) -> int:
    """How many hashes a tile has in a tree of this size, 0 to 256."""
    return max(0, min(WIDTH, (size >> _BITS * tile.level) - tile.index * WIDTH))


def inclusion_spans(index: int, size: int) -> list[Span]:
    """The subtrees whose roots prove that a leaf is in the tree, from the leaf upwards (RFC 6962, section 2.1.1)."""
    start, end, path = 0, size, []
    while end - start > 1:
        middle = start + _split_at(end - start)
        if index < middle:
            path.append(Span(middle, end))
            end = middle
        else:
            path.append(Span(start, middle))
            start = middle
    return path[::-1]


def consistency_spans(old_size: int, size: int) -> list[Span]:
    """The subtrees whose roots prove that a tree only adds to an older one (RFC 6962, section 2.1.2)."""
    if old_size in (0, size):
        return []
    start, end, path = 0, size, []
    while end != old_size:
        middle = start + _split_at(end - start)
        if old_size <= middle:
            path.append(Span(middle, end))
            end = middle
        else:
            path.append(Span(start, middle))
            start = middle
    if start:  # or the old tree is a full subtree, whose root the reader has
        path.append(Span(start, end))
    return path[::-1]


def tiles_of(spans: Iterable[Span]) -> set[TileId]:
    """The tiles from which the roots of these spans are computed."""
    return {_tile_of(*subtree) for span in spans for subtree in _full_subtrees(span)}


def root_over(span: Span, tiles: Tiles) -> bytes:
    """The root over a span. Raises LookupError when a tile of `tiles_of` is missing or too narrow."""
    reached: bytes | None = None
    for start, height in reversed(_full_subtrees(span)):
        left = _full_root(start, height, tiles)
        reached = left if reached is None else node_hash(left, reached)
    return root_of(()) if reached is None else reached


def _full_root(start: int, height: int, tiles: Tiles) -> bytes:
    """The root of a full subtree of 2**height leaves."""
    level, inner = divmod(height, _BITS)
    first = (start >> _BITS * level) % WIDTH
    wanted = tiles[_tile_of(start, height)][first * HASH_BYTES : (first + (1 << inner)) * HASH_BYTES]
    if len(wanted) != HASH_BYTES << inner:
        raise LookupError("a tile is narrower than the tree needs")
    return root_of(_split(wanted))


def _tile_of(start: int, height: int) -> TileId:
    """The tile that holds a full subtree as a hash, or as a row of hashes beside each other."""
    level = height // _BITS
    return TileId(level, start >> _BITS * (level + 1))


def _full_subtrees(span: Span) -> list[tuple[int, int]]:
    """The full subtrees that a span is made of, the widest first: where each starts, and its height."""
    start, found = span.start, []
    while start < span.end:
        height = (span.end - start).bit_length() - 1
        found.append((start, height))
        start += 1 << height
    return found


def _levels(size: int) -> range:
    return range((size.bit_length() + _BITS - 1) // _BITS)


def _split_at(size: int) -> int:
    """The largest power of two less than `size`: how many leaves the left subtree has."""
    return 1 << (size - 1).bit_length() - 1


def _split(hashes: bytes) -> list[bytes]:
    return [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
