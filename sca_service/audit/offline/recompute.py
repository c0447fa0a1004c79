"""One pass over the log, a bundle at a time: every hash anew, and where the stored ones differ."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sca_service.audit.merkle import HASH_BYTES, leaf_hash, root_of
from sca_service.audit.offline.findings import Finding, Kind, Refused, Report
from sca_service.audit.offline.leaf import SeenIds, read_leaf
from sca_service.audit.offline.source import Source, Stretch, read_bundle, read_tile, stretches
from sca_service.audit.offline.tiles import TILE_WIDTH, Edge, Place, leaves_below

Progress = Callable[[int, int], None]
"""Told how many leaves of how many have been looked at."""

PRUNED = "log.pruned"
"""The type of the leaf that says that entries before its `first_index` were taken out."""

_NO_HASH = bytes(HASH_BYTES)
"""Stands for a leaf that cannot be read."""

_MOST_DIFFERING = 4096


@dataclass(slots=True)
class Outcome:
    """What the pass came to."""

    roots: dict[int, bytes] = field(default_factory=dict)
    """The root of the tree at each size that was asked for, where it could be computed."""

    end: int = 0
    """How many leaves it got past."""

    differing: dict[tuple[int, int], bytes] = field(default_factory=dict)
    """The recomputed hash wherever a stored one differs, by level and index; the first thousands."""

    unlike_copy: tuple[int, int] | None = None
    """The first leaf that is another one in the auditor's copy: itself, or the first and last among which it is."""


