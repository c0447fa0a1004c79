"""Fills the outbox from the log: what a follower of the log makes of each event, for each endpoint that wants it."""

from collections.abc import Sequence

from sca_service.audit.following.model import LoggedEvent
from sca_service.kernel.ids import new_id
from sca_service.webhooks.announcements import Announcement, announcement_of
from sca_service.webhooks.outbox import postgres_store as store
from sca_service.webhooks.outbox.postgres_store import NewMessage, Subscriber


async def fill(connection: store.Connection, events: Sequence[LoggedEvent]) -> None:
    """Put the messages about events into the outbox, within the transaction that the follower holds."""
    announced = [told for event in events if (told := announcement_of(event)) is not None]
    if announced:
        await store.add(connection, messages_about(announced, await store.subscribers(connection)))


def messages_about(announced: Sequence[Announcement], subscribers: Sequence[Subscriber]) -> list[NewMessage]:
    """The messages, in the order of the log, one for each endpoint that hears of it."""
    return [
        new_message(told, one.id)
        for told in announced
        for one in subscribers
        if told.is_for(one.client, one.scopes, one.types)
    ]


def new_message(told: Announcement, endpoint: str) -> NewMessage:
    """One message to one endpoint; its id is the `webhook-id` of every call."""
    return NewMessage(
        id=new_id("msg"),
        endpoint=endpoint,
        type=told.type,
        subject=told.subject,
        at_ms=told.at_ms,
        body=told.body,
        once=told.once,
    )
