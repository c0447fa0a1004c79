"""What `/v1/analytics` answers with: figures as JSON, the same as CSV, and the deliveries behind them. Pure."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from msgspec import Meta, Struct

from sca_service.analytics.model import COUNTS, DURATIONS, Figure, Span, Subject
from sca_service.analytics.reading.answer import Answer, Line
from sca_service.analytics.reading.asking import route_text
from sca_service.analytics.reading.postgres_store import Listed
from sca_service.analytics.sketch import ERROR
from sca_service.audit.export.writers import FORMULA_STARTS
from sca_service.kernel.clock import timestamp

LIST_PATH = "/v1/analytics/deliveries/list"

_At = Annotated[str | None, Meta(description="When the piece of time began; null without `interval`.")]
_Group = Annotated[
    dict[str, str], Meta(description="The value of each dimension of `group_by`; empty where nobody knows.")
]
_Rate = Annotated[float | None, Meta(description="A share of those sent, 0 to 1; null where none was.")]


class PercentilesBody(Struct, frozen=True):
    """Milliseconds that so many of a hundred did not exceed, within `relative_error`."""

    p50: int
    p90: int
    p95: int
    p99: int


class CostBody(Struct, frozen=True):
    """What was spent in one currency, exact, by the prices of the routes."""

    currency: str
    amount: Annotated[str, Meta(description="At least two and at most six digits after the point.")]


class DeliveryLatencyBody(Struct, frozen=True):
    """From a message's attempt until it was taken, had arrived, and had led to an approval."""

    sent: PercentilesBody | None
    delivered: PercentilesBody | None
    converted: PercentilesBody | None


class DeliveryFiguresBody(Struct, frozen=True):
    """What messages of a group came to that were attempted in a piece of time, whenever the rest was heard of."""

    group: _Group
    at: _At
    attempted: int
    sent: int
    delivered: int
    failed: int
    answered: int
    converted: int
    clicked: int
    delivery_rate: _Rate
    conversion_rate: _Rate
    click_rate: _Rate
    latency_ms: DeliveryLatencyBody
    cost: tuple[CostBody, ...]
    deliveries: Annotated[str, Meta(description="The path of the list of these messages.")]


class ChallengeLatencyBody(Struct, frozen=True):
    """From a challenge's issue until it was approved."""

    approved: PercentilesBody | None


class ChallengeFiguresBody(Struct, frozen=True):
    """How challenges of a group ended that were issued in a piece of time."""

    group: _Group
    at: _At
    issued: int
    refused: int
    answered: int
    approved: int
    declined: int
    rejected: int
    blocked: int
    expired: int
    cancelled: int
    undeliverable: int
    approval_rate: Annotated[float | None, Meta(description="A share of those issued, 0 to 1.")]
    latency_ms: ChallengeLatencyBody


class AlertLatencyBody(Struct, frozen=True):
    """From when an alert was queued, or was to be sent, until it had arrived."""

    delivered: PercentilesBody | None


class AlertFiguresBody(Struct, frozen=True):
    """What became of alerts of a group that were queued in a piece of time; `purpose` is their topic or kind."""

    group: _Group
    at: _At
    queued: int
    sent: int
    delivered: int
    failed: int
    suppressed: int
    clicked: int
    delivery_rate: _Rate
    click_rate: _Rate
    latency_ms: AlertLatencyBody


class _Frame(Struct, frozen=True, kw_only=True, rename={"since": "from", "until": "to"}):
    since: Annotated[str, Meta(description="From when, inclusive: as asked, or moved out to a whole piece.")]
    until: Annotated[str, Meta(description="To when, exclusive.")]
    span: Annotated[Span, Meta(description="What the figures were added up from.")]
    counted_until: Annotated[str, Meta(description="The date of the newest event that is counted.")]
    relative_error: Annotated[float, Meta(description="How far a percentile may be off.")] = ERROR
    next_cursor: None = None


class DeliveryFiguresListBody(_Frame, frozen=True, kw_only=True):
    """Figures of messages, group by group."""

    data: tuple[DeliveryFiguresBody, ...]


class ChallengeFiguresListBody(_Frame, frozen=True, kw_only=True):
    """Figures of challenges, group by group."""

    data: tuple[ChallengeFiguresBody, ...]


class AlertFiguresListBody(_Frame, frozen=True, kw_only=True):
    """Figures of alerts, group by group."""

    data: tuple[AlertFiguresBody, ...]


class TriedBody(Struct, frozen=True):
    """One try to deliver one message: never to whom."""

    id: str
    number: Annotated[
        int, Meta(description="Which try of this delivery; 0 when no supplier was found for it.")
    ]
    challenge: str | None
    alert: str | None
    client: str
    purpose: str
    channel: str
    country: str
    network: str
    supplier: str
    route: str
    status: str
    reason: str | None
    attempted_at: str
    sent_at: str | None
    final_at: str | None
    answered: bool
    converted_at: str | None
    clicked: bool


class TriedListBody(Struct, frozen=True):
    """A page of tries, the newest first."""

    data: tuple[TriedBody, ...]
    next_cursor: str | None


FiguresBody = DeliveryFiguresBody | ChallengeFiguresBody | AlertFiguresBody

_LISTS: Mapping[Subject, Any] = {
    Subject.DELIVERIES: DeliveryFiguresListBody,
    Subject.CHALLENGES: ChallengeFiguresListBody,
    Subject.ALERTS: AlertFiguresListBody,
}


