"""risk.toml: every mistake is told, with the line of a condition, and no factor of the law can be left out."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sca_service.policy.load import load, mistakes
from sca_service.policy.model import Channel
from sca_service.policy.risk import FACTOR_ARTICLES, FACTS, TRA_CONDITIONS, Factor, LineQuestion

Edit = Callable[[str, str, str], list[str]]


def line_of(folder: Path, text: str) -> int:
    """The number of the line in which a text stands."""
    return (folder / "risk.toml").read_text("utf-8").split(text)[0].count("\n") + 1


def test_the_shipped_policy_looks_at_every_factor(shipped: Path) -> None:
    """RTS Art. 2(2)(a) to (e) and the six conditions of 18(2)(c); thirty signals and more."""
    risk = load(shipped).risk
    assert len(risk.signals) >= 30
    assert {signal.factor for signal in risk.signals} == set(Factor)
    assert set(FACTOR_ARTICLES) == set(Factor) - {Factor.LINE, Factor.TRUST}
    assert len(TRA_CONDITIONS) == 6
    assert risk.line.asks == tuple(LineQuestion)
    assert not risk.line.base_url
    assert risk.digest.startswith("sha256:")


def test_a_swapped_sim_leaves_out_whatever_goes_to_the_number(shipped: Path) -> None:
    """Every channel that needs the phone number is left out."""
    rule = next(rule for rule in load(shipped).risk.step_up if rule.name == "after-sim-swap")
    assert set(rule.leave_out_channels) == {channel for channel in Channel if channel.needs_phone}


@pytest.mark.parametrize("factor", FACTOR_ARTICLES)
def test_a_policy_without_a_factor_is_refused(folder: Path, factor: Factor) -> None:
    """RTS Art. 2(2): each of the factors, at a minimum; the article is named."""
    path = folder / "risk.toml"
    head, *signals = path.read_text("utf-8").split("[[signal]]")
    kept = [signal for signal in signals if f'factor = "{factor}"' not in signal]
    assert len(kept) < len(signals)
    path.write_text("[[signal]]".join([head, *kept]), "utf-8")
    (found,) = mistakes(folder)
    assert found.startswith(f'risk.toml:signal: needs one with factor = "{factor}" that looks at one of ')
    assert found.endswith(f"({FACTOR_ARTICLES[factor]})")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('condition = "malware"\nweight = 100', 'condition = "malware"\nweight = 0'),
        ('condition = "malware"', 'condition = "payees > 0"'),
    ],
)
def test_a_factor_that_counts_for_nothing_is_not_looked_at(edit: Edit, old: str, new: str) -> None:
    """A weight of nothing, or a condition on something else, does not look at a factor."""
    (found,) = edit("risk.toml", old, new)
    assert found.startswith('risk.toml:signal: needs one with factor = "malware"')


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("amount_minor > 'x'", "found no matching overload for '_>_' applied to '(int, string)'"),
        ("amonut_minor > 1", "undeclared reference to 'amonut_minor' (in container '')"),
        ("amount_minor", "is int; allowed: a condition that is true or false"),
        ("scenarios.exists(s, amount_minor > 1)", "undeclared reference to"),
    ],
)
def test_a_mistake_in_a_condition_is_told_with_its_line(
    edit: Edit, folder: Path, condition: str, told: str
) -> None:
    """File, signal, line, and what the checker says."""
    at = line_of(folder, 'condition = "amount_minor > 1000000"')
    (found,) = edit("risk.toml", '"amount_minor > 1000000"', f'"{condition}"')
    assert found.startswith(f"risk.toml:signal[amount-very-high].condition: line {at}: ")
    assert told in found


def test_the_line_within_a_condition_of_several_lines_is_told(edit: Edit, folder: Path) -> None:
    """The mistake's own line, not the condition's first."""
    at = line_of(folder, 'condition = "amount_minor > 1000000"')
    (found,) = edit("risk.toml", '"amount_minor > 1000000"', '"""\namount_minor > 1000000 &&\n  payes > 1"""')
    assert found.startswith(f"risk.toml:signal[amount-very-high].condition: line {at + 2}: undeclared")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("step_up = 50", "step_up = 15", "thresholds: do not ascend; allowed: challenge less than step_up"),
        ("challenge = 15", "challenge = 0", "thresholds.challenge: 0 is too little; allowed: 1 to 10000"),
        ('"malware"\nweight = 100', '"malware"\nweight = 101', "signal[malware].weight: 101 is too much"),
        ('"malware"\nweight = 100', '"malware"\nweight = -1', "signal[malware].weight: -1 is too little"),
        ('name = "malware"', 'name = "Malware"', "signal[Malware].name: is no name; allowed: lower-case"),
        ('name = "malware"', 'name = "new-device"', 'signal[new-device].name: "new-device" is the name of'),
        ('reason = "malware_sign"', 'reason = "a sign"', "signal[malware].reason: is no reason; allowed:"),
        (
            'reason = "operator_silent"',
            'reason = "operator_silent"\nwhen_missing = 6',
            "signal[operator-silent].when_missing: 6 is too much for its weight; allowed: 0 to 5",
        ),
        (
            'reason = "known_way"',
            'reason = "known_way"\nwhen_missing = 1',
            "signal[known-way].when_missing: 1 is too much for its weight; allowed: 0 to 0",
        ),
        (
            'leave_out_channels = ["voice"]\n',
            "",
            "step_up[calls-forwarded].leave_out_channels: nothing is left out",
        ),
        (
            'leave_out_channels = ["voice"]\n',
            'leave_out_channels = ["fax"]\n',
            'step_up[calls-forwarded].leave_out_channels: "fax" is not allowed; allowed: sms, voice',
        ),
        (
            'leave_out_channels = ["voice"]\n',
            'leave_out_methods = ["one_time_code", "device_signature", "totp", "hotp", "ocra", "passkey"]\n',
            "step_up[calls-forwarded].leave_out_methods: leaves none; allowed: all but one of them",
        ),
        ("timeout_ms = 300", "timeout_ms = 2001", "line.timeout_ms: 2001 is too much; allowed: 20 to 2000"),
        (
            "timeout_ms = 300",
            'timeout_ms = 300\nbase_url = "https://operator.example"',
            "line.access_url: missing; allowed: both base_url and access_url, or none",
        ),
        (
            "timeout_ms = 300",
            'timeout_ms = 300\nbase_url = "http://operator.example"\naccess_url = "https://operator.example/a"',
            "line.base_url: is no such URL; allowed: https://",
        ),
        ("payer_days = 90", "payer_days = 29", "memory.payer_days: 29 is too little; allowed: 30 to 400"),
        (
            "[thresholds]",
            "[threshold]",
            "thresholds: missing; allowed: a table",
        ),
    ],
)
def test_a_mistake_says_where_what_and_what_is_allowed(edit: Edit, old: str, new: str, expected: str) -> None:
    """One line for each, by the name of the signal or rule."""
    found = edit("risk.toml", old, new)
    assert found[0].startswith(f"risk.toml:{expected}")


@pytest.mark.parametrize(
    "url", ["https://operator.example/camara", "http://127.0.0.1:9000", "http://localhost:9000/x"]
)
def test_an_operator_is_asked_over_https_or_on_this_machine(edit: Edit, url: str) -> None:
    """Numbers do not travel in clear."""
    new = f'timeout_ms = 300\nbase_url = "{url}"\naccess_url = "{url}"'
    assert edit("risk.toml", "timeout_ms = 300", new) == []


def test_a_policy_on_trial_stands_beside_and_changes_no_digest(folder: Path) -> None:
    """`next/risk.toml` is read and checked; what applies, and its digest, stay as they are."""
    before = load(folder)
    assert before.next_risk is None
    (folder / "next").mkdir()
    text = (folder / "risk.toml").read_text("utf-8")
    (folder / "next" / "risk.toml").write_text(text.replace("challenge = 15", "challenge = 20"), "utf-8")
    after = load(folder)
    assert after.next_risk is not None
    assert after.next_risk.thresholds.challenge == 20
    assert after.risk.thresholds.challenge == 15
    assert after.digest == before.digest
    assert after.next_risk.digest != after.risk.digest == before.risk.digest


def test_mistakes_in_a_policy_on_trial_are_told_with_its_folder(folder: Path) -> None:
    """They are told like all others, and so is a file that is not tried out."""
    (folder / "next").mkdir()
    text = (folder / "risk.toml").read_text("utf-8")
    (folder / "next" / "risk.toml").write_text(text.replace("challenge = 15", "challenge = 0"), "utf-8")
    (folder / "next" / "limits.toml").write_text("", "utf-8")
    assert [found.split(": ")[0] for found in mistakes(folder)] == [
        "next/limits.toml",
        "next/risk.toml:thresholds.challenge",
    ]


def test_a_folder_for_trials_without_a_policy_is_a_mistake(folder: Path) -> None:
    """A misnamed file would be believed in and never scored."""
    (folder / "next").mkdir()
    assert mistakes(folder) == ["next/risk.toml: missing; every policy needs this file"]


def test_a_changed_weight_is_another_digest(edit: Edit, folder: Path) -> None:
    """Both the set's and the file's own."""
    before = load(folder)
    assert edit("risk.toml", '"malware"\nweight = 100', '"malware"\nweight = 99') == []
    after = load(folder)
    assert after.digest != before.digest
    assert after.risk.digest != before.risk.digest


def test_every_factor_has_facts_that_speak_to_it() -> None:
    """No factor is asked for that no condition could look at."""
    assert {fact.factor for fact in FACTS.values()} == set(Factor) - {Factor.TRUST}
