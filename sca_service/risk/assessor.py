"""Assesses a request: recalls, asks, weighs, and learns from it; the only file here with a sequence."""

import asyncio
from collections.abc import Mapping
from datetime import date
from typing import Protocol

from sca_service.kernel.keyring import Keyring
from sca_service.policy.model import Policy
from sca_service.policy.risk import LineQuestion
from sca_service.risk.camara import LineDesk, NobodyAsked
from sca_service.risk.facts import RiskOrder, facts_of, own_minor, subjects_of
from sca_service.risk.model import Assessed, LineAnswer
from sca_service.risk.redis_store import FailuresPlace, Mark, RiskStore, SubjectKind
from sca_service.risk.score import assess_beside


class Failures(Protocol):
    """Knows where wrong answers are counted."""

    def failures_at(self, payer: str) -> tuple[str, str]:
        """The key of a hash on the payer's (a pseudonym's) slot, and the field with the failures in a row."""


class Assessor:
    """Assesses requests. A class because it holds the policy, the stores and whom to ask."""

    def __init__(
        self, policy: Policy, *, store: RiskStore, failures: Failures, desk: LineDesk, keyring: Keyring
    ) -> None:
        self._failures = failures
        self._policy = policy
        self._store = store
        self._desk = desk
        self._asks_nobody = isinstance(desk, NobodyAsked)
        self._keyring = keyring

    async def assess(
        self, order: RiskOrder, *, line_known_since: date | None = None, sees_itself: bool = False
    ) -> Assessed:
        """What applies, and what the policy on trial would say; all that Redis knows in one pipeline.

        The request is counted in the same step, whatever will be decided: of many at once each sees the others. It is
        not among what it is judged by itself, unless `sees_itself`. Nothing is learned of the payer.
        `line_known_since` is when the bank learned the phone number, for the question whether it was recycled. Raises
        StoreUnavailable.
        """
        subjects = subjects_of(order, self._keyring)
        amount_minor = self._amount_minor(order)
        recalled = self._store.meet(
            subjects,
            amount_minor=amount_minor,
            failures=FailuresPlace(*self._failures.failures_at(order.payer)),
            sees_itself=sees_itself,
        )
        answers: Mapping[LineQuestion, LineAnswer] = {}
        if order.phone is None or self._asks_nobody:
            memory = await recalled
        else:
            memory, answers = await asyncio.gather(
                recalled, self._desk.ask(order.phone, known_since=line_known_since)
            )
        facts = facts_of(order, subjects, memory, answers, amount_minor=amount_minor)
        return assess_beside(facts, self._policy.risk, self._policy.next_risk)

    async def approved(self, order: RiskOrder) -> None:
        """Learn from a request that the payer approved. Raises StoreUnavailable."""
        await self._store.approved(
            subjects_of(order, self._keyring),
            amount_minor=self._amount_minor(order),
            location=order.marks.location,
        )

    async def disowned(self, order: RiskOrder) -> None:
        """Remember that the payer says that somebody else made this request: where it came from, and that it happened.

        Raises StoreUnavailable.
        """
        subjects = subjects_of(order, self._keyring)
        origins = [kind for kind in (SubjectKind.DEVICE, SubjectKind.IP) if kind in subjects.others]
        await asyncio.gather(
            self._store.mark_payer(order.payer, Mark.REPORTED),
            *(
                self._store.mark(kind, subjects.others[kind], Mark.REPORTED, by=order.payer)
                for kind in origins
            ),
        )

    def _amount_minor(self, order: RiskOrder) -> int | None:
        return own_minor(order.transaction.total, self._policy.supply.exchange) if order.transaction else None
