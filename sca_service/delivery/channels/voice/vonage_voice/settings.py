"""What the section of a Vonage application holds in `suppliers.toml`.

Its secrets are `SCA_SUPPLIER_<NAME>_PRIVATE_KEY`, the application's key in PEM, and
`SCA_SUPPLIER_<NAME>_SIGNATURE_SECRET`, the account's, which signs the call-backs.
"""

from typing import Annotated

import msgspec

from sca_service.delivery.http_client import check_base_url

LEAST_SIGNATURE_SECRET = 16
"""Characters of a signature secret: a shorter one can be guessed from a single call-back."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options of kind `vonage-voice`. Raises ValueError for a `base_url` that nobody should call."""

    application_id: Annotated[
        str, msgspec.Meta(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
    ]
    """The application that calls; its signed call-backs have to be switched on."""

    caller: Annotated[str, msgspec.Meta(pattern=r"^\+[1-9][0-9]{6,14}$")]
    """Who calls, where no sender is registered: a number (E.164) that the account has rented."""

    ring_seconds: Annotated[int, msgspec.Meta(ge=5, le=120)] = 25
    """How long it rings; mailboxes take over after 20 to 30 seconds."""

    longest_call_seconds: Annotated[int, msgspec.Meta(ge=30, le=600)] = 180
    """When Vonage hangs up at last."""

    key_seconds: Annotated[int, msgspec.Meta(ge=2, le=10)] = 6
    """How long a key is waited for after the last word."""

    style: Annotated[int, msgspec.Meta(ge=0, le=20)] = 0
    """Which of a language's voices speaks, by Vonage's number."""

    premium: bool = False
    """Whether its premium version speaks."""

    base_url: str = "https://api.nexmo.com"
    """Where the API is; another one for Vonage's regions."""

    def __post_init__(self) -> None:
        check_base_url(self.base_url)
