"""What the section of a Twilio account's calls holds in `suppliers.toml`.

Its secrets are `SCA_SUPPLIER_<NAME>_AUTH_TOKEN`, which signs the call-backs and, unless there is an API key, the
requests; and, if an API key is to sign requests, `…_API_KEY_SID` and `…_API_KEY_SECRET`.
"""

from typing import Annotated

import msgspec

from sca_service.delivery.http_client import check_base_url


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options of kind `twilio-calls`. Raises ValueError for a `base_url` that nobody should call."""

    account_sid: Annotated[str, msgspec.Meta(pattern=r"^AC[0-9a-fA-F]{32}$")]
    """The account that calls and pays."""

    caller: Annotated[str, msgspec.Meta(pattern=r"^\+[1-9][0-9]{6,14}$")]
    """Who calls, where no sender is registered: a number (E.164) that the account owns or has verified."""

    ring_seconds: Annotated[int, msgspec.Meta(ge=5, le=120)] = 25
    """How long it rings; mailboxes take over after 20 to 30 seconds."""

    longest_call_seconds: Annotated[int, msgspec.Meta(ge=30, le=600)] = 180
    """When Twilio hangs up at last."""

    detection_seconds: Annotated[int, msgspec.Meta(ge=3, le=59)] = 8
    """How long Twilio listens whether a machine took the call. When that stays open, the voice asks for a key first."""

    key_seconds: Annotated[int, msgspec.Meta(ge=2, le=30)] = 6
    """How long a key is waited for after the last word."""

    voices: dict[str, Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]] = {}
    """Twilio's voices by language or locale in lower case, such as `de = "Polly.Vicki"`; others get its usual one."""

    base_url: str = "https://api.twilio.com"
    """Where the API is; another one for Twilio's regions."""

    def __post_init__(self) -> None:
        check_base_url(self.base_url)
