"""Evidence that holds, and every way in which it does not."""

import base64
import hashlib
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from sca_service.audit.offline.evidence import Checked, check_evidence
from sca_service.audit.offline.findings import Refused
from sca_service.audit.offline.note import VerifierKey
from sca_service.audit.offline.story import story_of
from tests.rfc6962 import Tree
from tests.unit.audit.offline.made_log import LOG, NEXT, checkpoint, leaf, note

CHALLENGE = "chl_1"
KEYS = (VerifierKey.parse(LOG.vkey),)
SALT = bytes(range(32))
SHOWN = "Pay 49.99 EUR to Müller ☂"


def commitment(value: str, salt: bytes = SALT) -> str:
    """What a leaf says of a value."""
    return "sha256:" + hashlib.sha256(salt + value.encode()).hexdigest()


LEAVES = [leaf(number) for number in range(40)]
LEAVES[7] = leaf(
    7, challenge=CHALLENGE, commitments={"message_shown": commitment(SHOWN), "phone": commitment("+49151")}
)
LEAVES[21] = leaf(21, challenge=CHALLENGE, outcome="approved", attempt=2)
LEAVES[30] = leaf(30, challenge="chl_2")
TREE = Tree(LEAVES)


def event(index: int, /, **members: Any) -> dict[str, Any]:
    """A leaf with its proof."""
    proof = [base64.b64encode(one).decode() for one in TREE.path(index, 0, len(LEAVES))]
    return {"index": index, "leaf": LEAVES[index].decode(), "proof": proof, "disclosures": [], **members}


def opened(name: str = "message_shown", value: str = SHOWN, salt: bytes = SALT) -> dict[str, str]:
    """An opened value."""
    return {"name": name, "value": value, "salt": base64.urlsafe_b64encode(salt).decode().rstrip("=")}


def evidence(**members: Any) -> dict[str, Any]:
    """Evidence that holds, with `members` over it."""
    return {
        "format": "sca-evidence/1",
        "challenge": CHALLENGE,
        "made_at": "2026-11-28T12:00:00Z",
        "checkpoint": checkpoint(LEAVES).decode(),
        "verifier_keys": [LOG.vkey],
        "events": [event(7, disclosures=[opened()]), event(21)],
        **members,
    }


def check(made: Any, *keys: VerifierKey) -> Checked:
    """What comes of it."""
    return check_evidence(json.dumps(made).encode(), keys)


def page(inside: str, *, before: str = "") -> bytes:
    """An HTML page."""
    element = f'<script type="application/json" id="evidence">{inside}</script>'
    return f"<!doctype html><title>x</title>{before}{element}".encode()


def test_evidence_that_holds_tells_its_story() -> None:
    """What was shown, what stays closed, what was answered, in the order of the log."""
    checked = check(evidence(), *KEYS)
    assert [one.index for one in checked.events] == [7, 21]
    story = "\n".join(story_of(checked))
    assert f"message_shown: {SHOWN}" in story
    assert "phone: not opened here" in story
    assert "outcome: approved" in story
    assert "2025-11-22 12:00:00.007 UTC  The challenge was issued" in story
    assert "WARNING" not in story


def test_keys_of_the_file_itself_are_warned_of() -> None:
    """Without a key from elsewhere the file vouches for itself."""
    checked = check(evidence())
    assert checked.keys_are_its_own
    assert "WARNING" in "\n".join(story_of(checked))


def test_a_page_is_read_like_the_json_in_it() -> None:
    """Exactly one element; nothing else of the page counts."""
    inside = json.dumps(evidence()).replace("<", "\\u003c")
    assert check_evidence(page(inside), KEYS).challenge == CHALLENGE
    assert check_evidence(b"\n " + page(inside), KEYS).challenge == CHALLENGE
    for content in (
        page(inside, before=page(inside).decode()),
        b"<p>nothing</p>",
        page(inside).replace(b'id="evidence"', b'id="other"'),
        page(inside).replace(b"application/json", b"text/javascript"),
        b"<!-- " + page(inside) + b" -->",
        page(inside).replace(b"</title>", b"\xff</title>"),
    ):
        with pytest.raises(Refused):
            check_evidence(content, KEYS)


