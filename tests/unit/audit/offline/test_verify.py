"""The verifier against logs that were tampered with: what is wrong is found, and named."""

import ast
import random
import shutil
from pathlib import Path

import pytest

import sca_service.audit.offline
from sca_service.audit.offline.findings import Kind, Report
from sca_service.audit.offline.note import VerifierKey
from sca_service.audit.offline.source import Folder
from sca_service.audit.offline.verify import Demands, Held, verify
from tests.unit.audit.offline.made_log import (
    LOG,
    NEXT,
    WITNESS,
    Signer,
    checkpoint,
    leaf,
    note,
    path_of,
    write,
    write_log,
)

SIZE = 700
OLDER = 530
LEAVES = [leaf(number) for number in range(SIZE)]
LEAVES[640] = leaf(640, type="log.pruned", first_index=256)
KEYS = (VerifierKey.parse(LOG.vkey),)
OLD = Held("older", checkpoint(LEAVES[:OLDER]))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log that holds; nobody writes to it."""
    return write_log(tmp_path_factory.mktemp("log"), LEAVES)


@pytest.fixture
def log(whole: Path, tmp_path: Path) -> Path:
    """The same, to be tampered with."""
    return shutil.copytree(whole, tmp_path / "log")


def check(log: Path, *held: Held, **demands: object) -> Report:
    """What the verifier says."""
    return verify(Folder(log), Demands(KEYS, held, **demands))  # type: ignore[arg-type]


def named(report: Report, kind: Kind = Kind.LEAF) -> list[tuple[int | None, int | None]]:
    """The leaves that are named."""
    return [(one.first, one.last) for one in report.findings if one.kind is kind]


def put_bundle(log: Path, index: int, entries: list[bytes], width: int = 256) -> None:
    """Replace an entry bundle."""
    write(
        log,
        path_of("entries", index, width),
        b"".join(len(one).to_bytes(2, "big") + one for one in entries),
    )


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 512, 700])
def test_a_whole_log_holds_at_any_size(tmp_path: Path, size: int) -> None:
    """Every older checkpoint fits, and every leaf was read."""
    write_log(tmp_path, LEAVES[:size])
    held = [Held(str(old), checkpoint(LEAVES[:old])) for old in range(0, size + 1, 51)]
    report = check(tmp_path, *held)
    assert (report.findings, report.remarks, report.leaves_read) == ([], [], size)


@pytest.mark.long
def test_a_log_of_three_levels_holds_and_names_its_wrong_leaf(tmp_path: Path) -> None:
    """More than 65,536 leaves: a wrong one is found from the root down through both levels above it."""
    leaves = [leaf(number) for number in range(66_000)]
    write_log(tmp_path, leaves)
    assert check(tmp_path, Held("old", checkpoint(leaves[:65_537]))).holds
    put_bundle(tmp_path, 200, [*leaves[51_200:51_205], leaf(99), *leaves[51_206:51_456]])
    assert named(check(tmp_path))[-1] == (51_205, 51_205)


def test_any_byte_of_any_leaf_changed_is_found_and_the_leaf_named(log: Path) -> None:
    """Each of many places, in length or text: the leaf that is named is the one that was changed."""
    chosen = random.Random(1)
    for _ in range(80):
        index = chosen.choice([0, SIZE - 1, chosen.randrange(SIZE)])
        bundle, width = index // 256, min(256, SIZE - index // 256 * 256)
        path = log / path_of("entries", bundle, width)
        before = path.read_bytes()
        start = sum(2 + len(one) for one in LEAVES[bundle * 256 : index])
        place = start + chosen.randrange(2 + len(LEAVES[index]))
        path.write_bytes(
            before[:place] + bytes([before[place] ^ chosen.randrange(1, 256)]) + before[place + 1 :]
        )
        report = check(log, OLD)
        path.write_bytes(before)
        assert (index, index) in named(report), report.findings
        assert f"leaf {index}" in " ".join(one.what for one in report.findings)
    assert check(log, OLD).holds


def test_any_byte_of_any_tile_changed_is_found_and_the_tile_named(log: Path) -> None:
    """Each tile, at many places: the leaves are right, and the tile's path is named."""
    chosen = random.Random(2)
    tiles = [
        one
        for one in log.rglob("*")
        if one.is_file() and one.parts[len(log.parts) + 1 : len(log.parts) + 2] != ("entries",)
    ]
    tiles = [one for one in tiles if one.name != "checkpoint"]
    assert len(tiles) == 4
    for tile in tiles:
        before = tile.read_bytes()
        for place in [0, len(before) - 1, *(chosen.randrange(len(before)) for _ in range(15))]:
            tile.write_bytes(before[:place] + bytes([before[place] ^ 1]) + before[place + 1 :])
            report = check(log, OLD)
            assert [(one.kind, one.path) for one in report.findings] == [
                (Kind.TILE, str(tile.relative_to(log)))
            ]
        tile.write_bytes(before[:-1])
        assert [one.path for one in check(log).findings] == [str(tile.relative_to(log))]
        tile.write_bytes(before)


