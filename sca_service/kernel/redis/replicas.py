"""How sure it must be that an answer outlives its server: how many replicas have it before it is told."""

from dataclasses import dataclass
from typing import Final

MOST_REPLICAS: Final = 5
MOST_WAIT_MS: Final = 500
"""Less than a call may take in all (kernel/deadline.py)."""


@dataclass(frozen=True, slots=True)
class ReplicaRule:
    """What replicas there are, and what is asked of them.

    Each primary has `count` of them. At least `must_have` of these have a decision within `wait_ms` before it is told;
    else nothing is told (503).
    """

    count: int = 0
    must_have: int = 0
    wait_ms: int = 300

    @property
    def all_have_what_was_told(self) -> bool:
        """Whether whichever replica takes over knows all that anybody was told."""
        return 0 < self.count <= self.must_have


NO_REPLICAS: Final = ReplicaRule()
