"""Writes the API's reference as a page (Markdown): what `/docs` of a running service shows, beside the other pages."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sca_service.api.reference import Member, Operation, Reference, Shape, read_reference
from sca_service.api.samples import curl

_HEAD = """# API

Every call, with what is sent and what is answered: written by `sca docs` from `docs/openapi.json`, what the newest
release promised. A running service tells its own at `/openapi.json`, and shows it at `/docs`. `$BASE` is its address,
`$KEY` an API key ([clients.md](clients.md)). What goes wrong is a problem document: [errors.md](errors.md).
"""
_FIRST = (
    "challenges",
    "payers",
    "authenticators",
    "devices",
    "exemptions",
    "risk",
    "alerts",
    "cards",
    "webhooks",
)
_LAST = ("receipts", "operations", "sandbox")
_DEEPEST = 3


def reference_markdown(document: Mapping[str, Any]) -> str:
    """The page of an OpenAPI document."""
    reference = read_reference(document)
    parts = [_HEAD]
    for section in sorted(reference.sections, key=lambda section: _place(section.tag)):
        parts.append(f"\n## {section.tag.capitalize()}\n")
        parts += [_operation(operation, reference) for operation in section.operations]
    return "\n".join(parts)


def _place(tag: str) -> tuple[int, str]:
    """What a bank calls comes first, what machines call comes last."""
    if tag in _FIRST:
        return _FIRST.index(tag), tag
    return (len(_FIRST) if tag not in _LAST else len(_FIRST) + 1 + _LAST.index(tag)), tag


def _operation(operation: Operation, reference: Reference) -> str:
    lines = [
        f"### {operation.summary.rstrip('.')}\n",
        f"`{operation.method} {operation.path}`{_scope(operation)}\n",
    ]
    if operation.description:
        lines.append(f"{_line(operation.description)}\n")
    lines += ["```bash", curl(operation, reference.schemas), "```\n"]
    sent = [
        (parameter.member, parameter.place) for parameter in operation.parameters if parameter.place != "path"
    ]
    rows = [_row(member, member.name, place) for member, place in sent]
    if operation.body:
        rows += [_row(member, name, "body") for name, member in _members(operation.body)]
    if rows:
        lines += ["| sent | in | | |", "|---|---|---|---|", *rows, ""]
    for answer in operation.answers:
        if answer.shape and not answer.is_problem:
            told = [
                f"| `{name}` | {_kind(one.shape)} | {_meaning(one.shape)} |"
                for name, one in _members(answer.shape)
            ]
            if told:
                lines += [f"**{answer.status}** answers\n", "| member | | |", "|---|---|---|", *told, ""]
    problems = ", ".join(answer.status for answer in operation.answers if answer.is_problem)
    if problems:
        lines.append(f"Problems: {problems}.\n")
    return "\n".join(lines)


def _scope(operation: Operation) -> str:
    if operation.scopes is None:
        return ", no API key"
    return (
        f", scope {' or '.join(f'`{scope}`' for scope in operation.scopes)}"
        if operation.scopes
        else ", any API key"
    )


def _members(shape: Shape, above: str = "", depth: int = 1) -> Iterator[tuple[str, Member]]:
    """The members of a body, those inside named by their path."""
    for member in shape.members:
        name = f"{above}{member.name}"
        yield name, member
        if depth < _DEEPEST:
            yield from _members(member.shape, f"{name}.", depth + 1)


def _row(member: Member, name: str, place: str) -> str:
    needed = "needed, " if member.required else ""
    return f"| `{name}` | {place} | {needed}{_kind(member.shape)} | {_meaning(member.shape)} |"


def _kind(shape: Shape) -> str:
    return _cell([shape.kind + (" or null" if shape.nullable else ""), *shape.rules])


def _meaning(shape: Shape) -> str:
    values = " ".join(f"`{value}`" for value in shape.values)
    return _cell([_line(shape.meaning), values])


def _cell(parts: Iterable[str]) -> str:
    return "; ".join(part for part in parts if part).replace("|", "\\|")


def _line(text: str) -> str:
    return " ".join(text.split())
