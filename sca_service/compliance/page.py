"""Writes the requirements as a page (Markdown)."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from sca_service.compliance.requirements import Requirement, Text, Verdict

_WORDS = {
    Verdict.YES: "met",
    Verdict.PARTLY: "**partly**",
    Verdict.NO: "**not met**",
    Verdict.OPERATOR: "**the operator's**",
}
_FAMILIES = {
    "RTS": "Delegated Regulation (EU) 2018/389: strong customer authentication",
    "EBA": "European Banking Authority: answers and opinions",
    "PSD": "Directive (EU) 2015/2366 (PSD2)",
    "PSR": "Payment Services Regulation, as agreed",
    "DORA": "Digital operational resilience",
    "GDPR": "General Data Protection Regulation",
    "NIST": "NIST SP 800-63B-4",
    "ASVS": "OWASP ASVS 5.0",
    "OWASP": "OWASP cheat sheets",
}
_OTHERS = "Protocols and formats"
_HEAD = """# Compliance

What law, standards and good practice ask, what the service does about it, and which test shows it. Written by
`sca docs` from `sca_service/compliance/requirements.toml`. A row that claims to be met names a test; the tests fail
when one that is named is not there, and the build fails when one does not pass, or is skipped for anything but a
program or vectors of others that are not on the machine (`tests/shown.py` lists them, and the run says so). This page
is no legal advice, and where it says *from memory* the words of the source have to be checked before anybody quotes
them.

"""


def compliance_markdown(rows: Sequence[Requirement]) -> str:
    """The whole page."""
    return _HEAD + _summary(rows) + _not_met(rows) + _tables(rows)


def _summary(rows: Sequence[Requirement]) -> str:
    counted = Counter(row.met for row in rows)
    told = ", ".join(f"{counted[verdict]} {_WORDS[verdict].strip('*')}" for verdict in Verdict)
    return f"{len(rows)} requirements: {told}.\n"


def _not_met(rows: Sequence[Requirement]) -> str:
    lines = [
        "\n## What is not met, or not by the service alone\n",
        "| requirement | | why |",
        "|---|---|---|",
    ]
    lines += [
        f"| [{row.id}](#{_anchor(row)}) | {_WORDS[row.met]} | {_cell(row.why)} |"
        for row in rows
        if row.met is not Verdict.YES
    ]
    return "\n".join(lines) + "\n"


def _tables(rows: Sequence[Requirement]) -> str:
    parts = []
    for title, group in groupby(rows, key=_title):
        parts.append(f"\n## {title}\n")
        parts += [_section(row) for row in group]
    return "\n".join(parts)


def _title(row: Requirement) -> str:
    return _FAMILIES.get(row.family, _OTHERS)


def _section(row: Requirement) -> str:
    asked = row.source + (" (*from memory*)" if row.text is Text.FROM_MEMORY else "")
    lines = [f"### {row.id}\n", f"{asked}: {row.asks}.\n", f"- {_WORDS[row.met]}: {row.does or row.why}"]
    if row.why and row.does:
        lines.append(f"- {row.why}")
    if row.code:
        lines.append("- code: " + ", ".join(f"`sca_service/{path}`" for path in row.code))
    if row.policies:
        lines.append("- policy: " + ", ".join(f"`policies/{path}`" for path in row.policies))
    if row.tests:
        lines.append("- shown by: " + ", ".join(_shown(test) for test in row.tests))
    if row.events:
        lines.append("- on record as: " + ", ".join(f"`{event}`" for event in row.events))
    return "\n".join(lines) + "\n"


def _shown(test: str) -> str:
    path, _, name = test.partition("::")
    return f"`{path}`" + (f" (`{name}`)" if name else "")


def _anchor(row: Requirement) -> str:
    return "".join(letter for letter in row.id.lower() if letter.isalnum() or letter == "-")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
