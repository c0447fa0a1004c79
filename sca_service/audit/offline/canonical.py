"""Canonical JSON (RFC 8785), read strictly: there is one text for what is said, and this is that text or it is refused.

Written for the auditor alone, from the RFC; the service writes its leaves by other means.
"""

import json
import math
from typing import Any

from sca_service.audit.offline.findings import Refused

_MOST_DEPTH = 64
_PLAIN_DIGITS = 15
"""Whole numbers of so many digits are written as they are."""


class _NeedsCare(Exception):
    """A number has a fraction or is long: the text is read the slow way."""


def read_canonical(content: bytes) -> Any:
    """What canonical JSON says. Raises Refused when it is no JSON, or JSON that is not canonical."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise Refused("is not UTF-8") from None
    try:
        if text.isascii() and (value := _read_plain(text)) is not None:
            return value
        value = json.loads(text, parse_constant=_refuse_constant)
        canonical = write_canonical(value)
    except (ValueError, RecursionError, OverflowError):
        raise Refused("is not JSON") from None
    if canonical != text:
        raise Refused("is JSON, but not canonical (RFC 8785)")
    return value


def write_canonical(value: Any, depth: int = 0) -> str:
    """The canonical text of a JSON value. Raises Refused when there is none."""
    if depth > _MOST_DEPTH:
        raise Refused("is nested too deeply")
    match value:
        case None | True | False:
            return json.dumps(value)
        case str():
            return _quote(value)
        case int() | float():
            return write_number(float(value))
        case list():
            return f"[{','.join(write_canonical(one, depth + 1) for one in value)}]"
        case dict():
            names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
            members = [f"{_quote(name)}:{write_canonical(value[name], depth + 1)}" for name in names]
            return f"{{{','.join(members)}}}"
    raise Refused("holds what JSON does not have")


def write_number(value: float) -> str:
    """A number as ECMAScript writes it (ECMA-262, Number::toString), which RFC 8785 asks for."""
    if not math.isfinite(value):
        raise Refused("has a number that is too large")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    point = len(whole) + int(exponent or 0)
    digits = (whole + fraction).lstrip("0")
    point -= len(whole + fraction) - len(digits)
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits.ljust(point, "0")
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    power = f"e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return sign + digits[0] + (f".{digits[1:]}" if digits[1:] else "") + power


def _refuse_constant(_: str) -> None:
    raise Refused("has a number that JSON does not have")


def _read_plain(text: str) -> Any:
    """What the text says when it is plainly canonical, without a number that needs care; None when it may not be."""
    try:
        value = _decode_plain(text)
    except _NeedsCare:
        return None
    return value if _encode_plain(value) == text else None


def _refuse_fraction(_: str) -> None:
    raise _NeedsCare


def _read_whole(text: str) -> int:
    if len(text) > _PLAIN_DIGITS:
        raise _NeedsCare
    return int(text)


_decode_plain = json.JSONDecoder(
    parse_float=_refuse_fraction, parse_int=_read_whole, parse_constant=_refuse_constant
).decode
_encode_plain = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode
_quote = json.JSONEncoder(ensure_ascii=False).encode
