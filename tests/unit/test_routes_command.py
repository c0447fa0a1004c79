"""`sca routes explain` and what `sca policy check` says of adapters: a bank sees what its suppliers come to."""

from pathlib import Path

import pytest

from sca_service.kernel.errors import InvalidInput
from sca_service.policy.words import Channel, Purpose
from sca_service.policy_command import adapter_mistakes, check_policy
from sca_service.routes_command import explain
from tests.supplies import supplier, supply

POLICIES = Path(__file__).resolve().parents[2] / "policies"
SECOND = """
[second-sms]
kind = "sandbox"
channel = "sms"
countries = ["DE"]
currency = "EUR"
prices = [
    { network = "262", from_messages = 0, price_micros = 50_000 },
    { network = "262-01", from_messages = 0, price_micros = 140_000 },
]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shipped policies with one more supplier."""
    for path in POLICIES.glob("*.toml"):
        text = path.read_text("utf-8")
        if path.name == "suppliers.toml":
            text = SECOND + text
        (tmp_path / path.name).write_text(text, "utf-8")
    return tmp_path


def rows(told: str) -> list[list[str]]:
    """The rows of the table, in words."""
    return [line.split() for line in told.splitlines() if line.lstrip().startswith(("sandbox-", "second-"))]


def test_the_table_has_every_supplier_of_the_channel_with_price_score_and_reason(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The best comes first; the text says that nothing but the policy was looked at."""
    explain(channel=Channel.SMS, country="DE", purpose=Purpose.LOGIN, parts=2, policies=folder)
    told = capsys.readouterr().out
    assert "sms to DE (262) for login: price weighs 30 per cent" in told
    first, second = rows(told)
    assert first[:3] == ["second-sms", "0.10", "EUR"]
    assert first[-3:] == ["taken:", "cheapest,", "best_quality"]
    assert (second[0], second[1], second[-1]) == ("sandbox-sms", "0.14", "outweighed")
    assert "By policy alone" in told


def test_a_network_has_a_price_of_its_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same country, another order."""
    explain(channel=Channel.SMS, country="DE", network="262-01", policies=folder)
    first, second = rows(capsys.readouterr().out)
    assert (first[0], second[:2]) == ("sandbox-sms", ["second-sms", "0.14"])


def test_who_does_not_serve_a_destination_is_told_with_the_reason(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another country, and an alert that no template covers."""
    explain(channel=Channel.SMS, country="IN", policies=folder)
    assert rows(capsys.readouterr().out)[1] == ["second-sms", "other_country"]
    explain(channel=Channel.SMS, country="IN", alert=True)
    told = capsys.readouterr().out
    assert "for an alert: price weighs 90 per cent" in told
    assert rows(told) == [["sandbox-sms", "sender_unregistered"]]


def test_a_channel_without_numbers_needs_no_country(capsys: pytest.CaptureFixture[str]) -> None:
    """A push goes to a device."""
    explain(channel=Channel.PUSH)
    assert rows(capsys.readouterr().out)[0][-1] == "only_route"


@pytest.mark.parametrize(
    ("country", "network", "parts"), [("", "", 1), ("XX", "", 1), ("DE", "26201", 1), ("DE", "", 0)]
)
def test_a_destination_that_does_not_exist_is_refused(country: str, network: str, parts: int) -> None:
    """In words, not in a table without rows."""
    with pytest.raises(InvalidInput):
        explain(channel=Channel.SMS, country=country, network=network, parts=parts)


def test_the_check_finds_what_an_adapter_does_not_understand(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A kind that does not exist stops the check like any other mistake."""
    path = folder / "suppliers.toml"
    path.write_text(path.read_text("utf-8").replace('kind = "sandbox"', 'kind = "pigeon"', 1), "utf-8")
    with pytest.raises(SystemExit) as ended:
        check_policy(folder)
    assert ended.value.code == 1
    assert "suppliers.toml:second-sms.kind: is unknown; allowed: sandbox, " in capsys.readouterr().out


def test_what_the_adapters_understand_is_no_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    """The shipped policy holds."""
    assert adapter_mistakes(supply([supplier("one")])) == []
    check_policy(POLICIES)
    assert "The policies hold. sha256:" in capsys.readouterr().out
