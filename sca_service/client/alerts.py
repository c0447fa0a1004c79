"""Alerts: notices without a code."""

from collections.abc import Mapping, Sequence
from typing import Any, Required, TypedDict

import msgspec

from sca_service.client.call import Call, Page, quoted
from sca_service.client.shapes import Delivery, Psu


class Mistake(msgspec.Struct, frozen=True):
    """What is wrong with one member of a request."""

    pointer: str
    detail: str


class AlertResult(msgspec.Struct, frozen=True):
    """What became of one alert of a batch: its `alert`, or why there is none."""

    status: str
    id: str | None = None
    reason: str | None = None
    errors: tuple[Mistake, ...] = ()


class AlertBatch(msgspec.Struct, frozen=True):
    """What became of each alert of a batch, in the order they were sent in."""

    accepted: int
    refused: int
    results: tuple[AlertResult, ...]


class AlertLink(msgspec.Struct, frozen=True):
    """Where a notice's link leads, and whether it was followed."""

    clicks: int
    first_clicked_at: str | None
    expires_at: str


class Alert(msgspec.Struct, frozen=True):
    """A message without a code."""

    id: str
    kind: str
    status: str
    reason: str | None
    psu: Psu | None
    template: str | None
    channels: tuple[str, ...]
    deliveries: tuple[Delivery, ...]
    dedupe_key: str | None
    topic: str | None
    send_at: str | None
    link: AlertLink | None
    created_at: str
    expires_at: str


class AlertPsuForm(TypedDict, total=False):
    """The payer an alert goes to."""

    id: Required[str]
    phone: str | None
    locale: str | None
    time_zone: str | None


class AlertStepForm(TypedDict, total=False):
    """One channel of an alert."""

    channel: Required[str]


def send(
    *,
    psu: AlertPsuForm,
    template: str,
    kind: str | None = None,
    variables: Mapping[str, str] | None = None,
    channels: Sequence[AlertStepForm] | None = None,
    expires_in_s: int | None = None,
    send_at: str | None = None,
    link: str | None = None,
    dedupe_key: str | None = None,
) -> Call[Alert]:
    """Send a notice.

    A message without a code: a text of the policy's `notices`, with what it leaves open. It is durable
    when this answers, and sent within the second unless the payer does not want it or is not to be
    disturbed, or it was ordered for later. Of all alerts with one `dedupe_key` one is sent. Accepts an
    `Idempotency-Key`.
    """
    return Call(
        "POST",
        "/v1/alerts",
        Alert,
        body={
            "psu": psu,
            "template": template,
            "kind": kind,
            "variables": variables,
            "channels": channels,
            "expires_in_s": expires_in_s,
            "send_at": send_at,
            "link": link,
            "dedupe_key": dedupe_key,
        },
    )


def send_batch(*, alerts: Sequence[Any]) -> Call[AlertBatch]:
    """Send many notices.

    Up to 1,000, each as for `POST /v1/alerts`, in a body of at most 2 MiB. What is wrong with one is told
    in its place and stops no other. All that were taken in are durable when this answers. After a 503 some
    may be: send it again with the same `Idempotency-Key`, and each is there once.
    """
    return Call("POST", "/v1/alerts/batch", AlertBatch, body={"alerts": alerts})


def read(alert_id: str) -> Call[Alert]:
    """An alert as it stands."""
    return Call("GET", f"/v1/alerts/{quoted(alert_id)}", Alert)


def find(*, psu: str | None = None, status: str | None = None, limit: int | None = None) -> Call[Page[Alert]]:
    """Alerts, the newest first."""
    return Call("GET", "/v1/alerts", Page[Alert], query={"psu": psu, "status": status, "limit": limit})
