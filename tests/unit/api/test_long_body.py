"""Long bodies: read in turns, to the same shape as at once, and refused with the same words."""

import asyncio
import json
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from sca_service.api.json_body import parse_json
from sca_service.api.long_body import parse_long_json
from sca_service.kernel.errors import InvalidInput, MalformedRequest
from sca_service.kernel.turns import Turns

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


class Items(msgspec.Struct, forbid_unknown_fields=True):
    """A list of anything."""

    items: Annotated[list[Any], Meta(min_length=1, max_length=1_000)]


def at_once(body: bytes) -> object:
    """What becomes of a body without turns."""
    try:
        return repr(parse_json(body, Items))  # as text: a number that is none is no other's equal
    except (MalformedRequest, InvalidInput) as refused:
        return refused.__class__, str(refused), getattr(refused, "mistakes", ())


def in_turns(body: bytes) -> object:
    """What becomes of it in turns."""
    try:
        return repr(asyncio.run(parse_long_json(body, Items, Turns())))
    except (MalformedRequest, InvalidInput) as refused:
        return refused.__class__, str(refused), getattr(refused, "mistakes", ())


@given(st.lists(ANYTHING, max_size=6), st.sampled_from([None, 1, "\t"]), st.booleans())
def test_a_list_of_anything_is_read_as_at_once(items: list[Any], indent: Any, ascii_only: bool) -> None:
    """Whatever is in it, however it is laid out."""
    body = json.dumps({"items": items}, indent=indent, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    assert in_turns(body) == at_once(body)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"items":[]}',
        '{"items":[1,]}',
        '{"items":[1 2]}',
        '{"items":[1]',
        '{"items":[1]}}',
        '{"items":[1],"items":[2]}',
        '{"\\u0069tems":[1]}',
        '{"items":[1],"other":2}',
        '{"other":[1]}',
        '{"items":{"a":1}}',
        '{"items":[{"a":1,"a":2}]}',
        '{"items":[{"a":{"b":1,"b":2}}]}',
        '{"items":["\\ud800"]}',
        '{"items":[NaN]}',
        '{"items":[1e999, 123456789012345678901234567890]}',
        '{"items":[' + "[" * 18 + "]" * 18 + "]}",
        '{"items":[' + "[" * 19 + "]" * 19 + "]}",
        '{"items":[' + "[" * 100_000 + "]" * 100_000 + "]}",
        '{"items":[' + ",".join(["0"] * 1_000) + "]}",
        '{"items":[' + ",".join(["0"] * 1_001) + "]}",
    ],
)
def test_what_is_refused_at_once_is_refused_in_turns(text: str) -> None:
    """With the same words; and what is read at once is read in turns."""
    assert in_turns(text.encode()) == at_once(text.encode())


def test_bytes_that_are_no_text_are_refused_alike() -> None:
    """They are not UTF-8."""
    assert in_turns(b'{"items":["\xff"]}') == at_once(b'{"items":["\xff"]}')


async def test_others_have_their_turn_while_a_long_body_is_read() -> None:
    """The event loop goes round at least once for each fifty items."""
    rounds = 0

    async def count() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    read = await parse_long_json(json.dumps({"items": [0] * 1_000}).encode(), Items, Turns())
    counting.cancel()
    assert read.items == [0] * 1_000 and rounds >= 20
