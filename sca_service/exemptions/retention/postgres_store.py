"""Deletes assessments when the policy's days are over, and the reports of fraud on them; the log and the totals stay.

What counts still (RTS Art. 11 and 16: since the last authentication) is never too old: a counter must not fall by the
calendar. Each payer's assessments go under the payer's lock, so that none goes while somebody reports its execution.
"""

import structlog

from sca_service.audit.postgres_store import Connection
from sca_service.policy.exemptions import ExemptionPolicy

_IS_OVER = """
    (state <> 'executed' AND GREATEST(created_at, expires_at) < clock_timestamp() - $1::int * interval '1 day'
     OR state = 'executed' AND NOT counted AND executed_at < clock_timestamp() - $2::int * interval '1 day')
"""
_PAYERS = f"""
    SELECT DISTINCT psu FROM (
        SELECT psu FROM exemption_assessments
        WHERE created_at < clock_timestamp() - LEAST($1::int, $2::int) * interval '1 day' AND {_IS_OVER}
        ORDER BY created_at, id LIMIT $3
    ) AS portion
"""  # noqa: S608 - a text of this file
# The lock that assessments, authenticators and erasures take too.
_LOCK_PAYER = "SELECT pg_advisory_xact_lock(hashtextextended($1, 1))"
_DELETE = f"""
    WITH gone AS (DELETE FROM exemption_assessments WHERE psu = $3 AND {_IS_OVER} RETURNING id),
    unreported AS (DELETE FROM fraud_reports WHERE assessment IN (SELECT id FROM gone))
    SELECT count(*) FROM gone
"""  # noqa: S608 - a text of this file
_AT_ONCE = 500

log = structlog.get_logger()


class AssessmentRetention:
    """Keeps the table `exemption_assessments` from growing for ever. A class because it holds the policy."""

    def __init__(self, policy: ExemptionPolicy) -> None:
        self._policy = policy

    async def tidy(self, connection: Connection) -> bool:
        """Delete one portion. Returns whether there may be more. Raises what PostgreSQL raises."""
        days = (self._policy.unexecuted_days, self._policy.executed_days)
        payers = [row["psu"] for row in await connection.fetch(_PAYERS, *days, _AT_ONCE)]
        gone = 0
        for psu in payers:
            async with connection.transaction():
                await connection.execute(_LOCK_PAYER, psu)
                gone += await connection.fetchval(_DELETE, *days, psu)
        if gone:
            log.info("assessments.pruned", count=gone)
        return gone > 0
