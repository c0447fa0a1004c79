"""`sca risk backtest`: figures that can be checked by hand, files as banks have them, and a picture."""

import csv
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from sca_service.kernel.errors import InvalidInput
from sca_service.policy.risk import Decision, Factor
from sca_service.risk.backtest import CHALLENGE_RATES, RATE_OF_SIGNALS, Tally, backtest, caught_at, curve_of
from sca_service.risk.labelled import Labelled, read_labelled
from sca_service.risk.picture import picture
from sca_service.risk_command import backtest as command
from tests.unit.risk.examples import POLICIES, facts, policy, signal

Write = Callable[[str], Path]
HARD = policy(
    signal("amount_minor > 100", 20, name="amount"),
    signal("malware", 30, name="malware", factor=Factor.MALWARE),
    signal("payees == 1", 5, name="always"),
    signal("device_new", 7, name="unknown", when_missing=2),
    signal("hour_utc == 12", 4, name="trust", factor=Factor.TRUST),
)


def labelled(is_fraud: bool, **known: Any) -> Labelled:
    """One request."""
    return Labelled(facts(**known), is_fraud)


REQUESTS = [
    labelled(True, amount_minor=500, malware=True),  # 20 + 30 + 5 + 2 - 4 = 53
    labelled(True, amount_minor=500, malware=False),  # 23
    labelled(False, amount_minor=500, malware=False),  # 23
    labelled(False, amount_minor=50, malware=False),  # 3
    labelled(False, amount_minor=50, malware=False, device_new=True),  # 8
]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a CSV."""

    def written(text: str) -> Path:
        path = tmp_path / "labelled.csv"
        path.write_text(text, "utf-8")
        return path

    return written


def test_the_figures_are_what_a_hand_makes_of_them() -> None:
    """Scores 53, 23 of fraud, and 23, 8, 3 of honest requests."""
    found = backtest(REQUESTS, HARD)
    assert (found.honest, found.fraud) == (3, 2)
    assert found.curve.area == pytest.approx((3 + 2.5) / 6)
    assert found.curve.average_precision == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)
    assert found.curve.roc == ((0, 0), (0, 0.5), (1 / 3, 1), (2 / 3, 1), (1, 1))
    assert found.curve.precision_recall == ((0.5, 1), (1, 2 / 3), (1, 0.5), (1, 0.4))
    assert found.decisions == {
        Decision.ALLOW: (0, 0),
        Decision.CHALLENGE: (3, 1),
        Decision.STEP_UP: (0, 1),
        Decision.REFUSE: (0, 0),
    }
    assert tuple(one.rate for one in found.caught) == CHALLENGE_RATES
    assert found.caught[-1].caught == pytest.approx(0.5)  # one of five challenged
    assert found.caught[-1].precision == pytest.approx(1)


def test_what_each_signal_adds_is_what_is_lost_without_it() -> None:
    """By the whole backtest of the policy that lacks it; what adds most stands first."""
    found = backtest(REQUESTS, HARD)
    for one in found.signals:
        without = policy(*(signal for signal in HARD.signals if signal.name != one.name))
        alone = backtest(REQUESTS, without)
        assert one.area_without == pytest.approx(alone.curve.area), one.name
        expected = next(caught.caught for caught in alone.caught if caught.rate == RATE_OF_SIGNALS)
        assert one.caught_without == pytest.approx(expected), one.name
    counts = {one.name: (one.on_fraud, one.on_honest) for one in found.signals}
    assert counts == {
        "amount": (2, 1),
        "malware": (1, 0),
        "always": (2, 3),
        "unknown": (0, 1),
        "trust": (2, 3),
    }
    assert found.signals[0].name == "amount"


def test_what_shares_a_score_is_as_likely_to_be_challenged() -> None:
    """Half of a group of ten with two frauds is one of them."""
    tally = Tally({5: 8, 1: 90}, {5: 2})
    assert caught_at(tally, 0.05).caught == pytest.approx(0.5)
    assert caught_at(tally, 0.1).caught == pytest.approx(1)
    assert caught_at(tally, 0).caught == 0


@pytest.mark.parametrize("tally", [Tally(), Tally({1: 3}, {}), Tally({}, {1: 3})])
def test_without_both_kinds_there_is_no_curve(tally: Tally) -> None:
    """Nothing can be told apart."""
    with pytest.raises(ValueError, match="needs honest requests and fraud"):
        curve_of(tally)


def test_a_csv_is_read_by_its_columns(write: Write) -> None:
    """An empty cell and a missing column are not supplied; a byte order mark and spaces do no harm."""
    path = write(
        "\ufefffraud,amount_minor,malware,scenarios,amount_deviation,payee_country\n"
        "1,1200,TRUE,safe_account; urgent,1.5,DE\n"
        "no,,0,,,\n"
    )
    first, second = read_labelled(path)
    assert first.is_fraud
    assert not second.is_fraud
    assert first.facts == facts(
        payees=0,
        amount_minor=1_200,
        malware=True,
        scenarios=("safe_account", "urgent"),
        amount_deviation=1.5,
        payee_country="DE",
    )
    assert second.facts == facts(payees=0, malware=False)


def test_a_parquet_file_is_read_alike(tmp_path: Path) -> None:
    """Typed columns, with nulls and lists."""
    path = tmp_path / "labelled.parquet"
    table = pyarrow.table(
        {
            "fraud": [True, False],
            "amount_minor": [1_200, None],
            "malware": [True, False],
            "scenarios": [["safe_account", "urgent"], None],
            "amount_deviation": [1.5, None],
            "payees": [1.0, 2.0],
        }
    )
    pyarrow.parquet.write_table(table, path)
    first, second = read_labelled(path)
    assert first == labelled(
        True,
        amount_minor=1_200,
        malware=True,
        scenarios=("safe_account", "urgent"),
        amount_deviation=1.5,
    )
    assert second == labelled(False, malware=False, payees=2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no column fraud"),
        ("amount_minor\n5\n", "has no column fraud"),
        ("fraud,colour\n1,red\n", "has columns that are no facts: colour"),
        ("fraud,malware,malware\n1,1,0\n", "names a column twice"),
        ("fraud\n\n2\n", "row 1, column fraud: is not true or false"),
        ("fraud,malware\n0,\n,1\n", "row 2, column fraud: is not true or false"),
        ("fraud,amount_minor\n1,3.5\n", "row 1, column amount_minor: is not a whole number"),
        ("fraud,amount_ratio\n1,nan\n", "row 1, column amount_ratio: is not a number"),
        ("fraud,malware\n1,0\n0,perhaps\n", "row 2, column malware: is not true or false"),
        ("fraud,malware\n1,0,7\n", "has more cells than columns in row 1"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(write: Write, text: str, told: str) -> None:
    """Row and column, and never what stands there."""
    with pytest.raises(InvalidInput) as caught:
        list(read_labelled(write(text)))
    assert told in caught.value.mistakes[0].detail
    assert "perhaps" not in str(caught.value)


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    """Missing, not UTF-8, and no Parquet."""
    (tmp_path / "odd.csv").write_bytes(b"fraud,malware\n1,\xff\n")
    (tmp_path / "odd.parquet").write_bytes(b"fraud")
    for name, told in (("gone.csv", "cannot be read"), ("odd.csv", "no CSV"), ("odd.parquet", "no Parquet")):
        with pytest.raises(InvalidInput, match=told):
            list(read_labelled(tmp_path / name))


def shipped_file(folder: Path) -> Path:
    """Two hundred requests, of which every tenth is fraud that new devices and payees give away."""
    path = folder / "labelled.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["fraud", "amount_minor", "device_new", "payee_new", "payees"])
        for number in range(200):
            bad = number % 10 == 0
            rows.writerow([bad, 90_000 if bad else 2_000 + number, bad, bad or number % 7 == 0, 1])
    return path


def test_the_command_prints_the_figures_and_draws_the_curves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is caught at each rate, what each signal adds, and an SVG that is XML."""
    command(shipped_file(tmp_path), picture=tmp_path / "curves.svg")
    told = capsys.readouterr().out
    assert "200 requests, 20 of them fraud" in told
    assert "in force           1.0000" in told
    assert "new-device" in told
    assert ["10.0", "%", "100.0", "%", "100.0", "%"] in [line.split() for line in told.splitlines()]
    tree = ET.parse(tmp_path / "curves.svg")  # noqa: S314 - our own file
    lines = tree.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 2