def test_any_byte_of_the_checkpoint_changed_is_found(log: Path) -> None:
    """No place in it can be changed and believed."""
    path = log / "checkpoint"
    before = path.read_bytes()
    for place in range(len(before)):
        path.write_bytes(before[:place] + bytes([before[place] ^ 1]) + before[place + 1 :])
        report = check(log)
        assert [one.kind for one in report.findings] == [Kind.CHECKPOINT], place
    path.unlink()
    assert "not there" in check(log).findings[0].what


@pytest.mark.parametrize("index", [0, 1, 300, OLDER - 1, OLDER, SIZE - 1])
def test_a_deleted_entry_is_found_and_named(log: Path, index: int) -> None:
    """First, middle and last: the first leaf that is not where it was is named."""
    left = LEAVES[:index] + LEAVES[index + 1 :]
    for bundle in range(3):
        put_bundle(log, bundle, left[bundle * 256 : bundle * 256 + 256], min(256, SIZE - bundle * 256))
    assert (index, index) in named(check(log, OLD))


def test_two_swapped_entries_are_found_and_the_first_named(log: Path) -> None:
    """The ids stay unique and every leaf is well-formed; only the hashes tell."""
    swapped = list(LEAVES)
    swapped[100], swapped[600] = swapped[600], swapped[100]
    put_bundle(log, 0, swapped[:256])
    put_bundle(log, 2, swapped[512:], 188)
    assert named(check(log, OLD)) == [(100, 100)]


def test_an_inserted_leaf_with_everything_hashed_and_signed_anew_is_found(log: Path, whole: Path) -> None:
    """The log is right in itself; the older checkpoint tells, two of them tell where, and a copy tells the leaf."""
    forged = [*LEAVES[:333], leaf(10_000), *LEAVES[333:]]
    shutil.rmtree(log)
    write_log(log, forged)
    assert check(log).holds
    report = check(log, OLD)
    assert named(report, Kind.FORKED) == [(None, None)]
    assert named(report) == [(0, OLDER - 1)]
    held = [Held(str(size), checkpoint(LEAVES[:size])) for size in (10, 333, 334, OLDER)]
    report = check(log, *held)
    assert named(report) == [(333, 333)]
    assert "leaf 333 (evt_00002710)" in report.findings[-1].what
    assert (333, 333) in named(check(log, OLD, copy=Folder(whole)))


def test_a_copy_that_is_damaged_itself_accuses_nobody(log: Path, whole: Path) -> None:
    """The log still leads to the root that the copy was kept with."""
    tile = log / path_of("0", 1, 256)
    tile.write_bytes(bytes(32) + tile.read_bytes()[32:])
    report = check(whole, copy=Folder(log))
    assert (report.findings, report.remarks) == (
        [],
        ["your copy is damaged at leaf 256: the log has the one that was signed for"],
    )


def test_a_log_that_is_shorter_than_the_copy_was_rolled_back(whole: Path, tmp_path: Path) -> None:
    """The copy's checkpoint is held against it like any other."""
    shorter = write_log(tmp_path / "shorter", LEAVES[:600])
    assert named(check(shorter, copy=Folder(whole)), Kind.ROLLED_BACK) == [(600, 699)]


def test_a_leaf_replaced_together_with_its_hashes_further_up_is_narrowed_down(log: Path) -> None:
    """Without the key to sign a new root: by how far the stored hashes still lead down from the signed one."""
    forged = [*LEAVES[:300], leaf(10_000), *LEAVES[301:]]
    other = write_log(log.parent / "other", forged)
    for path in (path_of("entries", 1, 256), path_of("0", 1, 256)):
        shutil.copy(other / path, log / path)
    assert named(check(log)) == [(256, 511)]
    assert named(check(log, Held("300", checkpoint(LEAVES[:300])), Held("301", checkpoint(LEAVES[:301]))))[
        -1
    ] == (300, 300)
    shutil.copytree(other / "tile", log / "tile", dirs_exist_ok=True)
    assert named(check(log, Held("300", checkpoint(LEAVES[:300])))) == [(300, SIZE - 1)]


