"""What the scripts of challenges are given, where that is more than a word or a number."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from sca_service.challenges.model import ChallengeState, PushRule
from sca_service.limits.model import Limit


class KeptAnswer(NamedTuple):
    """What a script keeps of an answer that was signed: sealed, and its event's members that commit to it."""

    sealed: str
    members: bytes


UNSIGNED = KeptAnswer("", b"")


class NewChallenge(msgspec.Struct, frozen=True):
    """What `issue.lua` is given: the state without its times, and what bounds it."""

    state: ChallengeState
    event: bytes
    lifetime_ms: int
    most_pending: int
    most_failures: int
    limits: Sequence[Limit]
    pushes: PushRule | None = None
    refused_for: str = ""
