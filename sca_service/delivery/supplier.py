"""What a supplier is to us: it takes one message over one channel or says why not, and tells later what became of it.

Every folder under `channels/<channel>/<kind>/` has the same files:

    settings.py   what its section of `suppliers.toml` holds, and which secrets it takes from the environment
    wire.py       pure: our words to its bytes and back
    supplier.py   `Supplier`: hands a message over
    receipts.py   what it tells later: the `WordReader` of its call-backs, or how its receipts are heard
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from sca_service.kernel.errors import ScaError
from sca_service.kernel.money import Price
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel, Occasion
from sca_service.policy.supply import SenderRule
from sca_service.policy.template import Placeholder


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """One text for one payer over one channel, as a supplier gets it.

    `delivery_id` is the stable reference: a repeated send carries the same one, so that a supplier can
    recognise it. `to` is an E.164 number, for push the payer's pseudonym, for e-mail an address; `locale` a BCP 47 tag
    such as `de-DE`, which a voice speaks in. `text` is the whole message; `values` are the same things one by one, for
    suppliers with templates of their own (`code` is a code as it is typed, also in a call). `shown` is what may be
    seen without the code. `expires_at_ms` (Unix time) is when the message is of no more use. `sender` is the registered
    sender to show, None where the channel or the country knows none. `attempt` counts this delivery's sends from 1.
    """

    delivery_id: str
    channel: Channel
    to: Secret[str]
    text: Secret[str]
    locale: str
    occasion: Occasion | None = None
    shown: Secret[str] = field(default_factory=lambda: Secret(""))
    values: Mapping[Placeholder, Secret[str]] = field(default_factory=dict)
    expires_at_ms: int = 0
    sender: SenderRule | None = None
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Accepted:
    """A supplier took the message; whether it arrives, a receipt tells later.

    `reference` is the supplier's own name for the message, `segments` how many parts it is charged for (at
    least one), `cost` what it charges for all of them, or None when the supplier does not say.
    """

    reference: str
    segments: int
    cost: Price | None


class FailureReason(StrEnum):
    """Why a delivery came to nothing."""

    UNDELIVERED = "undelivered"  # accepted, but it never reached the handset
    TIMEOUT = "timeout"  # no answer within the deadline; the message may still arrive
    NO_ANSWER = "no_answer"  # the call rang, or met a mailbox, and nobody took it
    SUPPLIER_DOWN = "supplier_down"  # the supplier cannot be reached, is failing or wants fewer messages
    NO_DEVICE = "no_device"  # the payer has no device this channel could reach
    REJECTED = "rejected"  # the supplier refuses this message
    SENDER_UNREGISTERED = (
        "sender_unregistered"  # no sender may be shown in that country: not sent, nothing charged
    )
    SEND_LIMIT = "send_limit"  # a limit on messages to such numbers is spent: not sent
    SPEND_LIMIT = "spend_limit"  # the day's money of every supplier that could is spent: not sent
    PUMPING = "pumping"  # the guard against SMS pumping has blocked such numbers: not sent
    WORKER_LOST = "worker_lost"  # the worker ended or stumbled while sending: nobody knows


class SupplierFailure(ScaError):
    """A supplier did not take the message.

    `transient` claims that the same message may well be taken later, or by another supplier, and surely was not taken
    now; a failure that is not transient ends this delivery, and the ladder goes on. `retry_after_ms` is what the
    supplier asks for, 0 when it does not. No caller of the API ever sees the error itself: the delivery shows its
    `reason`.
    """

    code = "supplier-failure"
    title = "A supplier did not take the message"
    meaning = "Never answered to a request: the delivery shows the `reason`, and the ladder goes on."

    def __init__(self, reason: FailureReason, *, transient: bool, retry_after_ms: int = 0) -> None:
        super().__init__(f"the supplier did not take the message: {reason}")
        self.reason = reason
        self.transient = transient
        self.retry_after_ms = retry_after_ms


class Supplier(Protocol):
    """Carries messages over one channel."""

    @property
    def name(self) -> str:
        """Lower-case name such as `sandbox-sms`: it stands in routes, in receipts' URLs and in metrics."""

    @property
    def channel(self) -> Channel:
        """The one channel this supplier carries."""

    async def send(self, message: Message) -> Accepted:
        """Hand over one message; returns once the supplier has taken it.

        Sets no deadline of its own: the caller cancels. Raises SupplierFailure.
        """

    async def close(self) -> None:
        """Finish what is under way and let go of connections and threads."""


class ReceiptStatus(StrEnum):
    """A supplier's last word on a delivery; every state is final."""

    DELIVERED = "delivered"  # sms, push, rcs, whatsapp: it is on the handset, or was read there
    UNDELIVERED = "undelivered"  # it will not get there
    ANSWERED = "answered"  # voice: somebody took the call
    NO_ANSWER = "no_answer"  # voice: nobody did, or a machine


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a supplier says became of a delivery, and when by its clock (Unix time in ms, 0 when it does not say).

    `cost` is what it charged, when it says so only now.
    """

    supplier: str
    delivery_id: str
    status: ReceiptStatus
    at_ms: int
    cost: Price | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """What a payer sent back to a text message: from which number, and what."""

    sender: Secret[str]
    text: Secret[str]


@dataclass(frozen=True, slots=True)
class Word:
    """Everything a supplier tells in one go. Most tell one receipt.

    `declined` are deliveries whose payer said no (9 in a call); `again` is the delivery that a payer in a call wants to
    hear once more, or nothing. `note` is what a reader's `read` leaves for its own `answer`: nothing to others.
    """

    receipts: tuple[Receipt, ...] = ()
    declined: tuple[str, ...] = ()
    replies: tuple[Reply, ...] = ()
    again: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class CallBack:
    """A supplier's HTTP call to `/receipts/{supplier}`: `url` as the supplier called it, header names in lower case."""

    method: str
    url: str = field(repr=False)
    query: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class CallBackAnswer:
    """What the supplier is answered; an empty body is 204. `body` may hold a code: it is never logged."""

    body: bytes = field(default=b"", repr=False)
    content_type: str = "application/json"


class WordReader(Protocol):
    """Reads one supplier's call-backs."""

    def read(self, call: CallBack) -> Word:
        """What the supplier tells. Raises Unauthorized for a call that is not the supplier's, InvalidInput."""

    def answer(self, word: Word, message: Message | None) -> CallBackAnswer:
        """What the supplier is answered; `message` is that of `word.again`, None when there is none (any more)."""


class Ear(Protocol):
    """Hears what suppliers tell without HTTP: SMPP receipts and replies, keys pressed in a call."""

    async def hear(self, supplier: str, word: Word) -> None:
        """Take a word in; durable when this returns. Raises StoreUnavailable."""
