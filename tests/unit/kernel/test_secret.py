"""Secrets: no way but `reveal()` gets the value out by accident."""

import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from sca_service.kernel.secret import Secret

CANARY = "693554"


def test_reveal_gives_the_value_back() -> None:
    """The one door, for text and for bytes."""
    assert Secret(CANARY).reveal() == CANARY
    assert Secret(b"\x00key").reveal() == b"\x00key"


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        lambda secret: f"{secret}",
        lambda secret: f"{secret!r:>20}",
        lambda secret: f"{secret:>20}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - how logging formats
        "{}".format,
        lambda secret: repr([secret, {"code": secret}]),
        lambda secret: "".join(traceback.format_exception(ValueError(secret))),
    ],
)
def test_no_text_form_shows_the_value(show: Callable[[Secret[str]], str]) -> None:
    """However it is formatted, a secret says only that it is there."""
    shown = show(Secret(CANARY))
    assert "Secret()" in shown
    assert CANARY not in shown


def test_a_log_line_does_not_show_the_value(caplog: pytest.LogCaptureFixture) -> None:
    """A secret that reaches the log by mistake leaves nothing there."""
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("sca.test").debug("code.derived %s", Secret(CANARY))
    assert "Secret()" in caplog.text
    assert CANARY not in caplog.text


@pytest.mark.parametrize("encode", [json.dumps, msgspec.json.encode, pickle.dumps, copy.deepcopy])
def test_encoders_refuse_a_secret(encode: Callable[[Any], Any]) -> None:
    """JSON, pickle and copies fail rather than carry the value on, and the failure does not show it."""
    with pytest.raises(TypeError) as caught:
        encode({"code": Secret(CANARY)})
    assert CANARY not in str(caught.value)


def test_a_secret_has_no_dictionary_of_attributes() -> None:
    """`vars()`, which debuggers and error reporters read, finds nothing."""
    with pytest.raises(TypeError):
        vars(Secret(CANARY))


def test_comparing_with_equals_is_refused() -> None:
    """`==` would leak by its timing; hmac.compare_digest is the way."""
    with pytest.raises(TypeError, match="compare_digest"):
        bool(Secret(CANARY) == Secret(CANARY))
    with pytest.raises(TypeError, match="compare_digest"):
        bool(Secret(CANARY) != CANARY)


def test_a_secret_is_no_key_of_a_dictionary() -> None:
    """It has no hash, so it cannot end up in a cache or a set."""
    with pytest.raises(TypeError, match="unhashable"):
        {Secret(CANARY)}
