"""Ids of challenges for APIs that have no room for their 42 characters."""

import base64
import re

from sca_service.challenges.model import ChallengeId

_SHORT = re.compile(r"[A-Za-z0-9_-]{26}", re.ASCII)
_HEAD = "chl_"


def shortened(challenge_id: str) -> str:
    """The same id in 26 characters of base64url."""
    return base64.urlsafe_b64encode(bytes.fromhex(challenge_id.removeprefix(_HEAD)) + b"\0\0")[:26].decode()


def lengthened(short_id: str) -> ChallengeId | None:
    """The challenge that a short id names, None when none can be called that: each has one short id."""
    if not _SHORT.fullmatch(short_id):
        return None
    raw = base64.urlsafe_b64decode(short_id + "==")
    challenge = ChallengeId.parse(_HEAD + raw[:19].hex())
    return challenge if challenge and shortened(challenge.text) == short_id else None
