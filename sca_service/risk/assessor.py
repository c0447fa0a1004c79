"""Assesses a request: recalls, asks, weighs, and learns from it; the only file here with a sequence."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Protocol

from sca_service.kernel.clock import Clock
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import PhoneNumber
from sca_service.policy.model import Policy
from sca_service.policy.risk import LineQuestion
from sca_service.risk.camara import LineDesk, NobodyAsked
from sca_service.risk.facts import OwnCurrency, RiskOrder, facts_of, learned_of, subjects_of
from sca_service.risk.model import Assessed, LineAnswer
from sca_service.risk.redis_store import FailuresPlace, RiskStore, SubjectKind
from sca_service.risk.score import Scale

_NO_ANSWERS: Final[Mapping[LineQuestion, LineAnswer]] = MappingProxyType({})


class Failures(Protocol):
    """Knows where wrong answers are counted."""

    def failures_at(self, payer: str) -> tuple[str, str]:
        """The key of a hash on the payer's (a pseudonym's) slot, and the field with the failures in a row."""


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
        self._own = OwnCurrency(policy.supply.exchange)
        self._scale = Scale(policy.risk)
        self._trial = Scale(policy.next_risk) if policy.next_risk else None
        self._store = store
        self._desk = desk
        self._asks_nobody = isinstance(desk, NobodyAsked)
        self._keyring = keyring

    async def assess(self, order: RiskOrder, *, sees_itself: bool = False) -> Assessed:
        """What applies, and what the policy on trial would say; all that Redis knows in one pipeline.

        The request is counted in the same step, whatever will be decided: of many at once each sees the others. It is
        not among what it is judged by itself, unless `sees_itself`. Nothing is learned of the payer. Raises
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
        if order.phone is None or self._asks_nobody:
            memory, answers = await recalled, _NO_ANSWERS
        else:
            memory, answers = await asyncio.gather(recalled, self._answers(order, order.phone))
        facts = facts_of(order, subjects, memory, answers, amount_minor=amount_minor)
        return Assessed(facts, self._scale.assess(facts), self._trial.assess(facts) if self._trial else None)

    def approved(self, order: RiskOrder) -> "asyncio.Future[Any]":
        """Learn from a request that the payer approved.

        Nobody has to wait for it: the future is done when Redis has heard. Raises StoreUnavailable.
        """
        return self._store.approved(
            learned_of(order, self._keyring),
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

    async def _answers(self, order: RiskOrder, phone: PhoneNumber) -> Mapping[LineQuestion, LineAnswer]:
        """What the operator says of the line. Whether the number was recycled is asked from the day on which the payer
        proved to hold it; of a line that the bank vouches for, from the one on which it learned it.
        """
        known_since, age_days = order.line_known_since, order.marks.number_age_days
        if known_since is None and age_days is not None:
            today = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC).date()
            known_since = today - timedelta(days=age_days)
        return await self._desk.ask(phone, known_since=known_since)

    def _amount_minor(self, order: RiskOrder) -> int | None:
        return self._own.minor(order.transaction.total) if order.transaction else None
