"""RTS Art. 19 and 20: what a fraud rate is, and when the exemption of Art. 18 ceases. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

MILLION = 1_000_000
WINDOW_DAYS = 90
"""RTS Art. 19(1): a rate is calculated over 90 days, anew each day."""


@dataclass(frozen=True, slots=True)
class FraudRate:
    """The value of fraudulent payments, recovered or not, out of the value of all that were authenticated or exempt.

    Both in cents of a euro.
    """

    fraud_cents: int
    total_cents: int

    def is_within(self, reference_ppm: int) -> bool:
        """Whether it is at or below a reference in millionths; compared exactly. Without payments it is not."""
        return self.total_cents > 0 and self.fraud_cents * MILLION <= reference_ppm * self.total_cents

    @property
    def percent(self) -> str | None:
        """In per cent with six digits, rounded half up: `0.130000`; None without payments."""
        if not self.total_cents:
            return None
        scaled = (2 * self.fraud_cents * 100 * MILLION + self.total_cents) // (2 * self.total_cents)
        return f"{scaled // MILLION}.{scaled % MILLION:06d}"


def has_ceased(quarters: Iterable[FraudRate], reference_ppm: int) -> bool:
    """Whether the exemption has ceased for a band, after these quarters in their order (RTS Art. 20(2) and (3)).

    Two quarters in a row above the reference end it, one at or below brings it back. A quarter without payments shows
    neither and changes nothing; fraud without any is above.
    """
    over, ceased = 0, False
    for rate in quarters:
        if not rate.total_cents and not rate.fraud_cents:
            continue
        if rate.is_within(reference_ppm):
            over, ceased = 0, False
        else:
            over += 1
            ceased = ceased or over >= 2
    return ceased
