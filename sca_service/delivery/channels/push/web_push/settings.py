"""What a section of kind `web-push` holds.

From the environment: `SCA_SUPPLIER_<NAME>_VAPID_KEY`, the private key of P-256 with which we sign (RFC 8292), as PEM or
as its 32 bytes in base64url (what `web-push generate-vapid-keys` prints). Browsers subscribe with its public key.
"""

from typing import Annotated

from msgspec import Meta, Struct

from sca_service.delivery.channels.push.addresses import PUSH_SERVICES
from sca_service.delivery.channels.titles import OwnTitles

VAPID_KEY = "vapid_key"


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """The options. `contact` is how a push service reaches whoever runs this (RFC 8292 section 2.1)."""

    contact: Annotated[str, Meta(pattern="^(mailto:[^@ ]+@[^@ ]+|https://.+)$", max_length=256)]
    push_services: Annotated[tuple[Annotated[str, Meta(min_length=3)], ...], Meta(min_length=1)] = (
        PUSH_SERVICES
    )
    """Hosts that may be called, `*.` before a name for all below it; also what a registration is checked against."""
    notice_seconds: Annotated[int, Meta(ge=0, le=2_419_200)] = 86_400
    """How long the push service keeps a message that does not expire by itself."""
    titles: dict[str, OwnTitles] = {}
    """The bank's own titles, by language."""
