"""What an OpenAPI 3.1 document says, as values that a page can show.

Reads the part of OpenAPI that our own document is made of: JSON bodies, `$ref` into its own components, choices with
null. What it does not know it leaves out; it never fails on a document that is valid.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

Schema = Mapping[str, Any]
"""A schema object as it stands in the document."""

_METHODS = ("post", "put", "patch", "get", "delete", "head", "options", "trace")
_BOUNDS = (
    ("minLength", "maxLength", "characters"),
    ("minItems", "maxItems", "items"),
    ("minimum", "maximum", ""),
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a value may be: its kind in words, its bounds, its closed set of values, its members."""

    kind: str
    nullable: bool
    meaning: str
    rules: tuple[str, ...]
    values: tuple[str, ...]
    members: tuple["Member", ...]


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an object, or one parameter of a call."""

    name: str
    required: bool
    shape: Shape


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter and where it goes: `path`, `query` or `header`."""

    place: str
    member: Member


@dataclass(frozen=True, slots=True)
class Answer:
    """One response: `schema` is None when it has no body, `is_problem` claims an RFC 9457 document."""

    status: str
    meaning: str
    is_problem: bool
    schema: Schema | None
    shape: Shape | None


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of the API. `scopes` is None when it takes no API key, empty when any key will do."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    scopes: tuple[str, ...] | None
    parameters: tuple[Parameter, ...]
    body_schema: Schema | None
    body: Shape | None
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """The operations of one tag."""

    tag: str
    description: str
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """The whole document."""

    title: str
    version: str
    description: str
    sections: tuple[Section, ...]
    schemas: "Schemas"


class Schemas:
    """Reads schemas. A class because it holds the components that references lead to."""

    def __init__(self, components: Mapping[str, Schema]) -> None:
        self._components = components

    def resolve(self, schema: Schema) -> dict[str, Any]:
        """The schema without references; `nullable` is true where null was one of its choices."""
        whole = dict(schema)
        if "$ref" in whole:
            name = str(whole.pop("$ref")).rpartition("/")[2]
            whole = {**self.resolve(self._components.get(name, {})), "title": name, **whole}
        for choice in ("oneOf", "anyOf"):
            options = [option for option in whole.get(choice, ()) if option.get("type") != "null"]
            if len(options) < len(whole.get(choice, ())):
                whole["nullable"] = True
            if len(options) == 1:
                del whole[choice]
                whole = {**self.resolve(options[0]), **whole}
        for part in whole.pop("allOf", ()):
            whole = {**self.resolve(part), **whole}
        if isinstance(whole.get("type"), list):
            whole["nullable"] = "null" in whole["type"]
            whole["type"] = next((name for name in whole["type"] if name != "null"), "null")
        return whole

    def shape(self, schema: Schema, above: tuple[str, ...] = ()) -> Shape:
        """What a value of this schema may be; a schema inside itself (`above`) is named but not unfolded again."""
        whole = self.resolve(schema)
        title = whole.get("title", "")
        inner = self.resolve(whole.get("items", {})) if whole.get("type") == "array" else whole
        inside = (*above, title, inner.get("title", ""))
        unfolded = title not in above and inner.get("title", "") not in above
        return Shape(
            kind=self._kind(whole),
            nullable=bool(whole.get("nullable")),
            meaning=_first_paragraph(whole.get("description", "")),
            rules=tuple(_rules(whole)),
            values=tuple(_values(inner)),
            members=tuple(self._members(inner, tuple(filter(None, inside)))) if unfolded else (),
        )

    def _members(self, whole: Schema, above: tuple[str, ...]) -> Iterator[Member]:
        required = set(whole.get("required", ()))
        for name, schema in whole.get("properties", {}).items():
            yield Member(name, name in required, self.shape(schema, above))

    def _kind(self, whole: Schema) -> str:
        options = whole.get("oneOf") or whole.get("anyOf")
        if options:
            return " or ".join(self._kind(self.resolve(option)) for option in options)
        kind = str(whole.get("type", "any value"))
        if kind == "array":
            kind = f"array of {_plural(self._kind(self.resolve(whole.get('items', {}))))}"
        elif kind == "object" and whole.get("additionalProperties") and not whole.get("properties"):
            kind = f"object of {_plural(self._kind(self.resolve(whole['additionalProperties'])))}"
        elif "format" in whole:
            kind = str(whole["format"])
        return kind


