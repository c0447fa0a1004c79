"""Audit events: found by their head, kept as their text."""

import json

import msgspec
import pytest

from sca_service.audit.model import AuditEvent, EventHead

BODY = (
    '{"id":"evt_1","type":"challenge.answered","at_ms":1790000000000,"client":"bank","psu":"ab","challenge":"chl_1",'
    '"actor":"client:bank","outcome":"approved"}'
)


def test_an_event_is_found_by_its_head() -> None:
    """The members every event has; those of its own stay in the text."""
    event = AuditEvent.parse(BODY)
    assert event.head == EventHead("evt_1", "challenge.answered", 1_790_000_000_000, "bank", "ab", "chl_1")
    assert event.body == BODY


def test_an_event_keeps_the_text_it_came_with() -> None:
    """Spaces and order too: what was made where it was decided is never rewritten."""
    text = '{ "type": "t", "z": 1, "id": "evt_1",  "a": "é", "at_ms": 5 }'
    assert AuditEvent.parse(text).body == text
    assert AuditEvent.parse(text.encode()).body == text


def test_an_event_that_no_script_made_has_the_same_shape() -> None:
    """Its own members follow those every event has."""
    event = AuditEvent.create(
        event_id="evt_2", kind="client.created", at_ms=7, members={"client": "bank", "scopes": ["audit"]}
    )
    assert event.body == '{"id":"evt_2","type":"client.created","at_ms":7,"client":"bank","scopes":["audit"]}'
    assert (event.head.client, event.head.challenge) == ("bank", None)


@pytest.mark.parametrize("missing", ["id", "type", "at_ms"])
def test_an_event_without_name_kind_or_time_is_none(missing: str) -> None:
    """It could not be found again."""
    members = json.loads(BODY)
    del members[missing]
    with pytest.raises(msgspec.DecodeError):
        AuditEvent.parse(json.dumps(members))


@pytest.mark.parametrize("text", ["", "[]", "no event", '{"id":1,"type":"t","at_ms":5}', BODY[:-1]])
def test_what_is_no_event_is_an_error(text: str) -> None:
    """It is never put on record as something else."""
    with pytest.raises(msgspec.DecodeError):
        AuditEvent.parse(text)
