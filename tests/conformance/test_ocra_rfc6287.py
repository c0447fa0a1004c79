"""OCRA against every value that RFC 6287 appendix C prints."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from sca_service.authenticators.ocra.response import OcraInputs, OcraMatch, matches, respond
from sca_service.authenticators.ocra.suite import OcraSuite
from sca_service.kernel.secret import Secret

PIN_HASH = hashlib.sha1(b"1234", usedforsecurity=False).digest()
"""Appendix C: the PIN is 1234."""

TIME_STEP = 0x132D0B6
NOW_SECONDS = 1_206_446_790
"""Appendix C: 25 March 2008, 12:06:30 UTC, in minutes and in seconds."""


@dataclass(frozen=True, slots=True)
class Table:
    """One of the tables: a suite, the length of its key, and questions with their responses."""

    suite: str
    key_bytes: int
    rows: str
    """Where a suite has a counter, it is the number of the row, from 0."""


TABLES = (
    Table(
        "OCRA-1:HOTP-SHA1-6:QN08",
        20,
        "00000000 237653 11111111 243178 22222222 653583 33333333 740991 44444444 608993 "
        "55555555 388898 66666666 816933 77777777 224598 88888888 750600 99999999 294470",
    ),
    Table(
        "OCRA-1:HOTP-SHA256-8:C-QN08-PSHA1",
        32,
        "12345678 65347737 12345678 86775851 12345678 78192410 12345678 71565254 12345678 10104329 "
        "12345678 65983500 12345678 70069104 12345678 91771096 12345678 75011558 12345678 08522129",
    ),
    Table(
        "OCRA-1:HOTP-SHA256-8:QN08-PSHA1",
        32,
        "00000000 83238735 11111111 01501458 22222222 17957585 33333333 86776967 44444444 86807031",
    ),
    Table(
        "OCRA-1:HOTP-SHA512-8:C-QN08",
        64,
        "00000000 07016083 11111111 63947962 22222222 70123924 33333333 25341727 44444444 33203315 "
        "55555555 34205738 66666666 44343969 77777777 51946085 88888888 20403879 99999999 31409299",
    ),
    Table(
        "OCRA-1:HOTP-SHA512-8:QN08-T1M",
        64,
        "00000000 95209754 11111111 55907591 22222222 22048402 33333333 24218844 44444444 36209546",
    ),
    Table(  # mutual, the server's
        "OCRA-1:HOTP-SHA256-8:QA08",
        32,
        "CLI22220SRV11110 28247970 CLI22221SRV11111 01984843 CLI22222SRV11112 65387857 "
        "CLI22223SRV11113 03351211 CLI22224SRV11114 83412541",
    ),
    Table(  # mutual, the client's
        "OCRA-1:HOTP-SHA256-8:QA08",
        32,
        "SRV11110CLI22220 15510767 SRV11111CLI22221 90175646 SRV11112CLI22222 33777207 "
        "SRV11113CLI22223 95285278 SRV11114CLI22224 28934924",
    ),
    Table(  # mutual, the server's
        "OCRA-1:HOTP-SHA512-8:QA08",
        64,
        "CLI22220SRV11110 79496648 CLI22221SRV11111 76831980 CLI22222SRV11112 12250499 "
        "CLI22223SRV11113 90856481 CLI22224SRV11114 12761449",
    ),
    Table(  # mutual, the client's
        "OCRA-1:HOTP-SHA512-8:QA08-PSHA1",
        64,
        "SRV11110CLI22220 18806276 SRV11111CLI22221 70020315 SRV11112CLI22222 01600026 "
        "SRV11113CLI22223 18951020 SRV11114CLI22224 32528969",
    ),
    Table(  # a signature
        "OCRA-1:HOTP-SHA256-8:QA08",
        32,
        "SIG10000 53095496 SIG11000 04110475 SIG12000 31331128 SIG13000 76028668 SIG14000 46554205",
    ),
    Table(  # a signature
        "OCRA-1:HOTP-SHA512-8:QA10-T1M",
        64,
        "SIG1000000 77537423 SIG1100000 31970405 SIG1200000 10235557 SIG1300000 95213541 SIG1400000 65360607",
    ),
)
"""RFC 6287 appendix C.1 to C.3 (IETF Trust)."""

VALUES = [
    (table.suite, table.key_bytes, row, question, response)
    for table in TABLES
    for row, (question, response) in enumerate(
        zip(table.rows.split()[::2], table.rows.split()[1::2], strict=True)
    )
]


def key_of(size_bytes: int) -> Secret[bytes]:
    """Appendix C: the digits 1 to 9 and 0, again and again."""
    return Secret((b"1234567890" * 7)[:size_bytes])


def inputs_of(suite: OcraSuite, question: str, row: int) -> OcraInputs:
    """What appendix C puts in for a suite."""
    return OcraInputs(
        question,
        counter=row if suite.has_counter else None,
        pin_hash=Secret(PIN_HASH) if suite.pin_hash else None,
        time_step=suite.time_step_at(NOW_SECONDS) if suite.step_seconds else None,
    )


@pytest.mark.parametrize(("text", "key_bytes", "row", "question", "response"), VALUES)
def test_a_value_of_appendix_c(text: str, key_bytes: int, row: int, question: str, response: str) -> None:
    """It is what we compute, and what we take for an answer."""
    suite = OcraSuite.parse(text)
    inputs = inputs_of(suite, question, row)
    assert respond(suite, key_of(key_bytes), inputs).reveal() == response
    found = matches(suite, key_of(key_bytes), Secret(response), inputs)
    assert found == OcraMatch(inputs.counter, inputs.time_step)


def test_the_tables_are_whole() -> None:
    """Appendix C prints 70 values, for a PIN and a moment that are what its text says."""
    assert len(VALUES) == 70
    assert PIN_HASH.hex() == "7110eda4d09e062aa5e4a390b0a572ac0d2c0220"
    assert OcraSuite.parse("OCRA-1:HOTP-SHA512-8:QN08-T1M").time_step_at(NOW_SECONDS) == TIME_STEP


def test_the_published_file_says_the_same(shared: Path) -> None:
    """Suite, key, inputs and response of each value are those above, in the same order."""
    path = shared / "vectors" / "ocra" / "rfc6287_appendix_c.json"
    if not path.is_file():
        pytest.skip("appendix C of RFC 6287 is not among the published vectors")
    published = json.loads(path.read_text("utf-8"))["vectors"]
    assert len(published) == len(VALUES)
    for vector, (text, key_bytes, row, question, response) in zip(published, VALUES, strict=True):
        suite = OcraSuite.parse(text)
        inputs = inputs_of(suite, question, row)
        assert (vector["suite"], vector["Q"], vector["ocra"]) == (text, question, response)
        assert bytes.fromhex(vector["key_hex"]) == key_of(key_bytes).reveal()
        assert (int(vector["C"]) if "C" in vector else None) == inputs.counter
        assert (int(vector["T_hex"], 16) if "T_hex" in vector else None) == inputs.time_step
        assert vector.get("pin_sha1_hex") == (PIN_HASH.hex() if inputs.pin_hash else None)
