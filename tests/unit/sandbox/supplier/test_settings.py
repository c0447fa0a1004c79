"""How sandbox suppliers are named, and what their sections may hold."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from sca_service.delivery.channels.context import checked_options
from sca_service.kernel.errors import ConfigurationError, NotFound
from sca_service.policy.model import Channel
from sca_service.sandbox.supplier.settings import Settings, sandbox_names, supplier_named, usual_rules

NAMES = frozenset({"sandbox-sms", "sandbox-sms-2", "quick"})


@pytest.mark.parametrize(
    ("name", "whole"),
    [("sms", "sandbox-sms"), ("sandbox-sms", "sandbox-sms"), ("sms-2", "sandbox-sms-2"), ("quick", "quick")],
)
def test_a_supplier_by_its_short_or_whole_name(name: str, whole: str) -> None:
    """`sms` is short for `sandbox-sms`; a policy may call a sandbox supplier whatever it likes."""
    assert supplier_named(name, NAMES) == whole


@pytest.mark.parametrize("name", ["", "sandbox-", "voice", "sandbox-fax", "SMS", "sandbox-sandbox-sms"])
def test_a_supplier_that_does_not_exist(name: str) -> None:
    """A name that the policy does not have is not found."""
    with pytest.raises(NotFound):
        supplier_named(name, NAMES)


def test_every_channel_has_its_usual_supplier() -> None:
    """`sandbox-<channel>` for each channel there is, everywhere."""
    rules = usual_rules()
    assert {rule.channel: rule.name for rule in rules} == {one: f"sandbox-{one}" for one in Channel}
    assert all(rule.serves("IN") for rule in rules)


def test_the_sandboxs_names_are_those_of_its_kind() -> None:
    """A supplier of another kind cannot be scripted, whatever its name."""
    sms, voice, *_ = usual_rules()
    assert sandbox_names([sms, replace(voice, kind="sip"), replace(sms, name="second")]) == {
        "sandbox-sms",
        "second",
    }


@pytest.mark.parametrize(
    "options",
    [{"delay": 1}, {"receipt_delay_ms": -1}, {"receipt_delay_ms": 600_001}, {"receipt_delay_ms": "1"}],
)
def test_a_section_with_a_mistake(options: Mapping[str, object]) -> None:
    """Unknown options and impossible delays are refused with the section's name."""
    rule = replace(usual_rules()[0], options=options)
    with pytest.raises(ConfigurationError, match=r"suppliers\.toml:sandbox-sms"):
        checked_options(rule, Settings)
