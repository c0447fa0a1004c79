"""Keep a copy of a log: only what adds to the copy is taken, and the copy is whole after a crash at any point.

New files are gathered in a folder of their own. Once they are known to lead from the copy's checkpoint to the log's
they are moved to their places, which no file of the older tree has, and the checkpoint last.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sca_service.audit.merkle import leaf_hash
from sca_service.audit.offline.findings import Refused
from sca_service.audit.offline.note import Checkpoint, VerifierKey
from sca_service.audit.offline.recompute import HashesAbove, Progress
from sca_service.audit.offline.source import Folder, Source, Stretch, read_tile, stretches
from sca_service.audit.offline.tiles import Edge, Place, leaves_below, partial_tiles
from sca_service.audit.offline.verify import open_checkpoint

CHECKPOINTS = "checkpoints"
"""The folder in a copy that keeps every checkpoint it was brought up to, each named by its size."""

_INCOMING = ".incoming"


class PrunedBeyondCopy(Refused):
    """The log's entries are gone past where the copy ends: whether it adds to the copy cannot be told from the rest."""


@dataclass(frozen=True, slots=True)
class Mirrored:
    """How many leaves the copy had, and has."""

    before: int
    now: int


def mirror(
    source: Source,
    folder: Path,
    keys: Sequence[VerifierKey],
    *,
    pruned_below: int = 0,
    progress: Progress = lambda _, __: None,
) -> Mirrored:
    """Bring a copy up to the log. Raises Refused, and leaves the copy as it was, when the log does not add to it.

    Raises PrunedBeyondCopy when that cannot be told.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        try:
            newest = open_checkpoint(source, keys)
        except Refused as refusal:
            raise Refused(f"the log's checkpoint cannot be believed: {refusal}") from None
        kept = _kept(folder, keys)
        _check_adds(newest, kept)
        edge = _edge_of(folder, kept)
        incoming = folder / _INCOMING
        shutil.rmtree(incoming, ignore_errors=True)
        try:
            _gather(source, edge, incoming, newest.size, pruned_below=pruned_below, progress=progress)
            if edge.root() != newest.root:
                raise Refused(_unlike(kept))
            _put_in_place(incoming, folder, newest)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        before = kept.size if kept else 0
        _drop_narrower(folder, before, newest.size)
        return Mirrored(before, newest.size)


def _kept(folder: Path, keys: Sequence[VerifierKey]) -> Checkpoint | None:
    if not (folder / "checkpoint").exists():
        return None
    try:
        return open_checkpoint(Folder(folder), keys)
    except Refused as refusal:
        raise Refused(f"the copy's own checkpoint cannot be believed: {refusal}") from None


def _check_adds(newest: Checkpoint, kept: Checkpoint | None) -> None:
    if kept is None:
        return
    if newest.origin != kept.origin:
        raise Refused(f"the copy is of another log, {kept.origin}")
    if newest.size < kept.size:
        raise Refused(f"the log was rolled back: the copy has {kept.size} leaves, the log has {newest.size}")
    if newest.size == kept.size and newest.root != kept.root:
        raise Refused(_unlike(kept))


def _unlike(kept: Checkpoint | None) -> str:
    if kept is None or kept.size == 0:
        return "the log's leaves do not lead to the root of its checkpoint"
    return f"the log was forked, or is damaged: it does not add to the {kept.size} leaves of the copy"


def _pruned_beyond(size: int, end: int) -> str:
    return (
        f"the log was pruned beyond your copy: the copy ends with leaf {size - 1}, and of leaves {size} to {end - 1} "
        "the log has one hash over all, in the midst of which the copy ends. Whether it adds to the copy cannot be "
        "told. Keep this copy, compare what it still can tell (`sca audit verify --copy`), and begin a new one in "
        "another folder"
    )


def _edge_of(folder: Path, kept: Checkpoint | None) -> Edge:
    """The right edge of the copy's tree. Raises Refused when the copy does not lead to its own checkpoint."""
    if kept is None:
        return Edge()
    tiles = [(place, read_tile(Folder(folder), place)) for place in partial_tiles(kept.size)]
    edge = Edge.resume(kept.size, [(place, hashes) for place, hashes in tiles if hashes is not None])
    if any(hashes is None for _, hashes in tiles) or edge.root() != kept.root:
        raise Refused("the copy is damaged: its tiles do not lead to its checkpoint; verify it")
    return edge


