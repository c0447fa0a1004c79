"""A copy of a log: kept incrementally, whole at any point, and never led astray."""

import os
import shutil
from pathlib import Path

import pytest

from sca_service.audit.offline import mirror as mirroring
from sca_service.audit.offline.findings import Refused
from sca_service.audit.offline.mirror import CHECKPOINTS, Mirrored, mirror
from sca_service.audit.offline.note import VerifierKey
from sca_service.audit.offline.source import Folder
from sca_service.audit.offline.verify import Demands, Held, verify
from tests.unit.audit.offline.made_log import LOG, NEXT, Signer, checkpoint, leaf, path_of, write, write_log

LEAVES = [leaf(number) for number in range(900)]
LEAVES[800] = leaf(800, type="log.pruned", first_index=512)
KEYS = (VerifierKey.parse(LOG.vkey),)


def files(folder: Path) -> dict[str, bytes]:
    """Every file of the log in a folder, without what only a copy has."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock" and CHECKPOINTS not in path.parts
    }


def grow(folder: Path, size: int) -> Folder:
    """The log at another size."""
    shutil.rmtree(folder, ignore_errors=True)
    return Folder(write_log(folder, LEAVES[:size]))


def test_a_copy_is_the_log_at_every_size_and_keeps_its_checkpoints(tmp_path: Path) -> None:
    """Step by step, over bundles that were not full: the same files as the log's, and it verifies."""
    before = 0
    for size in (0, 1, 1, 255, 256, 300, 511, 512, 900):
        log = grow(tmp_path / "log", size)
        assert mirror(log, tmp_path / "copy", KEYS) == Mirrored(before, size)
        assert files(tmp_path / "copy") == files(tmp_path / "log")
        before = size
    held = [Held(one.name, one.read_bytes()) for one in (tmp_path / "copy" / CHECKPOINTS).iterdir()]
    assert len(held) == 8
    assert verify(Folder(tmp_path / "copy"), Demands(KEYS, held)).holds


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda folder: write_log(folder, LEAVES[:299]), "rolled back"),
        (lambda folder: write_log(folder, [*LEAVES[:299], leaf(5000)]), "forked"),
        (lambda folder: write_log(folder, [*LEAVES[:299], leaf(5000), *LEAVES[300:]]), "forked"),
        (lambda folder: write_log(folder, [*LEAVES[:7], leaf(5000), *LEAVES[8:]]), "forked"),
        (lambda folder: write_log(folder, LEAVES, NEXT), "no key that was given"),
        (lambda folder: (write_log(folder, LEAVES) / path_of("entries", 2, 256)).unlink(), "is not there"),
        (lambda folder: write(write_log(folder, LEAVES), path_of("entries", 2, 256), b"\x00"), "damaged"),
    ],
)
def test_a_log_that_does_not_add_to_the_copy_is_refused_and_the_copy_stays(
    tmp_path: Path, make: "object", why: str
) -> None:
    """Rolled back, forked below or above the copy's size, signed by another, damaged: said, and nothing changes."""
    mirror(grow(tmp_path / "log", 300), tmp_path / "copy", KEYS)
    kept = files(tmp_path / "copy")
    shutil.rmtree(tmp_path / "log")
    make(tmp_path / "log")  # type: ignore[operator]
    with pytest.raises(Refused, match=why):
        mirror(Folder(tmp_path / "log"), tmp_path / "copy", KEYS)
    assert files(tmp_path / "copy") == kept
    assert verify(Folder(tmp_path / "copy"), Demands(KEYS)).holds


@pytest.mark.parametrize("size", [200, 290, 400])
def test_a_restored_log_goes_on_under_a_new_origin_and_never_under_the_old(tmp_path: Path, size: int) -> None:
    """Back to 250 of 300 leaves, and other events since: the old copy tells, a new copy takes the new log."""
    old_copy, new_copy = tmp_path / "copy", tmp_path / "new"
    mirror(grow(tmp_path / "log", 300), old_copy, KEYS)
    kept = files(old_copy)
    since = [leaf(5000 + number) for number in range(size - 250)]
    restored = [*LEAVES[:250], *since][:size]

    under_old = Folder(write_log(tmp_path / "under old", restored))
    with pytest.raises(Refused, match="forked" if size > 300 else "rolled back"):
        mirror(under_old, old_copy, KEYS)

    signer = Signer("sca.example/log-2", seed=4)
    keys = (VerifierKey.parse(signer.vkey),)
    under_new = Folder(write_log(tmp_path / "under new", restored, signer, origin=signer.name))
    assert mirror(under_new, new_copy, keys) == Mirrored(0, size)
    assert verify(Folder(new_copy), Demands(keys)).holds
    for known, why in (
        (KEYS, "no key that was given"),
        ((*KEYS, *keys), "the copy is of another log, sca.example/log"),
    ):
        with pytest.raises(Refused, match=why):
            mirror(under_new, old_copy, known)
    assert files(old_copy) == kept
    assert verify(Folder(old_copy), Demands(KEYS)).holds