def figures_json(answer: Answer) -> bytes:
    """The answer as the contract has it."""
    question = answer.question
    body = _LISTS[question.subject](
        since=timestamp(question.since_ms),
        until=timestamp(question.until_ms),
        span=question.span,
        counted_until=timestamp(answer.counted_at_ms),
        data=tuple(_line(answer, line) for line in answer.lines),
    )
    return msgspec.json.encode(body)


def figures_csv(answer: Answer) -> bytes:
    """The answer as CSV (RFC 4180): a row for each group, and a column for each currency that there is."""
    question = answer.question
    counts = [str(figure) for figure in COUNTS[question.subject]]
    rates = _rates(question.subject)
    durations = DURATIONS[question.subject]
    currencies = sorted({price.currency for line in answer.lines for price in line.cost})
    written = io.StringIO()
    writer = csv.writer(written)
    percentiles = [f"{figure}_{name}" for figure in durations for name in _PERCENTILES]
    costs = [f"cost_{currency}" for currency in currencies]
    writer.writerow(["from", "to", *question.group_by, *counts, *rates, *percentiles, *costs])
    for line in answer.lines:
        told = msgspec.to_builtins(_line(answer, line))
        spent = {price.currency: price.text for price in line.cost}
        writer.writerow(
            [
                *map(timestamp, _period(answer, line)),
                *(_safe(line.group[dimension]) for dimension in question.group_by),
                *(told[name] for name in (*counts, *rates)),
                *(
                    (line.percentiles_ms(figure) or {}).get(name)
                    for figure in durations
                    for name in _PERCENTILES
                ),
                *(spent.get(currency, "0.00") for currency in currencies),
            ]
        )
    return written.getvalue().encode()


def tried_json(found: Sequence[Listed], following: str | None) -> bytes:
    """A page of tries."""
    return msgspec.json.encode(TriedListBody(tuple(map(_tried, found)), following))


def list_query(only: Mapping[str, str], since_ms: int, until_ms: int) -> str:
    """The filters of a list, as they stand in a URL."""
    times = {"from": timestamp(since_ms), "to": timestamp(until_ms)}
    return urlencode({**times, **only})


_PERCENTILES = ("p50", "p90", "p95", "p99")


def _line(answer: Answer, line: Line) -> FiguresBody:
    told: dict[str, Any] = {
        "group": dict(line.group),
        "at": None if line.at_ms is None else timestamp(line.at_ms),
        **{str(figure): number for figure, number in line.counts.items()},
    }
    sent: dict[str, Any] = {
        "delivery_rate": line.share(Figure.DELIVERED, Figure.SENT),
        "click_rate": line.share(Figure.CLICKED, Figure.SENT),
    }
    match answer.question.subject:
        case Subject.DELIVERIES:
            return DeliveryFiguresBody(
                **told,
                **sent,
                conversion_rate=line.share(Figure.CONVERTED, Figure.SENT),
                latency_ms=DeliveryLatencyBody(
                    sent=_percentiles(line, Figure.SENT_MS),
                    delivered=_percentiles(line, Figure.DELIVERED_MS),
                    converted=_percentiles(line, Figure.CONVERTED_MS),
                ),
                cost=tuple(CostBody(price.currency, price.text) for price in line.cost),
                deliveries=f"{LIST_PATH}?{_filters(answer, line)}",
            )
        case Subject.CHALLENGES:
            return ChallengeFiguresBody(
                **told,
                approval_rate=line.share(Figure.APPROVED, Figure.ISSUED),
                latency_ms=ChallengeLatencyBody(_percentiles(line, Figure.APPROVED_MS)),
            )
        case Subject.ALERTS:
            return AlertFiguresBody(
                **told, **sent, latency_ms=AlertLatencyBody(_percentiles(line, Figure.DELIVERED_MS))
            )


def _percentiles(line: Line, figure: Figure) -> PercentilesBody | None:
    told = line.percentiles_ms(figure)
    return PercentilesBody(**told) if told else None


def _period(answer: Answer, line: Line) -> tuple[int, int]:
    """From and to when a line is about."""
    question = answer.question
    if line.at_ms is None:
        return question.since_ms, question.until_ms
    return line.at_ms, line.at_ms + question.span.length_ms


def _filters(answer: Answer, line: Line) -> str:
    since, until = _period(answer, line)
    return list_query({**answer.question.asked, **line.group}, since, until)


def _rates(subject: Subject) -> tuple[str, ...]:
    return {
        Subject.DELIVERIES: ("delivery_rate", "conversion_rate", "click_rate"),
        Subject.CHALLENGES: ("approval_rate",),
        Subject.ALERTS: ("delivery_rate", "click_rate"),
    }[subject]


def _tried(one: Listed) -> TriedBody:
    is_alert = one.owner.startswith("alt_")
    return TriedBody(
        id=one.id,
        number=one.number,
        challenge=None if is_alert else one.owner,
        alert=one.owner if is_alert else None,
        client=one.key.client,
        purpose=one.key.purpose,
        channel=one.key.channel,
        country=one.key.country,
        network=one.key.network,
        supplier=one.key.supplier,
        route=route_text(one.key._asdict()),
        status=one.status,
        reason=one.reason or None,
        attempted_at=timestamp(one.began_at),
        sent_at=_some_time(one.sent_at),
        final_at=_some_time(one.final_at),
        answered=one.answered,
        converted_at=_some_time(one.converted_at),
        clicked=one.clicked,
    )


def _some_time(at_ms: int | None) -> str | None:
    return None if at_ms is None else timestamp(at_ms)


def _safe(text: str) -> str:
    """A cell's text, with an apostrophe in front where a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
