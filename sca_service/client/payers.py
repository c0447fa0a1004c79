"""Payers: whether one is blocked, what reaches their browser, which alerts they want."""

from collections.abc import Mapping
from typing import Required, TypedDict

import msgspec

from sca_service.client.call import NOTHING, Call, Page, quoted


class TopicConsent(msgspec.Struct, frozen=True):
    """Whether a payer wants alerts of one topic."""

    topic: str
    granted: bool
    said_at: str | None


class AlertConsent(msgspec.Struct, frozen=True):
    """Which alerts a payer wants, and when."""

    topics: tuple[TopicConsent, ...]


class Payer(msgspec.Struct, frozen=True):
    """Whether a payer is blocked, until when, and how many failures count."""

    id: str
    blocked: bool
    blocked_until: str | None
    failures: int


class PushKeysForm(TypedDict, total=False):
    """The keys that a message to a browser is encrypted to (RFC 8291)."""

    p256dh: Required[str]
    auth: Required[str]


class PushSubscription(msgspec.Struct, frozen=True):
    """A browser or app that messages can be pushed to."""

    id: str
    kind: str
    to: str
    registered_at: str
    used_at: str | None


def read(psu_id: str) -> Call[Payer]:
    """Whether a payer is blocked."""
    return Call("GET", f"/v1/psus/{quoted(psu_id)}", Payer)


def unblock(psu_id: str, *, reason: str, client: str | None = None) -> Call[Payer]:
    """Lift a payer's block. Goes on record with the reason. An operator names the `client` whose payer it is."""
    return Call(
        "POST", f"/v1/psus/{quoted(psu_id)}/unblock", Payer, body={"reason": reason, "client": client}
    )


def push_subscriptions(psu_id: str) -> Call[Page[PushSubscription]]:
    """A payer's devices for push.

    All of them: there are at most ten. One that its push service no longer knows is gone by itself.
    """
    return Call("GET", f"/v1/psus/{quoted(psu_id)}/push-subscriptions", Page[PushSubscription])


def add_push_subscription(
    psu_id: str,
    *,
    kind: str,
    endpoint: str | None = None,
    keys: PushKeysForm | None = None,
    registration: str | None = None,
    device: str | None = None,
) -> Call[PushSubscription]:
    """Register a payer's device for push.

    The same device again keeps its id, so an app may register whenever it starts. A device belongs to the
    payer who registered it last. A payer has at most ten; one more puts out the one that registered
    longest ago. Accepts an `Idempotency-Key`.
    """
    return Call(
        "POST",
        f"/v1/psus/{quoted(psu_id)}/push-subscriptions",
        PushSubscription,
        body={
            "kind": kind,
            "endpoint": endpoint,
            "keys": keys,
            "registration": registration,
            "device": device,
        },
    )


def remove_push_subscription(psu_id: str, subscription_id: str) -> Call[None]:
    """Forget a payer's device."""
    return Call("DELETE", f"/v1/psus/{quoted(psu_id)}/push-subscriptions/{quoted(subscription_id)}", NOTHING)


def alert_consent(psu_id: str) -> Call[AlertConsent]:
    """Which notices a payer wants."""
    return Call("GET", f"/v1/psus/{quoted(psu_id)}/alert-consent", AlertConsent)


def put_alert_consent(psu_id: str, *, topics: Mapping[str, bool]) -> Call[AlertConsent]:
    """Say which notices a payer wants.

    Goes on record where it is news. A STOP that the payer sent by text holds all the same.
    """
    return Call("PUT", f"/v1/psus/{quoted(psu_id)}/alert-consent", AlertConsent, body={"topics": topics})
