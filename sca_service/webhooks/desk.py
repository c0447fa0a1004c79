"""Where a client's endpoints are created, changed, tried out and replayed; every change is an audit event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

from sca_service.audit.model import AuditEvent
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import InvalidInput, NotFound, ScaError
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.policy.webhooks import WebhookPolicy
from sca_service.webhooks.announcements import TEST, payload
from sca_service.webhooks.caller import url_mistake
from sca_service.webhooks.model import Attempt, Endpoint, EndpointStatus, Message, MessageStatus, Scheme
from sca_service.webhooks.outbox.postgres_store import NewMessage
from sca_service.webhooks.postgres_store import EndpointStore, MessageFilter
from sca_service.webhooks.signature import SigningKeys

Found = TypeVar("Found")

MOST_REPLAYED = 1000
"""Messages of one replay."""

Origin = Mapping[str, Any]
"""The members of an event that say who asked: actor, request, policy."""


class WebhookDisabled(ScaError):
    """The endpoint is disabled: nothing is sent to it before it is enabled."""

    code = "webhook-disabled"
    title = "The webhook endpoint is disabled"
    meaning = (
        "Nothing is sent to a disabled endpoint. `reason` says why it is: `client` (you), `gone` (it answered 410) or "
        "`failing` (nothing arrived for days). Enable it with PATCH and `status: active`, then replay what it missed."
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client wants changed of an endpoint; None stays as it is."""

    url: str | None = None
    description: str | None = None
    types: tuple[str, ...] | None = None
    status: EndpointStatus | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """An endpoint with its keys."""

    endpoint: Endpoint
    keys: SigningKeys


