"""Whatever a text is, a described supplier's template carries it, and nothing else, in every encoding."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from sca_service.delivery.channels.sms.http_sms import wire
from sca_service.delivery.channels.sms.http_sms.settings import Settings
from sca_service.delivery.http_client import HttpAnswer
from sca_service.delivery.supplier import SupplierFailure
from tests.adapters import NOW_MS, NUMBER, text_message

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab0"), inner, max_size=3),
    max_leaves=8,
)


def encoded(encoding: str, text: str) -> tuple[str, bytes]:
    """The URL and the body of a message in an encoding."""
    section: dict[str, Any] = {
        "url": "https://api.supplier.example/sms",
        "method": "GET" if encoding == "query" else "POST",
        "encoding": encoding,
        "body": {"to": "{to}", "text": "Bank: {text}", "whole": "{text}"},
        "answer": {},
    }
    settings = msgspec.convert(section, Settings)
    values = wire.values_of(settings, text_message(text=text), call_back_url="", now_ms=NOW_MS)
    return wire.encoded(settings, values)


def expected(text: str) -> dict[str, str]:
    """What the supplier has to read: an empty whole value is left out."""
    return {"to": NUMBER, "text": f"Bank: {text}"} | ({"whole": text} if text else {})


@given(TEXTS)
def test_json(text: str) -> None:
    """Read as JSON, the members are the template's."""
    assert msgspec.json.decode(encoded("json", text)[1]) == expected(text)


@given(TEXTS)
def test_form(text: str) -> None:
    """Read as a form, the fields are the template's, each once."""
    pairs = parse_qsl(encoded("form", text)[1].decode(), strict_parsing=True)
    assert pairs == list(expected(text).items())


@given(TEXTS)
def test_query(text: str) -> None:
    """Read as a URL, host, path and parameters are the template's."""
    parts = urlsplit(encoded("query", text)[0])
    assert (parts.netloc, parts.path, parts.fragment) == ("api.supplier.example", "/sms", "")
    assert parse_qsl(parts.query, strict_parsing=True) == list(expected(text).items())


@given(JSON | st.binary(max_size=20), st.integers(100, 599), st.lists(st.sampled_from("ab0"), max_size=3))
def test_any_answer(body: Any, status: int, path: list[str]) -> None:
    """Any answer is a yes or a SupplierFailure, and nothing else."""
    settings = {"id": "".join(f"/{name}" for name in path), "status": "/a", "accepted": ["true"]}
    rules = msgspec.convert(
        {"url": "https://x", "body": {"text": "{text}"}, "answer": settings}, Settings
    ).answer
    sent = body if isinstance(body, bytes) else msgspec.json.encode(body)
    try:
        found = wire.accepted(rules, HttpAnswer(status, {}, sent), text_message(), "EUR")
    except SupplierFailure:
        return
    assert found.reference
    assert status in rules.success
