"""What the overview counts, and the charts made of it."""

import re
from datetime import date, timedelta

from sca_service.console.charts import bars, columns
from sca_service.console.figures import OUTCOMES, figures_of
from sca_service.console.postgres_store import Count

_DAYS = [date(2026, 11, 1) + timedelta(days=at) for at in range(3)]


def test_endings_are_counted_by_day() -> None:
    """Each ending of a challenge counts on its day, and an answer that ends nothing counts nowhere."""
    figures = figures_of(
        _DAYS,
        [
            Count(_DAYS[0], "challenge.answered", "approved", 5),
            Count(_DAYS[0], "challenge.answered", "incorrect", 9),
            Count(_DAYS[2], "challenge.answered", "transaction_mismatch", 1),
            Count(_DAYS[2], "payer.blocked", "", 2),
        ],
    )
    by_name = {one.name: one.numbers for one in figures.outcomes}
    assert tuple(by_name) == OUTCOMES
    assert by_name["approved"] == (5, 0, 0)
    assert by_name["rejected"] == (0, 0, 1)
    assert by_name["blocked"] == (0, 0, 2)
    assert sum(map(sum, by_name.values())) == 8


def test_authentication_channels_and_exemptions_are_summed() -> None:
    """Strong authentication, deliveries by channel and exemptions by article come from their own events."""
    figures = figures_of(
        _DAYS,
        [
            Count(_DAYS[0], "challenge.issued", "true", 7),
            Count(_DAYS[1], "challenge.issued", "false", 2),
            Count(_DAYS[1], "delivery.attempted", "voice", 1),
            Count(_DAYS[1], "delivery.attempted", "sms", 4),
            Count(_DAYS[1], "delivery.settled", "sms sent", 4),
            Count(_DAYS[1], "delivery.settled", "sms delivered", 3),
            Count(_DAYS[1], "exemption.applied", "16", 6),
            Count(_DAYS[2], "fraud.reported", "", 1),
        ],
    )
    assert (figures.with_sca, figures.without_sca) == (7, 2)
    assert [(one.name, one.attempted, one.delivered) for one in figures.channels] == [
        ("sms", 4, 3),
        ("voice", 1, 0),
    ]
    assert figures.exemptions == (("16", 6),)
    assert figures.fraud_events == 1


def test_columns_are_as_high_as_their_numbers() -> None:
    """Heights are in proportion, days without a number have no column, and the same figures stand in a table."""
    figures = figures_of(
        _DAYS,
        [
            Count(_DAYS[0], "challenge.answered", "approved", 100),
            Count(_DAYS[2], "challenge.answered", "approved", 50),
            Count(_DAYS[2], "challenge.expired", "", 25),
        ],
    )
    chart = columns(title="Challenges by outcome", days=figures.days, series=figures.outcomes)
    heights = [float(height) for height in re.findall(r'<rect class="\w+" [^>]*height="([\d.]+)"', chart)]
    assert heights == [198.0, 99.0, 49.5]
    assert "Challenges by outcome: 150 approved, 25 expired" in chart
    assert "<td>25</td>" in chart
    assert chart.count("<tr>") == 1 + len(_DAYS)
    assert " style=" not in chart


def test_a_chart_of_nothing_is_drawn() -> None:
    """No events at all is no fault."""
    figures = figures_of(_DAYS, [])
    assert ": none" in columns(title="Challenges", days=figures.days, series=figures.outcomes)


def test_a_full_bar_is_the_whole() -> None:
    """Bars are shares of the whole, or of the longest."""
    widths = re.findall(
        r'class="part" width="([\d.]+)"', bars(title="x", rows=[("a", 1, ""), ("b", 4, "")], whole=5)
    )
    assert widths == ["20.00", "80.00"]
    assert 'width="100.00"' in bars(title="x", rows=[("<b>", 4, "")])
    assert "&lt;b&gt;" in bars(title="x", rows=[("<b>", 4, "")])
