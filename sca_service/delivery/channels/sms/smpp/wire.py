"""Our words as SMPP has them: alphabets and parts (3GPP TS 23.038, 23.040), addresses, times and India's parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from sca_service.delivery.channels.sms.smpp.settings import LongTexts, Settings
from sca_service.delivery.gsm import from_septets, is_gsm, septets, split_gsm, split_ucs2
from sca_service.delivery.supplier import Message
from sca_service.policy.supply import SenderKind, SenderRule

GSM_DEFAULT = 0x00
"""`data_coding` of the SMS centre's default alphabet, here always that of TS 23.038."""
UCS2 = 0x08
"""`data_coding` of big-endian UTF-16, as handsets read it."""
HAS_HEADER = 0x40
"""The bit of `esm_class` that says that the text begins with a user data header."""
MESSAGE_PAYLOAD = 0x0424
"""The TLV of a text of any length (SMPP 3.4, 5.3.2.32)."""

MOST_PARTS = 10
"""A text with a code has one part or two; ten are 1,530 characters."""

_LATIN1 = 0x03
_SINGLE_BYTES = {GSM_DEFAULT: 160, UCS2: 140}


@dataclass(frozen=True, slots=True)
class Address:
    """A sender or a destination: digits or letters, type of number, numbering plan (SMPP 3.4, 5.2.5 and 5.2.6)."""

    text: str
    ton: int
    npi: int


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One `submit_sm`: what of the text, and how; `coding` is its `data_coding`. Its `repr` shows nothing."""

    body: bytes
    coding: int
    has_header: bool = False
    in_payload: bool = False

    def __repr__(self) -> str:
        return f"Part({len(self.body)} bytes)"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Submit:
    """A `submit_sm`: one part on its way to an SMS centre. `parameters` are TLVs by tag."""

    source: Address
    destination: Address
    part: Part
    validity_period: str = ""
    parameters: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Inbound:
    """A `deliver_sm`: a receipt, or a payer's text. `parameters` are TLVs by tag."""

    source: str
    destination: str
    esm_class: int
    coding: int
    short_message: bytes
    parameters: Mapping[int, bytes] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """The text, wherever it stands."""
        return self.parameters.get(MESSAGE_PAYLOAD) or self.short_message


def parts_of(text: str, *, long_texts: LongTexts, reference: int) -> tuple[Part, ...]:
    """The parts that a text travels in; at least one.

    `reference` (0 to 255) is what a handset joins the parts by. Neither an escape and its character nor two
    surrogates are ever parted. Raises ValueError for a text of more than `MOST_PARTS` parts.
    """
    in_gsm = is_gsm(text)
    coding, encoded = (GSM_DEFAULT, septets) if in_gsm else (UCS2, _units)
    body = encoded(text)
    if len(body) <= _SINGLE_BYTES[coding]:
        return (Part(body, coding),)
    pieces = split_gsm(text) if in_gsm else split_ucs2(text)
    if len(pieces) > MOST_PARTS:
        raise ValueError("the text is too long")
    if long_texts is LongTexts.PAYLOAD:
        return (Part(body, coding, in_payload=True),)
    header = bytes((5, 0, 3, reference, len(pieces)))
    return tuple(
        Part(header + bytes((number,)) + encoded(piece), coding, has_header=True)
        for number, piece in enumerate(pieces, 1)
    )


def _units(text: str) -> bytes:
    return text.encode("utf-16-be", "replace")


def text_of(body: bytes, *, coding: int, has_header: bool) -> str:
    """A payer's text as it came in; what cannot be read becomes `\N{REPLACEMENT CHARACTER}`."""
    if has_header and body:
        body = body[1 + body[0] :]
    if coding == UCS2:
        return body.decode("utf-16-be", "replace")
    if coding == _LATIN1:
        return body.decode("latin-1")
    if coding != GSM_DEFAULT:
        return body.decode("ascii", "replace")
    return from_septets(body)


def source_of(sender: SenderRule | None, settings: Settings) -> Address:
    """The sender to show; an empty one lets the SMS centre put its own."""
    if sender is None:
        return Address("", 0, 0)
    digits = sender.id.removeprefix("+")
    if not digits.isdecimal() or sender.kind is SenderKind.ALPHANUMERIC:
        return Address(sender.id, 5, 0)
    if sender.kind in {SenderKind.LONG_NUMBER, SenderKind.TEN_DLC}:
        return Address(digits, 1, 1)
    return Address(digits, settings.short_code_ton, settings.short_code_npi)


def destination_of(number: str) -> Address:
    """An E.164 number as SMPP has it: digits, international, ISDN."""
    return Address(number.removeprefix("+"), 1, 1)


def number_of(address: str) -> str:
    """A number that an SMS centre wrote, as E.164 as far as can be told: `+`, then its digits without 00."""
    return "+" + address.strip().removeprefix("+").removeprefix("00")


def dlt_parameters(message: Message, settings: Settings) -> tuple[tuple[int, bytes], ...]:
    """India's optional parameters: principal entity, content template, telemarketer chain (TRAI TCCCPR 2018)."""
    sender = message.sender
    if sender is None or not sender.entity:
        return ()
    template = sender.template_for(message.occasion) if message.occasion else ""
    end = b"\0" if settings.dlt_ends_with_zero else b""
    values = (
        (settings.dlt_entity_tag, sender.entity),
        (settings.dlt_template_tag, template),
        (settings.dlt_telemarketer_tag, settings.dlt_telemarketer),
    )
    return tuple((tag, value.encode("ascii") + end) for tag, value in values if value)


def validity_period(expires_at_ms: int, now_ms: int) -> str:
    """How long the message is of use, as a relative time `YYMMDDhhmmss000R` (7.1.1); at least a second.

    Empty, which leaves it to the SMS centre, for a message that does not expire within four weeks.
    """
    left = timedelta(milliseconds=max(expires_at_ms - now_ms, 1_000))
    if not expires_at_ms or left.days >= 28:
        return ""
    hours, seconds = divmod(left.seconds, 3_600)
    minutes, seconds = divmod(seconds, 60)
    return f"0000{left.days:02d}{hours:02d}{minutes:02d}{seconds:02d}000R"
