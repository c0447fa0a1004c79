"""What a caller is told of a limit: how much it allows, and how much of that is left."""

import msgspec


class Quota(msgspec.Struct, frozen=True):
    """A limit as its policy writes it: `count` in `per_seconds`."""

    name: str
    count: int
    per_seconds: int


class Allowance(msgspec.Struct, frozen=True):
    """`left` may come at once now, and in `full_in_seconds` as many as ever when none comes until then."""

    quota: Quota
    left: int
    full_in_seconds: int
