"""Events as canonical JSON: one text for what they say."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sca_service.audit.model import MOST_LEAF_BYTES, AuditEvent

HEAD = {"id": "evt_1", "type": "t", "at_ms": 1}
MEMBERS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.from_regex(r"\A[ -~]{0,8}\Z"), inner),
    max_leaves=12,
)


@pytest.mark.parametrize("name", ["arrays", "french", "unicode"])
def test_published_examples_come_out_as_published(shared: Path, name: str) -> None:
    """The examples of RFC 8785 that hold no fractions and no member outside of ASCII's order."""
    vectors = shared / "vectors" / "jcs"
    value = json.loads((vectors / "input" / f"{name}.json").read_bytes())
    expected = (vectors / "output" / f"{name}.json").read_bytes().strip().decode()
    assert f'"value":{expected}}}' in AuditEvent.of({**HEAD, "value": value}).body


@given(MEMBERS)
def test_an_event_is_one_text(value: object) -> None:
    """Members in the order of their names, the shortest escapes, no spaces: as another encoder writes it too."""
    body = AuditEvent.of({**HEAD, "value": value}).body
    other = json.dumps({**HEAD, "value": value}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert body == other
    assert AuditEvent.parse(body).body == body


def test_the_head_is_what_the_text_says() -> None:
    """The members that events are found by are read from the text itself."""
    event = AuditEvent.parse(
        b'{"type":"t","id":"evt_2","at_ms":5,"psu":"p","client":"bank","challenge":"chl_1"}'
    )
    assert (event.head.id, event.head.psu, event.head.client, event.head.challenge) == (
        *("evt_2", "p", "bank", "chl_1"),
    )


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"no event", b"{}", b"[]", b'{"id":1,"type":"t","at_ms":1}'),
        *(b'{"id":"e","type":"t"}', b'{"id":"e","at_ms":1}', b'{"type":"t","at_ms":1}'),
    ],
)
def test_what_is_no_event_is_refused(body: bytes) -> None:
    """An event without id, type or time cannot be put on record."""
    with pytest.raises(msgspec.DecodeError):
        AuditEvent.parse(body)


def test_an_event_longer_than_a_leaf_is_none() -> None:
    """Its length stands in two bytes (C2SP tlog-tiles): signed once, it would make its bundle unreadable for good."""
    spare = MOST_LEAF_BYTES - len(AuditEvent.of(HEAD | {"text": ""}).body)
    assert len(AuditEvent.of(HEAD | {"text": "x" * spare}).body) == MOST_LEAF_BYTES
    for text in ("x" * (spare + 1), "ü" * (spare // 2 + 1)):
        with pytest.raises(msgspec.ValidationError, match="longer than a leaf"):
            AuditEvent.of(HEAD | {"text": text})
