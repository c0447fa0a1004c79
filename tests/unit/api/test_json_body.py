"""Bodies: strict JSON, one meaning, and every refusal with its place and without what was sent."""

import json
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from sca_service.api.json_body import _is_plain, _look_closely, escaped, parse_json
from sca_service.kernel.errors import InvalidInput, MalformedRequest
from sca_service.policy.model import Purpose

CANARY = "cust_8841"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


NAMES = st.sampled_from(["a", "b", "é", "a\\u0062", "\\u0061"])
SPELLED = st.recursive(
    st.sampled_from(
        [
            "1",
            "1.0",
            "1e2",
            "-0",
            "null",
            "true",
            "NaN",
            '""',
            '"a"',
            '"\\u0061"',
            '"\\ud800"',
            '"{}:"',
            "9" * 40,
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: f"[{' , '.join(parts)}]")
        | st.lists(st.tuples(NAMES, inner), max_size=3).map(
            lambda members: "{" + ",".join(f'"{name}" :{value}' for name, value in members) + "}"
        )
    ),
    max_leaves=12,
)
"""JSON as it may be written, with names that stand twice, and what only some take for JSON."""


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    """A part of the shape."""

    iban: Annotated[str, Meta(max_length=4)]
    kind: Literal["one", "two"] = "one"


class Shape(msgspec.Struct, forbid_unknown_fields=True):
    """A shape with everything that occurs."""

    purpose: Purpose
    account: Inner | None = None
    several: list[Inner] = []
    number: int | None = None
    metadata: dict[Annotated[str, Meta(max_length=3)], str] = {}


