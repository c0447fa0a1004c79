"""What a section of kind `apns` holds.

From the environment: `SCA_SUPPLIER_<NAME>_KEY`, the private key (`AuthKey_….p8`, PEM) that Apple gave out for the team.
"""

from typing import Annotated

from msgspec import Meta, Struct

from sca_service.delivery.channels.titles import OwnTitles
from sca_service.delivery.http_client import check_base_url

KEY = "key"


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """The options."""

    team: Annotated[str, Meta(pattern="^[A-Z0-9]{10}$")]
    """The team's id at Apple, `iss` of what we sign."""
    key_id: Annotated[str, Meta(pattern="^[A-Z0-9]{10}$")]
    """Which of the team's keys it is."""
    topic: Annotated[str, Meta(pattern="^[A-Za-z0-9.-]+$", max_length=255)]
    """The app's bundle id."""
    url: str = "https://api.push.apple.com"
    """Where Apple takes messages; `https://api.sandbox.push.apple.com` for an app under development."""
    notice_seconds: Annotated[int, Meta(ge=0, le=2_419_200)] = 86_400
    """How long Apple keeps a message that does not expire by itself."""
    titles: dict[str, OwnTitles] = {}
    """The bank's own titles, by language."""

    def __post_init__(self) -> None:
        check_base_url(self.url)
