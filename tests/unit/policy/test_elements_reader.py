"""elements.toml: what makes strong customer authentication is said whole, and an enrolment always needs it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sca_service.policy.load import PolicyError, load
from sca_service.policy.model import Purpose, Reach, Regime

Edit = Callable[[str, str, str], list[str]]
FILE = "elements.toml"


def test_the_shipped_policy_asks_for_it_where_the_service_itself_acts(shipped: Path) -> None:
    """RTS Art. 24(2)(b) for enrolments; for all else the bank may have its own way to the second element."""
    policy = load(shipped).elements
    assert policy.regime is Regime.PSD2
    assert policy.required == {
        purpose: Reach.SCA if purpose is Purpose.ENROLMENT else Reach.ANY for purpose in Purpose
    }


@pytest.mark.parametrize("purpose", [one for one in Purpose if one is not Purpose.ENROLMENT])
def test_a_bank_may_ask_for_it_everywhere(folder: Path, edit: Edit, purpose: Purpose) -> None:
    """For each purpose by itself; another policy has another digest."""
    before = load(folder).digest
    assert edit(FILE, f'\n{purpose} = "any"', f'\n{purpose} = "sca"') == []
    changed = load(folder)
    assert changed.elements.required[purpose] is Reach.SCA
    assert changed.digest != before


def test_the_other_regime_is_read(folder: Path, edit: Edit) -> None:
    """`psr`: two elements of one category are enough."""
    assert edit(FILE, 'regime = "psd2"', 'regime = "psr"') == []
    assert load(folder).elements.regime is Regime.PSR


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        (
            'enrolment = "sca"',
            'enrolment = "any"',
            "elements.toml:required.enrolment: must be sca: an enrolment rests on it (RTS Art. 24(2)(b))",
        ),
        ('regime = "psd2"', 'regime = "psd3"', "elements.toml:regime: "),
        ('regime = "psd2"', "regime = 2", "elements.toml:regime: "),
        ('regime = "psd2"', "", "elements.toml:regime: "),
        ('login = "any"', 'login = "none"', "elements.toml:required.login: "),
        ('login = "any"', "login = true", "elements.toml:required.login: "),
        ('login = "any"', "", "elements.toml:required.login: "),
        ('enrolment = "sca"', "", "elements.toml:required.enrolment: "),
        ("[required]", '[required]\nrefund = "any"', "elements.toml:required.refund: "),
        ('regime = "psd2"', 'regime = "psd2"\nelements = 2', "elements.toml:elements: "),
    ],
)
def test_every_mistake_is_told(edit: Edit, old: str, new: str, mistake: str) -> None:
    """One mistake, at its key; a role with it does not start."""
    (found,) = edit(FILE, old, new)
    assert found.startswith(mistake)


def test_a_policy_without_the_file_is_none(folder: Path) -> None:
    """There is nothing to fall back on."""
    (folder / FILE).unlink()
    with pytest.raises(PolicyError, match=r"elements\.toml: missing"):
        load(folder)
