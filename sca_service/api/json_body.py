"""Bytes of a request become one of our shapes, or are refused with a JSON pointer.

Stricter than a JSON parser: no duplicate member names (two parsers would disagree on which counts), no nesting beyond
what any shape has, no bytes that are not UTF-8.
"""

import json
import re
from collections.abc import Hashable
from functools import cache
from typing import Any, TypeVar, cast

import msgspec

from sca_service.kernel.errors import InvalidInput, MalformedRequest

T = TypeVar("T")

MOST_BYTES = 64 * 1024
_MOST_NESTED = 20
_PLACE = re.compile(r" - at `(?:key` in `)?\$(?P<path>.*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`", re.DOTALL)


def parse_json(body: bytes, shape: type[T]) -> T:
    """Read `body` as `shape`; no body at all reads as an empty object.

    Raises MalformedRequest when it is no JSON object, InvalidInput when it does not fit.
    """
    body = body or b"{}"
    if not _is_plain(body):
        _look_closely(body)
    try:
        return cast("T", _decoder(cast("Hashable", shape)).decode(body))
    except msgspec.ValidationError as error:
        raise mistake_of(error) from None
    except msgspec.DecodeError:
        raise MalformedRequest("the body is not JSON in UTF-8") from None


def _is_plain(body: bytes) -> bool:
    """Whether it is an object that is written back as it came, but for white space, and nested a little only.

    Then no name stands in it twice: the second would have gone. Most bodies are so, and are not looked at any closer.
    """
    if body[:1] != b"{" or body.count(b"[") + body.count(b"{") > _MOST_NESTED:
        return False
    try:
        return _encode(_decode(body)) == msgspec.json.format(body, indent=-1)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return False


def _look_closely(body: bytes) -> None:
    """Raises MalformedRequest for what is no JSON object, has a name twice, or is nested too deep."""
    try:
        text = body.decode()
        parsed = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise MalformedRequest(_reason(error)) from None
    if not isinstance(parsed, dict):
        raise MalformedRequest("the body must be a JSON object")
    if text.count("[") + text.count("{") > _MOST_NESTED and _depth(parsed) > _MOST_NESTED:
        raise MalformedRequest(f"the body is nested deeper than {_MOST_NESTED} levels")


def decode_strictly(text: str, at: int) -> tuple[Any, int]:
    """The value that begins there, two levels down in a body, and where it ends.

    Raises ValueError and RecursionError for what is no JSON, MalformedRequest for what is nested too deep.
    """
    parsed, end = _DECODER.raw_decode(text, at)
    value = text[at:end]
    if value.count("[") + value.count("{") > _MOST_NESTED - 2 and _depth(parsed) > _MOST_NESTED - 2:
        raise MalformedRequest(f"the body is nested deeper than {_MOST_NESTED} levels")
    return msgspec.json.decode(value), end  # as strict with what is in a string as `parse_json`


def mistake_of(error: msgspec.ValidationError) -> InvalidInput:
    """The mistake that msgspec found: its place as a JSON pointer, and what was expected; never what was sent."""
    message = str(error)
    place = _PLACE.search(message)
    pointer = _pointer(place["path"]) if place else ""
    said = message[: place.start()] if place else message
    if unknown := _UNKNOWN.fullmatch(said):
        return InvalidInput.at(f"{pointer}/{escaped(unknown['name'])}", "is not a member of this object")
    if missing := _MISSING.fullmatch(said):
        return InvalidInput.at(f"{pointer}/{missing['name']}", "is required")
    if said.startswith("Invalid enum value"):
        return InvalidInput.at(pointer, "is not one of the values that this member has")
    return InvalidInput.at(pointer, said.replace("`", "").lower())


class _Duplicate(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Duplicate
    return members


def _no_constant(_: str) -> None:
    raise ValueError


_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


@cache
def _decoder(shape: Hashable) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cast("type", shape))


def _reason(error: Exception) -> str:
    if isinstance(error, _Duplicate):
        return "an object has a member name twice"
    if isinstance(error, RecursionError):
        return f"the body is nested deeper than {_MOST_NESTED} levels"
    return "the body is not JSON in UTF-8"


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
    return deepest


def _pointer(path: str) -> str:
    parts = re.findall(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]", path)
    return "".join(f"/{name or index}" for name, index in parts if (name or index) != "...")


def escaped(name: str) -> str:
    """A member's name as a part of a JSON pointer (RFC 6901), cut to 64 characters."""
    return name[:64].replace("~", "~0").replace("/", "~1")
