"""How fast an SMS centre may be written to: its contract's rate, and less after it said "too fast".

Additive increase, multiplicative decrease, as TCP does it (RFC 5681): half of what was taken in the last second, then a
little more with every message that is taken.
"""

import math

_SLOWEST = 1.0
_GAIN = 0.1
"""How much of the rate before the throttling comes back every second."""


class Pace:
    """A rate in messages per second. A class because it remembers; it reads no clock: `now` is in seconds.

    `most` is the contract's rate, infinite without one.
    """

    def __init__(self, most: float) -> None:
        self._most = most
        self.rate = most
        self._next_at = 0.0
        self._gain = 0.0
        self._slowed_at = -math.inf
        self._second = 0
        self._taken = 0
        self._taken_before = 0

    def wait(self, now: float) -> float:
        """How long the next message has to wait, in seconds; changes nothing."""
        return 0.0 if math.isinf(self.rate) else max(self._next_at - now, 0.0)

    def spend(self, now: float) -> float:
        """As `wait`, and the turn is taken. A tenth of a second's turns may be caught up with."""
        if math.isinf(self.rate):
            return 0.0
        turn = max(self._next_at, now - 0.1)
        self._next_at = turn + 1.0 / self.rate
        return max(turn - now, 0.0)

    def taken(self, now: float) -> None:
        """A message was taken: a little faster from now on, until as fast as before."""
        self._count(now, 1)
        if self.rate >= self._most:
            return
        self.rate = min(self.rate + self._gain / self.rate, self._most)
        if math.isinf(self._most) and self.rate > 40 * self._gain:
            self.rate = math.inf  # four times the rate at which it was once too fast

    def throttled(self, now: float) -> None:
        """A message was refused as too fast; those refused within one second count once."""
        if now - self._slowed_at < 1.0:
            return
        self._count(now, 0)
        # A second that has just begun says little: the one before it counts as well.
        seen = max(self._taken, self._taken_before, _SLOWEST)
        self._slowed_at = now
        self._gain = max(seen * _GAIN, _SLOWEST)
        self.rate = max(min(self.rate, seen) / 2, _SLOWEST)
        self._next_at = max(self._next_at, now)

    def _count(self, now: float, messages: int) -> None:
        second = math.floor(now)
        if second != self._second:
            self._taken_before = self._taken if second == self._second + 1 else 0
            self._second, self._taken = second, 0
        self._taken += messages
