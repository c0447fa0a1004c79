"""What a delivery is tried over, as the scripts keep it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AttemptRoute:
    """The route of an attempt, as `advance.lua` keeps it.

    No `supplier`: there is no route, for this `reason`, which `may_pass` within seconds or not. `members` are what the
    event of the attempt, or of its failure, says beside what every one does.
    """

    channel: str = ""
    supplier: str = ""
    reason: str = ""
    record: bytes = b""
    members: bytes = b""
    cost: str = ""
    segments: int = 0
    may_pass: bool = False


NOTHING_DUE = AttemptRoute()
"""For a challenge of which nothing was due to be sent when it was leased."""
