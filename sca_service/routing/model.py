"""What a route is, and what is known when one is chosen. The choice itself is `choose.py`."""

from dataclasses import dataclass
from enum import StrEnum

from sca_service.kernel.money import Price
from sca_service.policy.model import Channel, Occasion, Purpose
from sca_service.policy.supply import SenderRule


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a message goes, as far as routing needs to know; never the number itself.

    `country` is an ISO 3166 code and `network` an MCC with or without MNC (`262-01`, `262`), both empty for channels
    that know none (push). `ported` claims that a look-up, not the number's prefix, told the network.
    """

    country: str = ""
    network: str = ""
    ported: bool = False


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """What is to be sent: over which channel, where, on which occasion, in how many parts.

    `purpose` is None for an alert. `tried` are suppliers that failed this very message, the oldest first; `prefer` is
    one that may have it already and would know its reference again, or nothing.
    """

    channel: Channel
    destination: Destination
    purpose: Purpose | None
    occasion: Occasion | None
    segments: int = 1
    tried: tuple[str, ...] = ()
    prefer: str = ""


class RouteReason(StrEnum):
    """Why a supplier was chosen, or was not."""

    ONLY_ROUTE = "only_route"
    CHEAPEST = "cheapest"
    BEST_QUALITY = "best_quality"
    BEST_WEIGHED = "best_weighed"
    REPEATED = "repeated"  # it may have the message already, and would know it again
    PROBE = "probe"  # its breaker is half open: this message tries it
    TRIED_BEFORE = "tried_before"  # it failed this message already
    OUTWEIGHED = "outweighed"  # another one is better
    OTHER_COUNTRY = "other_country"
    NO_PRICE = "no_price"
    BREAKER_OPEN = "breaker_open"
    SENDER_UNREGISTERED = "sender_unregistered"
    SEND_LIMIT = "send_limit"  # a limit on messages to such numbers is spent: nobody carries it
    SPEND_LIMIT = "spend_limit"  # what may be spent with it within the policy's time is spent


@dataclass(frozen=True, slots=True)
class Route:
    """Supplier, channel, network, sender and price of one message; `price` is for all its `segments`.

    `with_code` claims that the message carries a code, so that it can lead to an approval.
    """

    supplier: str
    channel: Channel
    network: str
    sender: SenderRule | None
    price: Price | None
    reasons: tuple[RouteReason, ...]
    segments: int = 1
    with_code: bool = True


@dataclass(frozen=True, slots=True)
class RouteChoice:
    """The route, or None; and of every other supplier of the channel why it was not taken."""

    route: Route | None
    passed_over: tuple[tuple[str, RouteReason], ...] = ()


class SendOutcome(StrEnum):
    """What came of handing a message to a supplier, as the breaker counts it."""

    TAKEN = "taken"
    REFUSED = "refused"  # for good: the message's fault, not the supplier's
    FAILED = "failed"
    TIMED_OUT = "timed_out"
