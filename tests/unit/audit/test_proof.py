"""Proofs that stand by themselves: they read back, and what is none is refused."""

import base64

import pytest

from sca_service.audit.log.proof import TlogProof, encode_proof
from sca_service.audit.merkle import ProofInvalid

HASHES = (bytes(range(32)), b"\xff" * 32)
NOTE = (
    "example.com/fancylog\n109482\nsFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=\n\n"
    "— example.com/fancylog hI2DJwAAAAA=\n"
)
LINES = [base64.b64encode(one).decode() for one in HASHES]
TEXT = f"c2sp.org/tlog-proof@v1\nindex 73894\n{LINES[0]}\n{LINES[1]}\n\n{NOTE}"


def test_a_proof_has_the_form_of_the_specification() -> None:
    """Header, index, hashes from the leaf's sibling up, an empty line and the checkpoint as it was signed."""
    assert encode_proof(73894, HASHES, NOTE) == TEXT
    assert TlogProof.parse(TEXT) == TlogProof(73894, HASHES, NOTE)
    assert TlogProof.parse(TEXT).text == TEXT


def test_the_only_entry_of_a_log_needs_no_hashes() -> None:
    """A tree of one leaf has an empty inclusion proof."""
    text = f"c2sp.org/tlog-proof@v1\nindex 0\n\n{NOTE}"
    assert TlogProof.parse(text) == TlogProof(0, (), NOTE)
    assert encode_proof(0, [], NOTE) == text


def test_something_beside_the_proof_is_kept() -> None:
    """The extra line is opaque, and nobody vouches for it."""
    proof = TlogProof(0, HASHES, NOTE, b"page-v1.2.1")
    assert "\nextra cGFnZS12MS4yLjE=\nindex 0\n" in proof.text
    assert TlogProof.parse(proof.text) == proof


def test_a_proof_has_as_many_hashes_as_the_largest_tree_has_levels() -> None:
    """63: an index has no more bits."""
    text = encode_proof(0, [bytes(32)] * 63, NOTE)
    assert len(TlogProof.parse(text).hashes) == 63


BAD = {
    "empty": "",
    "another version": TEXT.replace("@v1", "@v2"),
    "no header": TEXT.partition("\n")[2],
    "no index": TEXT.replace("index 73894\n", ""),
    "nothing but a header": f"c2sp.org/tlog-proof@v1\n\n{NOTE}",
    "nothing but extra": f"c2sp.org/tlog-proof@v1\nextra AAAA\n\n{NOTE}",
    "an index with a leading zero": TEXT.replace("73894", "073894"),
    "an index below zero": TEXT.replace("73894", "-1"),
    "two indices": TEXT.replace("index 73894", "index 73894\nindex 73894"),
    "extra after the index": TEXT.replace("index 73894", "index 73894\nextra AAAA"),
    "extra that is no base 64": TEXT.replace("index", "extra ?\nindex"),
    "a short hash": TEXT.replace(LINES[0], "AAAA"),
    "a hash that is no base 64": TEXT.replace(LINES[0], "hello"),
    "carriage returns": TEXT.replace("\n", "\r\n"),
    "no checkpoint": TEXT.removesuffix(NOTE),
    "no empty line": TEXT.replace(f"{LINES[1]}\n\n", f"{LINES[1]}\n"),
    "more hashes than a tree has levels": encode_proof(0, [bytes(32)] * 64, NOTE),
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_what_is_no_proof_is_refused(text: str) -> None:
    """Every malformed form."""
    with pytest.raises(ProofInvalid):
        TlogProof.parse(text)
