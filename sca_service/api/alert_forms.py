"""Alerts as clients send and get them: the shapes of the contract, and how they become values."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from sca_service.alerts.desk import AlertOrder, SeenAlert
from sca_service.alerts.model import AlertKind, AlertStatus
from sca_service.api.forms import PsuForm
from sca_service.api.requests import Mistakes, locale_of, psu_id_of
from sca_service.api.responses import AmountBody, DeliveryBody, PsuBody, RouteBody
from sca_service.delivery.model import DeliveryState, RouteRecord
from sca_service.kernel.clock import timestamp
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


class AlertForm(Struct, frozen=True, forbid_unknown_fields=True):
    """A notice to a payer."""

    psu: PsuForm
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
        int, Meta(ge=60, le=MOST_SECONDS, description="Nothing is sent later than that.")
    ] = 86_400
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


class AlertBody(Struct, frozen=True):
    """An alert as it stands. What is personal is null once the payer was erased."""

    id: str
    kind: AlertKind
    status: AlertStatus
    reason: Annotated[
        str | None,
        Meta(
            description="Why it is `suppressed` (`duplicate`, `opted_out`, `expired`, `erased`) or `failed`."
        ),
    ]
    psu: PsuBody | None
    template: str | None
    channels: tuple[Channel, ...]
    deliveries: tuple[DeliveryBody, ...]
    dedupe_key: str | None
    created_at: str
    expires_at: str


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
    )
    mistakes.refuse()
    return order


def _key(text: str | None) -> str:
    return clean_text(text, pointer="", most=128) if text is not None else ""


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
        created_at=timestamp(alert.created_at),
        expires_at=timestamp(alert.expires_at),
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
