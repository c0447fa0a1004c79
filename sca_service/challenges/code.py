"""The one-time code: derived, never stored, and another one for every other transaction (RTS Art. 5(1)(b))."""

import hmac

from sca_service.challenges.model import ChallengeId
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.hotp import hotp
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.secret import Secret

_SHORTEST, _LONGEST = 4, 12


def parse_code(text: str) -> Secret[str]:
    """A presented code: 4 to 12 ASCII letters or digits. Raises InvalidInput; costs no attempt.

    Other digits that Unicode knows are refused here, since pyotp would accept them as the same code.
    """
    if not _SHORTEST <= len(text) <= _LONGEST or not text.isascii() or not text.isalnum():
        raise InvalidInput.at("", f"must be {_SHORTEST} to {_LONGEST} ASCII letters or digits")
    return Secret(text)


def derive(keyring: Keyring, challenge: ChallengeId, transaction_digest: str) -> Secret[str]:
    """The code of a challenge: RFC 4226 truncation of a key that is the MAC over id, purpose and transaction digest.

    Knowing any number of codes says nothing about the next (RTS Art. 4(2)(b)); a changed cent is another key.
    Raises SealBroken when the keyring has lost the root that the challenge was issued under.
    """
    record = "\0".join((challenge.text, challenge.purpose, transaction_digest)).encode()
    return Secret(hotp(keyring.code_key(challenge.key_version, record), 0, digits=challenge.digits))


def matches(
    keyring: Keyring, challenge: ChallengeId, transaction_digest: str, presented: Secret[str]
) -> bool:
    """Whether the presented code is the challenge's, for exactly this transaction; in constant time."""
    expected = derive(keyring, challenge, transaction_digest)
    return hmac.compare_digest(expected.reveal(), presented.reveal())
