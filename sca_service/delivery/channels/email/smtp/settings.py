"""What a section of kind `smtp` holds.

From the environment, when there is a `login`: `SCA_SUPPLIER_<NAME>_PASSWORD`.
"""

from ipaddress import ip_address
from typing import Annotated, Literal

from msgspec import Meta, Struct

from sca_service.delivery.channels.titles import OwnTitles
from sca_service.delivery.http_client import check_base_url

PASSWORD = "password"  # noqa: S105 - the name of it in the environment
_USUAL_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_ADDRESS = "^[^@ \r\n<>,;]+@[A-Za-z0-9.-]+$"


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """The options."""

    host: Annotated[str, Meta(pattern="^[A-Za-z0-9.:-]+$", max_length=253)]
    """The mail server, by the name in its certificate."""
    sender: Annotated[str, Meta(pattern=_ADDRESS, max_length=254)]
    """Whom mails come from, and where bounces go to."""
    sender_name: Annotated[str, Meta(pattern="^[^\r\n]*$", max_length=100)] = ""
    """What a mail program shows instead."""
    reply_to: Annotated[str, Meta(pattern=_ADDRESS, max_length=254)] | None = None
    """Where answers go to, if not to the sender."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """`starttls` (RFC 3207) and `tls` (RFC 8314) are required of the server; `none` is for loopback alone."""
    port: Annotated[int, Meta(ge=1, le=65_535)] | None = None
    """587, 465 or 25, by `security`."""
    authorities: str = ""
    """A PEM file with the certificate authorities to trust instead of the system's."""
    login: Annotated[str, Meta(max_length=256)] = ""
    """With which name to log in; empty for not at all."""
    unsubscribe_url: str = ""
    """Where a mail program unsubscribes the payer with one click (RFC 8058); `?delivery=dlv_…` is put behind it."""
    connections: Annotated[int, Meta(ge=1, le=20)] = 4
    """At most so many to the mail server at a time."""
    titles: dict[str, OwnTitles] = {}
    """The bank's own subjects, by language: `notice` is used."""

    def __post_init__(self) -> None:
        if self.security == "none" and not _is_loopback(self.host):
            raise ValueError("security: none is for a mail server on loopback alone")
        if self.security == "none" and self.login:
            raise ValueError("security: nobody logs in without TLS")
        if self.unsubscribe_url:
            check_base_url(self.unsubscribe_url)

    @property
    def used_port(self) -> int:
        """The port, told or usual."""
        return self.port or _USUAL_PORTS[self.security]


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
