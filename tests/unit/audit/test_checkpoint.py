"""Checkpoints: the published example reads back, and every other form is refused."""

import pytest

from sca_service.audit.log.checkpoint import Checkpoint, CheckpointInvalid, origin_of
from sca_service.audit.log.note import NoteInvalid

TEXT = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
"""The example of C2SP tlog-checkpoint."""


def test_the_example_of_the_specification() -> None:
    """It reads as origin, size and root, and comes back byte for byte."""
    checkpoint = Checkpoint.parse(TEXT)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.root.hex().startswith("0ac5186a91863e8e")
    assert checkpoint.text == TEXT


def test_lines_of_another_log_are_kept() -> None:
    """Witnesses sign them too, so they must come back."""
    extended = TEXT + "more\nand more\n"
    assert Checkpoint.parse(extended).extensions == ("more", "and more")
    assert Checkpoint.parse(extended).text == extended


def test_the_empty_tree_has_the_size_zero() -> None:
    """Zero is the only size that begins with a zero."""
    assert Checkpoint.parse(TEXT.replace("20852163", "0")).size == 0


ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
BAD = {
    "empty": "",
    "one line": "example.com/log\n",
    "two lines": "example.com/log\n7\n",
    "no newline at the end": TEXT[:-1],
    "an empty origin": TEXT.removeprefix("example.com/behind-the-sofa"),
    "an empty line": TEXT.replace("\n20852163", "\n\n20852163"),
    "an empty extension": TEXT + "\n",
    "an empty extension between two": TEXT + "more\n\nmore\n",
    "a leading zero": TEXT.replace("20852163", "020852163"),
    "two zeroes": TEXT.replace("20852163", "00"),
    "a sign": TEXT.replace("20852163", "+20852163"),
    "less than nothing": TEXT.replace("20852163", "-1"),
    "hexadecimal": TEXT.replace("20852163", "0x1"),
    "digits of another script": TEXT.replace("20852163", "٣"),
    "a space": TEXT.replace("20852163", "20852163 "),
    "a size beyond 63 bits": TEXT.replace("20852163", str(2**63)),
    "a root that is too short": TEXT.replace(ROOT, "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxqw=="),
    "a root that is too long": TEXT.replace(ROOT, "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2Ir"),
    "a root that is no base 64": TEXT.replace(ROOT, "root"),
    "a root with loose bits": TEXT.replace("q2I=", "q2J="),
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    """Each with an error that whoever opens notes catches already."""
    with pytest.raises(CheckpointInvalid):
        Checkpoint.parse(text)
    assert issubclass(CheckpointInvalid, NoteInvalid)


@pytest.mark.parametrize(
    ("issuer", "origin"),
    [
        ("https://sca.bank.example", "sca.bank.example/log"),
        ("https://bank.example/sca/", "bank.example/sca/log"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080/log"),
    ],
)
def test_a_log_is_named_for_its_issuer(issuer: str, origin: str) -> None:
    """The origin is the issuer without its scheme, so that no two services' logs have one name."""
    assert origin_of(issuer) == origin


@pytest.mark.parametrize("issuer", ["sca.example/a", "https://sca.example/a", "https://sca.example/a/"])
def test_only_the_scheme_and_a_slash_at_the_end_are_left_out(issuer: str) -> None:
    """Whatever else stands in the URL stays."""
    assert origin_of(issuer) == "sca.example/a/log"
    assert origin_of("https://sca.example/a://b!") == "sca.example/a://b!/log"


def test_the_largest_size_is_what_a_signed_number_of_eight_bytes_holds() -> None:
    """One more is refused."""
    assert Checkpoint.parse(TEXT.replace("20852163", str(2**63 - 1))).size == 2**63 - 1
    with pytest.raises(CheckpointInvalid):
        Checkpoint.parse(TEXT.replace("20852163", str(2**63)))