class Empty(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing has to be said."""


def mistake(body: object) -> tuple[str, str]:
    """Where a body is wrong, and what is said of it."""
    with pytest.raises(InvalidInput) as refused:
        parse_json(json.dumps(body).encode(), Shape)
    (found,) = refused.value.mistakes
    return found.pointer, found.detail


def test_a_body_that_fits_is_read() -> None:
    """Every member where it belongs."""
    body = b'{"purpose":"payment","account":{"iban":"DE89"},"several":[{"iban":"x","kind":"two"}],"metadata":{"a":"b"}}'
    read = parse_json(body, Shape)
    assert read == Shape(Purpose.PAYMENT, Inner("DE89"), [Inner("x", "two")], None, {"a": "b"})


def test_no_body_is_an_empty_object() -> None:
    """Where nothing has to be said, nothing may be sent; elsewhere something is missing."""
    assert parse_json(b"", Empty) == Empty()
    assert mistake({}) == ("/purpose", "is required")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"purpose": "gift"}, "/purpose"),
        ({"purpose": 1}, "/purpose"),
        ({"purpose": None}, "/purpose"),
        ({"colour": "red"}, "/colour"),
        ({"number": "7"}, "/number"),
        ({"number": 7.5}, "/number"),
        ({"number": True}, "/number"),
        ({"account": []}, "/account"),
        ({"account": {}}, "/account/iban"),
        ({"account": {"iban": "DE890"}}, "/account/iban"),
        ({"account": {"iban": "DE89", "bic": "x"}}, "/account/bic"),
        ({"account": {"iban": "DE89", "kind": "three"}}, "/account/kind"),
        ({"several": [{"iban": "a"}, {"iban": 1}]}, "/several/1/iban"),
        ({"several": [{"iban": "a"}, {"iban": "b", "x": 1}]}, "/several/1/x"),
        ({"several": {}}, "/several"),
        ({"metadata": {"a": 1}}, "/metadata"),
        ({"metadata": {"long": "b"}}, "/metadata"),
    ],
)
def test_a_mistake_is_told_by_its_place(changes: dict[str, object], pointer: str) -> None:
    """As a JSON pointer, into lists and objects (RFC 6901)."""
    assert mistake({"purpose": "payment", **changes})[0] == pointer


@pytest.mark.parametrize(
    "changes",
    [
        {"purpose": CANARY},
        {"number": CANARY},
        {"account": CANARY},
        {"account": {"iban": CANARY}},
        {"account": {"iban": "x", "kind": CANARY}},
        {"metadata": {CANARY: "x"}},
        {"metadata": {"x": [CANARY]}},
        {"several": [CANARY]},
    ],
)
def test_a_mistake_does_not_repeat_what_was_sent(changes: dict[str, object]) -> None:
    """It goes to logs and screens; values stay with those who sent them."""
    pointer, detail = mistake({"purpose": "payment", **changes})
    assert CANARY not in pointer + detail


def test_an_unknown_members_name_is_cut_and_escaped() -> None:
    """It is all that is repeated, and it cannot grow or point elsewhere."""
    assert mistake({"purpose": "payment", "a/b~c": 1})[0] == "/a~1b~0c"
    assert len(mistake({"purpose": "payment", "x" * 5_000: 1})[0]) == 65
    assert escaped("~1") == "~01"


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"[]",
        b'"text"',
        b"7",
        b"{",
        b"{}{}",
        b'{"purpose":"payment",}',
        b"{'purpose':'payment'}",
        b'{"purpose":"payment"} // note',
        b'\xef\xbb\xbf{"purpose":"payment"}',
        b'{"purpose":"\xff"}',
        b'{"purpose":"\xed\xa0\x80"}',
        '{"purpose":"payment"}'.encode("utf-16"),
        b'{"purpose":"payment","number":NaN}',
        b'{"purpose":"payment","number":Infinity}',
        b'{"purpose":"payment","number":-Infinity}',
        b'{"purpose":"payment","number":01}',
        b'{"purpose":"payment","number":' + b"9" * 5_000 + b"}",
        b'{"purpose":"payment","purpose":"login"}',
        b'{"purpose":"payment","account":{"iban":"a","iban":"b"}}',
        b'{"purpose":"payment","purp\\u006fse":"login"}',
        b'{"purpose":"pay\nment"}',
        b'{"purpose":"\\ud800"}',
    ],
)
def test_what_two_parsers_would_read_differently_is_refused(body: bytes) -> None:
    """No JSON, not UTF-8, a name twice, numbers that are none: nothing of it is used."""
    with pytest.raises((MalformedRequest, InvalidInput)) as refused:
        parse_json(body, Shape)
    assert "payment" not in str(refused.value)


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 100_000, b'{"metadata":' + b"[" * 50 + b"]" * 50 + b"}"]
)
def test_deep_nesting_is_refused(body: bytes) -> None:
    """However deep, and whether it ends or not."""
    with pytest.raises(MalformedRequest):
        parse_json(body, Shape)


@given(JSON)
def test_whatever_is_sent_is_read_or_refused(value: object) -> None:
    """There is no third way: nothing else is raised."""
    for body in (value, {"purpose": "payment", "metadata": value}, {"purpose": "payment", "account": value}):
        try:
            parse_json(json.dumps(body).encode(), Shape)
        except (MalformedRequest, InvalidInput):
            continue


@given(st.binary(max_size=200))
def test_whatever_bytes_are_sent_are_read_or_refused(body: bytes) -> None:
    """The same for what is no JSON at all."""
    try:
        parse_json(body, Shape)
    except (MalformedRequest, InvalidInput):
        return


@given(SPELLED)
def test_what_is_not_looked_at_closely_has_nothing_that_would_be_refused(text: str) -> None:
    """However it is spelled: a body that passes at a glance passes the long way too."""
    if _is_plain(text.encode()):
        _look_closely(text.encode())


def test_a_glance_is_enough_for_what_clients_send() -> None:
    """Names once, words in UTF-8, with white space or without; not for a name that stands twice."""
    assert _is_plain(b'{ "a": [1, {"b": "\xc3\xa9"}],\n "c": {"a": null} }')
    assert not _is_plain(b'{"a": 1, "a": 1}')
    assert not _is_plain(b'{"a": {"b": 1, "b": 2}}')
