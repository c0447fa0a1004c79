"""The OpenAPI 3.1 document: what the framework reads off the routes, and what it cannot see of them."""

from collections.abc import Iterator
from typing import Any

from litestar import Litestar
from litestar.openapi.spec import Components, SecurityScheme

from sca_service.api.clients import Scope

_KEY = "api_key"

KEYED = Components(
    security_schemes={
        _KEY: SecurityScheme(
            type="http", scheme="bearer", description="The API key of a client of the service."
        )
    }
)
"""How a caller says who it is."""


_BOUNDS: dict[str, dict[str, dict[str, Any]]] = {
    "CreateChallenge": {"reference": {"minLength": 1}},
    "TransactionForm": {"reference": {"minLength": 1}},
    "PayeeForm": {"name": {"minLength": 1}},
    "AmountForm": {"currency": {"minLength": 3}, "amount": {"minLength": 1}},
    "AccountForm": {"iban": {"minLength": 5}, "bban": {"minLength": 1}},
    "PsuForm": {"phone": {"minLength": 3}, "locale": {"minLength": 2}},
    "InstrumentForm": {"name": {"minLength": 1}, "icon": {"pattern": "^(https://|http://localhost:)"}},
    "SignalsForm": {
        "ip": {"minLength": 2},
        "device_id": {"minLength": 1},
        "user_agent": {"minLength": 1},
        "session_id": {"minLength": 1},
        "card_ref": {"minLength": 1},
    },
    "AnswerForm": {"code": {"minLength": 4}},
}
"""What parsers refuse of texts that the forms let through, by schema and member: they tell all mistakes at once.

Only what is sent: a schema that is answered as well is left alone.
"""


def asks_for(*scopes: Scope) -> list[dict[str, list[str]]]:
    """The security of a route whose guard wants one of these scopes."""
    return [{_KEY: [scope.value]} for scope in scopes]


def openapi_document(app: Litestar) -> dict[str, Any]:
    """The document of an application's routes.

    The framework documents a 400 of its own, which is a 422 problem here; it does not see that forms refuse unknown
    members, nor that a form of which nothing is required may be left out.
    """
    document: dict[str, Any] = app.openapi_schema.to_schema()
    schemas: dict[str, Any] = document["components"]["schemas"]
    for item in document["paths"].values():
        for operation in item.values():
            operation["responses"].pop("400", None)
            operation["responses"].get("204", {}).pop("content", None)
            if "requestBody" in operation:
                _make_strict(operation["requestBody"], schemas)
    for name, members in _BOUNDS.items():
        for member, bounds in members.items():
            _bound(schemas[name]["properties"][member], bounds)
    return document


def _bound(schema: dict[str, Any], bounds: dict[str, Any]) -> None:
    """Narrow the text that a member may be; null stays what it is."""
    for choice in schema.get("oneOf") or schema.get("anyOf") or [schema]:
        if choice.get("type") == "string":
            choice.update(bounds)


def _make_strict(body: dict[str, Any], schemas: dict[str, Any]) -> None:
    names = set(_referred(body))
    body["required"] = any(schemas[name].get("required") for name in names)
    while names:
        schema = schemas[names.pop()]
        if "properties" in schema and "additionalProperties" not in schema:
            schema["additionalProperties"] = False
            names.update(_referred(schema))


def _referred(part: Any) -> Iterator[str]:
    """The names of the schemas that a part of the document refers to."""
    if isinstance(part, list):
        for inner in part:
            yield from _referred(inner)
    elif isinstance(part, dict):
        for name, inner in part.items():
            if name == "$ref":
                yield inner.rpartition("/")[2]
            else:
                yield from _referred(inner)
