"""The section of a `twilio-messages` supplier.

From the environment: `AUTH_TOKEN`, which signs call-backs and, unless there is an API key, requests; and, if an API key
is to sign requests, `API_KEY_SID` and `API_KEY_SECRET` (https://www.twilio.com/docs/iam/api-keys).
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from sca_service.delivery.http_client import check_base_url

AccountSid = Annotated[str, Meta(pattern=r"\AAC[0-9a-fA-F]{32}\Z")]
ServiceSid = Annotated[str, Meta(pattern=r"\A(MG[0-9a-fA-F]{32})?\Z")]
Sender = Annotated[str, Meta(pattern=r"\A(\+?[0-9]{3,15}|[A-Za-z0-9 +_&-]{1,11})?\Z")]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one Twilio account sends.

    `messaging_service_sid` chooses the sender from a service's pool; a registered sender of the country is named all
    the same. `sender` is shown where neither names one. `discard_content` asks Twilio not to keep the text
    (`ContentRetention=discard`; the account must have the privacy feature).
    """

    account_sid: AccountSid
    base_url: str = "https://api.twilio.com"
    messaging_service_sid: ServiceSid = ""
    sender: Sender = ""
    discard_content: bool = False

    def __post_init__(self) -> None:
        """Check what no pattern can. Raises ValueError."""
        check_base_url(self.base_url)
