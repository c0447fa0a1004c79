"""What is gone from a log is compared with what the auditor holds, or said to be unproven."""

import shutil
from pathlib import Path

import pytest

from sca_service.audit.offline.findings import Kind, Report
from sca_service.audit.offline.mirror import CHECKPOINTS, PrunedBeyondCopy, mirror
from sca_service.audit.offline.note import VerifierKey
from sca_service.audit.offline.source import Folder
from sca_service.audit.offline.verify import Demands, Held, verify
from tests.unit.audit.offline.made_log import LOG, checkpoint, leaf, path_of, write_log

SIZE = 1000
PRUNED = 512
KEYS = (VerifierKey.parse(LOG.vkey),)
LEAVES = [leaf(number) for number in range(SIZE)]
LEAVES[900] = leaf(900, type="log.pruned", first_index=PRUNED)
KEPT = Held("kept", checkpoint(LEAVES[:300]))


def forged(index: int) -> list[bytes]:
    """The same leaves but one."""
    return [*LEAVES[:index], leaf(index, amount="forged"), *LEAVES[index + 1 :]]


def pruned(folder: Path, leaves: list[bytes], bundles: int = PRUNED // 256, *, tiles: bool = True) -> Folder:
    """A log of these leaves without its first bundles, and without their tiles as the service prunes them."""
    write_log(folder, leaves)
    for index in range(bundles):
        (folder / path_of("entries", index, 256)).unlink()
        if tiles:
            (folder / path_of("0", index, 256)).unlink()
    return Folder(folder)


def copied(folder: Path, size: int) -> Folder:
    """A copy that was kept of the honest log, when it had so many leaves."""
    mirror(Folder(write_log(folder / "then", LEAVES[:size])), folder / "copy", KEYS)
    return Folder(folder / "copy")


def check(log: Folder, *held: Held, copy: Folder | None = None, below: int = PRUNED) -> Report:
    """What the verifier says."""
    return verify(log, Demands(KEYS, held, pruned_below=below, copy=copy))


def kinds(report: Report) -> list[Kind]:
    """What is wrong."""
    return [one.kind for one in report.findings]


def test_a_checkpoint_that_cannot_be_compared_does_not_hold(tmp_path: Path) -> None:
    """Whoever rewrites a part and prunes it cannot make a kept checkpoint silent; honest or not, it is said."""
    for name, leaves in (("forged", forged(10)), ("honest", LEAVES)):
        report = check(pruned(tmp_path / name, leaves), KEPT, Held("later", checkpoint(leaves[:600])))
        assert kinds(report) == [Kind.UNCOMPARED]
        assert "kept could not be compared" in report.findings[0].what
        assert report.compared == ["later"]
    report = check(pruned(tmp_path / "at 256", forged(10)), Held("256", checkpoint(LEAVES[:256])))
    assert Kind.FORKED in kinds(report)


def test_a_copy_proves_what_was_pruned_as_far_as_it_goes(tmp_path: Path) -> None:
    """A copy that ends where the pruned part does: every leaf in it, and kept checkpoints inside it, are compared."""
    copy = copied(tmp_path, PRUNED)
    report = check(pruned(tmp_path / "honest", LEAVES), KEPT, copy=copy)
    assert (report.findings, report.compared) == ([], ["kept", "your copy"])
    assert (report.leaves_in_copy, report.leaves_taken_as_given) == (512, 0)
    for index in (10, 299, 300, 511):
        report = check(pruned(tmp_path / str(index), forged(index)), KEPT, copy=copy)
        first = index // 256 * 256
        assert (first, first + 255) in [(one.first, one.last) for one in report.findings]
        assert Kind.FORKED in kinds(report)


def test_a_copy_that_ends_in_the_pruned_part_finds_what_was_changed_before_its_last_tile(
    tmp_path: Path,
) -> None:
    """Its whole bundles are compared; that its last leaves could not be is a finding, also with an honest log."""
    copy = copied(tmp_path, 300)
    report = check(pruned(tmp_path / "forged", forged(10)), KEPT, copy=copy)
    assert kinds(report) == [Kind.UNCOMPARED, Kind.UNCOMPARED, Kind.LEAF]
    assert (report.findings[-1].first, report.findings[-1].last) == (0, 255)
    assert "leaves 0 to 255 are not those in your copy" in report.findings[-1].what
    report = check(pruned(tmp_path / "honest", LEAVES), KEPT, copy=copy)
    assert kinds(report) == [Kind.UNCOMPARED, Kind.UNCOMPARED]
    assert (report.leaves_in_copy, report.leaves_taken_as_given, report.compared) == (256, 256, [])
    (tmp_path / "copy" / path_of("0", 1, 256)).write_bytes(
        bytes(8192)
    )  # no checkpoint of the copy is about it
    assert kinds(check(Folder(tmp_path / "honest"), copy=copy)) == [Kind.UNCOMPARED]


def test_a_copy_is_compared_with_stored_hashes_where_only_the_entries_are_gone(tmp_path: Path) -> None:
    """The leaf is named, since its own hash is still there."""
    log = pruned(tmp_path / "forged", forged(10), tiles=False)
    report = check(log, KEPT, copy=copied(tmp_path, 300))
    assert (10, 10) in [(one.first, one.last) for one in report.findings]


def test_a_copy_with_a_damaged_tile_still_proves_by_its_entries(tmp_path: Path) -> None:
    """And where both are damaged, whoever signed more is not accused."""
    copy = copied(tmp_path, 600)
    log = pruned(tmp_path / "honest", LEAVES)
    tile = tmp_path / "copy" / path_of("0", 0, 256)
    tile.write_bytes(bytes(32) + tile.read_bytes()[32:])
    report = check(log, KEPT, copy=copy)
    assert (report.findings, report.remarks, report.leaves_in_copy) == ([], [], 512)
    (tmp_path / "copy" / path_of("entries", 0, 256)).unlink()
    report = check(log, copy=copy)
    assert report.findings == []
    assert "your copy is damaged" in report.remarks[0]


def test_what_was_pruned_has_to_be_on_record(tmp_path: Path) -> None:
    """The log itself says up to where: an event `log.pruned` that reaches as far as its entries are gone."""
    assert check(pruned(tmp_path / "on record", LEAVES)).holds
    for name, event in (
        ("none", leaf(900)),
        ("less", leaf(900, type="log.pruned", first_index=256)),
        ("other", leaf(900, type="log.thinned", first_index=PRUNED)),
        ("no number", leaf(900, type="log.pruned", first_index="512")),
        ("before it could", leaf(900, type="log.pruned", first_index=1024)),
    ):
        log = pruned(tmp_path / name, [*LEAVES[:900], event, *LEAVES[901:]])
        report = check(log)
        assert [(one.kind, one.first, one.last) for one in report.findings] == [(Kind.MISSING, 0, 511)], name
        assert "log.pruned" in report.findings[0].what
        assert "--pruned-below" not in check(log, below=0).findings[0].what
    assert "--pruned-below 512" in check(Folder(tmp_path / "on record"), below=0).findings[0].what


def test_a_copy_that_ends_in_what_was_pruned_is_not_told_that_the_log_was_forked(tmp_path: Path) -> None:
    """Whether the log adds to it cannot be told, and that is what is said; the copy stays."""
    copy = copied(tmp_path, 300).folder
    before = sorted(copy.rglob("*"))
    log = pruned(tmp_path / "honest", LEAVES)
    with pytest.raises(PrunedBeyondCopy, match="pruned beyond your copy") as refused:
        mirror(log, copy, KEYS, pruned_below=PRUNED)
    assert "forked" not in str(refused.value)
    assert "300 to 511" in str(refused.value)
    assert sorted(copy.rglob("*")) == before
    assert verify(Folder(copy), Demands(KEYS)).holds


def test_a_copy_that_ends_where_the_pruned_part_begins_goes_on(tmp_path: Path) -> None:
    """Nothing of the copy is below the hash that is taken as given, so the root still tells."""
    copy = copied(tmp_path, 256).folder
    shutil.copytree(copy, tmp_path / "other copy")
    mirror(pruned(tmp_path / "honest", LEAVES), copy, KEYS, pruned_below=PRUNED)
    held = [Held(one.name, one.read_bytes()) for one in (copy / CHECKPOINTS).iterdir()]
    report = check(Folder(copy), *held)
    assert (report.findings, len(report.compared)) == ([], 2)