class WebhookDesk:
    """Keeps clients' endpoints. A class because it holds the store and the keyring."""

    def __init__(
        self,
        *,
        store: EndpointStore,
        keyring: Keyring,
        policy: WebhookPolicy,
        clock: Clock,
        sandbox: bool,
    ) -> None:
        """In the `sandbox` an endpoint may be on this machine, without TLS."""
        self._store = store
        self._keyring = keyring
        self._policy = policy
        self._clock = clock
        self._sandbox = sandbox

    async def create(
        self, client: str, wanted: Wanted, scheme: Scheme, origin: Origin, *, unique: str | None
    ) -> Opened:
        """A new endpoint; the same `unique` name gives the same again. Raises InvalidInput, StoreUnavailable."""
        endpoint_id, keys = f"whk_{unique}" if unique else new_id("whk"), SigningKeys.new(scheme)
        url = self._checked(wanted.url or "")
        endpoint = Endpoint(
            id=endpoint_id,
            client=client,
            url=url,
            description=wanted.description or "",
            types=wanted.types or (),
            scheme=scheme,
            sealed=keys.sealed(self._keyring, endpoint_id),
            status=EndpointStatus.ACTIVE,
            reason="",
            created_at=datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC),
        )
        event = self._event("webhook.created", endpoint, origin, host=urlsplit(url).hostname or "")
        stored = await self._store.add(endpoint, event, most=self._policy.most_endpoints)
        if stored is None:
            most = self._policy.most_endpoints
            raise InvalidInput.at("", f"there are {most} endpoints already: the policy has no more")
        return self._opened(stored)

    async def get(self, client: str, endpoint: str) -> Opened:
        """A client's endpoint. Raises NotFound, StoreUnavailable."""
        return self._opened(await self._endpoint(client, endpoint))

    async def all_of(self, client: str) -> list[Opened]:
        """All of a client's endpoints; the policy bounds how many there are. Raises StoreUnavailable."""
        return [self._opened(one) for one in await self._store.all_of(client)]

    async def change(self, client: str, endpoint: str, wanted: Wanted, origin: Origin) -> Opened:
        """Change an endpoint, on record. Raises InvalidInput, NotFound, StoreUnavailable."""
        url = self._checked(wanted.url) if wanted.url is not None else None
        name = _name(endpoint)

        def decide(before: Endpoint) -> tuple[Endpoint, AuditEvent | None]:
            after = replace(
                before,
                url=before.url if url is None else url,
                description=before.description if wanted.description is None else wanted.description,
                types=before.types if wanted.types is None else wanted.types,
                status=wanted.status or before.status,
            )
            if after == before:
                return before, None
            kind = "webhook.changed"
            if after.status is not before.status:
                kind = "webhook.enabled" if after.status is EndpointStatus.ACTIVE else "webhook.disabled"
            reason = {"reason": "client"} if kind == "webhook.disabled" else {}
            return after, self._event(kind, after, origin, host=urlsplit(after.url).hostname or "", **reason)

        return self._opened(_there(await self._store.change(name, client, decide)))

    async def rotate(self, client: str, endpoint: str, origin: Origin) -> Opened:
        """A new key; the one before signs beside it for the policy's hours. Raises NotFound, StoreUnavailable."""
        name, ends_at_ms = _name(endpoint), self._clock.now_ms() + self._policy.overlap_hours * 3_600_000

        def decide(before: Endpoint) -> tuple[Endpoint, AuditEvent | None]:
            keys = self._opened(before).keys.rotated(before_ends_at_ms=ends_at_ms)
            after = replace(before, sealed=keys.sealed(self._keyring, before.id))
            return after, self._event("webhook.rotated", after, origin)

        return self._opened(_there(await self._store.change(name, client, decide)))

    async def delete(self, client: str, endpoint: str, origin: Origin) -> None:
        """Delete an endpoint with what waits for it. Raises NotFound, StoreUnavailable."""
        found = await self._endpoint(client, endpoint)
        if not await self._store.delete(endpoint, client, self._event("webhook.deleted", found, origin)):
            raise NotFound

    async def test(self, client: str, endpoint: str) -> Message:
        """Send an endpoint a message of the type `webhook.test`. Raises NotFound, WebhookDisabled, StoreUnavailable."""
        await self._active(client, endpoint)
        now_ms, message_id = self._clock.now_ms(), new_id("msg")
        body = payload(TEST, now_ms, {"webhook": endpoint})
        message = NewMessage(message_id, endpoint, TEST, message_id, now_ms, body)
        return _there(await self._store.put(message))

    async def messages(
        self, client: str, endpoint: str, wanted: MessageFilter, *, before: int | None, most: int
    ) -> tuple[Sequence[Message], int | None]:
        """A page of the messages to an endpoint, and where the next begins. Raises NotFound, StoreUnavailable."""
        await self._endpoint(client, endpoint)
        return await self._store.messages(endpoint, wanted, before=before, most=most)

    async def message(self, client: str, endpoint: str, message: str) -> tuple[Message, Sequence[Attempt]]:
        """A message with every call of it. Raises NotFound, StoreUnavailable."""
        await self._endpoint(client, endpoint)
        found = _there(await self._store.message(_name(message), endpoint))
        return found, await self._store.attempts(message)

    async def replay(self, client: str, endpoint: str, message: str) -> int:
        """Send a settled message once more, under the id it has; 0 for one that waits anyway.

        Raises NotFound, WebhookDisabled, StoreUnavailable.
        """
        await self._active(client, endpoint)
        _there(await self._store.message(_name(message), endpoint))
        return await self._store.replay([message])

    async def replay_range(
        self, client: str, endpoint: str, since: datetime, until: datetime, status: MessageStatus | None
    ) -> int:
        """Send the settled messages once more that tell of what happened in a time; how many.

        Raises NotFound, InvalidInput when there are too many, WebhookDisabled, StoreUnavailable.
        """
        await self._active(client, endpoint)
        found = await self._store.to_replay(endpoint, since, until, status, most=MOST_REPLAYED + 1)
        if len(found) > MOST_REPLAYED:
            raise InvalidInput.at(
                "/to", f"there are more than {MOST_REPLAYED} messages in this time: take it in parts"
            )
        return await self._store.replay(found)

    async def _endpoint(self, client: str, endpoint: str) -> Endpoint:
        return _there(await self._store.get(_name(endpoint), client))

    async def _active(self, client: str, endpoint: str) -> None:
        if (await self._endpoint(client, endpoint)).status is not EndpointStatus.ACTIVE:
            raise WebhookDisabled

    def _checked(self, url: str) -> str:
        mistake = url_mistake(url, sandbox=self._sandbox)
        if mistake:
            raise InvalidInput.at("/url", mistake)
        return url

    def _opened(self, endpoint: Endpoint) -> Opened:
        keys = SigningKeys.opened(self._keyring, endpoint.sealed, endpoint.id, endpoint.scheme)
        return Opened(endpoint, keys)

    def _event(self, kind: str, endpoint: Endpoint, origin: Origin, **more: str) -> AuditEvent:
        """Of a URL only the host is put on record: its path may be a secret."""
        members = {"client": endpoint.client, **origin, "webhook": endpoint.id, **more}
        return AuditEvent.create(
            event_id=new_id("evt"), kind=kind, at_ms=self._clock.now_ms(), members=members
        )


def _name(text: str) -> str:
    """An id as it was asked for. Raises NotFound for a text that cannot be one: PostgreSQL takes no NUL."""
    if "\0" in text:
        raise NotFound
    return text


def _there(found: Found | None) -> Found:
    if found is None:
        raise NotFound
    return found
