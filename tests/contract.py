"""What a newer OpenAPI document takes away from an older one: whoever was written against the old one has to work on.

What is sent may be given more room: new members that nobody has to send, wider bounds. What is answered may say more:
new members, new values of closed sets, new faults. Neither may lose anything. What several calls share is told once.
`python -m tests.contract <url>` puts the document of a running service down as the one that is compared with, unless
that would take something away.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

BASELINE = Path(__file__).parents[1] / "docs" / "openapi.json"
"""What was promised."""
Schema = Mapping[str, Any]
_LEAST = ("minLength", "minItems", "minimum", "exclusiveMinimum", "minProperties")
_MOST = ("maxLength", "maxItems", "maximum", "exclusiveMaximum", "maxProperties")


class Comparison:
    """An older and a newer document. A class because every step looks references up in both."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old, self._new = old, new
        self._seen: set[tuple[str, str, bool]] = set()

    def losses(self) -> Iterator[str]:
        """What the newer document takes away, one line each."""
        for path, item in self._old["paths"].items():
            for method, operation in item.items():
                name = f"{method.upper()} {path}"
                newer = self._new["paths"].get(path, {}).get(method)
                if newer is None:
                    yield f"{name}: is gone"
                else:
                    yield from (f"{name}: {loss}" for loss in self._operation(operation, newer))

    def _operation(self, old: Schema, new: Schema) -> Iterator[str]:
        if old["operationId"] != new["operationId"]:
            yield "has another operationId"
        for requirement in new.get("security", ()):
            if requirement not in old.get("security", ()):
                yield f"asks for {json.dumps(requirement)}"
        yield from self._parameters(old, new)
        yield from self._body(old.get("requestBody"), new.get("requestBody"))
        for status, answer in old["responses"].items():
            if status in new["responses"]:
                yield from self._answer(status, answer, new["responses"][status])
            elif status.startswith("2"):
                yield f"never answers {status}"

    def _body(self, old: Schema | None, new: Schema | None) -> Iterator[str]:
        if new is None:
            yield from () if old is None else ("takes no body",)
            return
        if new.get("required") and not (old or {}).get("required"):
            yield "needs a body"
        for kind, content in (old or {}).get("content", {}).items():
            newer = new["content"].get(kind)
            if newer is None:
                yield f"takes no {kind}"
            else:
                yield from self._schema(content.get("schema", {}), newer.get("schema", {}), "body", True)

    def _answer(self, status: str, old: Schema, new: Schema) -> Iterator[str]:
        for kind, content in old.get("content", {}).items():
            newer = new.get("content", {}).get(kind)
            if newer is None:
                yield f"answers {status} without {kind}"
            else:
                yield from self._schema(content.get("schema", {}), newer.get("schema", {}), status, False)

    def _parameters(self, old: Schema, new: Schema) -> Iterator[str]:
        before, after = (
            {(one["in"], one["name"]): one for one in each.get("parameters", ())} for each in (old, new)
        )
        for (place, name), one in before.items():
            newer = after.get((place, name))
            if newer is None:
                yield f"takes no {place} {name}"
            else:
                yield from self._schema(one.get("schema", {}), newer.get("schema", {}), name, True)
        for (place, name), one in after.items():
            if one.get("required") and not before.get((place, name), {}).get("required"):
                yield f"needs {place} {name}"

    def _schema(self, old: Schema, new: Schema, at: str, is_sent: bool) -> Iterator[str]:
        """What is lost between two schemas: `is_sent` by callers, or else answered to them."""
        before, after = _choices(old, self._old), _choices(new, self._new)
        for name in before.keys() - after.keys():
            yield f"{at}: is never {name}"
        if not is_sent and len(after.keys() - before.keys()) and not all(map(_is_object, after.values())):
            yield f"{at}: may be {', '.join(sorted(after.keys() - before.keys()))}"
        for name in before.keys() & after.keys():
            one = (json.dumps(before[name], sort_keys=True), json.dumps(after[name], sort_keys=True), is_sent)
            if one not in self._seen:  # a schema may hold itself
                self._seen.add(one)
                yield from self._shape(before[name], after[name], at, is_sent)

    def _shape(self, old: Schema, new: Schema, at: str, is_sent: bool) -> Iterator[str]:
        gone = [value for value in _values(old) if _values(new) and value not in _values(new)]
        if gone or (is_sent and _values(new) and not _values(old)):
            yield f"{at}: is never {json.dumps(gone)}"
        if not is_sent and _values(old) and not _values(new):
            yield f"{at}: may be anything"
        if is_sent:
            yield from (f"{at}: has another {rule}" for rule in _narrowed(old, new))
        if "items" in old:
            yield from self._schema(old["items"], new.get("items", {}), f"{at}[]", is_sent)
        members, newer = old.get("properties", {}), new.get("properties", {})
        for name, schema in members.items():
            if name in newer:
                yield from self._schema(schema, newer[name], f"{at}.{name}", is_sent)
            else:
                yield f"{at}.{name}: is gone"
        was, now = set(old.get("required", ())), set(new.get("required", ()))
        for name in now - was if is_sent else (was - now) & newer.keys():
            yield f"{at}.{name}: {'is needed' if is_sent else 'may be missing'}"


def _choices(schema: Schema, document: Schema) -> dict[str, Schema]:
    """What a value may be, by a name: of its schema, or of its type."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        referred = document["components"]["schemas"][name]
        kinds = _choices(referred, document)
        return {name: referred} if _is_object(referred) else kinds
    found: dict[str, Schema] = {}
    for choices in ("oneOf", "anyOf", "allOf"):
        for one in schema.get(choices, ()):
            for name, choice in _choices(one, document).items():
                found[name if name not in found else f"{name} {len(found)}"] = choice
    kinds = schema.get("type", ())
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        found[kind] = schema
    return found or {"anything": schema}


def _is_object(schema: Schema) -> bool:
    return "properties" in schema


def _values(schema: Schema) -> list[Any]:
    """Its closed set of values; empty when it is open."""
    return [schema["const"]] if "const" in schema else list(schema.get("enum", ()))


def _narrowed(old: Schema, new: Schema) -> Iterator[str]:
    for rules, sign in ((_LEAST, 1), (_MOST, -1)):
        for rule in rules:
            if rule in new and (rule not in old or sign * new[rule] > sign * old[rule]):
                yield rule
    for rule in ("pattern", "format"):
        if rule in new and new[rule] != old.get(rule):
            yield rule
    if new.get("additionalProperties") is False and old.get("additionalProperties", True) is not False:
        yield "additionalProperties"


def losses(old: Schema, new: Schema) -> list[str]:
    """What the newer document takes away, one line each, sorted."""
    return sorted(Comparison(old, new).losses())


def main(url: str) -> None:
    """Put down what is promised from now on."""
    new = httpx.get(f"{url}/openapi.json", trust_env=False).json()
    if BASELINE.exists() and (taken := losses(json.loads(BASELINE.read_text("utf-8")), new)):
        sys.exit("\n".join(["Not written: the contract would lose", *taken]))
    BASELINE.write_text(json.dumps(new, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
