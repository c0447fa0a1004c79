"""NIST SP 800-63B-4 section 3.1.3: out-of-band authenticators."""

import re
import shutil
from datetime import datetime
from pathlib import Path

import pytest

from sca_service.policy.load import mistakes
from sca_service.settings import shipped_policies
from tests.harness import Bank, order, unique_psu


def _seconds(challenge: dict[str, str]) -> float:
    created, expires = (datetime.fromisoformat(challenge[name]) for name in ("created_at", "expires_at"))
    return (expires - created).total_seconds()


async def test_3_1_3_a_code_has_at_least_twenty_bits(bank: Bank) -> None:
    """Six digits at least: 19.9 bits, the number of digits that SP 800-63B itself names."""
    psu = unique_psu()
    await bank.issue(psu=psu)
    assert re.fullmatch(r"\d{6,10}", await bank.code(psu["phone"]))


async def test_3_1_3_a_code_lives_five_minutes_by_default(bank: Bank) -> None:
    """Without a wish of the client's a code is valid for 300 s."""
    assert _seconds(await bank.issue()) == 300


@pytest.mark.parametrize("seconds", [59, 301, 601, 100_000, 0, -1])
async def test_3_1_3_no_code_lives_longer_than_ten_minutes(bank: Bank, seconds: int) -> None:
    """A lifetime beyond the policy, let alone beyond 600 s, is refused."""
    response = await bank.http.post("/v1/challenges", json=order(expires_in_s=seconds))
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/expires_in_s"


async def test_3_1_3_a_shorter_life_is_the_clients_choice(bank: Bank) -> None:
    """A minute is allowed."""
    assert _seconds(await bank.issue(expires_in_s=60)) == 60


async def test_3_1_3_a_code_is_accepted_once(bank: Bank) -> None:
    """The verifier accepts a secret a single time during its life."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    right = await bank.code(psu["phone"])
    outcomes = [(await bank.verify(challenge["id"], right))["outcome"] for _ in range(2)]
    assert outcomes == ["approved", "already_used"]


@pytest.mark.parametrize(
    ("file", "setting", "weaker"),
    [
        ("code.toml", "digits = 6", "digits = 5"),
        ("code.toml", "lifetime_seconds = 300", "lifetime_seconds = 601"),
        ("code.toml", "longest_lifetime_seconds = 300", "longest_lifetime_seconds = 601"),
        ("lockout.toml", "most_failures = 5", "most_failures = 6"),
        ("ladder.toml", 'channel = "sms"', 'channel = "email"'),
    ],
)
def test_3_1_3_no_policy_may_ask_for_less(tmp_path: Path, file: str, setting: str, weaker: str) -> None:
    """Shorter codes, longer lives, more guesses and e-mail: the service does not start with them."""
    folder = Path(shutil.copytree(shipped_policies(), tmp_path / "policies"))
    assert mistakes(folder) == []
    path = folder / file
    text = path.read_text("utf-8")
    assert setting in text
    path.write_text(text.replace(setting, weaker), "utf-8")
    found = mistakes(folder)
    assert found
    assert all(mistake.startswith(file) for mistake in found)
