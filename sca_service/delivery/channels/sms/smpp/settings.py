"""What the section of an SMS centre holds. Its password is the environment's: `SCA_SUPPLIER_<NAME>_PASSWORD`."""

from enum import StrEnum
from typing import Annotated

import msgspec

Tag = Annotated[int, msgspec.Meta(ge=0x0001, le=0xFFFF)]
"""The number of an optional parameter (TLV)."""


class LongTexts(StrEnum):
    """How a text longer than one part travels."""

    UDH = "udh"  # cut by us, each part with a user data header (3GPP TS 23.040, 9.2.3.24.1)
    PAYLOAD = "message_payload"  # whole, in the TLV 0x0424: the SMS centre cuts it


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An SMS centre, how to bind to it, and its peculiarities."""

    host: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    """Host name or address of the SMS centre."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)]
    """2775 by custom, 3550 or 2776 with TLS."""
    system_id: Annotated[str, msgspec.Meta(min_length=1, max_length=15, pattern="^[!-~]+$")]
    """Our name at the SMS centre (SMPP 3.4, 5.2.1)."""
    system_type: Annotated[str, msgspec.Meta(max_length=12, pattern="^[ -~]*$")] = ""
    """Only where the SMS centre asks for one (5.2.3)."""
    address_range: Annotated[str, msgspec.Meta(max_length=40, pattern="^[ -~]*$")] = ""
    """The senders whose replies we want, where the SMS centre asks for it (5.2.7)."""
    tls: bool = True
    """TLS 1.2 or later; without it codes travel in clear, which only a private line excuses."""
    ca_file: str | None = None
    """PEM file of the authorities that may vouch for the SMS centre; without it the machine's."""
    tls_name: str | None = None
    """The name its certificate must carry, when that is not `host`."""
    window: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 50
    """How many messages may wait for their answer at once; contracts say."""
    messages_per_second: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 0
    """The contract's rate for one bind, counted in parts; 0 is none. Throttling slows down further by itself."""
    throttle_retries: Annotated[int, msgspec.Meta(ge=0, le=10)] = 4
    """How often a part is offered again after "too fast" or "queue full", before another route is tried."""
    enquire_seconds: Annotated[float, msgspec.Meta(ge=0.1, le=600)] = 15.0
    """After so long without a word from the SMS centre it is asked whether it is there; then as long again, and the
    connection counts as dead."""
    answer_seconds: Annotated[float, msgspec.Meta(ge=0.1, le=600)] = 30.0
    """After so long nobody waits for the answer to a message any more (5 to 60 s are usual)."""
    connect_seconds: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 5.0
    """How long connecting, TLS and the bind may take together."""
    backoff_seconds: Annotated[float, msgspec.Meta(ge=0.01, le=60)] = 0.5
    """The first wait before another try to bind; it doubles, with jitter."""
    most_backoff_seconds: Annotated[float, msgspec.Meta(ge=0.01, le=600)] = 30.0
    """The longest such wait."""
    long_texts: LongTexts = LongTexts.UDH
    """How a text longer than one part travels."""
    sends_validity: bool = True
    """Tell the SMS centre when a message is of no more use; a few refuse that."""
    short_code_ton: Annotated[int, msgspec.Meta(ge=0, le=6)] = 3
    """Type of number of a short code: 3 is network specific, 6 abbreviated (5.2.5)."""
    short_code_npi: Annotated[int, msgspec.Meta(ge=0, le=18)] = 0
    """Numbering plan of a short code (5.2.6)."""
    dlt_entity_tag: Tag = 0x1400
    """India: the TLV of the principal entity."""
    dlt_template_tag: Tag = 0x1401
    """India: the TLV of the content template."""
    dlt_telemarketer_tag: Tag = 0x1402
    """India: the TLV of the telemarketer chain."""
    dlt_telemarketer: Annotated[str, msgspec.Meta(max_length=128, pattern="^[!-~]*$")] = ""
    """India: the telemarketer chain or its hash, where the operator asks for it."""
    dlt_ends_with_zero: bool = False
    """India: whether those values end with a zero byte (C-octet strings)."""
    receipt_hours: Annotated[int, msgspec.Meta(ge=1, le=168)] = 24
    """How long after the submit a receipt is still understood."""
    receipt_utc_minutes: Annotated[int, msgspec.Meta(ge=-720, le=840)] = 0
    """The zone of the times in its receipts, in minutes east of UTC: they do not say it."""
