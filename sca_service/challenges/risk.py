"""What risk has to say of a challenge: assessed when it is issued, learned from when it is answered."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

import msgspec

from sca_service.authenticators.model import KnownLine
from sca_service.challenges.model import Method
from sca_service.challenges.order import ChallengeOrder
from sca_service.challenges.view import ChallengeView
from sca_service.kernel.batching import unheard
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.transaction import Transaction
from sca_service.policy.model import LadderStep
from sca_service.policy.risk import AnswerMethod, Decision
from sca_service.risk.facts import Marks, RiskOrder
from sca_service.risk.model import Assessed
from sca_service.risk.record import RiskMembers, risk_members

REFUSED = "risk"
"""Why a challenge is `refused` by risk; its reasons stand beside it."""


class Assessor(Protocol):
    """Assesses requests and learns from them."""

    async def assess(self, order: RiskOrder) -> Assessed:
        """What applies, and what a policy on trial would say; the request is counted. Raises StoreUnavailable."""

    def approved(self, order: RiskOrder) -> "asyncio.Future[Any]":
        """Learn from an approval; the future is done when it is learned. Raises StoreUnavailable."""

    async def disowned(self, order: RiskOrder) -> None:
        """Remember that the payer says that somebody else made this request. Raises StoreUnavailable."""


class RiskVerdict(msgspec.Struct, frozen=True):
    """What a challenge has to heed: the decision as its client is told it, the channels left, and what goes on record.

    `refused_for` is why nothing may be sent, empty otherwise.
    """

    decision: Decision
    score: int
    reasons: tuple[str, ...]
    steps: tuple[LadderStep, ...]
    refused_for: str
    members: RiskMembers


def order_at_issue(client: str, payer: str, order: ChallengeOrder, line: KnownLine | None) -> RiskOrder:
    """The request as risk sees it; `line` is the phone line that would be used."""
    return RiskOrder(
        client=client,
        payer=payer,
        purpose=order.purpose,
        marks=order.marks,
        transaction=order.transaction,
        phone=line.number if line else None,
        line_known_since=line.since if line else None,
    )


def verdict_of(assessed: Assessed, method: Method, steps: Sequence[LadderStep]) -> RiskVerdict:
    """What follows for a challenge with this method and ladder.

    Whoever asks for a challenge has decided to ask: what risk would let through is a challenge all the same. A step-up
    leaves out channels and methods; where nothing is left, nothing is sent.
    """
    applied = assessed.applied
    left = tuple(step for step in steps if step.channel not in applied.leave_out_channels)
    is_cut_off = bool(steps) and not left and method is Method.ONE_TIME_CODE
    is_left_out = AnswerMethod(method) in applied.leave_out_methods
    is_refused = applied.decision is Decision.REFUSE or is_cut_off or is_left_out
    decision = Decision.CHALLENGE if applied.decision is Decision.ALLOW else applied.decision
    return RiskVerdict(
        decision=Decision.REFUSE if is_refused else decision,
        score=applied.score,
        reasons=applied.words,
        steps=left,
        refused_for=REFUSED if is_refused else "",
        members=risk_members(assessed),
    )


def learn(assessor: Assessor, view: ChallengeView, transaction: Transaction | None = None) -> None:
    """Learn from an approval, of the transaction where the answer named it. Never raises, and never waits."""
    with suppress(StoreUnavailable):
        unheard(assessor.approved(_answered_order(view, transaction)))


async def learn_disowned(assessor: Assessor, view: ChallengeView) -> None:
    """Learn from a payer who says that somebody else asked. Never raises StoreUnavailable."""
    with suppress(StoreUnavailable):
        await assessor.disowned(_answered_order(view, None))


def _answered_order(view: ChallengeView, transaction: Transaction | None) -> RiskOrder:
    private = view.private
    kept = private.transaction
    if transaction is None and kept:
        transaction = Transaction.from_canonical(kept.encode())
    return RiskOrder(
        client=view.state.client,
        payer=view.state.payer,
        purpose=view.fixed.purpose,
        marks=private.marks or Marks(),
        transaction=transaction,
    )
