"""How a payee is known from one payment to the next: by a pseudonym of the account, for one payer."""

from sca_service.kernel.account import Account
from sca_service.kernel.keyring import Keyring


def payee_name(keyring: Keyring, psu: str, account: Account | None) -> str | None:
    """The pseudonym, or None for a payee without an account: a name alone may belong to anybody."""
    if account is None:
        return None
    kind, text = ("iban", account.iban) if account.iban else ("bban", account.bban)
    return keyring.pseudonym("payee", psu, kind, text or "")
