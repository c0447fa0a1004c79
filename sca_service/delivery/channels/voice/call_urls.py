"""The URLs that a voice supplier calls back during a call: which delivery, which step, and how often it was heard.

    https://sca.bank.example/receipts/twilio-calls?delivery=dlv_…&step=key&heard=1&mac=…

The MAC is ours, so that nobody but us counts, whatever a supplier's own signature covers.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urlencode

from sca_service.kernel.errors import Unauthorized
from sca_service.kernel.keyring import Keyring

MOST_TIMES: Final = 3
"""How often one call says its message at most; each time it says the code twice."""

_MAC_BYTES: Final = 16


class Step(StrEnum):
    """What a call-back is about."""

    STATUS = "status"  # the call's state has changed
    TAKEN = "taken"  # somebody or something took the call, and the supplier asks what to say
    KEY = "key"  # a key was pressed, or none in time


@dataclass(frozen=True, slots=True)
class CallStep:
    """What a call-back's URL tells; `heard` counts how often this call has said its message."""

    delivery_id: str
    step: Step
    heard: int = 0


class CallUrls:
    """Makes and reads the URLs of one supplier's calls. A class because it holds the key."""

    def __init__(self, *, supplier: str, public_url: str, keyring: Keyring) -> None:
        self._base = f"{public_url}/receipts/{supplier}"
        self._key = keyring.channel_key(f"receipts {supplier}")

    def url(self, delivery_id: str, step: Step, *, heard: int = 0) -> str:
        """The URL for a step of a delivery's call."""
        query = {"delivery": delivery_id, "step": step.value, "heard": str(heard)}
        return f"{self._base}?{urlencode({**query, 'mac': self._mac(query)})}"

    def read(self, query: Mapping[str, str]) -> CallStep:
        """What the query of a call-back tells. Raises Unauthorized when we did not make it."""
        fields = {name: query.get(name, "") for name in ("delivery", "step", "heard")}
        if not hmac.compare_digest(self._mac(fields).encode(), query.get("mac", "").encode()):
            raise Unauthorized("the call-back's URL is not ours")
        return CallStep(fields["delivery"], Step(fields["step"]), int(fields["heard"]))

    def _mac(self, fields: Mapping[str, str]) -> str:
        message = "\0".join((fields["delivery"], fields["step"], fields["heard"])).encode(errors="replace")
        return hmac.digest(self._key, message, "sha256")[:_MAC_BYTES].hex()
