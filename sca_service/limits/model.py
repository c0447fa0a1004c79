"""The arithmetic of a limit: GCRA, numbers and a clock in, a decision out.

The generic cell rate algorithm (ITU-T I.371) keeps one number per limit: the theoretical arrival time (`tat`), up to
which the limit is spent. The scripts hold the same few lines; `tests/properties` compares the two.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sca_service.policy.model import AtLimit, LimitedAction, LimitRule, LimitScope, Policy


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit for one subject: one action per `interval_ms` in the long run, `burst` of them at once."""

    name: str
    subject: str
    interval_ms: int
    burst: int
    refuses: bool = True

    @classmethod
    def of(cls, rule: LimitRule, subject: str) -> "Limit":
        """A rule of the policy applied to one payer, phone line or client (by pseudonym)."""
        interval_ms = rule.per_seconds * 1000 // rule.count
        return cls(rule.name, subject, max(interval_ms, 1), rule.burst, rule.at_limit is AtLimit.REFUSE)


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether one more is allowed; if not, in how many milliseconds it will be. `tat_ms` is what to keep."""

    allowed: bool
    retry_after_ms: int
    tat_ms: int


def spend(limit: Limit, tat_ms: int, now_ms: int) -> Decision:
    """Spend one of the limit, or tell how long the caller has to wait."""
    spent_ms = max(tat_ms, now_ms) + limit.interval_ms
    overdraft_ms = spent_ms - now_ms - limit.burst * limit.interval_ms
    if overdraft_ms > 0:
        return Decision(allowed=False, retry_after_ms=overdraft_ms, tat_ms=tat_ms)
    return Decision(allowed=True, retry_after_ms=0, tat_ms=spent_ms)


def limits_for(policy: Policy, action: LimitedAction, scope: LimitScope, subject: str) -> tuple[Limit, ...]:
    """The policy's limits on an action that count by this scope, for one subject."""
    return tuple(Limit.of(rule, subject) for rule in policy.limits_on(action) if rule.scope is scope)


def refusing(limits: Iterable[Limit]) -> tuple[Limit, ...]:
    """Those that refuse once they are spent."""
    return tuple(limit for limit in limits if limit.refuses)


def observing(limits: Iterable[Limit]) -> tuple[Limit, ...]:
    """Those that only count and log."""
    return tuple(limit for limit in limits if not limit.refuses)