class HashesAbove:
    """The hashes that stand in higher tiles for bundles that are gone. A class because it holds the last tile read."""

    def __init__(self, source: Source, size: int) -> None:
        self._source = source
        self._size = size
        self._last: tuple[Place, list[bytes] | None] | None = None

    def hash_of(self, bundle: Place) -> tuple[bytes, int] | None:
        """The lowest hash over leaves from this bundle's first on, and its level; None when there is none."""
        level = 1
        while bundle.first_leaf % leaves_below(level) == 0:
            index = bundle.first_leaf // leaves_below(level)
            width = min(TILE_WIDTH, (self._size >> (8 * level)) - index // TILE_WIDTH * TILE_WIDTH)
            if width <= index % TILE_WIDTH:
                return None
            tile = self._read(Place(level, index // TILE_WIDTH, width))
            if tile is not None:
                return tile[index % TILE_WIDTH], level
            level += 1
        return None

    def _read(self, place: Place) -> list[bytes] | None:
        if self._last is None or self._last[0] != place:
            self._last = place, read_tile(self._source, place)
        return self._last[1]


class Recomputation:
    """Reads a log and recomputes it. A class because it holds the tree's edge and what was found up to there."""

    def __init__(
        self,
        source: Source,
        *,
        size: int,
        roots_at: Sequence[int],
        pruned_below: int,
        report: Report,
        copy: tuple[Source, int] | None = None,
    ) -> None:
        self._source = source
        self._size = size
        self._roots_at = sorted(set(roots_at))
        self._pruned_below = pruned_below
        self._report = report
        self._copy = copy
        self._edge = Edge()
        self._outcome = Outcome()
        self._gaps: list[tuple[int, int]] = []
        self._pruned: tuple[int, int] | None = None
        self._pruned_on_record = 0
        self._above = HashesAbove(source, size)

    def run(self, progress: Progress) -> Outcome:
        """Read everything. What is wrong with single leaves and files goes to the report."""
        self._note_roots([])
        with SeenIds() as ids:
            for stretch in stretches(self._source, start=0, size=self._size):
                if stretch.place.first_leaf >= self._edge.size and not self._take(stretch, ids):
                    break
                progress(self._edge.size, self._size)
            for index, earlier in ids.doubled():
                what = f"leaf {index} has the id of leaf {earlier}"
                self._report.add(Finding(Kind.LEAF, what, index, index))
        self._outcome.end = self._edge.size
        if self._outcome.end == self._size:
            for place, hashes in self._edge.partial():
                self._compare(place, hashes)
        self._tell_gaps()
        return self._outcome

    def _take(self, stretch: Stretch, ids: SeenIds) -> bool:
        """Go on by one bundle; False when nothing is there to go on with."""
        hashes = self._hashes(stretch, ids)
        if hashes is None:
            return self._skip(stretch.place)
        self._compare_with_copy(stretch.place, hashes)
        self._add(hashes)
        return True

    def _add(self, hashes: list[bytes]) -> None:
        self._note_roots(hashes)
        for place, tile in self._edge.add(hashes):
            self._compare(place, tile)

    def _hashes(self, stretch: Stretch, ids: SeenIds) -> list[bytes] | None:
        """The hashes of a bundle's leaves: recomputed, or the stored ones where there is no bundle."""
        place = stretch.place
        if stretch.entries is None:
            if stretch.stored is not None:
                self._note_gap(place, place.width)
                self._report.leaves_taken_as_given += place.width
            return stretch.stored
        if len(stretch.entries) < place.width or stretch.left_over:
            self._tell_framing(stretch)
        hashes = [leaf_hash(entry) for entry in stretch.entries]
        for index, entry in enumerate(stretch.entries, place.first_leaf):
            try:
                members = read_leaf(entry)
                ids.add(members["id"], index)
                self._note_pruning(members, index)
            except Refused as refusal:
                self._report.add(Finding(Kind.LEAF, f"leaf {index} {refusal}", index, index, place.path))
        self._report.leaves_read += len(hashes)
        hashes += [_NO_HASH] * (place.width - len(hashes))
        if stretch.stored is not None:
            self._note_differing(Place(0, place.index), hashes, stretch.stored)
        elif not self._is_pruned(place):
            self._tell_missing_tile(Place(0, place.index, place.width))
        return hashes

    def _tell_framing(self, stretch: Stretch) -> None:
        place, found = stretch.place, len(stretch.entries or ())
        if found < place.width:
            what = f"{place.path} breaks off: it has {found} of {place.width} entries"
            index = place.first_leaf + found
            self._report.add(Finding(Kind.BUNDLE, what, index, index, place.path))
        else:
            what = f"{place.path} has {stretch.left_over} bytes after its last entry"
            self._report.add(Finding(Kind.BUNDLE, what, path=place.path))

    def _skip(self, place: Place) -> bool:
        """Go on past what is not there, by the hash that a tile further up has of it."""
        found = self._above.hash_of(place)
        if found is None:
            return False
        digest, level = found
        self._note_gap(place, leaves_below(level))
        kept = self._kept(place, digest) if level == 1 else None
        if kept is not None:
            self._report.leaves_in_copy += len(kept)
            self._add(kept)
            return True
        self._report.leaves_taken_as_given += leaves_below(level)
        for full, hashes in self._edge.skip(digest, level):
            self._compare(full, hashes)
        self._note_roots([])
        return True

    def _kept(self, place: Place, above: bytes) -> list[bytes] | None:
        """The hashes of leaves that are not there, from a copy that has them all and where they lead to the one given.

        Nothing of the copy has to be believed for that. Where they lead elsewhere, the copy or the log is wrong.
        """
        if self._copy is None or self._copy[1] < place.end:
            return None
        kept = list(_hashes_in(self._copy[0], place))
        for hashes in kept:
            if root_of(hashes) == above:
                return hashes
        if kept and self._outcome.unlike_copy is None:
            self._outcome.unlike_copy = place.first_leaf, place.end - 1
        return None

    def _compare(self, place: Place, hashes: list[bytes]) -> None:
        """Compare a tile above the leaves' with the stored one."""
        if place.level == 0:
            return
        stored = read_tile(self._source, place)
        if stored is not None:
            self._note_differing(place, hashes, stored)
        elif not self._is_pruned(place):
            self._tell_missing_tile(place)

    def _note_differing(self, place: Place, hashes: list[bytes], stored: list[bytes]) -> None:
        if hashes == stored or len(self._outcome.differing) >= _MOST_DIFFERING * ((place.level or 0) + 1):
            return
        first = place.index * TILE_WIDTH
        for at, (recomputed, found) in enumerate(zip(hashes, stored, strict=True)):
            if recomputed != found:
                self._outcome.differing[place.level or 0, first + at] = recomputed

    def _compare_with_copy(self, place: Place, hashes: list[bytes]) -> None:
        if self._copy is None or self._outcome.unlike_copy is not None:
            return
        copy, size = self._copy
        width = min(TILE_WIDTH, size - place.first_leaf)
        kept = read_tile(copy, Place(0, place.index, width)) if width > 0 else None
        for at, (here, there) in enumerate(zip(hashes, kept or (), strict=False)):
            if here != there:
                self._outcome.unlike_copy = place.first_leaf + at, place.first_leaf + at
                return

    def _note_roots(self, more: list[bytes]) -> None:
        """Keep the roots that were asked for at sizes up to the end of these hashes."""
        size = self._edge.size
        while self._roots_at and self._roots_at[0] <= size + len(more):
            wanted = self._roots_at.pop(0)
            if wanted >= size:
                self._outcome.roots[wanted] = self._edge.root(more[: wanted - size])

    def _is_pruned(self, place: Place) -> bool:
        return place.end <= self._pruned_below

    def _note_pruning(self, members: dict[str, Any], index: int) -> None:
        """Keep up to where the log says that it was pruned; only what was there before can have been."""
        first_index = members.get("first_index")
        if members["type"] == PRUNED and type(first_index) is int and first_index <= index:
            self._pruned_on_record = max(self._pruned_on_record, first_index)

    def _note_gap(self, place: Place, leaves: int) -> None:
        first, end = place.first_leaf, place.first_leaf + leaves
        if end <= self._pruned_below:
            self._pruned = (self._pruned[0] if self._pruned else first), end
            return
        if self._gaps and self._gaps[-1][1] == first:
            first = self._gaps.pop()[0]
        self._gaps.append((first, end))

    def _tell_gaps(self) -> None:
        if self._pruned is not None and self._pruned[1] > self._pruned_on_record:
            first, end = self._pruned
            what = f"entries of leaves {first} to {end - 1} are not there, and no {PRUNED} says that they were pruned"
            self._report.add(Finding(Kind.MISSING, what, first, end - 1))
        for first, end in self._gaps:
            what = f"the entries of leaves {first} to {end - 1} are not there"
            if first <= self._pruned_below and end <= self._pruned_on_record:
                what += f"; the log says that it pruned them. If it may have, say so: --pruned-below {end}"
            self._report.add(
                Finding(Kind.MISSING, what, first, end - 1, Place(None, first // TILE_WIDTH).path)
            )
        if self._outcome.end < self._size:
            end = self._outcome.end
            what = (
                f"a tail is missing: nothing is there from leaf {end} on, and the checkpoint has {self._size}"
            )
            self._report.add(Finding(Kind.MISSING, what, end, self._size - 1))

    def _tell_missing_tile(self, place: Place) -> None:
        what = f"{place.path} is not there, or not as long as it must be"
        self._report.add(Finding(Kind.TILE, what, path=place.path))


def _hashes_in(copy: Source, place: Place) -> Iterator[list[bytes]]:
    """The hashes of a whole bundle's leaves as a copy has them: stored, and those of its entries."""
    stored = read_tile(copy, Place(0, place.index))
    if stored is not None:
        yield stored
    entries, _ = read_bundle(copy, place) or ([], 0)
    if len(entries) == TILE_WIDTH:
        yield [leaf_hash(entry) for entry in entries]
