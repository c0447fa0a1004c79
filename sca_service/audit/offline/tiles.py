"""Where a tiled log keeps what (C2SP tlog-tiles): paths of hash tiles and entry bundles, and how bundles are read."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sca_service.audit.merkle import HASH_BYTES, root_of

TILE_WIDTH = 256
"""A full tile has so many hashes; a full bundle so many entries."""

MOST_TILE_BYTES = TILE_WIDTH * HASH_BYTES
MOST_BUNDLE_BYTES = TILE_WIDTH * (2 + 0xFFFF)


@dataclass(frozen=True, slots=True)
class Place:
    """A tile at a level, or with level None an entry bundle; `width` is what a tree of some size needs of it."""

    level: int | None
    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """Such as `tile/0/x001/067`, `tile/entries/000.p/12`."""
        digits = f"{self.index:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        place = "/".join([f"x{group}" for group in groups[:-1]] + groups[-1:])
        level = "entries" if self.level is None else str(self.level)
        return f"tile/{level}/{place}" + (f".p/{self.width}" if self.width < TILE_WIDTH else "")

    @property
    def full(self) -> "Place":
        """The same, once it is full."""
        return Place(self.level, self.index)

    @property
    def first_leaf(self) -> int:
        """The index of the first leaf below it."""
        return self.index * leaves_below((self.level or 0) + 1)

    @property
    def end(self) -> int:
        """The end index that pruning goes by: one more than the last leaf of the full tile."""
        return (self.index + 1) * leaves_below((self.level or 0) + 1)

    @property
    def most_bytes(self) -> int:
        """It cannot be larger."""
        return MOST_BUNDLE_BYTES if self.level is None else self.width * HASH_BYTES


def leaves_below(level: int) -> int:
    """How many leaves one hash at this level stands for."""
    return 1 << (8 * level)


def partial_tiles(size: int) -> Iterator[Place]:
    """The tiles of a tree of this size that are not full: level 0 first."""
    level = 0
    while size >> (8 * level):
        count = size >> (8 * level)
        if count % TILE_WIDTH:
            yield Place(level, count // TILE_WIDTH, count % TILE_WIDTH)
        level += 1


def split_tile(content: bytes) -> list[bytes]:
    """The hashes of a tile."""
    return [content[at : at + HASH_BYTES] for at in range(0, len(content), HASH_BYTES)]


def split_bundle(bundle: bytes, width: int) -> tuple[list[bytes], int]:
    """The first `width` entries of a bundle, fewer when it breaks off, and how many bytes are left over."""
    entries: list[bytes] = []
    at = 0
    while len(entries) < width:
        end = at + 2 + int.from_bytes(bundle[at : at + 2])
        if at + 2 > len(bundle) or end > len(bundle):
            break
        entries.append(bundle[at + 2 : end])
        at = end
    return entries, len(bundle) - at


class Edge:
    """The right edge of a tree that grows: at each level the hashes of the tile that is not full.

    A class because it holds them; it is all that is needed of a tree to go on with it.
    """

    def __init__(self) -> None:
        self._levels: list[list[bytes]] = []
        self._counts: list[int] = []

    @classmethod
    def resume(cls, size: int, tiles: Iterable[tuple[Place, list[bytes]]]) -> "Edge":
        """The edge of a tree of this size, from its tiles that are not full."""
        edge = cls()
        level = 0
        while size >> (8 * level):
            edge._levels.append([])
            edge._counts.append((size >> (8 * level)) // TILE_WIDTH)
            level += 1
        for place, hashes in tiles:
            edge._levels[place.level or 0] = list(hashes)
        return edge

    @property
    def size(self) -> int:
        """How many leaves the tree has."""
        return self._counts[0] * TILE_WIDTH + len(self._levels[0]) if self._levels else 0

    def add(self, hashes: list[bytes], level: int = 0) -> Iterator[tuple[Place, list[bytes]]]:
        """Add hashes at a level, at most what its tile still takes; gives each tile that is full with that."""
        self._grow(level)
        self._levels[level] += hashes
        if len(self._levels[level]) < TILE_WIDTH:
            return
        tile, self._levels[level] = self._levels[level], []
        place = Place(level, self._counts[level])
        self._counts[level] += 1
        yield place, tile
        yield from self.add([root_of(tile)], level + 1)

    def skip(self, digest: bytes, level: int) -> Iterator[tuple[Place, list[bytes]]]:
        """Go on past one hash at a level without what is below it; the tree must end where that begins."""
        self._grow(level)
        for below in range(level):
            self._counts[below] += leaves_below(level - 1 - below)
        yield from self.add([digest], level)

    def partial(self) -> Iterator[tuple[Place, list[bytes]]]:
        """The tiles that are not full."""
        for level, hashes in enumerate(self._levels):
            if hashes:
                yield Place(level, self._counts[level], len(hashes)), hashes

    def root(self, more: list[bytes] | None = None) -> bytes:
        """The root of the tree, with so many more leaf hashes (that fit into its tile)."""
        carried: bytes | None = None
        for level, hashes in enumerate(self._levels or [[]]):
            row = [*hashes, *((more or []) if level == 0 else []), *([carried] if carried else [])]
            carried = root_of(row) if row else None
        return carried or root_of([])

    def _grow(self, level: int) -> None:
        while len(self._levels) <= level:
            self._levels.append([])
            self._counts.append(0)