def test_a_log_that_grows_while_it_is_read_is_copied_up_to_its_checkpoint(tmp_path: Path) -> None:
    """The bundle that the checkpoint ends in is full by now, and its narrower form is gone."""
    log = grow(tmp_path / "log", 512)
    write(tmp_path / "log", "checkpoint", checkpoint(LEAVES[:400]))
    shutil.copy(tmp_path / "log" / path_of("1", 0, 2), tmp_path / "log" / path_of("1", 0, 1))
    assert mirror(log, tmp_path / "copy", KEYS) == Mirrored(0, 400)
    assert verify(Folder(tmp_path / "copy"), Demands(KEYS)).leaves_read == 400


def test_a_crash_at_any_step_leaves_a_whole_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off before each write and each move: the copy verifies, and the next run completes it."""
    mirror(grow(tmp_path / "log", 300), tmp_path / "before", KEYS)
    log = grow(tmp_path / "log", 900)
    steps = 0
    while True:
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(tmp_path / "before", tmp_path / "copy")
        left = steps

        def fail(before: "object") -> "object":
            def step(*args: object, **named: object) -> object:
                nonlocal left
                left -= 1
                if left < 0:
                    raise KeyboardInterrupt
                return before(*args, **named)  # type: ignore[operator]

            return step

        with monkeypatch.context() as cut:
            cut.setattr(Path, "replace", fail(Path.replace))
            cut.setattr(Path, "unlink", fail(Path.unlink))
            cut.setattr(mirroring, "_write", fail(mirroring._write))
            cut.setattr(os, "sync", fail(lambda: None))
            try:
                mirror(log, tmp_path / "copy", KEYS)
            except KeyboardInterrupt:
                pass
            else:
                break
        report = verify(Folder(tmp_path / "copy"), Demands(KEYS, [Held("old", checkpoint(LEAVES[:300]))]))
        assert report.size in (300, 900)
        assert report.findings == []
        mirror(log, tmp_path / "copy", KEYS)
        assert verify(Folder(tmp_path / "copy"), Demands(KEYS)).size == 900
        steps += 1
    assert steps > 15


def test_a_damaged_copy_is_not_built_on(tmp_path: Path) -> None:
    """The copy's tiles have to lead to its checkpoint before anything is added."""
    mirror(grow(tmp_path / "log", 300), tmp_path / "copy", KEYS)
    log = grow(tmp_path / "log", 400)
    tile = tmp_path / "copy" / path_of("0", 1, 44)
    tile.write_bytes(bytes(32) + tile.read_bytes()[32:])
    with pytest.raises(Refused, match="the copy is damaged"):
        mirror(log, tmp_path / "copy", KEYS)
    write(tmp_path / "copy", "checkpoint", b"x")
    with pytest.raises(Refused, match="own checkpoint"):
        mirror(log, tmp_path / "copy", KEYS)


def test_a_pruned_log_is_copied_from_its_minimum_index_on(tmp_path: Path) -> None:
    """What was pruned has no files; the copy verifies as the log does."""
    log = grow(tmp_path / "log", 900)
    for index in (0, 1):
        (tmp_path / "log" / path_of("entries", index, 256)).unlink()
        (tmp_path / "log" / path_of("0", index, 256)).unlink()
    with pytest.raises(Refused, match="is not there"):
        mirror(log, tmp_path / "copy", KEYS)
    mirror(log, tmp_path / "copy", KEYS, pruned_below=512)
    report = verify(Folder(tmp_path / "copy"), Demands(KEYS, pruned_below=512))
    assert (report.holds, report.leaves_read, report.leaves_taken_as_given) == (True, 388, 512)


@pytest.mark.race
def test_two_at_once_do_not_write_one_copy(tmp_path: Path) -> None:
    """The second one is sent away."""
    log = grow(tmp_path / "log", 10)

    def start_another(_: int, __: int) -> None:
        with pytest.raises(Refused, match="another"):
            mirror(log, tmp_path / "copy", KEYS)

    assert mirror(log, tmp_path / "copy", KEYS, progress=start_another).now == 10
