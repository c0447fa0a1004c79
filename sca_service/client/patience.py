"""When a call is sent again, and after how long."""

import random
from dataclasses import dataclass

_FIRST_SECONDS = 0.1
_MOST_SECONDS = 5.0
_TOO_OFTEN = 429
_MAY_PASS = (_TOO_OFTEN, 502, 503, 504)
_IN_FLIGHT = 409
"""With `request-in-flight`: the same request under the same key is being decided at this moment."""


@dataclass(frozen=True, slots=True)
class Patience:
    """At most so many tries, and no wait that would end later than so many seconds after the first one.

    A GET, PUT, PATCH or DELETE says the same twice, and a POST carries its idempotency key; the few that would be done
    twice (`Call.repeats`) are sent again only after a 429.
    """

    tries: int = 4
    seconds: float = 15.0

    def pause(self, tried: int, *, spent_seconds: float, told_seconds: float | None) -> float | None:
        """How long to wait after `tried` tries that failed; None to give up.

        What the service tells in `Retry-After` is kept. Else it is twice as long each time, of which a part by chance,
        so that not all who were turned away come back at once.
        """
        if tried >= self.tries:
            return None
        longest = min(_FIRST_SECONDS * 2 ** (tried - 1), _MOST_SECONDS)
        pause = told_seconds if told_seconds is not None else random.uniform(longest / 2, longest)  # noqa: S311
        return pause if spent_seconds + pause <= self.seconds else None


def may_pass(status: int, content: bytes, *, repeats: bool = True) -> bool:
    """Whether an answer tells of something that passes; without `repeats`, also that nothing was done."""
    if not repeats:
        return status == _TOO_OFTEN
    return status in _MAY_PASS or (status == _IN_FLIGHT and b'"request-in-flight"' in content)
