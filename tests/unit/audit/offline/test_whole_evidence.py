"""Evidence from which an event was left out proves what is in it; a copy of the log tells what is not."""

import base64
from pathlib import Path

import pytest

from sca_service.audit.offline.findings import Kind, Refused, Report
from sca_service.audit.offline.source import Folder
from sca_service.audit.offline.story import story_of
from sca_service.audit.offline.whole import search
from tests.rfc6962 import Tree
from tests.unit.audit.offline.made_log import LOG, checkpoint, leaf, path_of, write_log
from tests.unit.audit.offline.test_offline_evidence import CHALLENGE, KEYS, LEAVES, check, event, evidence

LATER = leaf(40, type="challenge.answered", challenge=CHALLENGE)
SHORTENED = evidence(events=[event(7)])
"""The answer, leaf 21, is left out."""


def searched(folder: Path, leaves: list[bytes], shown: object = SHORTENED, below: int = 0) -> Report:
    """What a copy with these leaves tells of evidence."""
    return search(check(shown, *KEYS), Folder(write_log(folder, leaves)), KEYS, pruned_below=below)


def told(report: Report) -> list[tuple[Kind, int | None]]:
    """What is wrong, and where."""
    return [(one.kind, one.first) for one in report.findings]


def test_an_answer_that_was_left_out_is_found_in_a_copy(tmp_path: Path) -> None:
    """It is named; evidence that has all is whole, also beside leaves that only mention the challenge."""
    report = searched(tmp_path / "short", LEAVES)
    assert told(report) == [(Kind.LEFT_OUT, 21)]
    assert "leaf 21 (evt_00000015, challenge.issued)" in report.findings[0].what
    reading = leaf(40, type="evidence.read", subject=CHALLENGE)
    nested = leaf(41, type="other", about={"challenge": CHALLENGE})
    whole = evidence()
    assert searched(tmp_path / "whole", LEAVES, whole).holds
    assert searched(tmp_path / "more", [*LEAVES, reading, nested], whole).holds


def test_an_event_after_the_checkpoint_of_the_evidence_is_told_too(tmp_path: Path) -> None:
    """An older checkpoint is a way to leave out what came later."""
    report = searched(tmp_path / "log", [*LEAVES, LATER], evidence())
    assert told(report) == [(Kind.LEFT_OUT, 40)]
    assert "after the checkpoint of the evidence" in report.findings[0].what


def test_a_copy_that_cannot_tell_is_not_taken_for_one_that_does(tmp_path: Path) -> None:
    """Damaged, of another history, or shorter than the evidence."""
    folder = write_log(tmp_path / "damaged", LEAVES)
    bundle = folder / path_of("entries", 0, 40)
    bundle.write_bytes(bundle.read_bytes().replace(b"evt_00000003", b"evt_0000000X"))
    report = search(check(SHORTENED, *KEYS), Folder(folder), KEYS)
    assert (Kind.LEAF, 3) in told(report)
    assert Kind.LEFT_OUT not in [one.kind for one in report.findings]
    report = searched(tmp_path / "forked", [*LEAVES[:21], leaf(99), *LEAVES[22:]])
    assert Kind.FORKED in [one.kind for one in report.findings]
    with pytest.raises(Refused, match="the copy has 39 leaves, the evidence is of 40"):
        searched(tmp_path / "short", LEAVES[:39])
    with pytest.raises(Refused, match="checkpoint of the copy cannot be believed"):
        search(check(evidence(), *KEYS), Folder(tmp_path), KEYS)


def test_what_was_pruned_from_the_copy_is_said(tmp_path: Path) -> None:
    """Events of the challenge may be among it."""
    leaves = [leaf(number) for number in range(600)]
    leaves[500] = leaf(500, challenge=CHALLENGE)
    leaves[550] = leaf(550, type="log.pruned", first_index=256)
    path = Tree(leaves).path(500, 0, 600)
    proof = [base64.b64encode(one).decode() for one in path]
    shown = evidence(
        checkpoint=checkpoint(leaves).decode(),
        events=[{"index": 500, "leaf": leaves[500].decode(), "proof": proof}],
    )
    folder = write_log(tmp_path / "log", leaves)
    (folder / path_of("entries", 0, 256)).unlink()
    report = search(check(shown, *KEYS), Folder(folder), KEYS, pruned_below=256)
    assert report.holds
    assert report.remarks == [
        "the copy has no entries of 256 leaves; events of the challenge may be among them"
    ]
    assert not search(check(shown, *KEYS), Folder(folder), KEYS).holds


def test_the_story_never_says_more_than_was_looked_at() -> None:
    """Without a copy that events may be missing; with one whether they are."""
    checked = check(evidence(), *KEYS)
    alone, whole, short = (list(story_of(checked, whole=one)) for one in (None, True, False))
    assert "Events may be missing" in " ".join(alone)
    assert "only a mirror of the log tells" in " ".join(alone)
    assert "may be missing" not in " ".join(whole)
    assert (
        whole[0]
        == f"The evidence of {CHALLENGE} holds, and has every event of it that the copy of the log has."
    )
    assert short[0] == f"THE EVIDENCE OF {CHALLENGE} WAS NOT SHOWN TO BE WHOLE: the findings say why."
    assert LOG.name in " ".join(short)
