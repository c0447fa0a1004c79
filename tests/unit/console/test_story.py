"""A story in words: titles, tones, endings, and what an auditor may see."""

import json
from typing import Any

import pytest

from sca_service.audit.private.commitments import PrivateValues
from sca_service.challenges.model import Outcome
from sca_service.console.story import Step, Story, Tone, summary

_VALUES = PrivateValues(
    "evt_1",
    "0f" * 16,
    bytes(range(32)),
    {
        "message_shown": "EUR 1 to <ACME>",
        "phone": "+4915112345678",
        "transaction": '{"amount":{"amount":"1.00"}}',
    },
)


def _step(kind: str, *, opened: bool = False, **members: Any) -> Step:
    leaf = json.dumps({"id": "evt_1", "type": kind, "at_ms": 1_764_300_000_000, **members})
    return Step.of(leaf, 3, None, opened=_VALUES.disclosures if opened else ())


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_a_title_and_a_tone(outcome: Outcome) -> None:
    """An answer is told by its outcome; only an approval is good."""
    step = _step("challenge.answered", outcome=outcome)
    assert step.title.startswith("Answered: ")
    assert "_" not in step.title
    assert step.tone is (Tone.GOOD if outcome is Outcome.APPROVED else Tone.BAD)


def test_an_unknown_event_is_told_all_the_same() -> None:
    """A type that the desk does not know yet is shown by its name, with all it says."""
    step = _step("exemption.applied", article="RTS Art. 16", amount_minor=1000)
    assert step.title == "Exemption: applied"
    assert ("Article", "RTS Art. 16") in step.facts
    assert ("Amount minor", "1000") in step.facts


def test_facts_are_words_and_times() -> None:
    """Times, booleans and lists are written as a person would."""
    facts = dict(
        _step("payer.blocked", until_ms=1_764_300_000_000, sca=True, elements=["a", "one_time_code"]).facts
    )
    assert facts == {
        "Until": "2025-11-28 03:20:00.000",
        "Strong authentication": "yes",
        "Elements": "a, one time code",
    }


def test_an_auditor_sees_what_an_auditor_may() -> None:
    """The text shown and the transaction are opened; the phone number is named as kept closed."""
    step = _step("challenge.issued", opened=True, commitments=_VALUES.commitments)
    assert step.disclosed("message_shown") == "EUR 1 to <ACME>"
    assert step.disclosed("phone") is None
    assert step.closed == ("phone",)
    assert step.unopened is None
    assert Story("chl", (step,)).payment == {"amount": {"amount": "1.00"}}


def test_a_story_ends_by_its_first_ending() -> None:
    """A wrong answer ends nothing; the approval does, whatever comes after it."""
    steps = (
        _step("challenge.issued"),
        _step("challenge.answered", outcome="incorrect"),
        _step("challenge.answered", outcome="approved"),
        _step("challenge.answered", outcome="already_used"),
    )
    ending = Story("chl", steps).ending
    assert ending is steps[2]
    assert Story("chl", steps[:2]).ending is None


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ({"outcome": "transaction_mismatch"}, "another transaction"),
        ({"status": "delivered", "channel": "sms"}, "delivered"),
        ({"channel": "sms"}, "SMS"),
        ({}, ""),
    ],
)
def test_a_row_of_the_list_says_one_word(members: dict[str, Any], word: str) -> None:
    """The outcome before the status, before the channel."""
    assert summary(members) == word
