"""What is fraudulent, which rate that makes, and what follows from it (RTS Art. 19 to 21)."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Protocol

from sca_service.exemptions.model import FraudStanding, PaymentType
from sca_service.exemptions.reports.figures import QuarterlyReport, Recomputation, report_of
from sca_service.exemptions.reports.fraud_rate import WINDOW_DAYS, FraudRate, has_ceased
from sca_service.exemptions.reports.postgres_store import FraudReportRow, FraudStore, NewReport
from sca_service.exemptions.reports.quarter import Quarter, day_of
from sca_service.exemptions.rows import Occurrence
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import InvalidInput, NotFound, StoreUnavailable
from sca_service.kernel.ids import new_id
from sca_service.policy.exemptions import Band, ExemptionPolicy
from sca_service.risk.model import Standing

_ID = re.compile(r"frd_[0-9a-f]{32}", re.ASCII)
FRESH_MS = 5_000
"""How long a standing is used before it is read again."""


class FraudKind(StrEnum):
    """How a payment came to be fraudulent (EBA/GL/2018/05, guideline 1)."""

    UNAUTHORISED = "unauthorised"  # the payer did not agree to it
    PAYER_MANIPULATED = "payer_manipulated"  # the payer was made to agree to it


@dataclass(frozen=True, slots=True)
class BandStanding:
    """A band of the policy, and whether the exemption of Art. 18 is open in it now."""

    band: Band
    is_within: bool
    has_ceased: bool


@dataclass(frozen=True, slots=True)
class RateStanding:
    """The rate of a type over the last 90 days, the days on record, and its bands."""

    payment_type: PaymentType
    rate: FraudRate
    days: int
    first: date
    last: date
    bands: tuple[BandStanding, ...]


class WithdrawalReason(StrEnum):
    """Why a report does not count any more."""

    MISTAKE = "mistake"  # it named another payment, or was never meant
    PAYER_AGREED = "payer_agreed"  # the payer had agreed to it after all ("friendly fraud")
    OTHER = "other"


class RiskMemory(Protocol):
    """Remembers who was defrauded and by whom; `RiskStore` is one."""

    async def copy(self, standing: Standing) -> None:
        """Take over how one stands. Raises StoreUnavailable."""


class FraudFigures:
    """Takes reports and tells rates. A class because it holds the store, and for five seconds what it has read."""

    def __init__(
        self,
        *,
        policy: ExemptionPolicy,
        store: FraudStore,
        clock: Clock,
        memory: RiskMemory | None = None,
        report_days: int = 0,
    ) -> None:
        """`memory` is None where nothing is reported, only read; a report speaks against payees for `report_days`."""
        self._report_days = report_days
        self._memory = memory
        self._policy = policy
        self._store = store
        self._clock = clock
        self._read: dict[tuple[str, PaymentType], tuple[int, FraudStanding]] = {}

    async def report(
        self,
        client: str,
        assessment: str,
        kind: FraudKind,
        origin: Mapping[str, object],
        *,
        unique: str | None = None,
    ) -> FraudReportRow:
        """Count a payment as fraudulent, whether its value was recovered or not; again is as once.

        That the payer was defrauded, and by which payee, is remembered for the next risk analysis.

        `unique` (32 hexadecimal digits) names a repeated request. Raises InvalidInput at `/assessment` for what is no
        executed payment of this client's, StoreUnavailable.
        """
        occurrence = Occurrence(self._clock.now_ms(), origin)
        report_id = f"frd_{unique}" if unique else new_id("frd")
        new = NewReport(report_id, client, assessment, kind, self._report_days)
        row = await self._store.report(new, occurrence)
        if row is None:
            raise InvalidInput.at("/assessment", "must be an executed payment")
        await self._heed(row)
        return row

    async def withdraw(
        self, client: str, report: str, reason: WithdrawalReason, origin: Mapping[str, object]
    ) -> FraudReportRow:
        """Count a payment as fraudulent no more, in the rate, the report of its quarter and the risk analysis.

        Again is as once, with the first reason. Raises NotFound, StoreUnavailable.
        """
        occurrence = Occurrence(self._clock.now_ms(), origin)
        row = await self._store.withdraw(_checked(report), client, reason, self._report_days, occurrence)
        if row is None:
            raise NotFound
        await self._heed(row)
        return row

    async def report_of(self, client: str, report: str) -> FraudReportRow:
        """A report as it stands. Raises NotFound, StoreUnavailable."""
        row = await self._store.get(_checked(report), client)
        if row is None:
            raise NotFound
        return row

    async def standing(self, client: str, kind: PaymentType) -> FraudStanding:
        """Where a rate stands, at most five seconds ago. Raises StoreUnavailable."""
        now_ms = self._clock.now_ms()
        known = self._read.get((client, kind))
        if known is not None and 0 <= now_ms - known[0] < FRESH_MS:
            return known[1]
        told = await self.rate_standing(client, kind)
        ceased = frozenset(one.band.most_cents for one in told.bands if one.has_ceased)
        standing = FraudStanding(told.rate.fraud_cents, told.rate.total_cents, told.days, ceased)
        self._read[client, kind] = (now_ms, standing)
        return standing

    async def _heed(self, row: FraudReportRow) -> None:
        """Let the rate be read anew, and tell the risk analysis. It is on record: what Redis misses is copied later."""
        self._read.clear()
        if self._memory is not None:
            with suppress(StoreUnavailable):
                for standing in row.standings:
                    await self._memory.copy(standing)

    async def rate_standing(self, client: str, kind: PaymentType) -> RateStanding:
        """The rate of a type now, and what it means for each band. Raises StoreUnavailable."""
        today = day_of(self._clock.now_ms())
        first = today - timedelta(days=WINDOW_DAYS - 1)
        since = await self._store.first_day(client, kind)
        rate = await self._store.rate(client, kind, first, today)
        quarters = await self._store.quarterly_rates(client, kind, Quarter.of(today).first)
        bands = tuple(
            BandStanding(band, rate.is_within(band.reference_ppm), has_ceased(quarters, band.reference_ppm))
            for band in self._policy.risk_analysis.bands[kind]
        )
        days = (today - since).days + 1 if since else 0
        return RateStanding(kind, rate, days, first, today, bands)

    async def quarterly(self, client: str, quarter: Quarter) -> QuarterlyReport:
        """The figures of a quarter as they were kept (Art. 21). Raises StoreUnavailable."""
        return report_of(client, quarter, await self._store.sums(client, quarter.first, quarter.last))

    async def quarterly_from_log(self, client: str, quarter: Quarter) -> QuarterlyReport:
        """The same, recomputed from the audit log alone. Raises StoreUnavailable."""
        made = Recomputation(client, quarter.first, quarter.last)
        async for leaf in self._store.leaves(client):
            made.add(leaf)
        return report_of(client, quarter, made.sums)


def _checked(report: str) -> str:
    """An id that a report can have. Raises NotFound."""
    if not _ID.fullmatch(report):
        raise NotFound
    return report
