"""`sca audit verify`, `mirror` and `check-evidence` as an auditor runs them: what is printed, and the exit status."""

import json
from pathlib import Path

import pytest

from sca_service.audit.offline.findings import Refused
from sca_service.offline_commands import check_evidence, mirror_log, verify_log
from tests import warm
from tests.unit.audit.offline.made_log import LOG, NEXT, WITNESS, checkpoint, leaf, path_of, write, write_log
from tests.unit.audit.offline.test_offline_evidence import LEAVES as EVIDENCE_LEAVES
from tests.unit.audit.offline.test_offline_evidence import event, evidence

LEAVES = [leaf(number) for number in range(300)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log in a folder."""
    return write_log(tmp_path / "log", LEAVES, LOG, WITNESS)


def run(*arguments: str) -> warm.Done:
    """The command as a process of its own."""
    return warm.run("sca_service", "audit", *arguments)


def test_a_log_that_holds_is_said_to(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything that was looked at is listed."""
    held = tmp_path / "held"
    held.write_bytes(checkpoint(LEAVES[:200]))
    verify_log(str(log), key=[LOG.vkey, NEXT.vkey], checkpoint=[held], witness=[WITNESS.vkey], quorum=1)
    told = capsys.readouterr().out
    assert "recomputed   300 leaves, compared with 1 older checkpoints" in told
    assert f"witnesses    {WITNESS.name}" in told
    assert told.endswith("The log holds.\n")


def test_a_log_that_does_not_hold_ends_with_status_1_and_names_the_leaf(log: Path) -> None:
    """As a process: the report on standard output, nothing on standard error that is no terminal."""
    bundle = log / path_of("entries", 0, 256)
    bundle.write_bytes(bundle.read_bytes().replace(b"evt_00000007", b"evt_0000000X"))
    done = run("verify", str(log), "--key", LOG.vkey)
    assert (done.returncode, done.stderr) == (1, "")
    assert "LEAF         leaf 7 (evt_0000000X) is not the one that was signed for" in done.stdout
    assert done.stdout.endswith("THE LOG DOES NOT HOLD.\n")


def test_what_a_log_says_cannot_steer_the_terminal(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The id of a forged leaf may hold anything."""
    forged = leaf(0, id="evt_\x1b[2J\u202e")
    entries = b"".join(len(one).to_bytes(2) + one for one in [forged, *LEAVES[1:256]])
    write(log, path_of("entries", 0, 256), entries)
    with pytest.raises(SystemExit):
        verify_log(str(log), key=[LOG.vkey])
    told = capsys.readouterr().out
    assert "leaf 0 (evt_\\u001b[2J\\u202e)" in told
    assert "\x1b[2J" not in told


def test_a_copy_is_kept_and_a_rollback_refused(log: Path, tmp_path: Path) -> None:
    """As processes: how much came in, and the reason why nothing did."""
    copy = tmp_path / "copy"
    done = run("mirror", str(log), str(copy), "--key", LOG.vkey)
    assert (done.returncode, done.stdout) == (0, "The copy has 300 leaves, 300 of them new.\n")
    shorter = write_log(tmp_path / "shorter", LEAVES[:299])
    done = run("mirror", str(shorter), str(copy), "--key", LOG.vkey)
    assert done.returncode == 1
    assert done.stderr == "sca: the log was rolled back: the copy has 300 leaves, the log has 299\n"


def test_only_what_was_compared_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A checkpoint inside what was pruned is a finding, and no comparison; with a copy that has it, it is one."""
    leaves = [*LEAVES, leaf(300, type="log.pruned", first_index=256)]
    log, copy, held = tmp_path / "log", tmp_path / "copy", tmp_path / "held"
    write_log(log, leaves)
    mirror_log(str(log), copy, key=[LOG.vkey])
    for level in ("entries", "0"):
        (log / path_of(level, 0, 256)).unlink()
    held.write_bytes(checkpoint(leaves[:200]))
    with pytest.raises(SystemExit) as ended:
        verify_log(str(log), key=[LOG.vkey], checkpoint=[held], pruned_below=256)
    told = capsys.readouterr().out
    assert ended.value.code == 1
    assert "compared with 0 older checkpoints\n" in told
    assert f"NOT COMPARED {held} could not be compared" in told
    verify_log(str(log), key=[LOG.vkey], checkpoint=[held], pruned_below=256, copy=copy)
    told = capsys.readouterr().out
    assert "compared with 1 older checkpoints and your copy\n" in told
    assert "in your copy 256 leaves are not there" in told


def test_a_log_that_was_pruned_beyond_the_copy_ends_with_a_status_of_its_own(tmp_path: Path) -> None:
    """It is not told to be forked."""
    log, copy = tmp_path / "log", tmp_path / "copy"
    run("mirror", str(write_log(tmp_path / "then", LEAVES[:20])), str(copy), "--key", LOG.vkey)
    write_log(log, LEAVES)
    for level in ("entries", "0"):
        (log / path_of(level, 0, 256)).unlink()
    done = run("mirror", str(log), str(copy), "--key", LOG.vkey, "--pruned-below", "256")
    assert done.returncode == 2
    assert done.stderr.startswith("sca: the log was pruned beyond your copy: the copy ends with leaf 19")


def test_evidence_is_held_against_a_copy_of_the_log(tmp_path: Path) -> None:
    """What it leaves out is named, with status 1; a key of the auditor's own is asked for."""
    log = write_log(tmp_path / "log", EVIDENCE_LEAVES)
    file = tmp_path / "evidence.json"
    asked = ("check-evidence", str(file), "--log", str(log))
    file.write_text(json.dumps(evidence()), "utf-8")
    done = run(*asked, "--key", LOG.vkey)
    assert (done.returncode, "has every event of it" in done.stdout) == (0, True), done.stderr
    assert "--key" in run(*asked).stderr
    file.write_text(json.dumps(evidence(events=[event(7)])), "utf-8")
    done = run(*asked, "--key", LOG.vkey)
    assert done.returncode == 1
    assert done.stdout.startswith(
        "LEFT OUT     leaf 21 (evt_00000015, challenge.issued) is about the challenge"
    )
    assert "WAS NOT SHOWN TO BE WHOLE" in done.stdout


def test_evidence_is_checked_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The story, or the reason."""
    file = tmp_path / "evidence.json"
    file.write_text(json.dumps(evidence()), "utf-8")
    check_evidence(file, key=[LOG.vkey])
    told = capsys.readouterr().out
    assert "The evidence of chl_1 holds." in told
    assert "Events may be missing" in told
    assert run("check-evidence", str(file)).stdout.count("WARNING") == 1
    done = run("check-evidence", str(file), "--key", NEXT.vkey)
    assert done.returncode == 1
    assert done.stderr.startswith("sca: no key that was given signed it")


def test_keys_files_and_counts_that_cannot_be_are_refused(log: Path, tmp_path: Path) -> None:
    """In plain words."""
    (tmp_path / "long").write_bytes(bytes(70_000))
    for arguments, why in (
        ({"key": [WITNESS.vkey]}, "--witness"),
        ({"key": [LOG.vkey], "witness": [NEXT.vkey]}, "cosignatures"),
        ({"key": [LOG.vkey], "witness": [WITNESS.vkey], "quorum": 2}, "--quorum"),
        ({"key": [LOG.vkey], "checkpoint": [tmp_path / "none"]}, "cannot be read"),
        ({"key": [LOG.vkey], "checkpoint": [tmp_path / "long"]}, "too long"),
        ({"key": [LOG.vkey], "copy": tmp_path}, "your own copy"),
    ):
        with pytest.raises(Refused, match=why):
            verify_log(str(log), **arguments)
    with pytest.raises(Refused, match="neither a folder nor"):
        mirror_log("nowhere", tmp_path / "copy", key=[LOG.vkey])