def test_a_policy_on_trial_is_shown_beside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both on the same requests, so that a bank sees what a change would do."""
    folder = tmp_path / "policies"
    (folder / "next").mkdir(parents=True)
    for path in POLICIES.glob("*.toml"):
        (folder / path.name).write_text(path.read_text("utf-8"), "utf-8")
    text = (folder / "risk.toml").read_text("utf-8")
    trial = text.replace('condition = "device_new"\nweight = 12', 'condition = "device_new"\nweight = 90')
    assert trial != text
    (folder / "next" / "risk.toml").write_text(trial, "utf-8")
    command(shipped_file(tmp_path), policies=folder)
    told = capsys.readouterr().out
    assert "fraud caught (next)" in told
    assert told.count("What each signal adds") == 2
    decisions = [line.split() for line in told.splitlines() if line.split()[:1] == ["step_up"]]
    assert decisions == [["step_up", "0", "0", "0", "20"]]


def test_a_file_of_honest_requests_alone_is_refused(write: Write) -> None:
    """In words, not as a traceback."""
    with pytest.raises(InvalidInput, match="needs honest requests and fraud"):
        command(write("fraud,payees\n0,1\n"))


def test_a_picture_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """After the figures, which were printed already."""
    with pytest.raises(InvalidInput, match="cannot be written"):
        command(shipped_file(tmp_path), picture=tmp_path / "nowhere" / "curves.svg")


def test_a_picture_holds_no_markup_of_a_name() -> None:
    """And at most two curves a panel, of which the second is dashed."""
    one = backtest(REQUESTS, HARD)
    drawn = picture({"<b>&": one, "next": one, "third": one})
    assert "&lt;b&gt;&amp;" in drawn
    assert drawn.count("<polyline") == 4
    assert "third" not in drawn
