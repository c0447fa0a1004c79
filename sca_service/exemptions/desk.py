"""Assess a payment or an access, and hear what became of it: the one place with the control flow."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sca_service.exemptions.assess import assess
from sca_service.exemptions.model import (
    AccessFacts,
    Article,
    Assessment,
    Context,
    Facts,
    FraudStanding,
    History,
    PaymentFacts,
    PaymentType,
    Risk,
    Shown,
)
from sca_service.exemptions.payee import payee_name
from sca_service.exemptions.postgres_store import AssessmentStore
from sca_service.exemptions.rows import AssessmentRow, Named, NewAssessment, Occurrence, has_room
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import InvalidInput, NotFound
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.transaction import Transaction, TransactionKind
from sca_service.policy.model import Policy
from sca_service.risk.facts import Marks, payee_subject

_ID = re.compile(r"ass_[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Whose:
    """A client's payer, and what the events say of the request that speaks of them."""

    client: str
    psu_id: str = field(repr=False)
    origin: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class PaymentOrder:
    """A payment as the client tells it, parsed. `instrument`, `series` are its own references; None is not known."""

    transaction: Transaction
    type: PaymentType
    context: Context
    instrument: str | None = field(default=None, repr=False)
    series: str | None = field(default=None, repr=False)
    merchant_category: str | None = None
    same_holder: bool | None = None
    held_here: bool | None = None
    process: str | None = None
    payer_is_consumer: bool | None = None
    marks: Marks = field(default_factory=Marks)


@dataclass(frozen=True, slots=True)
class AccessOrder:
    """An access as the client tells it, parsed. `aisp` is its own reference of the service, None for the payer."""

    shows: Shown
    oldest_days: int | None = None
    aisp: str | None = None
    reason: str | None = None


Order = PaymentOrder | AccessOrder


class RiskReader(Protocol):
    """Who analyses payments in real time (RTS Art. 2 and 18)."""

    async def analyse(self, whose: Whose, order: PaymentOrder) -> Risk:
        """What is known of each condition; the request is counted among the payer's. Raises StoreUnavailable."""


class ChallengeReader(Protocol):
    """Who knows what challenges were for."""

    async def digest_of(self, client: str, challenge: str) -> str | None:
        """The digest of the transaction that a client's challenge is linked to; empty for none, None without one.

        Raises StoreUnavailable.
        """


class FraudReader(Protocol):
    """Who knows the fraud rates."""

    async def standing(self, client: str, kind: PaymentType) -> FraudStanding:
        """Where a client's rate of this type stands. Raises StoreUnavailable."""


class NothingSupplied:
    """The risk reader of a deployment without risk analysis: nothing is known, so nothing is ruled out."""

    async def analyse(self, whose: Whose, order: PaymentOrder) -> Risk:
        """Nothing at all."""
        return Risk()


