"""The bounds: what law and standards let a policy be."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from sca_service.policy.bounds import (
    BOUNDS,
    NEEDED_LIMITS,
    RENDERINGS,
    SHOWN,
    Bound,
    bound_for,
    payee_spoken_mistakes,
    text_mistakes,
)
from sca_service.policy.load import FILES
from sca_service.policy.model import LimitedAction, LimitScope, Occasion
from sca_service.policy.template import parse

POLICIES = Path(__file__).resolve().parents[3] / "policies"
PAYMENTS = [Occasion.PAYMENT, Occasion.PREAUTHORISATION]
NO_PAYMENTS = [occasion for occasion in Occasion if occasion not in {*PAYMENTS, Occasion.BATCH}]
MESSAGES = [rendering for rendering in RENDERINGS if rendering != SHOWN]


@pytest.mark.parametrize(
    ("file", "key", "least", "most"),
    [
        ("code.toml", "digits", 6, 10),
        ("code.toml", "longest_lifetime_seconds", 30, 600),
        ("code.toml", "lifetime_seconds", 30, 600),
        ("lockout.toml", "most_failures", 1, 5),
        ("lockout.toml", "block_seconds[]", 300, 2_592_000),
        ("retention.toml", "years", 5, 30),
    ],
)
def test_the_bounds_of_law_are_what_the_law_says(file: str, key: str, least: int, most: int) -> None:
    """RTS Art. 4(3)(b): five failures; NIST SP 800-63B-4: ten minutes, 20 bits; RFC 4226 R6: 6 digits; PSD2 Art. 21."""
    bound = bound_for(file, key)
    assert (bound.least, bound.most) == (least, most)


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda bound: f"{bound.file}:{bound.key}")
def test_every_bound_says_why(bound: Bound) -> None:
    """Whoever meets a bound learns which article it comes from."""
    assert bound.file in FILES
    assert bound.least <= bound.most
    assert len(bound.article) > 10


def test_no_bound_stands_twice() -> None:
    """Two bounds for one number would make the first of them void in silence."""
    keys = [(bound.file, bound.key) for bound in BOUNDS]
    assert len(keys) == len(set(keys))


def test_a_number_without_a_bound_is_an_error() -> None:
    """A number that is read needs a bound first."""
    with pytest.raises(KeyError):
        bound_for("code.toml", "colour")


def numbers(content: object, path: str = "") -> Iterator[tuple[str, int]]:
    """Every number in a parsed file, with its key as the bounds spell it, names of tables included."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from numbers(value, f"{path}.{key}" if path else key)
    elif isinstance(content, list):
        for value in content:
            yield from numbers(value, f"{path}[]")
    elif isinstance(content, int) and not isinstance(content, bool):
        yield path, content


@pytest.mark.parametrize("file", FILES)
def test_every_number_that_is_shipped_has_a_bound_and_keeps_it(file: str) -> None:
    """No number of a policy goes without a bound."""
    content = tomllib.loads((POLICIES / file).read_text(encoding="utf-8"))
    for key, value in numbers(content):
        if ".options." in key:
            continue  # the adapter's own, which checks them
        pattern = re.sub(r"^[\w-]+(?=\.(?:steps|prices))", "*", key)
        pattern = re.sub(r"^(routing|exchange)\.\w+", r"\1.*", pattern)
        bound = bound_for(file, pattern)
        assert bound.least <= value <= bound.most, key


def test_the_limits_that_are_needed_count_payer_and_phone() -> None:
    """OWASP ASVS 5.0 2.4.1: issue and resend cost money and let somebody guess."""
    assert (LimitedAction.ISSUE, LimitScope.PAYER) in NEEDED_LIMITS
    assert (LimitedAction.ISSUE, LimitScope.PHONE) in NEEDED_LIMITS
    assert (LimitedAction.RESEND, LimitScope.PAYER) in NEEDED_LIMITS


@pytest.mark.parametrize("occasion", PAYMENTS)
@pytest.mark.parametrize("rendering", RENDERINGS)
@pytest.mark.parametrize("missing", ["{amount}", "{payee}"])
def test_a_payment_text_without_amount_or_payee_is_refused(
    occasion: Occasion, rendering: str, missing: str
) -> None:
    """RTS Art. 5(1)(a), whatever the channel."""
    complete = "{amount} to {payee}" if rendering == SHOWN else "{amount} to {payee}: {code} {code} {warning}"
    assert text_mistakes(occasion, rendering, parse(complete)) == []
    found = text_mistakes(occasion, rendering, parse(complete.replace(missing, "")))
    assert len(found) == 1
    assert found[0].startswith(f"needs {missing} (RTS Art. 5(1)(a)")


