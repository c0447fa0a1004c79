"""Where payments are assessed and executed on real stores: a desk, its figures, and challenges that were approved."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import asyncpg

from sca_service.audit.model import AuditEvent
from sca_service.audit.postgres_store import insert_events
from sca_service.exemptions.beneficiaries.postgres_store import BeneficiaryStore
from sca_service.exemptions.beneficiaries.trusted import TrustedBeneficiaries
from sca_service.exemptions.desk import AccessOrder, ExemptionDesk, PaymentOrder, Whose
from sca_service.exemptions.model import Context, PaymentType, Risk, Shown
from sca_service.exemptions.postgres_store import AssessmentStore
from sca_service.exemptions.reports.fraud import FraudFigures
from sca_service.exemptions.reports.postgres_store import FraudStore
from sca_service.exemptions.rows import AssessmentRow
from sca_service.kernel.account import Account
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.money import Amount
from sca_service.kernel.transaction import Payee, Transaction
from sca_service.policy.exemptions import CounterRule, ExemptionPolicy
from sca_service.policy.load import load
from sca_service.policy.model import Policy
from sca_service.risk.model import MarkedKind, Standing

POLICY = load(Path(__file__).resolve().parents[1] / "policies")
ORIGIN = {"actor": "client:bank", "request": "req_office", "policy": POLICY.digest}
IBAN, OTHER_IBAN = "DE89370400440532013000", "GB29NWBK60161331926819"


@dataclass(slots=True)
class TestClock:
    """A clock that a test moves; it begins at the machine's time."""

    ahead_ms: int = 0

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000 + self.ahead_ms


@dataclass(slots=True)
class ToldRisk:
    """A risk reader that says what a test wants."""

    risk: Risk = field(default_factory=Risk)

    async def analyse(self, whose: Whose, order: PaymentOrder) -> Risk:
        """The same for every payment."""
        return self.risk


@dataclass(slots=True)
class ToldChallenges:
    """What challenges were for, as a test says."""

    digests: dict[str, str] = field(default_factory=dict)

    async def digest_of(self, client: str, challenge: str) -> str | None:
        """As it was said."""
        return self.digests.get(challenge)


@dataclass(slots=True)
class Marked:
    """What was copied of who was defrauded and by whom; `is_away` when it cannot be reached."""

    standings: list[Standing] = field(default_factory=list)
    is_away: bool = False

    def reports_on(self, kind: MarkedKind, subject: str) -> int:
        """The reports that count by the last copy."""
        found = [one for one in self.standings if (one.kind, one.subject) == (kind, subject)]
        return max(found, key=lambda one: one.version).reports if found else 0

    async def copy(self, standing: Standing) -> None:
        """Remember it."""
        if self.is_away:
            raise StoreUnavailable("Redis does not answer")
        self.standings.append(standing)


def policy_with(**members: Any) -> Policy:
    """The shipped policy with other rules for exemptions."""
    return replace(POLICY, exemptions=replace(POLICY.exemptions, **members))


def counter_rule(rule: CounterRule, **members: Any) -> CounterRule:
    """A counter's rule, changed."""
    return replace(rule, **members)


