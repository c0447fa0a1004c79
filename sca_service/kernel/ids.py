"""Ids: prefixed, opaque to callers, in the order of their time, not guessable (80 random bits).

Tables have indexes on ids. Where these begin with their time, what is inserted now stands side by side in each index;
where they are chance, each is inserted somewhere else, and PostgreSQL writes a whole page ahead for it
(docs/decisions/0034).
"""

import secrets
import time

_TIME_BYTES = 6
_CHANCE_BYTES = 10


def new_id(prefix: str) -> str:
    """A fresh id such as `evt_019ac8f0…`: the prefix, an underscore, and 32 digits as `new_digits` makes them."""
    return f"{prefix}_{new_digits()}"


def new_digits() -> str:
    """32 hexadecimal digits that nobody has had: the milliseconds since 1970 (48 bits) by this machine, and chance.

    In the manner of UUID version 7 (RFC 9562, section 5.7), whose bits for version and variant are chance here. Made of
    bytes, which takes a microsecond less than putting texts together.
    """
    return ((time.time_ns() // 1_000_000).to_bytes(_TIME_BYTES) + secrets.token_bytes(_CHANCE_BYTES)).hex()


def digits_at(at_ms: int, chance: str) -> str:
    """32 hexadecimal digits of a time in milliseconds, and of the first 20 digits of what makes them the only ones."""
    return at_ms.to_bytes(_TIME_BYTES).hex() + chance[: 2 * _CHANCE_BYTES]
