"""What pumping.toml says: when so many messages go unanswered that somebody earns by having them sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class PumpingScope(StrEnum):
    """What is counted together, the narrowest first."""

    NEIGHBOURS = "neighbours"  # the hundred numbers that differ in their last two digits
    PREFIX = "prefix"  # the number without its last four digits
    COUNTRY = "country"
    IP = "ip"  # the address that the bank names, an IPv6 one by its /64; within one client
    CLIENT = "client"


class AtBlock(StrEnum):
    """What becomes of a message that the guard would not send."""

    REFUSE = "refuse"
    OBSERVE = "observe"  # sent, but logged: how a policy is tried out
    OFF = "off"  # nothing is counted


@dataclass(frozen=True, slots=True)
class BudgetRule:
    """How many messages of one subject may be unanswered: the largest of `floor` and the three shares (percent).

    The shares are of what was approved there: on the best day, in the last 24 hours, in the last hour. So many
    more may be `waiting`: their payers have not had the time to answer, and they are not judged. From `least_sent`
    messages on that are, the mark for conversion holds as well.
    """

    floor: int
    best_day_percent: int
    day_percent: int
    hour_percent: int
    waiting: int
    least_sent: int


@dataclass(frozen=True, slots=True)
class PumpingPolicy:
    """The guard's numbers.

    Messages are counted over `window_hours`, the best day is looked for in `history_days`. A payer has `answer_minutes`
    to answer, before a message is held to be one that nobody answers. `never_sent_to` are beginnings of numbers in
    E.164. A line that has approved is known for `known_days`.
    """

    at_block: AtBlock
    at_block_in_sandbox: AtBlock
    window_hours: int
    history_days: int
    answer_minutes: int
    block_seconds: int
    known_days: int
    most_allowed_days: int
    conversion_percent: int
    most_countries: int
    never_sent_to: tuple[str, ...]
    budgets: Mapping[PumpingScope, BudgetRule]

    def at_block_where(self, *, sandbox: bool) -> AtBlock:
        """What holds here: the sandbox's messages cost nothing, and go to few numbers."""
        return self.at_block_in_sandbox if sandbox else self.at_block
