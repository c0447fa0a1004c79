"""When a supplier is left alone: pure arithmetic; `breaker.lua` does the same in Redis, for all workers at once.

::

    closed ──`failures` of the last `window` sends──▶ open ──after `open_seconds`──▶ half open ──probe taken──▶ closed
                                                        ▲                                │
                                                        └────────── probe failed ────────┘
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from sca_service.policy.supply import BreakerRule
from sca_service.routing.model import SendOutcome

PROBE_MS = 30_000
"""How long a probe may take before another is let through: longer than any send, or its worker is gone."""

FAILURE, SUCCESS = "1", "0"


class BreakerState(StrEnum):
    """Where a breaker stands for whoever is about to send."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"  # somebody may try it
    PROBING = "probing"  # it is this message that tries it


@dataclass(frozen=True, slots=True)
class Breaker:
    """What is kept of one supplier. `outcomes` are the latest sends, the oldest first, a sign each.

    `open_until_ms` is 0 while it is closed. `probe` numbers the probes; one is under way until `probe_until_ms`.
    """

    outcomes: str = ""
    open_until_ms: int = 0
    probe: int = 0
    probe_until_ms: int = 0

    def state(self, now_ms: int) -> BreakerState:
        """Where it stands now."""
        if not self.open_until_ms:
            return BreakerState.CLOSED
        is_open = now_ms < self.open_until_ms or now_ms < self.probe_until_ms
        return BreakerState.OPEN if is_open else BreakerState.HALF_OPEN


def is_failure(outcome: SendOutcome) -> bool:
    """Whether a send speaks against the supplier: it failed or gave no answer. A refusal is the message's fault."""
    return outcome in (SendOutcome.FAILED, SendOutcome.TIMED_OUT)


def observe(breaker: Breaker, rule: BreakerRule, *, failed: bool, probe: int, now_ms: int) -> Breaker:
    """Count the outcome of a send; `probe` is the number of the probe that it was, or 0."""
    open_ms = rule.open_seconds * 1000
    if breaker.open_until_ms:
        if probe != breaker.probe or not breaker.probe_until_ms:
            return breaker  # it was sent before the breaker opened, or the probe was given up
        if failed:
            return replace(breaker, open_until_ms=now_ms + open_ms, probe_until_ms=0)
        return Breaker(probe=breaker.probe)
    outcomes = (breaker.outcomes + (FAILURE if failed else SUCCESS))[-rule.window :]
    if failed and outcomes.count(FAILURE) >= rule.failures:
        return Breaker(open_until_ms=now_ms + open_ms, probe=breaker.probe)
    return replace(breaker, outcomes=outcomes)


def claim_probe(breaker: Breaker, *, now_ms: int) -> tuple[Breaker, int]:
    """Let one message try a half-open supplier: the number of its probe, or 0 when it must not."""
    if breaker.state(now_ms) is not BreakerState.HALF_OPEN:
        return breaker, 0
    number = breaker.probe + 1
    return replace(breaker, probe=number, probe_until_ms=now_ms + PROBE_MS), number
