"""What the sender is told, and what it notes down: two JSON files between two processes, without packages of others."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

NO_ANSWER = 0
"""In place of a status, where a connection broke or the time was over."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Journeys a second at the full rate: checkouts, and attacks of all kinds together."""

    checkouts: float
    attacks: float


@dataclass(frozen=True, slots=True)
class Plan:
    """Whom to call, with which keys, how long and how much. `think` multiplies the time that payers take."""

    url: str
    keys: dict[str, str]
    mailbox: str
    notes: str
    shape: str
    seconds: float
    rates: Rates
    think: float
    seed: int

    def write(self, path: Path) -> None:
        """Keep it, for its owner only: it holds API keys."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)), "utf-8")

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """What `write` kept."""
        members = json.loads(path.read_text("utf-8"))
        return cls(**{**members, "rates": Rates(**members["rates"])})


@dataclass(slots=True)
class Notes:
    """All that the clients saw. Bounded by the arrivals, which are drawn before."""

    began_at: float = 0.0
    """When the run began, in seconds since the epoch."""
    requests: list[tuple[float, str, float, int]] = field(default_factory=list)
    """When each was due (seconds after the beginning), its name, its delay behind that in ms, and its status."""
    told: list[tuple[str, str, str]] = field(default_factory=list)
    """The request's id, the challenge, and what a bank was told of it."""
    approvals: list[tuple[str, str, str]] = field(default_factory=list)
    """The challenge, the digest of the transaction that was issued, and the authentication code."""
    proofs: list[tuple[int, str]] = field(default_factory=list)
    """The index that was asked for, and the inclusion proof."""
    checkpoints: list[str] = field(default_factory=list)
    messages: dict[str, int] = field(default_factory=dict)
    """How many messages arrived for each delivery."""
    last_message: int = 0
    """The newest in the mailbox that is counted."""
    alerts: list[str] = field(default_factory=list)
    """Ids of those that were taken."""
    pumped: list[str] = field(default_factory=list)
    """Challenges that pumping was told to be sent."""
    journeys: dict[str, int] = field(default_factory=dict)
    """How many came to what, such as `checkout approved`."""
    exported: int = 0
    surprises: list[str] = field(default_factory=list)
    """What nobody may see, in words."""
    sender_cpu_seconds: float = 0.0
    latest_ms: float = 0.0
    """By how much the sender itself was late at worst: what it adds to delays."""

    def came_to(self, what: str) -> None:
        """Count the end of a journey."""
        self.journeys[what] = self.journeys.get(what, 0) + 1

    def write(self, path: Path) -> None:
        """Keep them, for their owner only."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)), "utf-8")

    @classmethod
    def read(cls, path: Path) -> "Notes":
        """What `write` kept."""
        members: dict[str, Any] = json.loads(path.read_text("utf-8"))
        for name in ("requests", "told", "approvals", "proofs"):
            members[name] = [tuple(row) for row in members[name]]
        return cls(**members)
