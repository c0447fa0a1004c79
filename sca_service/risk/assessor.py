"""Assesses a request: recalls, asks, weighs, and learns from it; the only file here with a sequence."""

import asyncio
from collections.abc import Mapping
from datetime import date

from sca_service.kernel.keyring import Keyring
from sca_service.policy.model import Policy
from sca_service.policy.risk import LineQuestion
from sca_service.risk.camara import LineDesk
from sca_service.risk.facts import RiskOrder, facts_of, own_minor, subjects_of
from sca_service.risk.model import Assessed, LineAnswer
from sca_service.risk.redis_store import Mark, RiskStore, SubjectKind
from sca_service.risk.score import assess_beside


class Assessor:
    """Assesses requests. A class because it holds the policy, the store and whom to ask."""

    def __init__(self, policy: Policy, *, store: RiskStore, desk: LineDesk, keyring: Keyring) -> None:
        self._policy = policy
        self._store = store
        self._desk = desk
        self._keyring = keyring

    async def assess(self, order: RiskOrder, *, line_known_since: date | None = None) -> Assessed:
        """What applies, and what the policy on trial would say; nothing is learned yet. Raises StoreUnavailable.

        `line_known_since` is when the bank learned the phone number, for the question whether it was recycled.
        """
        subjects = subjects_of(order, self._keyring)
        memory, answers = await asyncio.gather(
            self._store.recall(subjects), self._answers(order, line_known_since)
        )
        facts = facts_of(order, subjects, memory, answers, exchange=self._policy.supply.exchange)
        return assess_beside(facts, self._policy.risk, self._policy.next_risk)

    async def requested(self, order: RiskOrder) -> None:
        """Count the request, whatever was decided about it. Raises StoreUnavailable."""
        await self._store.requested(subjects_of(order, self._keyring), amount_minor=self._amount_minor(order))

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
            *(self._store.mark(kind, subjects.others[kind], Mark.REPORTED) for kind in origins),
        )

    async def _answers(self, order: RiskOrder, known_since: date | None) -> Mapping[LineQuestion, LineAnswer]:
        return await self._desk.ask(order.phone, known_since=known_since) if order.phone else {}

    def _amount_minor(self, order: RiskOrder) -> int | None:
        return own_minor(order.transaction.total, self._policy.supply.exchange) if order.transaction else None
