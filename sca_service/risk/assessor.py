"""Assesses a request: recalls, asks, weighs, and learns from it; the only file here with a sequence."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from sca_service.kernel.clock import Clock
from sca_service.kernel.keyring import Keyring
from sca_service.policy.model import Policy
from sca_service.policy.risk import LineQuestion
from sca_service.risk.camara import LineDesk
from sca_service.risk.facts import RiskOrder, facts_of, own_minor, subjects_of
from sca_service.risk.model import Assessed, LineAnswer
from sca_service.risk.redis_store import RiskStore, SubjectKind
from sca_service.risk.score import assess_beside


class Failures(Protocol):
    """Counts wrong answers."""

    async def failures_of(self, payer: str) -> int:
        """How many a payer (a pseudonym) gave in a row. Raises StoreUnavailable."""


class Assessor:
    """Assesses requests. A class because it holds the policy, the stores and whom to ask."""

    def __init__(
        self,
        policy: Policy,
        *,
        store: RiskStore,
        failures: Failures,
        desk: LineDesk,
        keyring: Keyring,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._failures = failures
        self._policy = policy
        self._store = store
        self._desk = desk
        self._keyring = keyring

    async def assess(self, order: RiskOrder, *, is_counted: bool = False) -> Assessed:
        """What applies, and what the policy on trial would say; all that Redis knows in one pipeline.

        With `is_counted` the request is counted as by `requested`, before it is judged: of many at once each sees the
        others. Nothing is learned of the payer. Raises StoreUnavailable.
        """
        subjects = subjects_of(order, self._keyring)
        _, memory, failures, answers = await asyncio.gather(
            self.requested(order) if is_counted else _nothing(),
            self._store.recall(subjects),
            self._failures.failures_of(order.payer),
            self._answers(order),
        )
        known = replace(order, failures=failures)
        facts = facts_of(known, subjects, memory, answers, exchange=self._policy.supply.exchange)
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
            self._store.report_payer(order.payer),
            *(self._store.report(kind, subjects.others[kind], by=order.payer) for kind in origins),
        )

    async def _answers(self, order: RiskOrder) -> Mapping[LineQuestion, LineAnswer]:
        """What the operator says of the line. Whether the number was recycled is asked from the day on which the payer
        proved to hold it; of a line that the bank vouches for, from the one on which it learned it.
        """
        if order.phone is None:
            return {}
        known_since, age_days = order.line_known_since, order.marks.number_age_days
        if known_since is None and age_days is not None:
            today = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC).date()
            known_since = today - timedelta(days=age_days)
        return await self._desk.ask(order.phone, known_since=known_since)

    def _amount_minor(self, order: RiskOrder) -> int | None:
        return own_minor(order.transaction.total, self._policy.supply.exchange) if order.transaction else None


async def _nothing() -> None:
    """Nothing is counted."""
