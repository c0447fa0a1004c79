"""How often Python looks for cycles of objects: nearly all that starting and requests make goes without."""

import gc


def collect_seldom() -> None:
    """Look for cycles more seldom than Python does by itself.

    With its own thresholds an eighth of a request's CPU was this (docs/decisions/0024), and a sixth of a start's.
    """
    gc.set_threshold(20_000, 20, 100)


def keep_what_is_there() -> None:
    """From now on no collection looks through what starting has made: it stays for as long as the process."""
    gc.freeze()
    collect_seldom()
