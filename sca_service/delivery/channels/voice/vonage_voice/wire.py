"""A message as NCCO (Vonage's call control objects), a call as JSON, and what Vonage says of a call. Pure."""

import html
import re
from dataclasses import dataclass
from typing import Final

import msgspec

from sca_service.delivery.supplier import ReceiptStatus
from sca_service.kernel.money import Price

_NOT_IN_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What SSML, being XML 1.0, cannot hold (section 2.2)."""

_PRICE: Final = re.compile(r"([0-9]{1,6})(?:\.([0-9]{1,10}))?", re.ASCII)

_RECEIPTS: Final = {
    "human": ReceiptStatus.ANSWERED,
    "machine": ReceiptStatus.NO_ANSWER,
    "busy": ReceiptStatus.NO_ANSWER,
    "timeout": ReceiptStatus.NO_ANSWER,
    "unanswered": ReceiptStatus.NO_ANSWER,
    "rejected": ReceiptStatus.NO_ANSWER,
    "completed": ReceiptStatus.NO_ANSWER,  # of a call that a person took, `human` came before it
    "failed": ReceiptStatus.UNDELIVERED,
    "cancelled": ReceiptStatus.UNDELIVERED,
}


@dataclass(frozen=True, slots=True)
class Voice:
    """Who speaks: a language tag such as `de-DE`, and which of its voices."""

    language: str
    style: int = 0
    premium: bool = False


class _Talk(msgspec.Struct, frozen=True, rename="camel", tag_field="action", tag="talk"):
    text: str
    language: str
    style: int
    premium: bool
    barge_in: bool = True  # a key is heard while the text is still being said


class _Keys(msgspec.Struct, frozen=True, rename="camel"):
    max_digits: int
    time_out: int


class _Input(msgspec.Struct, frozen=True, rename="camel", tag_field="action", tag="input"):
    dtmf: _Keys
    event_url: tuple[str]
    type: tuple[str] = ("dtmf",)
    event_method: str = "POST"


class _Phone(msgspec.Struct, frozen=True):
    number: str
    type: str = "phone"


class _Detection(msgspec.Struct, frozen=True):
    behavior: str = "hangup"
    mode: str = "detect"  # synchronous: not a word of the NCCO is said before it is known who took the call


class _Call(msgspec.Struct, frozen=True):
    to: tuple[_Phone]
    caller: _Phone = msgspec.field(name="from")
    ncco: msgspec.Raw
    event_url: tuple[str]
    ringing_timer: int
    length_timer: int
    event_method: str = "POST"
    advanced_machine_detection: _Detection = _Detection()


@dataclass(frozen=True, slots=True)
class Call:
    """A call to be made; numbers are E.164, times in seconds."""

    to: str
    caller: str
    ncco: bytes
    event_url: str
    ring_seconds: int
    longest_call_seconds: int

    def body(self) -> bytes:
        """Vonage's JSON. A machine that takes the call is hung up on before anything is said."""
        return msgspec.json.encode(
            _Call(
                to=(_Phone(self.to.removeprefix("+")),),
                caller=_Phone(self.caller.removeprefix("+")),
                ncco=msgspec.Raw(self.ncco),
                event_url=(self.event_url,),
                ringing_timer=self.ring_seconds,
                length_timer=self.longest_call_seconds,
            )
        )


class Created(msgspec.Struct, frozen=True):
    """Vonage's answer to a call."""

    uuid: str = ""


class Pressed(msgspec.Struct, frozen=True):
    """The keys that an `input` heard; none when nobody pressed one in time."""

    digits: str | None = None


class Event(msgspec.Struct, frozen=True):
    """One call-back: a change of a call's state, or what an `input` heard."""

    status: str = ""
    timestamp: str = ""
    price: str | None = None
    dtmf: Pressed | None = None

    @property
    def receipt_status(self) -> ReceiptStatus | None:
        """What the state means; None for one that settles nothing, such as `ringing` or `answered`."""
        return _RECEIPTS.get(self.status)

    @property
    def key(self) -> str:
        """The key that was pressed, or nothing."""
        return (self.dtmf and self.dtmf.digits) or ""


def ncco(text: str, *, voice: Voice, key_url: str, key_seconds: int) -> bytes:
    """An NCCO that says a text and takes one key: meanwhile, or so many seconds afterwards.

    The text is SSML, so that nothing in it is taken for SSML.
    """
    return msgspec.json.encode(
        (
            _Talk(
                text=f"<speak>{html.escape(_NOT_IN_XML.sub(' ', text))}</speak>",
                language=voice.language,
                style=voice.style,
                premium=voice.premium,
            ),
            _Input(dtmf=_Keys(max_digits=1, time_out=key_seconds), event_url=(key_url,)),
        )
    )


def price(text: str | None, currency: str) -> Price | None:
    """What a call cost, such as `0.01270000`, in the account's currency; None for what is no price."""
    match = _PRICE.fullmatch(text or "")
    if match is None:
        return None
    return Price(currency, int(match[1]) * 1_000_000 + int((match[2] or "")[:6].ljust(6, "0")))
