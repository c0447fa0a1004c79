"""Percentiles of durations from counts alone: DDSketch (Masson, Rim, Lee: VLDB 2019) with bins kept for good.

A duration falls into bin `ceil(log_γ(ms))`. Whatever is read from a bin is at most ERROR away from what fell into it,
relatively. Bins are never joined, so two sketches are merged by adding their counts, in whatever order, and nothing is
lost: the counts of an hour are those of its minutes.
"""

import math
from collections.abc import Mapping
from typing import Final

ERROR: Final = 0.02
"""The most that a percentile is off, relatively."""

_GAMMA: Final = (1 + ERROR) / (1 - ERROR)
_LN_GAMMA: Final = math.log(_GAMMA)

MOST_MS: Final = 400 * 86_400_000
"""What took longer counts as this long."""


def bin_of(duration_ms: int) -> int:
    """The bin of a duration; what took less than a millisecond is in bin 0."""
    return math.ceil(math.log(min(max(duration_ms, 1), MOST_MS)) / _LN_GAMMA)


def value_of(index: int) -> float:
    """The milliseconds that a bin stands for: as far from its least as from its most, relatively."""
    return float(2 * _GAMMA**index / (_GAMMA + 1))


def percentile_ms(counts: Mapping[int, int], share: float) -> int | None:
    """The milliseconds that `share` (0 to 1) of the durations did not exceed; None when there are none.

    The rank is the one of statistics' lower percentile: `floor(share × (n − 1))`, counted from 0.
    """
    whole = sum(counts.values())
    if whole <= 0:
        return None
    rank = math.floor(share * (whole - 1))
    seen = 0
    for index in sorted(counts):
        seen += counts[index]
        if seen > rank:
            return round(value_of(index))
    return None
