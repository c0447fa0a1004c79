"""Which of a payer's devices or passkeys a challenge asks. Pure."""

from collections.abc import Sequence

from sca_service.authenticators.model import Asked, Element


def asked_of(held: Sequence[tuple[str, Element | None]]) -> Asked | None:
    """Those that carry most, of ids with what unlocks them, the oldest first; None of none.

    An approval has to rest on the elements that the challenge promised, whichever of them answers. So if any is
    unlocked by something, only such are asked; and of several kinds those like the newest.
    """
    if not held:
        return None
    unlocked = [unlocked_by for _, unlocked_by in held if unlocked_by is not None]
    wanted = unlocked[-1] if unlocked else None
    return Asked(tuple(one for one, unlocked_by in held if unlocked_by is wanted), wanted)
