"""What a section of kind `fcm` holds.

From the environment: `SCA_SUPPLIER_<NAME>_SERVICE_ACCOUNT`, the JSON of a Google service account that may send messages
(its project is the one that is sent for).
"""

from typing import Annotated

from msgspec import Meta, Struct

from sca_service.delivery.channels.titles import OwnTitles
from sca_service.delivery.http_client import check_base_url

SERVICE_ACCOUNT = "service_account"


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """The options; all of them may be left out."""

    url: str = "https://fcm.googleapis.com"
    """Where Firebase takes messages."""
    notice_seconds: Annotated[int, Meta(ge=0, le=2_419_200)] = 86_400
    """How long Firebase keeps a message that does not expire by itself."""
    titles: dict[str, OwnTitles] = {}
    """The bank's own titles, by language."""

    def __post_init__(self) -> None:
        check_base_url(self.url)