def read_reference(openapi: Mapping[str, Any]) -> Reference:
    """Read the document; sections come in the order in which the document names their tags."""
    schemas = Schemas(openapi.get("components", {}).get("schemas", {}))
    described = {tag["name"]: tag.get("description", "") for tag in openapi.get("tags", ())}
    by_tag: dict[str, list[Operation]] = {tag: [] for tag in described}
    for path, item in openapi.get("paths", {}).items():
        for method in _METHODS:
            if method in item:
                tag = next(iter(item[method].get("tags", ())), "other")
                operation = _operation(method, path, item[method], schemas, openapi.get("security"))
                by_tag.setdefault(tag, []).append(operation)
    return Reference(
        title=openapi["info"]["title"],
        version=openapi["info"]["version"],
        description=openapi["info"].get("description") or "",
        sections=tuple(
            Section(tag, described.get(tag) or "", tuple(operations))
            for tag, operations in by_tag.items()
            if operations
        ),
        schemas=schemas,
    )


def _operation(method: str, path: str, said: Mapping[str, Any], schemas: Schemas, security: Any) -> Operation:
    body_schema = _json_schema(said.get("requestBody", {}))
    return Operation(
        id=said.get("operationId") or f"{method} {path}",
        method=method.upper(),
        path=path,
        summary=said.get("summary") or path,
        description=said.get("description") or "",
        scopes=_scopes(said, security),
        parameters=tuple(_parameter(parameter, schemas) for parameter in said.get("parameters", ())),
        body_schema=body_schema,
        body=schemas.shape(body_schema) if body_schema is not None else None,
        answers=tuple(
            _answer(status, answer, schemas) for status, answer in said.get("responses", {}).items()
        ),
    )


def _scopes(said: Mapping[str, Any], security: Any) -> tuple[str, ...] | None:
    """The scopes that an operation asks for; without a word of its own the document's security counts."""
    wanted = said.get("security", security)
    if not wanted:
        return None
    return tuple(scope for scheme in wanted for scopes in scheme.values() for scope in scopes)


def _parameter(said: Mapping[str, Any], schemas: Schemas) -> Parameter:
    schema = {**said.get("schema", {})}
    if said.get("description"):
        schema["description"] = said["description"]
    return Parameter(said["in"], Member(said["name"], bool(said.get("required")), schemas.shape(schema)))


def _answer(status: str, said: Mapping[str, Any], schemas: Schemas) -> Answer:
    schema = _json_schema(said)
    if schema is not None and schema.get("type") == "null":
        schema = None
    meaning = said.get("description", "")
    known = HTTPStatus(int(status)) if status in {str(one.value) for one in HTTPStatus} else None
    if known and meaning in (known.description, ""):  # says nothing that the phrase does not say shorter
        meaning = known.phrase
    return Answer(
        status=status,
        meaning=meaning,
        is_problem="application/problem+json" in said.get("content", {}),
        schema=schema,
        shape=schemas.shape(schema) if schema is not None else None,
    )


def _json_schema(said: Mapping[str, Any]) -> Schema | None:
    content = said.get("content", {})
    found: Mapping[str, Any] = next(
        (content[media_type] for media_type in content if "json" in media_type), {}
    )
    schema: Schema | None = found.get("schema")
    return schema


def _rules(whole: Schema) -> Iterator[str]:
    for lower, upper, unit in _BOUNDS:
        least, most = whole.get(lower), whole.get(upper)
        if least is not None and most is not None:
            yield f"{_number(least)} to {_number(most)} {unit}".rstrip()
        elif most is not None:
            yield f"at most {_number(most)} {unit}".rstrip()
        elif least is not None:
            yield f"at least {_number(least)} {unit}".rstrip()
    if whole.get("pattern"):
        yield f"matches {whole['pattern']}"
    if whole.get("default") not in (None, "", []):
        yield f"default {json.dumps(whole['default'], ensure_ascii=False)}"
    if whole.get("examples"):
        yield f"such as {json.dumps(whole['examples'][0], ensure_ascii=False)}"


def _values(whole: Schema) -> Iterator[str]:
    values = [whole["const"]] if "const" in whole else whole.get("enum", ())
    yield from (
        value if isinstance(value, str) else json.dumps(value) for value in values if value is not None
    )


def _number(bound: float) -> str:
    return f"{int(bound):,}" if float(bound).is_integer() else str(bound)


def _plural(kind: str) -> str:
    return f"{kind.removeprefix('any ')}s" if " " not in kind.removeprefix("any ") else kind


def _first_paragraph(text: str) -> str:
    """A docstring's further paragraphs speak to those who change the code."""
    return " ".join(text.partition("\n\n")[0].split())
