"""The arithmetic of a limit: GCRA, numbers and a clock in, a decision out.

The generic cell rate algorithm (ITU-T I.371) keeps one number per limit: the theoretical arrival time (`tat`), up to
which the limit is spent. The scripts hold the same few lines; `tests/properties` compares the two.
"""

from collections.abc import Iterable

import msgspec

from sca_service.kernel.quota import Allowance, Quota
from sca_service.policy.model import AtLimit, LimitedAction, LimitRule, LimitScope, Policy

_TOLD = frozenset((LimitScope.PAYER, LimitScope.CLIENT, LimitScope.DEVICE, LimitScope.IP))
"""Counted within one client. What is left of any other limit would say what other clients did."""


class Limit(msgspec.Struct, frozen=True):
    """One limit for one subject: one action per `interval_ms` in the long run, `burst` of them at once.

    `cost_ms` is what an action spends, 0 for one interval; `quota` is what the caller may be told of it, None where it
    says something of other callers. `slot` names what it lies together with, its subject where that is empty: all
    limits of one slot are spent in one step.
    """

    name: str
    subject: str
    interval_ms: int
    burst: int
    refuses: bool = True
    cost_ms: int = 0
    quota: Quota | None = None
    slot: str = ""

    @classmethod
    def of(cls, rule: LimitRule, subject: str, *, cost_micros: int = 1_000_000, slot: str = "") -> "Limit":
        """A rule of the policy applied to one subject (by pseudonym); an action costs millionths of what it counts.

        The interval is rounded up to a millisecond: fewer pass than the rule says, never more.
        """
        interval_ms = -(-rule.per_seconds * 1000 // rule.count)
        cost_ms = -(-cost_micros * interval_ms // 1_000_000)
        return cls(
            rule.name,
            subject,
            interval_ms,
            rule.burst,
            refuses=rule.at_limit is AtLimit.REFUSE or rule.is_of_sending,
            cost_ms=cost_ms,
            quota=_quota(rule),
            slot=slot,
        )

    @property
    def spent_ms(self) -> int:
        """What one action spends."""
        return self.cost_ms or self.interval_ms

    @property
    def room_ms(self) -> int:
        """How far ahead of the clock it may be spent."""
        return self.burst * self.interval_ms

    def allowance(self, ahead_ms: int) -> Allowance | None:
        """What the caller may be told when it is spent so far ahead of the clock."""
        if self.quota is None:
            return None
        left = max(self.room_ms - ahead_ms, 0) // self.interval_ms
        return Allowance(self.quota, left, -(-ahead_ms // 1000))


class Decision(msgspec.Struct, frozen=True):
    """Whether one more is allowed; if not, in how many milliseconds it will be. `tat_ms` is what to keep."""

    allowed: bool
    retry_after_ms: int
    tat_ms: int


class Spent(msgspec.Struct, frozen=True):
    """What was spent, to be given back when nothing comes of it, and what the caller may be told.

    `is_pressed` claims that one of them is more than half spent.
    """

    limits: tuple[Limit, ...] = ()
    allowances: tuple[Allowance, ...] = ()
    is_pressed: bool = False


def spend(limit: Limit, tat_ms: int, now_ms: int) -> Decision:
    """Spend one of the limit, or tell how long the caller has to wait."""
    spent_ms = max(tat_ms, now_ms) + limit.spent_ms
    overdraft_ms = spent_ms - now_ms - limit.room_ms
    if overdraft_ms > 0:
        return Decision(allowed=False, retry_after_ms=overdraft_ms, tat_ms=tat_ms)
    return Decision(allowed=True, retry_after_ms=0, tat_ms=spent_ms)


def give_back(limit: Limit, tat_ms: int, now_ms: int, *, times: int = 1) -> int:
    """What to keep when one that was spent is given back, or so many: 0 when nothing is spent any more."""
    left_ms = tat_ms - times * limit.spent_ms
    return left_ms if left_ms > now_ms else 0


def is_pressed(limit: Limit, ahead_ms: int) -> bool:
    """Whether it is more than half spent, so far ahead of the clock; `pressed.lua` holds the same."""
    return 2 * ahead_ms > limit.room_ms


def limits_for(policy: Policy, action: LimitedAction, scope: LimitScope, subject: str) -> tuple[Limit, ...]:
    """The policy's limits on an action that count by this scope, for one subject."""
    return tuple(Limit.of(rule, subject) for rule in policy.limits_on(action) if rule.scope is scope)


def refusing(limits: Iterable[Limit]) -> tuple[Limit, ...]:
    """Those that refuse once they are spent."""
    return tuple(limit for limit in limits if limit.refuses)


def observing(limits: Iterable[Limit]) -> tuple[Limit, ...]:
    """Those that only count and log."""
    return tuple(limit for limit in limits if not limit.refuses)


def allowances(limits: Iterable[Limit], ahead_ms: Iterable[int]) -> tuple[Allowance, ...]:
    """What the caller may be told of limits spent so far ahead of the clock; those that observe say nothing."""
    told = (limit.allowance(ahead) for limit, ahead in zip(limits, ahead_ms, strict=True) if limit.refuses)
    return tuple(one for one in told if one is not None)


def _quota(rule: LimitRule) -> Quota | None:
    return Quota(rule.name, rule.count, rule.per_seconds) if rule.scope in _TOLD else None