def test_a_log_that_was_rolled_back_is_told_from_one_with_a_missing_tail(log: Path, tmp_path: Path) -> None:
    """A smaller checkpoint was rolled back; the same checkpoint without its entries misses a tail."""
    newest = Held("newest", checkpoint(LEAVES))
    shorter = write_log(tmp_path / "shorter", LEAVES[:600])
    report = check(shorter, newest)
    assert named(report, Kind.ROLLED_BACK) == [(600, 699)]
    assert "rolled back" in report.findings[0].what
    for path in (path_of("entries", 2, 188), path_of("0", 2, 188)):
        (log / path).unlink()
    report = check(log, newest, OLD)
    assert named(report, Kind.MISSING) == [(512, 699)]
    assert "a tail is missing" in report.findings[0].what
    assert [one.path for one in report.findings if one.kind is Kind.UNCOMPARED] == ["older", "newest"]


def test_missing_entries_are_told_and_their_stored_hashes_still_checked(log: Path) -> None:
    """A bundle in the middle is gone: its leaves are named, the rest is verified by the stored hashes."""
    (log / path_of("entries", 1, 256)).unlink()
    report = check(log, OLD)
    assert named(report, Kind.MISSING) == [(256, 511)]
    assert report.leaves_taken_as_given == 256
    assert len(report.findings) == 1


def test_a_pruned_log_holds_when_the_auditor_allows_it(log: Path) -> None:
    """Entries and tiles below the minimum index may be gone; without a word from the auditor they are missing."""
    for path in (path_of("entries", 0, 256), path_of("0", 0, 256)):
        (log / path).unlink()
    report = check(log, OLD)
    assert named(report, Kind.MISSING) == [(0, 255)]
    assert "--pruned-below 256" in report.findings[0].what
    report = check(log, OLD, pruned_below=256)
    assert (report.findings, report.leaves_taken_as_given) == ([], 256)
    assert not check(log, OLD, pruned_below=255).holds


def test_a_forged_hash_for_what_was_pruned_does_not_lead_to_the_root(log: Path) -> None:
    """Taken as given is not taken as true."""
    for path in (path_of("entries", 0, 256), path_of("0", 0, 256)):
        (log / path).unlink()
    upper = log / path_of("1", 0, 2)
    upper.write_bytes(bytes(32) + upper.read_bytes()[32:])
    assert Kind.CHECKPOINT in [one.kind for one in check(log, OLD, pruned_below=256).findings]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b'{"at_ms":1, "id":"evt_x","type":"t"}', "not canonical"),
        (b'{"id":"evt_x","at_ms":1,"type":"t"}', "not canonical"),
        (b'{"at_ms":1.0,"id":"evt_x","type":"t"}', "not canonical"),
        (b'{"at_ms":1,"at_ms":1,"id":"evt_x","type":"t"}', "not canonical"),
        (b'{"at_ms":1,"id":"evt_\\u0041","type":"t"}', "not canonical"),
        (b'{"at_ms":1,"id":"evt_x"}', "has no type"),
        (b'{"at_ms":true,"id":"evt_x","type":"t"}', "has no time"),
        (b'{"at_ms":1,"id":5,"type":"t"}', "has no id"),
        (b'["id"]', "not a JSON object"),
        (b"\xff", "not UTF-8"),
        (b"", "not JSON"),
    ],
)
def test_a_leaf_that_is_no_event_is_named_though_it_is_signed(tmp_path: Path, bad: bytes, why: str) -> None:
    """The writer itself may be at fault."""
    write_log(tmp_path, [*LEAVES[:20], bad, *LEAVES[20:30]])
    (finding,) = check(tmp_path).findings
    assert (finding.kind, finding.first) == (Kind.LEAF, 20)
    assert why in finding.what


def test_an_id_that_stands_twice_is_named(tmp_path: Path) -> None:
    """An event that was written twice is no event of its own."""
    write_log(tmp_path, [*LEAVES[:300], leaf(7, extra=1), *LEAVES[300:310]])
    (finding,) = check(tmp_path).findings
    assert (finding.first, finding.what) == (300, "leaf 300 has the id of leaf 7")


