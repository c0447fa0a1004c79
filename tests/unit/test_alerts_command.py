"""`sca alerts simulate`: what it prints of a file, and what it says of one that is wrong."""

from pathlib import Path

import pytest

from sca_service.alerts_command import simulate
from sca_service.kernel.errors import ScaError

SAMPLE = Path(__file__).resolve().parents[2] / "docs" / "alerts-sample.csv"
HEAD = "at,card,event,amount,currency,threshold,merchant,date,confidence,reference\n"


def told(tmp_path: Path, capsys: pytest.CaptureFixture[str], *lines: str, sent_after_s: int = 5) -> list[str]:
    """What is printed of these lines."""
    path = tmp_path / "cards.csv"
    path.write_text(HEAD + "\n".join(lines), "utf-8")
    simulate(path, locale="de-DE", sent_after_s=sent_after_s)
    return capsys.readouterr().out.splitlines()


def test_the_sample_tells_of_both_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    """A wobble is one alert, a regular charge is recognised, and each line says when and why."""
    simulate(SAMPLE, locale="de-DE")
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert lines[0] == "2026-11-10T12:00:00Z  card-7  low_balance: balance 19,50 €, threshold 20,00 €"
    assert lines[1].strip().startswith("Das Guthaben Ihrer Karte beträgt 19,50 €, weniger als 20,00 €.")
    assert lines[4] == (
        "2026-11-27T08:00:00Z  card-7  upcoming_charge: Streaming AG 9,99 € on 2026-11-30 (recognised, 75 %), "
        "3,00 € will be left before it"
    )
    assert lines[5].strip().startswith("Streaming AG wird am 30. Nov. 9,99 € abbuchen.")
    assert lines[-1] == "3 sent, 0 suppressed before they were"


def test_what_recovers_while_an_alert_waits_is_suppressed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With quiet hours of an hour, and not where it leaves at once."""
    lines = (
        "2026-11-10T12:00:00Z,a,balance,-1.00,EUR,20,,,,",
        "2026-11-10T12:30:00Z,a,balance,30,EUR,20,,,,",
    )
    waiting = told(tmp_path, capsys, *lines, sent_after_s=3600)
    assert waiting[2] == (
        "2026-11-10T12:30:00Z  a  low_balance suppressed, recovered: balance 30,00 €, threshold 20,00 €"
    )
    assert waiting[-1] == "0 sent, 1 suppressed before they were"
    assert told(tmp_path, capsys, *lines)[-1] == "1 sent, 0 suppressed before they were"


def test_what_is_late_or_unknown_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A charge of a card without a balance, and one in another currency, change nothing."""
    lines = told(
        tmp_path,
        capsys,
        "2026-11-10T12:00:00Z,a,upcoming,9.99,EUR,,Gym,2026-11-12,,",
        "2026-11-10T12:00:01Z,a,balance,0,EUR,,,,,",
        "2026-11-10T12:00:02Z,a,upcoming,9.99,USD,,Gym,2026-11-12,,",
    )
    assert lines[:-1] == [
        "2026-11-10T12:00:00Z  a  ignored: no balance of this card is known",
        "2026-11-10T12:00:02Z  a  ignored: must be that of the card's balance",
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("2026-11-10T12:00:00,a,balance,1,EUR", "line 2: at needs its offset, as in 2026-11-28T10:15:00Z"),
        ("noon,a,balance,1,EUR", "line 2: Invalid isoformat string: 'noon'"),
        ("2026-11-10T12:00:00Z,a,topup,1,EUR", "line 2: event must be balance, upcoming or charge"),
        ("2026-11-10T12:00:00Z,a,balance,1.005,EUR", "line 2: amount must have at most 2 digits"),
        ("2026-11-10T12:00:00Z,a,balance,1,XXX", "line 2: currency is not an active ISO 4217 currency"),
        ("2026-11-10T12:00:00Z,,balance,1,EUR", "line 2: card must not be empty"),
        ("2026-11-10T12:00:00Z,a,upcoming,1,EUR,,Gym", "line 2: Invalid isoformat string: ''"),
        ("2026-11-10T12:00:00Z,a,upcoming,1,EUR,,Gym,2026-11-12,0", "line 2: confidence must be 1 to 100"),
        ("2026-11-10T12:00:00Z,a,balance,1,EUR,,,,,,more", "line 2: has more columns than the first line"),
    ],
)
def test_a_line_that_says_nothing_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    """By its number, and nothing is played."""
    with pytest.raises(ScaError) as refused:
        told(tmp_path, capsys, line)
    assert refused.value.detail.startswith(said)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"at,card,event,amount\n", "the first line lacks currency"),
        (b"at,card,event,amount,currency,colour\n", "the first line has colour"),
        (b"\xff\xfe", "cards.csv is not UTF-8"),
        (None, "cards.csv cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, content: bytes | None, said: str) -> None:
    """In a sentence."""
    path = tmp_path / "cards.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ScaError) as refused:
        simulate(path)
    assert said in refused.value.detail
