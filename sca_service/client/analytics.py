"""Figures: what was sent, what arrived, what it cost."""

import msgspec

from sca_service.client.call import Call, Page


class Percentiles(msgspec.Struct, frozen=True):
    """Milliseconds that half, nine in ten, and so on, stayed below."""

    p50: int
    p90: int
    p95: int
    p99: int


class AlertLatency(msgspec.Struct, frozen=True):
    """How long alerts took."""

    delivered: Percentiles | None


class AlertFigures(msgspec.Struct, frozen=True):
    """What became of the alerts of one group."""

    group: dict[str, str]
    at: str | None
    queued: int
    sent: int
    delivered: int
    failed: int
    suppressed: int
    clicked: int
    delivery_rate: float | None
    click_rate: float | None
    latency_ms: AlertLatency


class AlertFiguresList(msgspec.Struct, frozen=True):
    """Figures of alerts, and what they were counted from."""

    from_: str = msgspec.field(name="from")
    to: str
    span: str
    counted_until: str
    data: tuple[AlertFigures, ...]
    relative_error: float = 0
    next_cursor: str | None = None


class ChallengeLatency(msgspec.Struct, frozen=True):
    """How long challenges took."""

    approved: Percentiles | None


class ChallengeFigures(msgspec.Struct, frozen=True):
    """What became of the challenges of one group."""

    group: dict[str, str]
    at: str | None
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
    approval_rate: float | None
    latency_ms: ChallengeLatency


class ChallengeFiguresList(msgspec.Struct, frozen=True):
    """Figures of challenges, and what they were counted from."""

    from_: str = msgspec.field(name="from")
    to: str
    span: str
    counted_until: str
    data: tuple[ChallengeFigures, ...]
    relative_error: float = 0
    next_cursor: str | None = None


class Cost(msgspec.Struct, frozen=True):
    """What messages cost, in one currency."""

    currency: str
    amount: str


class DeliveryLatency(msgspec.Struct, frozen=True):
    """How long deliveries took."""

    sent: Percentiles | None
    delivered: Percentiles | None
    converted: Percentiles | None


class DeliveryFigures(msgspec.Struct, frozen=True):
    """What became of the deliveries of one group."""

    group: dict[str, str]
    at: str | None
    attempted: int
    sent: int
    delivered: int
    failed: int
    answered: int
    converted: int
    clicked: int
    delivery_rate: float | None
    conversion_rate: float | None
    click_rate: float | None
    latency_ms: DeliveryLatency
    cost: tuple[Cost, ...]
    deliveries: str


class DeliveryFiguresList(msgspec.Struct, frozen=True):
    """Figures of deliveries, and what they were counted from."""

    from_: str = msgspec.field(name="from")
    to: str
    span: str
    counted_until: str
    data: tuple[DeliveryFigures, ...]
    relative_error: float = 0
    next_cursor: str | None = None


class Tried(msgspec.Struct, frozen=True):
    """One delivery as it was counted."""

    id: str
    number: int
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


def deliveries(
    *,
    group_by: str | None = None,
    from_: str | None = None,
    to: str | None = None,
    interval: str | None = None,
    client: str | None = None,
    purpose: str | None = None,
    channel: str | None = None,
    country: str | None = None,
    network: str | None = None,
    supplier: str | None = None,
    route: str | None = None,
) -> Call[DeliveryFiguresList]:
    """What messages came to.

    Sent, delivered, converted, latency and cost, of challenges' messages and alerts'. A message counts in
    the minute of its attempt, whenever the rest is heard of. Without `group_by` there is one line. Figures
    are counted from the audit log, about a second behind it.
    """
    return Call(
        "GET",
        "/v1/analytics/deliveries",
        DeliveryFiguresList,
        query={
            "group_by": group_by,
            "from": from_,
            "to": to,
            "interval": interval,
            "client": client,
            "purpose": purpose,
            "channel": channel,
            "country": country,
            "network": network,
            "supplier": supplier,
            "route": route,
        },
    )


def counted_deliveries(
    *,
    from_: str | None = None,
    to: str | None = None,
    counted: str | None = None,
    client: str | None = None,
    purpose: str | None = None,
    channel: str | None = None,
    country: str | None = None,
    network: str | None = None,
    supplier: str | None = None,
    route: str | None = None,
    limit: int | None = None,
) -> Call[Page[Tried]]:
    """The messages behind a figure.

    Each try, the newest first, by the same filters: ids, times, status and reason, never to whom.
    `counted` names the figure.
    """
    return Call(
        "GET",
        "/v1/analytics/deliveries/list",
        Page[Tried],
        query={
            "from": from_,
            "to": to,
            "counted": counted,
            "client": client,
            "purpose": purpose,
            "channel": channel,
            "country": country,
            "network": network,
            "supplier": supplier,
            "route": route,
            "limit": limit,
        },
    )


def challenges(
    *,
    group_by: str | None = None,
    from_: str | None = None,
    to: str | None = None,
    interval: str | None = None,
    client: str | None = None,
    purpose: str | None = None,
    method: str | None = None,
) -> Call[ChallengeFiguresList]:
    """How challenges ended. Issued, approved, and every other end; how long until an approval."""
    return Call(
        "GET",
        "/v1/analytics/challenges",
        ChallengeFiguresList,
        query={
            "group_by": group_by,
            "from": from_,
            "to": to,
            "interval": interval,
            "client": client,
            "purpose": purpose,
            "method": method,
        },
    )


def alerts(
    *,
    group_by: str | None = None,
    from_: str | None = None,
    to: str | None = None,
    interval: str | None = None,
    client: str | None = None,
    purpose: str | None = None,
) -> Call[AlertFiguresList]:
    """What became of alerts.

    Queued, sent, delivered, suppressed, clicked; `purpose` is an alert's topic, or else its kind.
    """
    return Call(
        "GET",
        "/v1/analytics/alerts",
        AlertFiguresList,
        query={
            "group_by": group_by,
            "from": from_,
            "to": to,
            "interval": interval,
            "client": client,
            "purpose": purpose,
        },
    )