def _gather(
    source: Source, edge: Edge, incoming: Path, size: int, *, pruned_below: int, progress: Progress
) -> None:
    """Read what the log has more than the copy, and write it and the tiles over it to a folder."""
    if edge.size == size:
        return
    above = HashesAbove(source, size)
    for stretch in stretches(source, start=edge.size, size=size):
        place = stretch.place
        if place.first_leaf + place.width <= edge.size:
            continue
        hashes = _hashes(stretch, may_be_pruned=place.end <= pruned_below)
        if hashes is not None:
            held = next((row for at, row in edge.partial() if at.level == 0), [])
            if hashes[: len(held)] != held:
                raise Refused(f"the log was forked, or is damaged: {place.path} does not add to the copy")
            full = edge.add(hashes[len(held) :])
        elif (found := above.hash_of(place)) is not None:
            if place.first_leaf < edge.size:
                raise PrunedBeyondCopy(_pruned_beyond(edge.size, place.first_leaf + leaves_below(found[1])))
            full = edge.skip(*found)
        else:
            raise Refused(f"{place.path} is not there")
        for tile, its_hashes in full:
            _write(incoming / tile.path, b"".join(its_hashes))
        if stretch.entries is not None:
            _write(incoming / place.path, b"".join(_framed(stretch.entries)))
        progress(edge.size, size)
    for tile, its_hashes in edge.partial():
        _write(incoming / tile.path, b"".join(its_hashes))


def _hashes(stretch: Stretch, *, may_be_pruned: bool) -> list[bytes] | None:
    """The hashes of a stretch; None when it was pruned so far that there are none."""
    if stretch.entries is None and may_be_pruned:
        return stretch.stored
    if stretch.entries is None:
        raise Refused(f"{stretch.place.path} is not there")
    if len(stretch.entries) != stretch.place.width or stretch.left_over:
        raise Refused(f"{stretch.place.path} is damaged")
    return [leaf_hash(entry) for entry in stretch.entries]


def _framed(entries: Sequence[bytes]) -> Iterator[bytes]:
    for entry in entries:
        yield len(entry).to_bytes(2)
        yield entry


def _put_in_place(incoming: Path, folder: Path, newest: Checkpoint) -> None:
    """Move the files to their places and then the checkpoint; each step is on disk before the next begins."""
    _write(incoming / CHECKPOINTS / str(newest.size), newest.content)
    _write(incoming / "checkpoint", newest.content)
    os.sync()
    for path in sorted(one for one in incoming.rglob("*") if one.is_file()):
        place = folder / path.relative_to(incoming)
        if place != folder / "checkpoint":
            place.parent.mkdir(parents=True, exist_ok=True)
            path.replace(place)
    os.sync()
    (incoming / "checkpoint").replace(folder / "checkpoint")
    os.sync()


def _drop_narrower(folder: Path, before: int, now: int) -> None:
    """Forget the tiles of the older tree that were not full and are wider now."""
    needed = {place.path for place in _partial(now)}
    for place in _partial(before):
        if place.path not in needed:
            (folder / place.path).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # others are in it
                (folder / place.path).parent.rmdir()


def _partial(size: int) -> Iterator[Place]:
    yield from partial_tiles(size)
    if size % 256:
        yield Place(None, size // 256, size % 256)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second one from working on the same copy. Raises Refused when there is one."""
    with (folder / ".lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refused("the copy is being worked on by another `sca audit mirror`") from None
        yield