class ExemptionOffice:
    """One payer of one client, and a desk for them. A class because it holds the pool and the desk."""

    def __init__(
        self, pool: asyncpg.Pool, keyring: Keyring, policy: Policy = POLICY, client: str | None = None
    ) -> None:
        self.pool = pool
        self.keyring = keyring
        self.client = client or f"bank-{secrets.token_hex(6)}"
        self.whose = Whose(self.client, f"cust_{secrets.token_hex(6)}", ORIGIN)
        self.clock = TestClock()
        self.risk = ToldRisk()
        self.challenges = ToldChallenges()
        self._digests: dict[str, str] = {}
        self.marks = Marked()
        self.figures = FraudFigures(
            policy=policy.exemptions,
            store=FraudStore(pool),
            clock=self.clock,
            memory=self.marks,
            report_days=policy.risk.memory.report_days,
        )
        self.desk = ExemptionDesk(
            policy=policy,
            keyring=keyring,
            store=AssessmentStore(pool),
            risk=self.risk,
            fraud=self.figures,
            challenges=self.challenges,
            clock=self.clock,
        )
        self.trusted = TrustedBeneficiaries(store=BeneficiaryStore(pool), keyring=keyring, clock=self.clock)

    @property
    def psu(self) -> str:
        """The payer's pseudonym."""
        return self.keyring.pseudonym("payer", self.client, self.whose.psu_id)

    async def assess(
        self, euros: str = "10.00", *, unique: str | None = None, **members: Any
    ) -> AssessmentRow:
        """Assess a payment of the payer, remote and by card unless said otherwise."""
        wanted = order(euros, **members)
        row = await self.desk.assess(self.whose, wanted, unique=unique)
        self._digests[row.id] = wanted.transaction.digest()
        return row

    async def access(self, shows: Shown = Shown.BALANCE, **members: Any) -> AssessmentRow:
        """Assess an access."""
        return await self.desk.assess(self.whose, AccessOrder(shows, **members))

    async def executed(self, row: AssessmentRow, challenge: str | None = None) -> AssessmentRow:
        """Say that it was executed, by a challenge for this very payment unless it is known to be for another."""
        if challenge is not None:
            self.challenges.digests.setdefault(challenge, self._digests.get(row.id, ""))
        return await self.desk.executed(self.client, row.id, challenge, ORIGIN)

    async def cancel(self, row: AssessmentRow) -> AssessmentRow:
        """Say that it will not be executed."""
        return await self.desk.cancel(self.client, row.id, ORIGIN)

    async def paid(self, euros: str = "10.00", **members: Any) -> AssessmentRow:
        """Assess and execute, exempt or not."""
        return await self.executed(await self.assess(euros, **members))

    async def approved(
        self, purpose: str = "payment", *, sca: bool = True, client: str | None = None, psu: str | None = None
    ) -> str:
        """A challenge that the payer has approved, as the log knows it."""
        challenge = f"chl_{secrets.token_hex(20)}"
        head: Mapping[str, Any] = {
            "client": client or self.client,
            "psu": psu or self.psu,
            "challenge": challenge,
        }
        issued = self._event("challenge.issued", {**head, "purpose": purpose, "sca": sca})
        answered = self._event("challenge.answered", {**head, "outcome": "approved"})
        async with self.pool.acquire() as connection, connection.transaction():
            await insert_events(connection, [issued, answered])
            await connection.execute(
                "INSERT INTO acceptances (challenge_id, event_id, at) VALUES ($1, $2, clock_timestamp())",
                challenge,
                answered.head.id,
            )
        return challenge

    async def sca(self, euros: str = "500.00", **members: Any) -> AssessmentRow:
        """Execute a payment that the payer was authenticated for."""
        row = await self.assess(euros, **members)
        return await self.executed(row, await self.approved())

    async def lapse(self, row: AssessmentRow) -> None:
        """Let the time of an assessment be over."""
        statement = "UPDATE exemption_assessments SET expires_at = created_at WHERE id = $1"
        await self.pool.execute(statement, row.id)

    async def events(self) -> list[AuditEvent]:
        """The payer's events in the order of the log."""
        rows = await self.pool.fetch(
            "SELECT body FROM audit_events WHERE psu = $1 ORDER BY txid, position", self.psu
        )
        return [AuditEvent.parse(row["body"]) for row in rows]

    def _event(self, kind: str, members: Mapping[str, Any]) -> AuditEvent:
        return AuditEvent.create(
            event_id=new_id("evt"), kind=kind, at_ms=self.clock.now_ms(), members=members
        )


def order(euros: str, *, iban: str | None = IBAN, currency: str = "EUR", **members: Any) -> PaymentOrder:
    """A payment to one payee."""
    account = Account.parse(iban=iban) if iban else None
    transaction = Transaction.payment(
        amount=Amount.parse(currency=currency, amount=euros), payee=Payee("ACME GmbH", account)
    )
    told: dict[str, Any] = {
        "transaction": transaction,
        "type": PaymentType.CARD,
        "context": Context.REMOTE,
    }
    return PaymentOrder(**(told | members))


def exemptions() -> ExemptionPolicy:
    """What is shipped."""
    return POLICY.exemptions
