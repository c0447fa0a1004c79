"""A body that is a long list becomes one of our shapes in turns, so that nobody else waits while it is read.

It is read by the same strict parser, item after item. Whatever is not plainly one object with one list is left to
`parse_json`, which also says what is wrong with it.
"""

import re
from typing import Any, Final, TypeVar

import msgspec

from sca_service.api.json_body import decode_strictly, mistake_of, parse_json
from sca_service.kernel.errors import MalformedRequest
from sca_service.kernel.turns import Turns

T = TypeVar("T")

_MOST_ITEMS: Final = 1_000
"""Of a longer list no shape of ours is made: it is refused at once."""
_AT_A_STRETCH: Final = 50
"""Items that are read before somebody else gets a turn: half a millisecond."""
_BEGIN = re.compile(r'[ \t\r\n]*\{[ \t\r\n]*"([a-z_]+)"[ \t\r\n]*:[ \t\r\n]*\[[ \t\r\n]*')
_NEXT = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")
_END = re.compile(r"[ \t\r\n]*\][ \t\r\n]*\}[ \t\r\n]*\Z")


async def parse_long_json(body: bytes, shape: type[T], turns: Turns) -> T:
    """As `parse_json`, in turns. Raises what that raises."""
    try:
        members = await _list_of(body.decode(), turns)
    except (ValueError, RecursionError, MalformedRequest):
        members = None
    if members is None:
        return parse_json(body, shape)
    try:
        return msgspec.convert(members, shape)
    except msgspec.ValidationError as error:
        raise mistake_of(error) from None


async def _list_of(text: str, turns: Turns) -> dict[str, list[Any]] | None:
    """The only member, a list, by its name; None for anything else. Raises ValueError, MalformedRequest."""
    begin = _BEGIN.match(text)
    if begin is None:
        return None
    items: list[Any] = []
    at = begin.end()
    while len(items) < _MOST_ITEMS:
        if len(items) % _AT_A_STRETCH == 0:
            await turns.turn()
        item, at = decode_strictly(text, at)
        items.append(item)
        following = _NEXT.match(text, at)
        if following is None:
            return {begin[1]: items} if _END.match(text, at) else None
        at = following.end()
    return None
