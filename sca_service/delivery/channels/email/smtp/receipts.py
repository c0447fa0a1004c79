"""A mail server tells nothing over HTTP: a mail that it took counts as sent, and no more is known.

Bounces (RFC 3464) come as mails to the sender's address; nobody reads them here. Whoever does finds our delivery in
`X-SCA-Delivery` and in the `Message-ID` of what came back.
"""

from sca_service.delivery.channels.context import Context
from sca_service.delivery.supplier import WordReader


def build(_context: Context) -> WordReader | None:
    """None: there are no call-backs to read."""
    return None
