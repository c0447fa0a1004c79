"""The section of a `kaleyra` supplier.

From the environment: `API_KEY`; and, with a call-back profile, `CALL_BACK_SECRET`, the value of the profile's header.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from sca_service.delivery.http_client import check_base_url

Sid = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9]{4,64}\Z")]
TrafficType = Annotated[str, Meta(pattern=r"\A[A-Z]{0,16}\Z")]
Word = Annotated[str, Meta(min_length=1, max_length=40)]
Name = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_.-]{1,64}\Z")]

_DELIVERED: Final = ("DELIVRD", "DELIVERED")
_UNDELIVERED: Final = (
    "UNDELIVERED",
    "UNDELIV",
    "FAILED",
    "NOT-SENT",
    "EXPIRED",
    "REJECTED",
    "REJECTD",
    "DELETED",
    "NOTALLOWED",
    "NO-CREDITS",
    "BLACKLIST",
    "CON-DND",
    "TEMPLATE-NOT-FOUND",
    "OPT-OUT",
    "INVALID-SUB",
    "BLOCKED-COUNTRY",
    "KYC-NOT-APPROVED",
)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one Kaleyra account sends.

    `sid` is the account's, `base_url` that of its region (`api.in.`, `api.ap.`, `api.eu.kaleyra.io`). `type` is the
    kind of traffic of messages with a code, `alert_type` of those without (`OTP`, `TXN`, `MKT`); an account without
    that distinction leaves them empty. `sender` is shown where no registered one is known.

    Kaleyra tells what became of a message in one of two ways. Without `callback_profile_id` each message carries its
    own call-back URL with a MAC of ours. With one, the profile made in Kaleyra's console has to call
    `<public url>/receipts/<name>` with `ref` (our delivery id) and the status among its variables, and with a header
    named `callback_header` that holds `CALL_BACK_SECRET`. `status_field` and `reference_field` are what the call-back
    names these variables; `delivered` and `undelivered` are its words, whatever their case, all others are not final.
    """

    sid: Sid
    base_url: str = "https://api.kaleyra.io"
    type: TrafficType = "OTP"
    alert_type: TrafficType = "TXN"
    sender: Annotated[str, Meta(max_length=16)] = ""
    callback_profile_id: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{0,64}\Z")] = ""
    callback_header: Name = "x-api-key"
    status_field: Name = "status"
    reference_field: Name = "ref"
    delivered: tuple[Word, ...] = _DELIVERED
    undelivered: tuple[Word, ...] = _UNDELIVERED

    def __post_init__(self) -> None:
        """Check what no pattern can. Raises ValueError."""
        check_base_url(self.base_url)
