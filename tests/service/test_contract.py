"""The API gives nobody less than it has promised in `docs/openapi.json`."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract import BASELINE, losses
from tests.harness import Bank

Document = dict[str, Any]
CREATE = "/v1/challenges"


def promised() -> Document:
    """The document of the last release."""
    document: Document = json.loads(BASELINE.read_text("utf-8"))
    return document


def schema(document: Document, name: str) -> Any:
    """One of its schemas."""
    return document["components"]["schemas"][name]


async def test_nothing_is_taken_away_from_the_contract(bank: Bank) -> None:
    """No call, no member, no value, no room is lost since the last release, and nothing more has to be sent."""
    assert losses(promised(), (await bank.http.get("/openapi.json")).json()) == []


TAKES_AWAY: dict[str, tuple[Callable[[Document], object], str]] = {
    "call": (lambda new: new["paths"][CREATE].pop("get"), "GET /v1/challenges: is gone"),
    "name": (
        lambda new: new["paths"][CREATE]["post"].update(operationId="create"),
        "POST /v1/challenges: has another operationId",
    ),
    "scope": (
        lambda new: new["paths"][CREATE]["post"].update(security=[{"api_key": ["admin"]}]),
        'POST /v1/challenges: asks for {"api_key": ["admin"]}',
    ),
    "answer": (
        lambda new: new["paths"][CREATE]["post"]["responses"].pop("201"),
        "POST /v1/challenges: never answers 201",
    ),
    "filter": (lambda new: new["paths"][CREATE]["get"].pop("parameters"), "GET /v1/challenges: takes no query psu"),
    "member sent": (
        lambda new: schema(new, "CreateChallenge")["properties"].pop("reference"),
        "POST /v1/challenges: body.reference: is gone",
    ),
    "member needed": (
        lambda new: schema(new, "CreateChallenge")["required"].append("reference"),
        "POST /v1/challenges: body.reference: is needed",
    ),
    "value sent": (
        lambda new: schema(new, "Purpose")["enum"].remove("other"),
        'purpose: is never ["other"]',
    ),
    "member answered": (
        lambda new: schema(new, "ChallengeBody")["properties"].pop("expires_at"),
        ".expires_at: is gone",
    ),
    "member no longer sure": (
        lambda new: schema(new, "ChallengeBody")["required"].remove("expires_at"),
        ".expires_at: may be missing",
    ),
    "type answered": (
        lambda new: schema(new, "ChallengeBody")["properties"].update(expires_at={"type": ["string", "null"]}),
        ".expires_at: may be null",
    ),
    "room": (
        lambda new: schema(new, "PsuForm")["properties"]["id"].update(maxLength=1),
        "POST /v1/challenges: body.psu.id: has another maxLength",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("take", "loss"), TAKES_AWAY.values(), ids=TAKES_AWAY.keys())
def test_what_is_taken_away_is_told(take: Callable[[Document], object], loss: str) -> None:
    """One thing less in the promised document, and the comparison says where."""
    new = copy.deepcopy(promised())
    take(new)
    assert any(told.endswith(loss) for told in losses(promised(), new))


GIVES: dict[str, Callable[[Document], object]] = {
    "call": lambda new: new["paths"].update({"/v1/more": new["paths"][CREATE]}),
    "member that may be sent": lambda new: schema(new, "CreateChallenge")["properties"].update(more={}),
    "member answered": lambda new: schema(new, "ChallengeBody")["properties"].update(more={}),
    "value": lambda new: schema(new, "Status")["enum"].append("more"),
    "room": lambda new: schema(new, "PsuForm")["properties"]["id"].update(maxLength=10_000),
}


@pytest.mark.parametrize("give", GIVES.values(), ids=GIVES.keys())
def test_what_is_given_besides_is_no_loss(give: Callable[[Document], object]) -> None:
    """The contract may grow."""
    new = copy.deepcopy(promised())
    give(new)
    assert losses(promised(), new) == []
