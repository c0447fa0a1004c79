"""Verify a log: signatures, every hash, every root that the auditor holds; and say which leaf or file is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sca_service.audit.merkle import HASH_BYTES
from sca_service.audit.offline.findings import Finding, Kind, Refused, Report
from sca_service.audit.offline.leaf import read_leaf
from sca_service.audit.offline.locate import Stored, locate
from sca_service.audit.offline.note import MOST_NOTE_BYTES, Checkpoint, VerifierKey
from sca_service.audit.offline.recompute import Outcome, Progress, Recomputation
from sca_service.audit.offline.source import Source, read_bundle
from sca_service.audit.offline.tiles import TILE_WIDTH, Place

YOUR_COPY = "your copy"
"""What the checkpoint of the auditor's copy is called."""


@dataclass(frozen=True, slots=True)
class Held:
    """A checkpoint that the auditor has kept, and what it is called (its file)."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Demands:
    """What the auditor brings along: keys of the log, older checkpoints, witnesses and how many must have signed."""

    keys: Sequence[VerifierKey]
    held: Sequence[Held] = ()
    witnesses: Sequence[VerifierKey] = ()
    quorum: int = 0
    pruned_below: int = 0
    """Entries below this index may have been pruned; their hashes are then taken as given."""

    copy: Source | None = None
    """A copy of the log that the auditor has kept: it tells leaves that were changed since, and proves pruned ones."""


@dataclass(slots=True)
class _Held:
    """Older checkpoints, opened; those that fit and those that do not."""

    opened: list[tuple[str, Checkpoint]] = field(default_factory=list)
    fitting: list[Checkpoint] = field(default_factory=list)
    unfitting: list[tuple[str, Checkpoint]] = field(default_factory=list)


def verify(source: Source, demands: Demands, progress: Progress = lambda _, __: None) -> Report:
    """Read the whole log and say everything that is wrong. Raises Refused when it cannot be read at all."""
    report = Report()
    checkpoint = _newest(source, demands, report)
    if checkpoint is None:
        return report
    copied = _opened_copy(demands)
    held = _open_held(checkpoint, demands, report)
    if copied is not None:
        _take_held(YOUR_COPY, copied, checkpoint, held, report)
    held.opened.sort(key=lambda pair: pair[1].size)
    recomputation = Recomputation(
        source,
        size=checkpoint.size,
        roots_at=[checkpoint.size, *(one.size for _, one in held.opened)],
        pruned_below=demands.pruned_below,
        report=report,
        copy=(demands.copy, copied.size) if demands.copy and copied else None,
    )
    outcome = recomputation.run(progress)
    _compare_roots(held, outcome, report)
    _judge(source, checkpoint, held, outcome, report)
    return report


def open_checkpoint(source: Source, keys: Sequence[VerifierKey]) -> Checkpoint:
    """The checkpoint that a log has. Raises Refused when there is none that one of these keys signed."""
    content = source.read("checkpoint", MOST_NOTE_BYTES)
    if content is None:
        raise Refused("it is not there")
    return Checkpoint.open(content, keys)


def _newest(source: Source, demands: Demands, report: Report) -> Checkpoint | None:
    try:
        checkpoint = open_checkpoint(source, demands.keys)
        signers = checkpoint.note.signers([*demands.keys, *demands.witnesses])
    except Refused as refusal:
        report.add(
            Finding(Kind.CHECKPOINT, f"the log's checkpoint cannot be believed: {refusal}", path="checkpoint")
        )
        return None
    report.origin, report.size, report.root = checkpoint.origin, checkpoint.size, checkpoint.root
    report.signed_by = [key.name for key in signers if not key.is_witness]
    report.witnessed_by = [key.name for key in signers if key.is_witness]
    if len(report.witnessed_by) < demands.quorum:
        what = (
            f"{len(report.witnessed_by)} of the witnesses signed the checkpoint, {demands.quorum} must have"
        )
        report.add(Finding(Kind.WITNESSES, what, path="checkpoint"))
    return checkpoint


def _open_held(checkpoint: Checkpoint, demands: Demands, report: Report) -> _Held:
    """The older checkpoints that can be believed; a log that is shorter than one of them was rolled back."""
    held = _Held()
    for kept in demands.held:
        try:
            one = Checkpoint.open(kept.content, demands.keys)
        except Refused as refusal:
            report.add(Finding(Kind.CHECKPOINT, f"{kept.name} cannot be believed: {refusal}", path=kept.name))
            continue
        _take_held(kept.name, one, checkpoint, held, report)
    return held


def _take_held(name: str, one: Checkpoint, checkpoint: Checkpoint, held: _Held, report: Report) -> None:
    if one.origin != checkpoint.origin:
        what = f"{name} is of another log, {one.origin}"
        report.add(Finding(Kind.CHECKPOINT, what, path=name))
    elif one.size > checkpoint.size:
        what = f"the log was rolled back: {name} has {one.size} leaves, the log has {checkpoint.size}"
        report.add(Finding(Kind.ROLLED_BACK, what, checkpoint.size, one.size - 1, name))
    else:
        held.opened.append((name, one))


def _opened_copy(demands: Demands) -> Checkpoint | None:
    if demands.copy is None:
        return None
    try:
        return open_checkpoint(demands.copy, demands.keys)
    except Refused as refusal:
        raise Refused(f"the checkpoint of your own copy cannot be believed: {refusal}") from None


def _compare_roots(held: _Held, outcome: Outcome, report: Report) -> None:
    for name, one in held.opened:
        root = outcome.roots.get(one.size)
        if root is not None:
            report.compared.append(name)
        if root == one.root:
            held.fitting.append(one)
        elif root is not None:
            held.unfitting.append((name, one))
            what = f"the log was forked: it does not contain the {one.size} leaves that {name} was signed for"
            report.add(Finding(Kind.FORKED, what, path=name))
        else:
            what = f"{name} could not be compared: what its {one.size} leaves end in is not there"
            if name != YOUR_COPY and one.size <= outcome.end:
                what += "; a copy of the log that has it would tell (--copy)"
            report.add(Finding(Kind.UNCOMPARED, what, path=name))


def _judge(source: Source, checkpoint: Checkpoint, held: _Held, outcome: Outcome, report: Report) -> None:
    """Say which leaf is wrong, or else which tiles."""
    root = outcome.roots.get(checkpoint.size)
    if root is not None and root != checkpoint.root:
        what = f"the {checkpoint.size} leaves do not lead to the root that the checkpoint was signed for"
        report.add(Finding(Kind.CHECKPOINT, what, path="checkpoint"))
    if outcome.unlike_copy is not None:
        _tell_unlike_copy(source, checkpoint, held, outcome.unlike_copy, report)
    if root == checkpoint.root and not held.unfitting:
        _tell_tiles(outcome, checkpoint.size, report)
        return
    trusted = [one for _, one in held.unfitting]
    if root != checkpoint.root:
        trusted.append(checkpoint)
    if root is None and not held.unfitting and not outcome.differing:
        return  # only the tail is missing, and what is there is in itself right
    _tell_leaf(source, checkpoint, held, trusted, outcome, report)


def _tell_unlike_copy(
    source: Source, checkpoint: Checkpoint, held: _Held, unlike: tuple[int, int], report: Report
) -> None:
    first, last = unlike
    if any(last < one.size for one in held.fitting):
        report.remarks.append(
            f"your copy is damaged at leaf {first}: the log has the one that was signed for"
        )
        return
    if first == last:
        what = f"leaf {first}{_id_of(source, checkpoint, first)} is not the one in your copy"
    else:
        what = f"leaves {first} to {last} are not those in your copy"
    report.add(Finding(Kind.LEAF, what, first, last, Place(None, first // TILE_WIDTH).path))


def _tell_leaf(
    source: Source,
    checkpoint: Checkpoint,
    held: _Held,
    trusted: Sequence[Checkpoint],
    outcome: Outcome,
    report: Report,
) -> None:
    """The first wrong leaf, or among which it is: between checkpoints that fit and do not, and by the stored tiles."""
    first = max((one.size for one in held.fitting), default=0)
    last = min(one.size for one in trusted) - 1
    stored = Stored(source, checkpoint.size)
    for one in trusted:
        place = locate(stored, size=one.size, root=one.root, differing=outcome.differing)
        if place is not None:
            first, last = max(first, place[0]), min(last, place[1])
            break
    if first == last:
        what = f"leaf {first}{_id_of(source, checkpoint, first)} is not the one that was signed for"
    else:
        what = f"the first leaf that is not the one that was signed for is among leaves {first} to {last}"
    report.add(Finding(Kind.LEAF, what, first, last, Place(None, first // TILE_WIDTH).path))


def _tell_tiles(outcome: Outcome, size: int, report: Report) -> None:
    """The leaves are right, so the stored tiles that differ are wrong."""
    tiles: dict[Place, list[int]] = {}
    for level, index in sorted(outcome.differing):
        first = index // TILE_WIDTH * TILE_WIDTH
        place = Place(level, index // TILE_WIDTH, min(TILE_WIDTH, (size >> (8 * level)) - first))
        tiles.setdefault(place, []).append(index - first)
    for place, wrong in tiles.items():
        what = f"{place.path} is wrong from byte {wrong[0] * HASH_BYTES} on; the leaves themselves are right"
        first = place.first_leaf
        report.add(Finding(Kind.TILE, what, first, None, place.path))


def _id_of(source: Source, checkpoint: Checkpoint, index: int) -> str:
    """The id of a leaf as it stands in the log now, in brackets, when it can be read."""
    bundle = index // TILE_WIDTH
    found = read_bundle(source, Place(None, bundle, min(TILE_WIDTH, checkpoint.size - bundle * TILE_WIDTH)))
    try:
        return f" ({read_leaf(found[0][index % TILE_WIDTH])['id']})" if found else ""
    except (IndexError, Refused):
        return ""
