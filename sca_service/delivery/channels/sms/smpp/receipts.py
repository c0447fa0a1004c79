"""How an SMS centre's receipts are read, and the payers' texts; it tells over the bind, never over HTTP.

Two forms are in use, often both in one `deliver_sm` (SMPP 3.4, 5.3.2.12, 5.3.2.35 and Appendix B)::

    TLV receipted_message_id (0x001E), message_state (0x0427)
    id:0A1F… sub:001 dlvrd:001 submit date:2611221015 done date:2611221016 stat:DELIVRD err:000 text:…

The id of a receipt is seldom spelled as in the answer to the submit: the other base, another case, zeros before it.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.sms.smpp.wire import HAS_HEADER, UCS2, Inbound, number_of, text_of
from sca_service.delivery.supplier import ReceiptStatus, Reply, WordReader
from sca_service.kernel.secret import Secret

_RECEIPTED_MESSAGE_ID = 0x001E
_MESSAGE_STATE = 0x0427
_TYPE_OF_MESSAGE = 0x3C
_IS_RECEIPT = frozenset({0x04, 0x20})
"""`esm_class`: a receipt, or an intermediate notification, which never says anything final."""

_LONGEST_ID = 65
_LONGEST_REPLY = 1_600
_STATES = {
    2: ReceiptStatus.DELIVERED,
    3: ReceiptStatus.UNDELIVERED,  # expired
    4: ReceiptStatus.UNDELIVERED,  # deleted
    5: ReceiptStatus.UNDELIVERED,
    8: ReceiptStatus.UNDELIVERED,  # rejected
}
_WORDS = {
    "DELIVRD": ReceiptStatus.DELIVERED,
    "EXPIRED": ReceiptStatus.UNDELIVERED,
    "DELETED": ReceiptStatus.UNDELIVERED,
    "UNDELIV": ReceiptStatus.UNDELIVERED,
    "REJECTD": ReceiptStatus.UNDELIVERED,
}
"""Not listed: scheduled, en route, accepted, which are not final, and unknown, on which no verdict can rest."""

_TEXT_BEGINS = re.compile(r"\btext\s*:", re.IGNORECASE)
_ID = re.compile(r"\bid\s*:\s*(?!(?:sub|dlvrd|submit|done|stat|err)\b)(\S+)", re.IGNORECASE)
_STATE = re.compile(r"\bstat\s*:\s*([a-z]+)", re.IGNORECASE)
_DONE = re.compile(r"\bdone\s*date\s*:\s*([0-9]{10}(?:[0-9]{2})?)", re.IGNORECASE)
_HEXADECIMAL = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class MessageId:
    """An SMS centre's name for a message, and the spellings it may have elsewhere.

    `exact` is as it was spelled, `plain` in lower case without zeros before it, `others` the same number in the other
    base: `1A2F` may be 6703 there, and 6703 may be `1a2f` or, read as hexadecimal, 26371.
    """

    exact: str
    plain: str
    others: tuple[str, ...]

    @classmethod
    def read(cls, text: str) -> "MessageId":
        """An id as it was written."""
        exact = text.strip()[:_LONGEST_ID]
        lower = exact.lower()
        plain = lower.lstrip("0") or lower[:1]
        others = []
        if _HEXADECIMAL.fullmatch(lower):
            if lower.isdecimal():
                others.append(f"{int(lower):x}")
            others.append(str(int(lower, 16)))
        return cls(exact, plain, tuple(other for other in others if other != plain))


@dataclass(frozen=True, slots=True)
class Heard:
    """A receipt as an SMS centre sent it: of which of its messages, and what became of it.

    `numbers` are those it may have gone to, as written: a few centres swap sender and destination. `at_ms` is Unix
    time, 0 when it does not say.
    """

    message: MessageId
    status: ReceiptStatus
    at_ms: int
    numbers: tuple[str, ...] = field(default=(), repr=False)


def is_receipt(inbound: Inbound) -> bool:
    """Whether the SMS centre speaks, and not a payer.

    Its word for it is in the header or in a TLV: a payer could write a text that looks like a receipt.
    """
    return inbound.esm_class & _TYPE_OF_MESSAGE in _IS_RECEIPT or _RECEIPTED_MESSAGE_ID in inbound.parameters


def is_reply(inbound: Inbound) -> bool:
    """Whether a payer wrote it; a handset's acknowledgements say nothing that the receipts do not."""
    return inbound.esm_class & _TYPE_OF_MESSAGE == 0 and not is_receipt(inbound)


def read_receipt(inbound: Inbound, *, utc_minutes: int) -> Heard | None:
    """The receipt in a `deliver_sm`; None for one that says nothing final, or of no message."""
    encoding = "utf-16-be" if inbound.coding == UCS2 else "latin-1"
    text = inbound.body.decode(encoding, "replace")
    # What the message said stands last, and is the payer's bank's: it could say `stat:` as well.
    head = _TEXT_BEGINS.split(text, maxsplit=1)[0]
    told = inbound.parameters.get(_RECEIPTED_MESSAGE_ID, b"").split(b"\0", 1)[0].decode("latin-1").strip()
    if not told:
        found = _ID.search(head)
        told = found[1] if found else ""
    status = _status(inbound, head)
    if not told or status is None:
        return None
    done = _DONE.search(head)
    return Heard(
        MessageId.read(told),
        status,
        _moment_ms(done[1], utc_minutes) if done else 0,
        (inbound.source, inbound.destination),
    )


def _status(inbound: Inbound, head: str) -> ReceiptStatus | None:
    state = inbound.parameters.get(_MESSAGE_STATE)
    if state:
        return _STATES.get(state[-1])
    found = _STATE.search(head)
    return _WORDS.get(found[1].upper()[:7]) if found else None


def _moment_ms(digits: str, utc_minutes: int) -> int:
    """`YYMMDDhhmm` or with seconds, in the SMS centre's zone, as Unix time; 0 for no such moment."""
    try:
        local = datetime.strptime(digits.ljust(12, "0"), "%y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return 0
    return int((local - timedelta(minutes=utc_minutes)).timestamp() * 1_000)


def read_reply(inbound: Inbound) -> Reply:
    """A payer's text."""
    text = text_of(
        inbound.body,
        coding=inbound.coding,
        has_header=bool(inbound.esm_class & HAS_HEADER),
    )
    return Reply(Secret(number_of(inbound.source)), Secret(text[:_LONGEST_REPLY]))


def build(_context: Context) -> WordReader | None:
    """None: an SMS centre tells over the bind, so there is nothing for it at `/receipts`."""
    return None
