"""An issuer: batches of notices, and balances of cards."""

import random
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from loadtests.scenario.calls import Caller

_IN_BATCH = 50
_CARDS = 500


@dataclass(slots=True)
class Issuer:
    """One issuer. A class because no alert is ordered twice."""

    caller: Caller
    chance: random.Random
    alerts: int = 0

    def batch(self, due: float) -> None:
        """Order notices of charges to come; every one has to be taken."""
        alerts = [self._alert() for _ in range(_IN_BATCH)]
        reply = self.caller.call("POST", "/v1/alerts/batch", {"alerts": alerts}, name="alerts (50)", due=due)
        if not reply.is_good:
            self.caller.notes.came_to(f"batch: {reply.status}")
            return
        taken = [one["id"] for one in reply.body["results"] if one["status"] == "queued"]
        self.caller.notes.alerts += taken
        self.caller.notes.came_to("batch: taken" if len(taken) == _IN_BATCH else "batch: not all taken")

    def balance(self, due: float) -> None:
        """Tell the newest balance of one of its cards."""
        number = self.chance.randrange(_CARDS)
        body = {
            "psu": {
                "id": f"holder_{number}",
                "phone": f"+49160{1_000_000 + number * 7919}",
                "locale": "de-DE",
            },
            "balance": {"currency": "EUR", "amount": f"{self.chance.randrange(50_000, 500_000) / 100:.2f}"},
            "as_of": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "threshold": {"currency": "EUR", "amount": "100.00"},
        }
        path = f"/v1/cards/card_{number}/balance"
        reply = self.caller.call("PUT", path, body, name="balance", due=due)
        self.caller.notes.came_to(f"balance: {'known' if reply.is_good else reply.status}")

    def _alert(self) -> dict[str, object]:
        self.alerts += 1
        number = 10_000_000 + self.alerts * 6_180_339 % 10_000_000
        return {
            "psu": {"id": f"holder_{secrets.token_hex(6)}", "phone": f"+49152{number}", "locale": "de-DE"},
            "template": "upcoming_charge",
            "variables": {"merchant": "Streaming AG", "amount": "9,99 €", "date": "1.12."},
            "channels": [{"channel": "sms"}],
            "dedupe_key": f"charge {self.alerts} {secrets.token_hex(4)}",
        }
