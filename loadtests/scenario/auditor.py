"""An auditor: checkpoints, inclusion proofs and exports while the log grows; all of it is checked after the run."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from loadtests.scenario.calls import Caller

_MOST_PROOFS = 3_000
_EXPORTED_SECONDS = 20


@dataclass(slots=True)
class Auditor:
    """One auditor. A class because the size of the log that was seen last is remembered."""

    caller: Caller
    chance: random.Random
    size: int = 0

    def read(self, due: float) -> None:
        """Take the newest checkpoint, and the proof of any event below it."""
        notes = self.caller.notes
        reply = self.caller.call("GET", "/log/checkpoint", name="checkpoint", due=due)
        if reply.status != 200:
            notes.came_to(f"reading: no checkpoint ({reply.status})")
            return
        size = int(reply.body.split("\n")[1])
        if size < self.size:
            notes.surprises.append(f"the log shrank from {self.size} to {size}")
        if size > self.size:
            notes.checkpoints.append(reply.body)
        self.size = max(size, self.size)
        index = self.chance.randrange(size)
        proof = self.caller.call(
            "GET", f"/v1/audit/events/{index}/proof", name="proof", due=self.caller.clock.now()
        )
        if proof.status == 200 and len(notes.proofs) < _MOST_PROOFS:
            notes.proofs.append((index, proof.body))
        notes.came_to(f"reading: {'proof' if proof.status == 200 else proof.status}")

    def export(self, due: float) -> None:
        """Export what was committed in the last seconds."""
        until = datetime.now(UTC)
        begin = until - timedelta(seconds=_EXPORTED_SECONDS)
        span = f"from={_moment(begin)}&to={_moment(until)}"
        reply = self.caller.call(
            "GET", f"/v1/audit/export?format=jsonl&{span}", name="export (20 s)", due=due
        )
        if reply.status == 200:
            body = reply.body if isinstance(reply.body, str) else ""
            self.caller.notes.exported += body.count("\n")
        self.caller.notes.came_to(f"export: {'read' if reply.status == 200 else reply.status}")


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
