"""Canonical JSON as the auditor reads it, against the published examples and the RFC."""

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sca_service.audit.offline.canonical import read_canonical, write_canonical, write_number
from sca_service.audit.offline.findings import Refused

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.mark.parametrize("name", ["arrays", "french", "structures", "unicode", "values", "weird"])
def test_published_examples_are_written_and_read(shared: Path, name: str) -> None:
    """Every example of RFC 8785, with its order of members and its numbers."""
    vectors = shared / "vectors" / "jcs"
    value = json.loads((vectors / "input" / f"{name}.json").read_bytes())
    expected = bytes.fromhex((vectors / "outhex" / f"{name}.txt").read_text())
    assert write_canonical(value).encode() == expected
    assert read_canonical(expected) == value


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555555", "333333333.3333333"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
        ("43143ff3c1cb0959", "1424953923781206.2"),
    ],
)
def test_numbers_are_those_of_the_rfc(bits: str, text: str) -> None:
    """Appendix B of RFC 8785."""
    assert write_number(struct.unpack(">d", bytes.fromhex(bits))[0]) == text


@given(VALUES)
def test_what_is_written_is_read_back(value: object) -> None:
    """Writing and reading agree for every JSON value."""
    assert write_canonical(read_canonical(write_canonical(value).encode())) == write_canonical(value)


@given(VALUES, st.data())
def test_no_other_text_for_the_same_is_taken(value: object, chosen: st.DataObject) -> None:
    """A space anywhere, or any changed byte: refused, or it says something else."""
    text = write_canonical(value).encode()
    place = chosen.draw(st.integers(0, len(text) - 1))
    other = text[:place] + bytes([text[place] ^ chosen.draw(st.integers(1, 255))]) + text[place + 1 :]
    for changed in (other, text + b" ", b" " + text, b"\xef\xbb\xbf" + text):
        try:
            read = read_canonical(changed)
        except Refused:
            continue
        assert write_canonical(read).encode() == changed != text


@pytest.mark.parametrize(
    "text",
    [
        *('"\x1f"', "[1,]", "", "{", "tru", '"\\u001F"'),
        '{"a":1,"a":1}',
        '{"b":1,"a":1}',
        "1.0",
        "1e3",
        "-0",
        "01",
        "NaN",
        "1e999",
        "9007199254740993",
        '"\\u0041"',
        '"\\/"',
        '"\\ud800"',
        "[" * 2000,
        "1" * 5000,
    ],
)
def test_what_is_not_canonical_is_refused(text: str) -> None:
    """Doubled members, other orders, other numbers, other escapes."""
    with pytest.raises(Refused):
        read_canonical(text.encode())