EMPTY = note(f"{LOG.name}\n0\n{base64.b64encode(hashlib.sha256(b'').digest()).decode()}\n", LOG).decode()
SHORT = note(f"{LOG.name}\n40\n{base64.b64encode(TREE.mth(0, 40)[:31]).decode()}\n", LOG).decode()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda: evidence(format="sca-evidence/2"), "format"),
        (lambda: evidence(more=1), "unknown field"),
        (lambda: [], "format"),
        (lambda: evidence(events=[]), "no events"),
        (lambda: evidence(verifier_keys=["x"]), "verifier key"),
        (lambda: evidence(checkpoint=checkpoint(LEAVES, NEXT).decode()), "no key that was given"),
        (lambda: evidence(checkpoint=checkpoint(LEAVES[:-1]).decode()), "index 7: its proof"),
        (lambda: evidence(checkpoint=EMPTY), "has not the form of one for a log of 0 leaves"),
        (lambda: evidence(checkpoint=SHORT), "not a hash of 32 bytes"),
        (lambda: evidence(events=[event(7), event(7)]), "twice"),
        (lambda: evidence(events=[event(21), event(7)]), "order"),
        (lambda: evidence(events=[event(7, index=8)]), "does not lead to the root"),
        (lambda: evidence(events=[event(7, index=-1)]), "has not the form"),
        (lambda: evidence(events=[event(7, index=40)]), "has not the form"),
        (lambda: evidence(events=[event(7, proof=event(7)["proof"][:-1])]), "has not the form"),
        (
            lambda: evidence(events=[event(7, proof=[*event(7)["proof"], event(7)["proof"][0]])]),
            "has not the form",
        ),
        (lambda: evidence(events=[event(7, proof=["AAAA", *event(7)["proof"][1:]])]), "has not the form"),
        (lambda: evidence(events=[event(7, proof=["!", *event(7)["proof"][1:]])]), "has not the form"),
        (lambda: evidence(events=[event(7, leaf=LEAVES[21].decode())]), "does not lead"),
        (lambda: evidence(events=[event(7), event(30)]), "index 30: it is not about the challenge"),
        (lambda: evidence(challenge="chl_2"), "index 7: it is not about"),
        (lambda: evidence(events=[event(7, disclosures=[opened(value="Pay 1 EUR")])]), "not the value"),
        (lambda: evidence(events=[event(7, disclosures=[opened(salt=SALT[:31])])]), "not the value"),
        (lambda: evidence(events=[event(7, disclosures=[opened("phone")])]), "not the value"),
        (lambda: evidence(events=[event(7, disclosures=[opened("ip")])]), "does not commit to ip"),
        (lambda: evidence(events=[event(7, disclosures=[opened(), opened()])]), "opened twice"),
        (lambda: evidence(events=[event(21, disclosures=[opened()])]), "does not commit"),
    ],
)
def test_evidence_that_does_not_hold_is_refused_with_the_reason(change: Callable[[], Any], why: str) -> None:
    """Each part is held to, also for a tree without leaves and a root of the wrong length."""
    with pytest.raises(Refused, match=why):
        check(change(), *KEYS)


def test_a_salt_cannot_take_a_part_of_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first character moved over to the salt gives the same hash, and is refused all the same."""
    moved = opened(value=SHOWN[1:], salt=SALT + SHOWN[:1].encode())
    assert hashlib.sha256(SALT + SHOWN.encode()).hexdigest() in LEAVES[7].decode()
    with pytest.raises(Refused, match="not the value"):
        check(evidence(events=[event(7, disclosures=[moved])]), *KEYS)


def test_any_changed_byte_is_refused_or_changes_nothing_that_is_proven() -> None:
    """At many places: what still holds says the same; `made_at` and the file's own keys are no part of the proof."""
    content = json.dumps(evidence(), ensure_ascii=False).encode()
    expected = check_evidence(content, KEYS)
    chosen, refused = random.Random(3), 0
    for _ in range(600):
        place = chosen.randrange(len(content))
        changed = content[:place] + bytes([content[place] ^ chosen.randrange(1, 256)]) + content[place + 1 :]
        try:
            checked = check_evidence(changed, KEYS)
        except Refused:
            refused += 1
            continue
        assert (checked.events, checked.challenge, checked.checkpoint) == (
            expected.events,
            expected.challenge,
            expected.checkpoint,
        )
    assert refused > 500


def test_a_story_cannot_steer_the_terminal() -> None:
    """Escapes and changes of direction in a value are shown by their numbers."""
    value = "a\x1b[2Jb\u202ec\nd"
    leaves = [leaf(0, challenge=CHALLENGE, commitments={"reference": commitment(value)})]
    made = evidence(
        checkpoint=checkpoint(leaves).decode(),
        events=[
            {"index": 0, "leaf": leaves[0].decode(), "proof": [], "disclosures": [opened("reference", value)]}
        ],
    )
    story = "\n".join(story_of(check(made, *KEYS)))
    assert "reference: a\\u001b[2Jb\\u202ec\\u000ad" in story


def test_a_leaf_with_commitments_that_are_none_is_refused() -> None:
    """A signed leaf may still be nonsense."""
    for wrong in ("x", {"phone": "md5:1"}, {"phone": 1}, None):
        leaves = [leaf(0, challenge=CHALLENGE, commitments=wrong)]
        one = {"index": 0, "leaf": leaves[0].decode(), "proof": []}
        with pytest.raises(Refused, match="commitments that are none"):
            check(evidence(checkpoint=checkpoint(leaves).decode(), events=[one]), *KEYS)