def test_bytes_after_the_last_entry_are_found(log: Path) -> None:
    """Nothing can hide behind the entries that are hashed."""
    path = log / path_of("entries", 2, 188)
    path.write_bytes(path.read_bytes() + b"\x00\x01x")
    (finding,) = check(log).findings
    assert (finding.kind, finding.path) == (Kind.BUNDLE, "tile/entries/002.p/188")


def test_a_partial_tile_that_was_dropped_is_read_from_the_full_one(tmp_path: Path) -> None:
    """The checkpoint may be older than what is there now."""
    write_log(tmp_path, LEAVES)
    write(tmp_path, "checkpoint", checkpoint(LEAVES[:500]))
    assert check(tmp_path).leaves_read == 500
    assert not [one for one in check(tmp_path).findings if one.kind is not Kind.TILE]


def test_keys_origins_and_roots_are_held_to(log: Path) -> None:
    """Another key, another log's name, a root that is no hash, and what is no checkpoint at all are refused."""
    text = checkpoint(LEAVES).decode().split("\n\n")[0] + "\n"
    origin, size, root = text.splitlines()
    for content, why in (
        (note(text, NEXT), "no key that was given signed it"),
        (checkpoint(LEAVES, origin="other.example/log"), "not the name of the key"),
        (note(f"{origin}\n{size}\n{root[:-4]}\n", LOG), "not a hash of 32 bytes"),
        (note(f"{origin}\n0{size}\n{root}\n", LOG), "not the form"),
        (note(f"{origin}\n{size}\n", LOG), "not the form"),
        (text.encode(), "damaged"),
        (b"\xff" + note(text, LOG), "not UTF-8"),
    ):
        write(log, "checkpoint", content)
        assert why in check(log).findings[0].what
    write(log, "checkpoint", note(f"{origin}\n0\n{root}\n", LOG))
    assert "do not lead to the root" in check(log).findings[0].what


def test_a_rotated_key_verifies_old_and_new_checkpoints(log: Path) -> None:
    """All keys sign for a while; one that was given and whose signature is broken is not passed over."""
    write(log, "checkpoint", checkpoint(LEAVES, NEXT, LOG))
    assert check(log, OLD).holds
    text = checkpoint(LEAVES).decode().split("\n\n")[0] + "\n"
    forged = note(text, LOG) + NEXT.line(text + "more").encode()
    write(log, "checkpoint", forged)
    assert check(log).holds  # unknown keys are ignored
    both = Demands([*KEYS, VerifierKey.parse(NEXT.vkey)])
    assert "does not hold" in verify(Folder(log), both).findings[0].what


def test_witnesses_are_counted(log: Path) -> None:
    """A quorum of those that were given must have signed."""
    witness = VerifierKey.parse(WITNESS.vkey)
    write(log, "checkpoint", checkpoint(LEAVES, LOG, WITNESS))
    report = check(log, witnesses=[witness], quorum=1)
    assert (report.holds, report.witnessed_by) == (True, [WITNESS.name])
    write(log, "checkpoint", checkpoint(LEAVES, LOG))
    assert [one.kind for one in check(log, witnesses=[witness], quorum=1).findings] == [Kind.WITNESSES]
    write(log, "checkpoint", checkpoint(LEAVES, WITNESS))
    assert "no key that was given" in check(log, witnesses=[witness], quorum=1).findings[0].what


def test_held_checkpoints_are_checked_themselves(log: Path) -> None:
    """One of another key or log is told apart from one that does not fit."""
    foreign = Signer("other.example/log")
    report = check(log, Held("a", checkpoint(LEAVES[:9], NEXT)), Held("b", b"x"))
    assert [one.path for one in report.findings] == ["a", "b"]
    other = Held("c", checkpoint(LEAVES[:9], foreign, origin="other.example/log"))
    report = verify(Folder(log), Demands([*KEYS, VerifierKey.parse(foreign.vkey)], [other]))
    assert "another log" in report.findings[0].what


def test_the_verifier_imports_the_hashes_and_the_kernel_and_nothing_else_of_ours() -> None:
    """It must not share a mistake with the writer."""
    folder = Path(sca_service.audit.offline.__file__ or "").parent
    imported = {
        node.module
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sca_service")
    }
    ours = ("sca_service.audit.offline.", "sca_service.kernel.")
    assert {one for one in imported if not str(one).startswith(ours)} == {"sca_service.audit.merkle"}
