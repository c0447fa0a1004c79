"""What the section of an RCS agent holds in `suppliers.toml`.

Its secrets are `SCA_SUPPLIER_<NAME>_SERVICE_ACCOUNT`, the JSON of the agent's service account, and
`SCA_SUPPLIER_<NAME>_CLIENT_TOKEN`, which the console shows for the webhook.
"""

from typing import Annotated

import msgspec

from sca_service.delivery.http_client import check_base_url


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options of kind `rcs-business-messaging`. Raises ValueError for a `base_url` that nobody should call."""

    agent_id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]
    """The agent that speaks: the verified sender that the handset shows."""

    decline_button: bool = True
    """Whether a message that asks for something has a button "this was not me", which declines it."""

    base_url: str = "https://europe-rcsbusinessmessaging.googleapis.com"
    """Where the API is: of the region that the agent was made in (`europe-`, `us-`, `asia-`)."""

    def __post_init__(self) -> None:
        check_base_url(self.base_url)
