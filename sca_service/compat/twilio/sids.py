"""What Twilio calls things: `VA…` a service, `VE…` a verification, `AC…` an account, `VL…` an attempt to send."""

import re
import secrets

from sca_service.challenges.model import ChallengeId
from sca_service.kernel.keyring import Keyring

_SERVICE = re.compile(r"VA[0-9a-fA-F]{32}", re.ASCII)
_VERIFICATION = re.compile(r"VE[0-9a-f]{32}", re.ASCII)
_FILLED = "000000"
"""How the id of every challenge ends that was issued here: a verification's sid has no room for these digits."""


def is_service(text: str) -> bool:
    """Whether a service can be called that. There is none to create: a client uses the sids that it has."""
    return _SERVICE.fullmatch(text) is not None


def new_unique() -> str:
    """The last digits of a new challenge's id, such that a sid can name it: 104 random bits, and no room for a time."""
    return secrets.token_hex(13) + _FILLED


def verification_sid(challenge_id: str) -> str:
    """The sid of a challenge that was issued here."""
    return f"VE{challenge_id.removeprefix('chl_')[:32]}"


def challenge_of(sid: str) -> ChallengeId | None:
    """The challenge that a verification's sid names, None when none can be called that."""
    return ChallengeId.parse(f"chl_{sid[2:]}{_FILLED}") if _VERIFICATION.fullmatch(sid) else None


def account_sid(keyring: Keyring, client: str) -> str:
    """The account that a client is."""
    return f"AC{keyring.pseudonym('twilio account', client)}"


def attempt_sid(keyring: Keyring, delivery: str) -> str:
    """The attempt that a delivery is."""
    return f"VL{keyring.pseudonym('twilio attempt', delivery)}"
