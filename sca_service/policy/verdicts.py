"""What kinds of facts there are, and what a condition on them can come to."""

from enum import StrEnum


class FactKind(StrEnum):
    """The type of a fact, as CEL calls it."""

    BOOL = "bool"
    INT = "int"
    DOUBLE = "double"
    STRING = "string"
    LIST = "list(string)"


class Verdict(StrEnum):
    """What a condition comes to."""

    HOLDS = "holds"
    FAILS = "fails"
    NOT_SUPPLIED = "not_supplied"  # a fact that decides it was not supplied
    ERROR = "error"  # it cannot be told; whoever asks takes this for the risky answer
