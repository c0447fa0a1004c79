"""What a bound is: the least and the most that a number of a policy may be, and why."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bound:
    """The least and the most a number may be, both allowed.

    `key` is the path within the file; `[]` stands for any entry of an array and `*` for any name. A key that
    ends with ` entries` or ` characters` bounds how many of them there are.
    """

    file: str
    key: str
    least: int
    most: int
    article: str
