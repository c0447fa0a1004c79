"""What events are told as: the types, who hears of them, and that nothing personal is in a payload."""

import json
from typing import Any

import msgspec
import pytest

from sca_service.audit.following.model import LoggedEvent
from sca_service.policy.webhooks import WebhookPolicy
from sca_service.webhooks.announcements import (
    TYPES,
    Announcement,
    announcement_of,
    is_known,
    matches,
)
from sca_service.webhooks.model import AttemptOutcome, outcome_of, wait_seconds

POLICY = WebhookPolicy(10, 4, 20, (5, 300, 1800), 20, 5, 24, 14, 60)
PAYER = "ab" * 16


def logged(kind: str, **members: Any) -> LoggedEvent:
    """An event on the log with a payer, a pseudonym of a number and a payee's beginnings in it."""
    body = {
        "id": "evt_1",
        "type": kind,
        "at_ms": 1_764_000_000_123,
        "client": "bank",
        "psu": PAYER,
        "actor": "worker",
        "session": "cd" * 16,
        "transaction": "sha256:ef",
        "commitments": {"phone": "sha256:aa"},
        "subject": "+4915112",
        "dedupe": "99" * 16,
        **members,
    }
    return LoggedEvent.read(7, msgspec.json.encode(body).decode())


def told(kind: str, **members: Any) -> Announcement:
    """What an event is told as; it has to be something."""
    found = announcement_of(logged(kind, **members))
    assert found is not None
    return found


CASES = [
    ("challenge.issued", {"challenge": "chl_1", "purpose": "payment"}, "challenge.issued", "pending"),
    ("challenge.answered", {"challenge": "chl_1", "outcome": "approved"}, "challenge.approved", "approved"),
    (
        "challenge.answered",
        {"challenge": "chl_1", "outcome": "incorrect", "attempts_left": 0},
        "challenge.blocked",
        "blocked",
    ),
    (
        "challenge.answered",
        {"challenge": "c", "outcome": "transaction_mismatch"},
        "challenge.rejected",
        "rejected",
    ),
    ("challenge.answered", {"challenge": "chl_1", "outcome": "expired"}, "challenge.expired", "expired"),
    ("challenge.declined", {"challenge": "chl_1", "reason": "payer_call"}, "challenge.declined", "declined"),
    (
        "challenge.undeliverable",
        {"challenge": "c", "reason": "no_device"},
        "challenge.undeliverable",
        "undeliverable",
    ),
    ("delivery.settled", {"challenge": "c", "delivery": "dlv_1", "status": "sent"}, "delivery.sent", "sent"),
    ("delivery.settled", {"challenge": "c", "status": "no_answer"}, "delivery.failed", "no_answer"),
    ("alert.sent", {"alert": "alt_1", "delivery": "dlv_alt1"}, "alert.sent", "sent"),
    ("alert.suppressed", {"alert": "alt_1", "reason": "opted_out"}, "alert.suppressed", "suppressed"),
    ("payer.blocked", {"challenge": "chl_1", "until_ms": 1_764_000_900_000}, "payer.blocked", "blocked"),
    ("pumping.blocked", {"block": "blk_1", "scope": "prefix", "reason": "budget"}, "block.set", "set"),
]


@pytest.mark.parametrize(("kind", "members", "expected", "status"), CASES)
def test_an_event_is_told_as_its_type(kind: str, members: dict[str, Any], expected: str, status: str) -> None:
    """With its time, its ids and where it leads, in the form of Standard Webhooks."""
    announced = told(kind, **members)
    body = json.loads(announced.body)
    assert set(body) == {"type", "timestamp", "data"}
    assert (body["type"], announced.type) == (expected, expected)
    assert body["timestamp"] == "2025-11-24T16:00:00.123Z"
    assert (body["data"]["event"], body["data"]["index"]) == ("evt_1", 7)
    assert body["data"]["status"] == status
    assert expected in TYPES


@pytest.mark.parametrize(("kind", "members", "expected", "status"), CASES)
def test_a_payload_is_thin(kind: str, members: dict[str, Any], expected: str, status: str) -> None:
    """No payer, pseudonym, session, number's beginning, commitment or digest is in it."""
    body = told(kind, **members).body
    for personal in (PAYER, "cd" * 16, "sha256", "+4915112", "99" * 16):
        assert personal not in body