@pytest.mark.parametrize("rendering", RENDERINGS)
@pytest.mark.parametrize("missing", ["{amount}", "{payees}", "{count}"])
def test_a_batch_text_without_total_payees_or_their_count_is_refused(rendering: str, missing: str) -> None:
    """RTS Art. 5(3)(b): the list may be shortened, so the count has to be there too."""
    complete = "{amount} to {count}: {payees}" + ("" if rendering == SHOWN else ": {code} {code} {warning}")
    assert text_mistakes(Occasion.BATCH, rendering, parse(complete)) == []
    found = text_mistakes(Occasion.BATCH, rendering, parse(complete.replace(missing, "")))
    assert len(found) == 1
    assert found[0].startswith(f"needs {missing} (RTS Art. 5(1)(a) and 5(3)(b)")


@pytest.mark.parametrize("occasion", NO_PAYMENTS)
@pytest.mark.parametrize("rendering", RENDERINGS)
@pytest.mark.parametrize("placeholder", ["{amount}", "{payee}", "{payees}", "{count}"])
def test_any_other_text_must_not_look_like_a_payment(
    occasion: Occasion, rendering: str, placeholder: str
) -> None:
    """A login that speaks of an amount would be taken for a payment, and the other way round."""
    complete = "Login" if rendering == SHOWN else "Login: {code} {code} {warning}"
    assert text_mistakes(occasion, rendering, parse(complete)) == []
    found = text_mistakes(occasion, rendering, parse(placeholder + complete))
    assert len(found) == 1
    assert found[0].startswith(f"must not hold {placeholder}")


@pytest.mark.parametrize("rendering", MESSAGES)
@pytest.mark.parametrize("placeholder", ["{amount}", "{payee}"])
def test_amount_and_payee_stand_before_the_code(rendering: str, placeholder: str) -> None:
    """Who reads only as far as the code has seen what it is for."""
    other = "{payee}" if placeholder == "{amount}" else "{amount}"
    late = parse(f"{other} {{code}} {placeholder} {{code}} {{warning}}")
    found = text_mistakes(Occasion.PAYMENT, rendering, late)
    assert [mistake for mistake in found if "before {code}" in mistake and mistake.startswith(placeholder)]
    assert len(found) == 1


@pytest.mark.parametrize("rendering", MESSAGES)
@pytest.mark.parametrize("missing", ["{code}", "{warning}"])
def test_every_message_holds_the_code_and_the_warning(rendering: str, missing: str) -> None:
    """RTS Art. 22(1): the payer is told to keep the code confidential."""
    text = parse("Login: {code} {code} {warning}".replace(missing, ""))
    found = text_mistakes(Occasion.LOGIN, rendering, text)
    assert len(found) == 1
    assert found[0].startswith(f"needs {missing}")


@pytest.mark.parametrize("placeholder", ["{code}", "{lifetime}", "{warning}"])
def test_the_summary_never_holds_the_code(placeholder: str) -> None:
    """It stands in responses and in the evidence."""
    found = text_mistakes(Occasion.LOGIN, SHOWN, parse(f"Login {placeholder}"))
    assert len(found) == 1
    assert found[0].startswith(f"must not hold {placeholder}")


def test_a_call_says_the_code_twice() -> None:
    """A listener cannot scroll back."""
    found = text_mistakes(Occasion.LOGIN, "voice", parse("Login: {code}. {warning}"))
    assert found == ["has to say {code} twice (a listener cannot look again)"]


def test_only_the_spoken_payee_is_taken_apart() -> None:
    """Name and account end belong together in every other text."""
    found = text_mistakes(Occasion.PAYMENT, SHOWN, parse("{amount} to {payee} {name} {tail}"))
    assert [mistake[: mistake.index(" (")] for mistake in found] == [
        "must not hold {name}",
        "must not hold {tail}",
    ]


@pytest.mark.parametrize(
    ("text", "count"),
    [("{name}, account {tail}", 0), ("{name}", 1), ("{tail}", 1), ("", 2), ("{name} {tail} {code}", 1)],
)
def test_a_spoken_payee_has_name_and_account(text: str, count: int) -> None:
    """RTS Art. 5(1)(a) holds for the ear too."""
    assert len(payee_spoken_mistakes(parse(text))) == count
