"""What an auditor is told: each thing that is wrong, and what was looked at."""

from dataclasses import dataclass, field
from enum import StrEnum

from sca_service.kernel.errors import ScaError

_MOST_FINDINGS = 50


def printable(text: str) -> str:
    """Text that cannot steer a terminal: what does not print is shown by its number."""
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text)


class Refused(ScaError):
    """What was given cannot be believed; the message says why. It may quote what was read."""

    @property
    def detail(self) -> str:
        """The sentence shown to the auditor."""
        return printable(str(self))


class Kind(StrEnum):
    """What can be wrong with a log."""

    CHECKPOINT = "checkpoint"
    ROLLED_BACK = "rolled back"
    FORKED = "forked"
    LEAF = "leaf"
    TILE = "tile"
    BUNDLE = "bundle"
    MISSING = "missing"
    WITNESSES = "witnesses"
    UNCOMPARED = "not compared"
    LEFT_OUT = "left out"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: the leaves it is about (first and last), or the file, where it is about some."""

    kind: Kind
    what: str
    first: int | None = None
    last: int | None = None
    path: str | None = None


@dataclass(slots=True)
class Report:
    """What came of a verification; it is built up while the log is read."""

    origin: str = ""
    size: int = 0
    root: bytes = b""
    signed_by: list[str] = field(default_factory=list)
    witnessed_by: list[str] = field(default_factory=list)
    leaves_read: int = 0
    leaves_taken_as_given: int = 0
    leaves_in_copy: int = 0
    """Leaves that are not there; the auditor's copy has them, and they lead to the hash that is."""

    compared: list[str] = field(default_factory=list)
    """The older checkpoints whose root was recomputed, by name; whether they fit, the findings say."""

    findings: list[Finding] = field(default_factory=list)
    unnamed: int = 0
    remarks: list[str] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        """Take a finding in; past some dozens they are only counted."""
        if len(self.findings) < _MOST_FINDINGS:
            self.findings.append(finding)
        else:
            self.unnamed += 1

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings
