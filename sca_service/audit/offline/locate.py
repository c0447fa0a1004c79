"""Which leaf is wrong: from a root that can be trusted down through the stored tiles, as far as they lead."""

from collections.abc import Mapping
from dataclasses import dataclass

from sca_service.audit.merkle import root_of
from sca_service.audit.offline.source import Source, read_tile
from sca_service.audit.offline.tiles import TILE_WIDTH, Place, leaves_below, partial_tiles


@dataclass(frozen=True, slots=True)
class Stored:
    """The hash tiles of a log of some size, each as wide as that size makes it."""

    source: Source
    size: int

    def tile(self, level: int, index: int, width: int = TILE_WIDTH) -> list[bytes] | None:
        """The first `width` hashes of a tile; None when it is not there."""
        whole = min(TILE_WIDTH, (self.size >> (8 * level)) - index * TILE_WIDTH)
        hashes = read_tile(self.source, Place(level, index, whole)) if whole >= width else None
        return None if hashes is None else hashes[:width]


def locate(
    stored: Stored, *, size: int, root: bytes, differing: Mapping[tuple[int, int], bytes]
) -> tuple[int, int] | None:
    """The first leaf that is not the one `root` was made for: itself, or the first and last among which it is.

    A stored hash is what the root was made for when hashing leads from it to the root. Where such a hash is not the
    recomputed one, a leaf below it is wrong. None when the stored tiles do not lead to this root, or nothing differs.
    """
    edge: list[tuple[Place, list[bytes]]] = []
    carried: list[bytes] = []
    for place in partial_tiles(size):
        tile = stored.tile(place.level or 0, place.index, place.width)
        if tile is None:
            return None
        edge.append((place, tile))
        carried = [root_of([*tile, *carried])]
    if carried != [root]:
        return None
    for place, tile in reversed(edge):  # the highest tile has the first leaves below it
        level, first = place.level or 0, place.index * TILE_WIDTH
        for index, above in enumerate(tile, first):
            if (level, index) in differing:
                return _descend(stored, level, index, above, differing)
    return None


def _descend(
    stored: Stored, level: int, index: int, above: bytes, differing: Mapping[tuple[int, int], bytes]
) -> tuple[int, int]:
    """The first wrong leaf below a stored hash that is right and is not the recomputed one."""
    while level:
        tile = stored.tile(level - 1, index)
        if tile is None or root_of(tile) != above:
            break
        first = index * TILE_WIDTH
        wrong = next((at for at in range(TILE_WIDTH) if (level - 1, first + at) in differing), None)
        if wrong is None:
            break
        level, index, above = level - 1, first + wrong, tile[wrong]
    return index * leaves_below(level), (index + 1) * leaves_below(level) - 1
