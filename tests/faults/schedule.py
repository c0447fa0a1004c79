"""What a seed stands for: which faults happen when, and what the payers do meanwhile. The same seed, the same plan.

What comes of it depends on the machine; what is tried does not.
"""

import random
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """What can be done to a process, a store or the link between them."""

    PAUSE = "pause"  # SIGSTOP, then SIGCONT
    CUT = "cut"  # the link ends every connection and takes none
    HOLD = "hold"  # the link lets nothing through
    SLOW = "slow"  # the link delays every portion
    OUTAGE = "outage"  # a store is away for seconds: over one link, or over all
    TEAR_REPLY = "tear_reply"  # half a reply, then the connection ends
    TEAR_REQUEST = "tear_request"  # half a request, then the connection ends
    KILL_ROLE = "kill_role"
    KILL_STORE = "kill_store"
    LOSE_TAIL = "lose_tail"  # Redis comes back as it was a moment before
    FULL_DISK = "full_disk"  # the store can write nothing more
    STEP_CLOCK = "step_clock"  # a role's clock jumps


ROLES = ("api-1", "api-2", "worker-1", "worker-2", "log-1", "log-2")
STORES = ("valkey", "postgres")
LINKS = tuple(
    f"{role}/{store}" for role in ROLES for store in STORES if not role.startswith("log") or store != "valkey"
)
_WEIGHTS = {
    Fault.PAUSE: 8,
    Fault.CUT: 6,
    Fault.HOLD: 5,
    Fault.SLOW: 5,
    Fault.OUTAGE: 1,
    Fault.TEAR_REPLY: 8,
    Fault.TEAR_REQUEST: 6,
    Fault.KILL_ROLE: 2,
    Fault.KILL_STORE: 2,
    Fault.LOSE_TAIL: 1,
    Fault.FULL_DISK: 1,
    Fault.STEP_CLOCK: 3,
}
_MOMENT_SECONDS = (0.02, 0.3)
_OUTAGE_SECONDS = (2.0, 5.0)
"""Longer than a request waits, and than an event is left in the outbox to whoever wrote it."""
_STEPS_SECONDS = (-3_600, -90, -5, 5, 90, 3_600)


class Story(StrEnum):
    """What a payer and their bank do in one window."""

    PAY = "pay"
    EXHAUST = "exhaust"
    CANCEL = "cancel"
    NEXT = "next"
    MISMATCH = "mismatch"
    DEVICE = "device"
    ALERTS = "alerts"
    GENERATOR = "generator"
    LEAVE = "leave"


BEHAVIOURS = ("no_receipt", "undelivered", "error", "slow", "throttle", "duplicate_receipt", "early_receipt")
ENDPOINT_BEHAVIOURS = (
    *("refuse", "redirect", "stall", "silence", "reset", "reset_unread", "half", "garbage", "hang_up"),
    "leave",
)


@dataclass(frozen=True, slots=True)
class Blow:
    """One fault: what, to whom, how long after the window's beginning, and for how long; a clock's step in seconds."""

    fault: Fault
    target: str
    after_seconds: float
    for_seconds: float
    step_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """A seed's window: what the supplier of texts does to the next messages, and endpoints to the next calls."""

    seed: int
    blows: tuple[Blow, ...]
    stories: tuple[tuple[Story, int], ...]
    scripted: tuple[str, int]
    endpoints: tuple[str, int]

    @property
    def loses_tail(self) -> bool:
        """Whether Redis comes back older than it was."""
        return any(blow.fault is Fault.LOSE_TAIL for blow in self.blows)


def plan_of(seed: int, *, without: Collection[Fault] = (), only: Collection[Fault] = ()) -> Plan:
    """The plan of a seed, of the faults that can be done here; each story has a seed of its own."""
    chance = random.Random(seed)
    faults = {
        one: weight for one, weight in _WEIGHTS.items() if one not in without and (not only or one in only)
    }
    blows = [_blow(chance, faults) for _ in range(chance.choice((1, 1, 2, 2, 3)))]
    stories = [Story.PAY, *chance.choices(tuple(Story), k=3)]
    return Plan(
        seed,
        tuple(sorted(blows, key=lambda blow: blow.after_seconds)),
        tuple((story, chance.randrange(2**32)) for story in stories),
        (chance.choice(BEHAVIOURS), chance.randrange(1, 4)),
        (chance.choice(ENDPOINT_BEHAVIOURS), chance.randrange(1, 6)),
    )


def _blow(chance: random.Random, faults: dict[Fault, int]) -> Blow:
    (fault,) = chance.choices(tuple(faults), tuple(faults.values()))
    match fault:
        case Fault.PAUSE:
            target = chance.choice((*ROLES, *STORES))
        case Fault.KILL_ROLE | Fault.STEP_CLOCK:
            target = chance.choice(ROLES)
        case Fault.KILL_STORE | Fault.FULL_DISK:
            target = chance.choice(STORES)
        case Fault.LOSE_TAIL:
            target = "valkey"
        case Fault.OUTAGE:
            target = chance.choice((*STORES, chance.choice(LINKS)))
        case _:
            target = chance.choice(LINKS)
    return Blow(
        fault,
        target,
        after_seconds=round(chance.uniform(0, 0.15), 3),
        for_seconds=round(
            chance.uniform(*(_OUTAGE_SECONDS if fault is Fault.OUTAGE else _MOMENT_SECONDS)), 3
        ),
        step_seconds=chance.choice(_STEPS_SECONDS),
    )