class ExemptionDesk:
    """Assesses and counts. A class because it holds the store and what it decides with."""

    def __init__(
        self,
        *,
        policy: Policy,
        keyring: Keyring,
        store: AssessmentStore,
        risk: RiskReader,
        fraud: FraudReader,
        challenges: ChallengeReader,
        clock: Clock,
    ) -> None:
        self._challenges = challenges
        self._policy = policy.exemptions
        self._digest = policy.digest
        self._keyring = keyring
        self._store = store
        self._risk = risk
        self._fraud = fraud
        self._clock = clock

    async def assess(self, whose: Whose, order: Order, *, unique: str | None = None) -> AssessmentRow:
        """Whether authentication may be left out; what that needs of a counter is reserved.

        `unique` (32 hexadecimal digits) names a repeated request. Raises InvalidInput for an amount in a currency
        without rate, StoreUnavailable.
        """
        psu = self._psu(whose)
        occurrence = self._occurrence(whose)
        facts = await self._facts(whose, order, occurrence.at_ms)
        new = NewAssessment(
            id=f"ass_{unique}" if unique else new_id("ass"),
            client=whose.client,
            psu=psu,
            facts=facts,
            open_seconds=self._policy.open_seconds,
            policy=self._digest,
            transaction=self._linked(whose.client, order.transaction.digest())
            if isinstance(order, PaymentOrder)
            else None,
        )

        def decide(history: History) -> Assessment:
            return assess(facts, self._policy, history)

        return await self._store.assess(new, decide, occurrence)

    async def executed(
        self, client: str, assessment_id: str, challenge: str | None, origin: Mapping[str, object]
    ) -> AssessmentRow:
        """Count what was executed, and let its authentication set the counters back; again is as once.

        The challenge has to be for this very payment. Raises NotFound, InvalidInput at `/challenge`, StoreUnavailable.
        """
        known = _checked(assessment_id)
        digest = await self._challenges.digest_of(client, challenge) if challenge else None
        row = await self._store.executed(
            known,
            client,
            Named(challenge, self._linked(client, digest or "")) if challenge else None,
            lambda row, counter: has_room(row, counter, self._policy),
            Occurrence(self._clock.now_ms(), origin),
        )
        return _there(row)

    async def cancel(self, client: str, assessment_id: str, origin: Mapping[str, object]) -> AssessmentRow:
        """Give up what an assessment has reserved. Raises NotFound, StoreUnavailable."""
        occurrence = Occurrence(self._clock.now_ms(), origin)
        return _there(await self._store.cancel(_checked(assessment_id), client, occurrence))

    async def get(self, client: str, assessment_id: str) -> AssessmentRow:
        """An assessment as it stands. Raises NotFound, StoreUnavailable."""
        return _there(await self._store.get(_checked(assessment_id), client))

    async def _facts(self, whose: Whose, order: Order, at_ms: int) -> Facts:
        if isinstance(order, AccessOrder):
            aisp = self._name("aisp", whose.client, order.aisp)
            return Facts(at_ms, access=AccessFacts(order.shows, order.oldest_days, aisp, order.reason))
        return Facts(at_ms, payment=await self._payment(whose, order))

    async def _payment(self, whose: Whose, order: PaymentOrder) -> PaymentFacts:
        transaction = order.transaction
        cents = self._policy.cents(transaction.total)
        if cents is None:
            at = "/total" if transaction.kind is TransactionKind.BATCH else "/amount"
            raise InvalidInput.at(f"/transaction{at}/currency", "has no rate in the policy")
        risk, fraud = await self._risk.analyse(whose, order), FraudStanding()
        if order.context is Context.REMOTE and Article.RISK_ANALYSIS in self._policy.order:
            fraud = await self._fraud.standing(whose.client, order.type)
        psu = self._psu(whose)
        return PaymentFacts(
            type=order.type,
            context=order.context,
            amount=transaction.total,
            cents=cents,
            payees=tuple(payee_name(self._keyring, psu, share.payee.account) for share in transaction.shares),
            instrument=self._name("instrument", psu, order.instrument),
            series=self._name("series", psu, order.series),
            payee_subject=payee_subject(self._keyring, whose.client, transaction),
            merchant_category=order.merchant_category,
            same_holder=order.same_holder,
            held_here=order.held_here,
            process=order.process,
            payer_is_consumer=order.payer_is_consumer,
            risk=risk,
            fraud=fraud,
        )

    def _name(self, kind: str, owner: str, reference: str | None) -> str | None:
        return None if reference is None else self._keyring.pseudonym(kind, owner, reference)

    def _linked(self, client: str, digest: str) -> str:
        """How a transaction is known from its assessment to its execution: the digest itself could be guessed at."""
        return self._keyring.pseudonym("transaction", client, digest)

    def _psu(self, whose: Whose) -> str:
        return self._keyring.pseudonym("payer", whose.client, whose.psu_id)

    def _occurrence(self, whose: Whose) -> Occurrence:
        return Occurrence(self._clock.now_ms(), whose.origin)


def _checked(assessment_id: str) -> str:
    """An id that an assessment can have. Raises NotFound."""
    if not _ID.fullmatch(assessment_id):
        raise NotFound
    return assessment_id


def _there(row: AssessmentRow | None) -> AssessmentRow:
    if row is None:
        raise NotFound
    return row
