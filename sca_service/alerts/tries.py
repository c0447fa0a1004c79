"""How often one delivery of an alert is tried, and how long is waited between.

A warning of a change to a payer's means of authentication has nobody who would order it again. Behind its last channel
it waits for suppliers that are away, longer each time, until it expires.
"""

from typing import Final

from msgspec.structs import replace as changed

from sca_service.delivery.model import DeliveryState
from sca_service.delivery.supplier import FailureReason

MOST_TRIES: Final = 3
"""How often one delivery is handed over, with those that a worker did not live to tell of."""
LONGEST_WAIT_MS: Final = 3_600_000
"""Between two tries of a warning."""
LIMITED_MS: Final = 60_000
"""Before a warning is taken up again that a limit holds back."""
_FIRST_WAIT_MS: Final = 15_000
_LIMITS: Final = (FailureReason.SEND_LIMIT, FailureReason.SPEND_LIMIT)


def is_spent(delivery: DeliveryState, *, insists: bool) -> bool:
    """Whether it is tried no more. Where one `insists`, only tries of which nobody knows the fate are counted."""
    known = len(delivery.suppliers_tried) if insists else 0
    return delivery.tries - known >= MOST_TRIES


def wait_ms(delivery: DeliveryState, asked_ms: int) -> int:
    """How long until the next try: as long as is asked for, and beyond the usual tries twice as long each time."""
    beyond = min(delivery.tries - MOST_TRIES, 20)
    return asked_ms if beyond < 0 else max(asked_ms, min(_FIRST_WAIT_MS << beyond, LONGEST_WAIT_MS))


def is_limited(reason: str) -> bool:
    """Whether a limit holds a message back, which time alone lifts."""
    return reason in _LIMITS


def turned_down(delivery: DeliveryState, supplier: str) -> DeliveryState:
    """The delivery, which this supplier has not taken either."""
    return changed(delivery, tried=" ".join((*delivery.suppliers_tried, supplier)))
