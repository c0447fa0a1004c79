"""Signed notes and verifier keys as C2SP publishes them."""

import json
from pathlib import Path

import pytest

from sca_service.audit.offline.findings import Refused
from sca_service.audit.offline.note import Note, VerifierKey
from sca_service.audit.offline.tiles import Place, partial_tiles
from tests.unit.audit.offline.made_log import LOG, WITNESS, note


def test_published_notes_are_verified(shared: Path) -> None:
    """The example of the specification, and no other text under its signature."""
    published = json.loads((shared / "vectors" / "c2sp" / "signed_note_vectors.json").read_bytes())
    for one in published["vectors"]:
        key = VerifierKey.parse(one["vkey"])
        assert Note.parse(one["note"].encode()).signers([key]) == [key]
        with pytest.raises(Refused, match="does not hold"):
            Note.parse(one["note"].replace("example message", "Example message").encode()).signers([key])


def test_published_paths_and_shapes_of_tiles(shared: Path) -> None:
    """The paths and widths that the specification gives as examples."""
    published = json.loads((shared / "vectors" / "c2sp" / "signed_note_vectors.json").read_bytes())
    for one in published["tile_paths"]:
        assert Place(one["level"], one["index"]).path == one["path"]
    assert [(one.level, one.index, one.width) for one in partial_tiles(70_000)] == [
        (0, 273, 112),
        (1, 1, 17),
        (2, 0, 1),
    ]
    assert [(one.level, one.index, one.width) for one in partial_tiles(256)] == [(1, 0, 1)]
    assert Place(None, 5, 7).path == "tile/entries/005.p/7"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000+AA==",
        LOG.vkey[:-4],
        LOG.vkey.replace("sca.example", "sca.evil"),
        LOG.vkey.upper(),
        "na me+" + LOG.vkey.split("+", 1)[1],
        LOG.vkey + "=",
    ],
)
def test_a_damaged_verifier_key_is_refused(text: str) -> None:
    """A key that was copied in part, or put under another name, does not pass for one."""
    with pytest.raises(Refused):
        VerifierKey.parse(text)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"text\n\nno signature\n",
        note("text\n", LOG)[:-1],
        note("te\rxt\n", LOG),
        note("text\n", LOG).replace(b"=\n", b"\n"),
        note("text\n", *[LOG] * 65),
        note("x" * 70_000 + "\n", LOG),
    ],
)
def test_what_is_no_note_is_refused(content: bytes) -> None:
    """Each part of the form is held to."""
    with pytest.raises(Refused):
        Note.parse(content)


def test_a_cosignature_covers_its_time() -> None:
    """A witness signs the time with the text: another time does not hold."""
    key = VerifierKey.parse(WITNESS.vkey)
    text = "log.example\n1\nAAAA\n"
    signed = Note.parse(note(text, WITNESS))
    assert signed.signers([key]) == [key]
    signature = signed.signatures[0][2]
    assert not key.has_signed(text, (int.from_bytes(signature[:8]) + 1).to_bytes(8) + signature[8:])
    assert not key.has_signed(text, signature[:8])
