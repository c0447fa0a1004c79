"""Whom a challenge asks: whichever of them answers, the approval rests on what the challenge promised."""

import pytest

from sca_service.authenticators.asked import asked_of
from sca_service.authenticators.model import Asked, Element, Withdrawn
from sca_service.authenticators.model import AuthenticatorType as Type

INHERENCE, KNOWLEDGE = Element.INHERENCE, Element.KNOWLEDGE


def test_of_none_none_is_asked() -> None:
    """A challenge without anybody to answer it is refused by whoever hears this."""
    assert asked_of([]) is None


@pytest.mark.parametrize(
    ("held", "asked"),
    [
        ([("a", None)], Asked(("a",), None)),
        ([("a", None), ("b", None)], Asked(("a", "b"), None)),
        ([("a", INHERENCE), ("b", INHERENCE)], Asked(("a", "b"), INHERENCE)),
        ([("a", INHERENCE), ("b", None)], Asked(("a",), INHERENCE)),
        ([("a", None), ("b", KNOWLEDGE)], Asked(("b",), KNOWLEDGE)),
        ([("a", INHERENCE), ("b", KNOWLEDGE)], Asked(("b",), KNOWLEDGE)),
        ([("a", KNOWLEDGE), ("b", INHERENCE), ("c", KNOWLEDGE), ("d", None)], Asked(("a", "c"), KNOWLEDGE)),
    ],
)
def test_those_are_asked_that_carry_the_same(held: list[tuple[str, Element | None]], asked: Asked) -> None:
    """RTS Art. 4(1): one that is unlocked by nothing never answers for one that is."""
    assert asked_of(held) == asked


@pytest.mark.parametrize(
    ("remaining", "asked", "was_all"),
    [
        ((), (), True),
        (("b",), (), False),
        (("b",), ("a",), True),
        (("b",), ("a", "b"), False),
        (("b", "c"), ("a", "d"), True),
    ],
)
def test_a_challenge_stands_while_one_that_it_asks_is_left(
    remaining: tuple[str, ...], asked: tuple[str, ...], was_all: bool
) -> None:
    """One that was enrolled later is nobody that it asks; of nobody in particular any will do (RTS Art. 27)."""
    assert Withdrawn("a", Type.PASSKEY, frozenset(remaining)).was_all_of(asked) is was_all
