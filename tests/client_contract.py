"""Holds the calls of the Python client against the API's own description: every member, and nothing invented."""

import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

import msgspec

from sca_service.client.call import Call, Page, Stream

LEFT_OUT_OF_QUERIES = {"format", "cursor"}
"""A page, a file or JSON are calls of their own; a cursor is `Sca.each`'s."""
_PLAIN = {"string": str, "integer": int, "number": float, "boolean": bool}
_NAME = re.compile(r"\{(\w+)(?::\w+)?\}")


def calls_of(module: types.ModuleType) -> Iterator[Callable[..., Any]]:
    """The functions of a module that make calls."""
    for _, function in inspect.getmembers(module, inspect.isfunction):
        if function.__module__ == module.__name__:
            yield function


def made(function: Callable[..., Any]) -> Call[Any] | Stream[Any]:
    """The call that a function makes when every member is given: its value is the parameter's own name."""
    parameters = inspect.signature(function).parameters
    return function(**{name: f"~{name}~" for name in parameters})  # type: ignore[no-any-return]


class Contract:
    """The API's description. A class because it holds the document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._schemas: Mapping[str, Any] = document["components"]["schemas"]
        self.operations: dict[tuple[str, str], Any] = {
            (method.upper(), _NAME.sub("{}", path)): operation
            for path, item in document["paths"].items()
            for method, operation in item.items()
        }

    def place_of(self, call: Call[Any] | Stream[Any]) -> tuple[str, str]:
        """The operation of a call."""
        method = call.method if isinstance(call, Call) else "GET"
        return method, re.sub(r"~\w+~", "{}", call.path.replace("%7E", "~"))

    def faults_of(self, function: Callable[..., Any]) -> list[str]:
        """Where a function and its operation differ."""
        call = made(function)
        operation = self.operations.get(self.place_of(call))
        if operation is None:
            return [f"there is no {self.place_of(call)}"]
        if isinstance(call, Stream):
            return []
        parameters = operation.get("parameters", [])
        queried = {one["name"] for one in parameters if one["in"] == "query"} - LEFT_OUT_OF_QUERIES
        faults = []
        if set(call.query) - LEFT_OUT_OF_QUERIES != queried:
            faults.append(f"query {sorted(call.query)} is not {sorted(queried)}")
        return faults + self._body_faults(function, call, operation) + self._answer_faults(call, operation)

    def _body_faults(self, function: Callable[..., Any], call: Call[Any], operation: Any) -> list[str]:
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        schema = self._resolved(content["schema"]) if content else {}
        members, body = schema.get("properties", {}), call.body or {}
        if set(body) != set(members):
            return [f"body {sorted(body)} is not {sorted(members)}"]
        hints, parameters = get_type_hints(function), inspect.signature(function).parameters
        faults = []
        for name, given in body.items():
            own = given.strip("~")
            needed = name in schema.get("required", ())
            if (parameters[own].default is inspect.Parameter.empty) is not needed:
                faults.append(f"{name}: required is {needed}")
            faults += self._differences(name, members[name], hints[own])
        return faults

    def _answer_faults(self, call: Call[Any], operation: Any) -> list[str]:
        success = next(told for status, told in operation["responses"].items() if status.startswith("2"))
        schema = success.get("content", {}).get("application/json", {}).get("schema")
        if call.answer is type(None):
            return [] if schema is None else ["something is answered"]
        if call.answer in (str, bytes):
            return []
        if schema is None:
            return ["nothing is answered"]
        if get_origin(call.answer) is Page:
            schema = self._resolved(schema)["properties"]["data"]["items"]
            return self._differences("data", schema, get_args(call.answer)[0])
        return self._differences("", schema, call.answer)

    def _differences(self, at: str, schema: Any, annotation: Any) -> list[str]:
        """Where a type differs from what is described, at this place and below it."""
        schema, may_be_none = self._unwrapped(schema)
        if schema.get("type") == "null":  # so far: a list that is one page
            return [] if type(None) in _options(annotation) else [f"{at}: is always null"]
        options = [one for one in _options(annotation) if one is not type(None)]
        if len(options) != 1:
            return [f"{at}: {annotation} is more than one thing"]
        kind, origin = options[0], get_origin(options[0])
        if may_be_none and type(None) not in _options(annotation):
            return [f"{at}: may be null"]
        if "enum" in schema or "const" in schema:
            return [] if kind is str else [f"{at}: a word is {kind}"]
        if is_typeddict(kind) or (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
            return self._member_differences(at, schema, kind)
        if schema.get("type") == "array":
            item = get_args(kind)[0] if origin in (tuple, Sequence) else None
            return (
                self._differences(f"{at}/*", schema["items"], item) if item else [f"{at}: a list is {kind}"]
            )
        if schema.get("type") == "object":
            return [] if origin in (dict, Mapping) else [f"{at}: an object is {kind}"]
        expected = _PLAIN.get(schema.get("type", ""))
        return [] if expected is None or kind is expected else [f"{at}: {schema.get('type')} is {kind}"]

    def _member_differences(self, at: str, schema: Any, kind: Any) -> list[str]:
        hints, members = get_type_hints(kind), schema.get("properties", {})
        if is_typeddict(kind):
            names = {name: name for name in hints}
            if set(kind.__required_keys__) != set(schema.get("required", ())):
                return [f"{at}: {sorted(kind.__required_keys__)} are required"]
        else:
            names = {field.encode_name: field.name for field in msgspec.structs.fields(kind)}
        if set(names) != set(members):
            return [f"{at}: {kind.__name__} has {sorted(set(names) ^ set(members))} more or less"]
        found = []
        for name, own in names.items():
            found += self._differences(f"{at}/{name}", members[name], hints[own])
        return found

    def _resolved(self, schema: Any) -> Any:
        while "$ref" in schema:
            schema = self._schemas[schema["$ref"].rpartition("/")[2]]
        return schema

    def _unwrapped(self, schema: Any) -> tuple[Any, bool]:
        """A schema without its references, and whether null is one of its choices."""
        schema = self._resolved(schema)
        if "allOf" in schema:
            return self._unwrapped(schema["allOf"][0])
        choices = schema.get("oneOf", ())
        kinds = schema.get("type")
        if choices:
            other = [one for one in choices if one.get("type") != "null"]
            inner, nullable = self._unwrapped(other[0])
            return inner, nullable or len(other) < len(choices)
        if isinstance(kinds, list):
            rest = [one for one in kinds if one != "null"]
            return {**schema, "type": rest[0]}, len(rest) < len(kinds)
        return schema, False


def _options(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (types.UnionType, typing.Union):
        return get_args(annotation)
    return (annotation,)