def test_a_number_of_times_says_when_it_ends() -> None:
    """Milliseconds are told as times."""
    body = json.loads(told("payer.blocked", challenge="c", until_ms=1_764_000_900_000).body)
    assert body["data"]["until"] == "2025-11-24T16:15:00.000Z"


def test_what_an_operator_wrote_is_not_told() -> None:
    """The reason of an unblocking is free text."""
    assert "reason" not in json.loads(told("payer.unblocked", reason="called back").body)["data"]


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("challenge.answered", {"outcome": "incorrect", "attempts_left": 2}),
        ("challenge.answered", {"outcome": "already_used"}),
        ("delivery.attempted", {"delivery": "dlv_1"}),
        ("client.created", {}),
        ("log.pruned", {}),
        ("webhook.disabled", {"webhook": "whk_1"}),
    ],
)
def test_much_is_not_told(kind: str, members: dict[str, Any]) -> None:
    """What changes nothing for a bank, or is none of its business."""
    assert announcement_of(logged(kind, **members)) is None


def test_messages_about_a_challenge_have_one_subject() -> None:
    """So that they come in their order; what ends it is told once however often it is answered."""
    first, second = told("challenge.issued", challenge="chl_1"), told("delivery.settled", challenge="chl_1")
    assert first.subject == second.subject == "chl_1"
    answers = [told("challenge.answered", challenge="chl_1", outcome="blocked") for _ in range(2)]
    assert answers[0].once == answers[1].once == "chl_1 challenge.blocked"
    assert second.once is None


def test_who_hears_of_it() -> None:
    """The client it happened to, with the scope and the filter; of blocks whoever may see them."""
    approved = told("challenge.answered", challenge="c", outcome="approved")
    assert approved.is_for("bank", ("challenges",), ())
    assert approved.is_for("bank", ("challenges",), ("challenge.*",))
    assert approved.is_for("bank", ("challenges",), ("alert.sent", "challenge.approved"))
    assert not approved.is_for("bank", ("challenges",), ("challenge.issued", "alert.*"))
    assert not approved.is_for("bank", ("alerts",), ())
    assert not approved.is_for("other-bank", ("challenges",), ())
    block = told("pumping.blocked", block="blk_1")
    assert block.is_for("operator", ("admin",), ())
    assert not block.is_for("bank", ("challenges", "alerts", "audit"), ("block.*",))


def test_filters_name_what_there_is() -> None:
    """A family ends with a star; nothing of other scopes is known."""
    assert matches("alert.*", "alert.sent")
    assert not matches("alert.*", "alerted.sent")
    assert is_known("challenge.*", ("challenges",))
    assert not is_known("alert.*", ("challenges",))
    assert not is_known("challenge.nothing", ("challenges",))
    assert not is_known("webhook.test", ("challenges", "admin", "audit", "alerts"))


@pytest.mark.parametrize(
    ("number", "chance", "asked", "expected"),
    [
        (1, 0, 0, 5),
        (1, 1, 0, 6),
        (2, 0.5, 0, 330),
        (3, 0, 0, 1800),
        (4, 0, 0, None),
        (1, 0, 120, 120),
        (3, 0, 120, 1800),
        (1, 0, 999_999, 86_400),
    ],
)
def test_the_wait_after_a_failure(number: int, chance: float, asked: int, expected: float | None) -> None:
    """The policy's, stretched by chance, or what the endpoint asks for when that is longer; none after the last."""
    assert wait_seconds(POLICY, number, chance=chance, retry_after_seconds=asked) == expected


def test_what_a_status_says() -> None:
    """2xx is a success; a redirect is a failure as any other."""
    outcomes = [outcome_of(status) for status in (200, 204, 301, 404, 410, 500)]
    assert outcomes == [
        AttemptOutcome.DELIVERED,
        AttemptOutcome.DELIVERED,
        AttemptOutcome.REDIRECTED,
        AttemptOutcome.REFUSED,
        AttemptOutcome.GONE,
        AttemptOutcome.REFUSED,
    ]
