"""The requirements: what is asked, by whom, what the service does about it, and the tests that show it."""

import re
from enum import StrEnum
from importlib import resources

import msgspec

_NUMBERED = re.compile(r"-?[0-9].*|-.*")


class Verdict(StrEnum):
    """Whether a requirement is met."""

    YES = "yes"
    PARTLY = "partly"
    NO = "no"
    OPERATOR = "operator"


class Text(StrEnum):
    """Whether the words of the source were read; what is from memory has to be checked before it is quoted."""

    SEEN = "seen"
    FROM_MEMORY = "from memory"


class Requirement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row. `code` names files and folders of this package, `tests` test files or single tests."""

    id: str
    source: str
    asks: str
    text: Text = Text.SEEN
    does: str = ""
    code: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    met: Verdict = Verdict.YES
    why: str = ""

    @property
    def family(self) -> str:
        """Who asks: the part of the id before its number."""
        return _NUMBERED.sub("", self.id)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    rows: tuple[Requirement, ...]


def requirements() -> tuple[Requirement, ...]:
    """Every row, in the order of the list. Raises msgspec.ValidationError for a list of another shape."""
    text = resources.files("sca_service.compliance").joinpath("requirements.toml").read_bytes()
    return msgspec.toml.decode(text, type=_File).rows


def faults_of(row: Requirement) -> list[str]:
    """What a row has to say and does not."""
    faults = []
    if row.met in (Verdict.YES, Verdict.PARTLY) and not row.tests:
        faults.append(f"{row.id} claims to be met, and no test shows it")
    if row.met is not Verdict.YES and not row.why:
        faults.append(f"{row.id} is not wholly met, and does not say why")
    if row.met is not Verdict.NO and not row.does:
        faults.append(f"{row.id} does not say what the service does")
    return faults
