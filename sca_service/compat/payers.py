"""Who the payer is where an API knows phone numbers only."""

from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import PhoneNumber


def payer_of(keyring: Keyring, client: str, line: PhoneNumber) -> str:
    """The payer's reference that stands for a client's phone number: one for every facade, so that wrong answers to
    one number count together, and none that shows the number.
    """
    return f"tel_{keyring.pseudonym('facade payer', client, line.e164)}"
