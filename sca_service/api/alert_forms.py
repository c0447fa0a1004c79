"""Alerts as clients send and get them: the shapes of the contract, and how they become values."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from sca_service.alerts.desk import MOST_IN_BATCH, SeenAlert
from sca_service.alerts.links.postgres_store import Clicks
from sca_service.alerts.model import AlertKind, AlertStatus, TakenIn
from sca_service.alerts.orders import AlertOrder
from sca_service.alerts.quiet import is_zone
from sca_service.api.json_body import mistake_of
from sca_service.api.problems import MistakeBody
from sca_service.api.requests import Mistakes, locale_of, moment_of, psu_id_of
from sca_service.api.responses import AmountBody, DeliveryBody, PsuBody, RouteBody
from sca_service.delivery.model import DeliveryState, RouteRecord
from sca_service.kernel.clock import timestamp
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.text import clean_text
from sca_service.policy.model import Channel

MOST_SECONDS = 604_800
"""How long an alert may wait to be sent: a week, after which hardly any notice is one."""
MOST_OF_A_VARIABLE = 70
_Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}\Z")]

_decode_route = msgspec.json.Decoder(RouteRecord).decode


class AlertStepForm(Struct, frozen=True, forbid_unknown_fields=True):
    """One channel of the ladder; the next one follows when the message came to nothing."""

    channel: Channel


class AlertPsuForm(Struct, frozen=True, forbid_unknown_fields=True):
    """The payer."""

    id: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=128,
            examples=["cust_8841"],
            description="The client's own reference of the payer.",
        ),
    ]
    phone: Annotated[str, Meta(max_length=64, examples=["+4915112345678"], description="E.164.")] | None = (
        None
    )
    locale: (
        Annotated[
            str,
            Meta(max_length=35, examples=["de-DE"], description="The language of the notice (BCP 47)."),
        ]
        | None
    ) = None
    time_zone: (
        Annotated[
            str,
            Meta(
                max_length=64,
                examples=["Europe/Berlin"],
                description="Where the payer is (IANA). Left out: by the number's country, else by the policy.",
            ),
        ]
        | None
    ) = None


class AlertForm(Struct, frozen=True, forbid_unknown_fields=True):
    """A notice to a payer."""

    psu: AlertPsuForm
    template: Annotated[
        _Name, Meta(examples=["upcoming_charge"], description="A notice of the policy's texts, by its name.")
    ]
    kind: Literal["notice"] = "notice"
    variables: Annotated[
        dict[_Name, Annotated[str, Meta(min_length=1, max_length=4 * MOST_OF_A_VARIABLE)]],
        Meta(
            max_length=20,
            description="What the notice leaves open, all of it and nothing else; at most 70 characters each.",
        ),
    ] = {}
    channels: (
        Annotated[
            list[AlertStepForm],
            Meta(
                min_length=1,
                max_length=5,
                description="In this order. Without them: a text and then a call, or only a call.",
            ),
        ]
        | None
    ) = None
    expires_in_s: Annotated[
        int,
        Meta(
            ge=60,
            le=MOST_SECONDS,
            description="Nothing is sent later than that, counted from `send_at` where it is given.",
        ),
    ] = 86_400
    send_at: (
        Annotated[
            str,
            Meta(
                max_length=40,
                examples=["2026-12-01T08:00:00Z"],
                description="Nothing is sent before (RFC 3339). A time that is over is now.",
                extra_json_schema={"format": "date-time"},
            ),
        ]
        | None
    ) = None
    link: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=2_000,
                examples=["https://bank.example/top-up"],
                description="Where {link} in the notice leads: https, to a host that the policy allows.",
            ),
        ]
        | None
    ) = None
    dedupe_key: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=128,
                examples=["card-7 sub-77 2026-12-01"],
                description="Of all your alerts with the same key one is sent; the others are `suppressed`.",
            ),
        ]
        | None
    ) = None


class AlertBatchForm(Struct, frozen=True, forbid_unknown_fields=True):
    """Many notices, each by itself."""

    alerts: Annotated[
        list[Any],
        Meta(
            min_length=1,
            max_length=MOST_IN_BATCH,
            description="Each as the body of `POST /v1/alerts`. What is wrong with one is told in its place.",
        ),
    ]


class AlertResultBody(Struct, frozen=True, omit_defaults=True):
    """What became of one notice of a batch: an alert, or `errors`, with pointers below it, and nothing was stored."""

    status: str
    id: str | None = None
    reason: str | None = None
    errors: tuple[MistakeBody, ...] = ()


class AlertBatchBody(Struct, frozen=True):
    """What became of each, in their order; `accepted` are alerts, duplicates among them, `refused` are none."""

    accepted: int
    refused: int
    results: tuple[AlertResultBody, ...]


class AlertLinkBody(Struct, frozen=True):
    """The link of an alert: how often it was followed, by people as far as one can tell."""

    clicks: int
    first_clicked_at: str | None
    expires_at: str


class AlertBody(Struct, frozen=True):
    """An alert as it stands. What is personal is null once the payer was erased."""

    id: str
    kind: AlertKind
    status: AlertStatus
    reason: Annotated[
        str | None,
        Meta(
            description=(
                "Why it is `suppressed` (`duplicate`, `opted_out`, `quiet_hours`, `recovered`, `expired`, `erased`) or "
                "`failed`."
            )
        ),
    ]
    psu: PsuBody | None
    template: str | None
    channels: tuple[Channel, ...]
    deliveries: tuple[DeliveryBody, ...]
    dedupe_key: str | None
    topic: str | None
    send_at: str | None
    link: AlertLinkBody | None
    created_at: str
    expires_at: str


class AlertListBody(Struct, frozen=True):
    """A page of alerts, the newest first."""

    data: tuple[AlertBody, ...]
    next_cursor: str | None


def order_of(form: AlertForm) -> AlertOrder:
    """The order that a form stands for. Raises InvalidInput with every mistake."""
    mistakes = Mistakes()
    phone = form.psu.phone
    locale = mistakes.read("/psu/locale", lambda: locale_of(form.psu.locale))
    variables = {
        name: mistakes.read(
            f"/variables/{name}",
            lambda text=text: clean_text(text, pointer="", most=MOST_OF_A_VARIABLE),  # type: ignore[misc]
        )
        or ""
        for name, text in form.variables.items()
    }
    order = AlertOrder(
        psu_id=mistakes.read("/psu/id", lambda: psu_id_of(form.psu.id)) or "",
        template=form.template,
        lifetime_seconds=form.expires_in_s,
        phone=mistakes.read("/psu/phone", lambda: PhoneNumber.parse(phone) if phone is not None else None),
        locale=locale or "",
        variables=variables,
        channels=tuple(step.channel for step in form.channels or ()),
        dedupe_key=mistakes.read("/dedupe_key", lambda: _key(form.dedupe_key)) or "",
        send_at=mistakes.read("/send_at", lambda: _moment(form.send_at)),
        time_zone=mistakes.read("/psu/time_zone", lambda: _zone(form.psu.time_zone)) or "",
        link=form.link or "",
    )
    mistakes.refuse()
    return order


def _key(text: str | None) -> str:
    return clean_text(text, pointer="", most=128) if text is not None else ""


def _moment(text: str | None) -> int | None:
    return int(moment_of(text, "").timestamp() * 1000) if text is not None else None


def _zone(name: str | None) -> str:
    if name is not None and not is_zone(name):
        raise InvalidInput.at("", "must be a time zone such as Europe/Berlin")
    return name or ""


def order_in_batch(item: Any) -> AlertOrder:
    """The order that an item of a batch stands for. Raises InvalidInput with what is wrong with it."""
    try:
        form = msgspec.convert(item, AlertForm)
    except msgspec.ValidationError as error:
        raise mistake_of(error) from None
    return order_of(form)


def batch_body(told: Sequence[TakenIn | InvalidInput]) -> AlertBatchBody:
    """The body for what became of a batch."""
    results = tuple(
        AlertResultBody(
            "refused", errors=tuple(MistakeBody(one.pointer, one.detail) for one in result.mistakes)
        )
        if isinstance(result, InvalidInput)
        else AlertResultBody(result.status, result.id, result.reason or None)
        for result in told
    )
    refused = sum(isinstance(result, InvalidInput) for result in told)
    return AlertBatchBody(len(told) - refused, refused, results)


def alert_body(seen: SeenAlert) -> AlertBody:
    """The body for an alert."""
    alert, content = seen.alert, seen.content
    masked = content.masked if content else ""
    return AlertBody(
        id=alert.id,
        kind=alert.kind,
        status=alert.status,
        reason=alert.reason or None,
        psu=PsuBody(content.psu_id) if content and content.psu_id else None,
        template=content.template if content else None,
        channels=alert.channels,
        deliveries=tuple(
            _delivery(one, masked if one.channel.needs_phone else f"device …{alert.psu[-4:]}")
            for one in alert.deliveries
        ),
        dedupe_key=(content.dedupe_key or None) if content else None,
        topic=alert.topic or None,
        send_at=timestamp(alert.send_at) if alert.send_at else None,
        link=_link(seen.clicks) if seen.clicks else None,
        created_at=timestamp(alert.created_at),
        expires_at=timestamp(alert.expires_at),
    )


def _link(clicks: Clicks) -> AlertLinkBody:
    return AlertLinkBody(
        clicks.count,
        timestamp(clicks.first_at) if clicks.first_at else None,
        timestamp(clicks.expires_at),
    )


def _delivery(delivery: DeliveryState, to: str) -> DeliveryBody:
    return DeliveryBody(
        id=delivery.id,
        channel=delivery.channel,
        status=delivery.status,
        to=to,
        supplier=delivery.supplier or None,
        reason=delivery.reason or None,
        segments=delivery.segments or None,
        cost=_money(delivery.cost),
        queued_at=timestamp(delivery.queued_at),
        sent_at=timestamp(delivery.sent_at) if delivery.sent_at else None,
        final_at=timestamp(delivery.final_at) if delivery.final_at else None,
        route=_route(delivery),
    )


def _route(delivery: DeliveryState) -> RouteBody | None:
    if not delivery.route:
        return None
    record = _decode_route(delivery.route)
    return RouteBody(
        network=record.network or None,
        sender=record.sender or None,
        price=_money(record.price),
        reasons=record.reasons,
        passed_over=record.passed_over,
    )


def _money(text: str) -> AmountBody | None:
    currency, _, amount = text.partition(" ")
    return AmountBody(currency, amount) if text else None
