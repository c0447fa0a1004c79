"""Rows of limits.toml: which action counts by what, and what can happen at it."""

import itertools
from pathlib import Path

import pytest

from sca_service.policy.load import load, mistakes
from sca_service.policy.model import AtLimit, LimitedAction, LimitScope

LINE = {LimitScope.PHONE, LimitScope.PREFIX, LimitScope.COUNTRY}
SCOPES = {
    LimitedAction.ISSUE: {LimitScope.PAYER, LimitScope.CLIENT, LimitScope.DEVICE, LimitScope.IP, *LINE},
    LimitedAction.RESEND: {LimitScope.PAYER},
    LimitedAction.SEND: {*LINE, LimitScope.SUPPLIER},
    LimitedAction.VERIFY: {LimitScope.CLIENT, LimitScope.DEVICE, LimitScope.IP},
    LimitedAction.ENROL: {LimitScope.PAYER, LimitScope.CLIENT},
    LimitedAction.PROVE: {LimitScope.ADDRESS},
}


def add(folder: Path, *rows: tuple[str, str, str]) -> None:
    """Write further limits: action, scope, and what happens."""
    path = folder / "limits.toml"
    lines = [
        f'[[limit]]\nname = "more-{at}"\non = "{on}"\nscope = "{scope}"\ncount = 5\nper_seconds = 60\nburst = 5\n'
        f'at_limit = "{at_limit}"\n'
        for at, (on, scope, at_limit) in enumerate(rows)
    ]
    path.write_text(path.read_text("utf-8") + "\n" + "\n".join(lines), "utf-8")


def test_an_action_counts_by_what_is_known_of_it(folder: Path) -> None:
    """Every pair that can be counted is read, and every other one is a mistake that says what fits."""
    pairs = list(itertools.product(LimitedAction, LimitScope))
    add(folder, *((on, scope, "observe") for on, scope in pairs))
    wrong = {number for number, (on, scope) in enumerate(pairs) if scope not in SCOPES[on]}
    found = mistakes(folder)
    assert len(found) == len(wrong)
    for number in wrong:
        on, _ = pairs[number]
        told = next(line for line in found if line.startswith(f"limits.toml:limit[more-{number}].scope: "))
        assert all(f'"{scope}"' in told for scope in SCOPES[on])


@pytest.mark.parametrize("on", LimitedAction)
def test_a_request_is_refused_and_a_message_goes_another_way(folder: Path, on: LimitedAction) -> None:
    """A message has nobody to refuse; a request has no other channel."""
    scope = min(SCOPES[on])
    wrong = AtLimit.REFUSE if on is LimitedAction.SEND else AtLimit.NEXT_CHANNEL
    right = AtLimit.NEXT_CHANNEL if on is LimitedAction.SEND else AtLimit.REFUSE
    add(folder, (on, scope, right), (on, scope, wrong), (on, scope, AtLimit.OBSERVE))
    assert mistakes(folder) == [
        f'limits.toml:limit[more-1].at_limit: does not fit on = "{on}"; allowed: "{right}", "observe"'
    ]


def test_each_further_limit_is_read(folder: Path) -> None:
    """With its action, scope and what happens at it."""
    add(folder, ("send", "supplier", "next_channel"), ("verify", "client", "refuse"))
    assert [(limit.on, limit.scope, limit.at_limit) for limit in load(folder).limits[-2:]] == [
        (LimitedAction.SEND, LimitScope.SUPPLIER, AtLimit.NEXT_CHANNEL),
        (LimitedAction.VERIFY, LimitScope.CLIENT, AtLimit.REFUSE),
    ]
