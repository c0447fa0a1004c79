"""Take alerts in, and tell how they stand: the one place with the control flow."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from sca_service.alerts.content import Content, addressed, channels_to, opened, rendered, sealed
from sca_service.alerts.model import Alert, AlertKind, NewAlert
from sca_service.alerts.postgres_store import AlertStore, Origin
from sca_service.kernel.errors import InvalidInput, NotFound
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import PhoneNumber
from sca_service.policy.model import Channel, Policy
from sca_service.policy.notices import LINE_REPLACED, Notice

_ID = re.compile(r"alt_[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class AlertOrder:
    """A notice that a client wants to be sent. `channels` is empty where the number decides; `dedupe_key` "" for none.

    `variables` are what the notice leaves open.
    """

    psu_id: str = field(repr=False)
    template: str
    lifetime_seconds: int
    phone: PhoneNumber | None = None
    locale: str = ""
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    channels: tuple[Channel, ...] = ()
    dedupe_key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class SeenAlert:
    """An alert as its client sees it; `content` is None once its payer was erased."""

    alert: Alert
    content: Content | None


class AlertDesk:
    """Queues alerts. A class because it holds the store, the texts and the keys."""

    def __init__(self, *, policy: Policy, keyring: Keyring, store: AlertStore) -> None:
        self._policy = policy
        self._keyring = keyring
        self._store = store

    async def queue(
        self, client: str, order: AlertOrder, origin: Origin, *, unique: str | None = None
    ) -> SeenAlert:
        """Queue a notice; durable when this returns. One whose key was used before is suppressed as a duplicate.

        `unique` names a repeated request. Raises InvalidInput with every mistake, StoreUnavailable.
        """
        self._check(order)
        channels = order.channels or (channels_to(order.phone) if order.phone else ())
        alert_id = f"alt_{unique}" if unique else new_id("alt")
        content = rendered(
            self._policy, order.template, locale=order.locale, channels=channels, values=order.variables
        )
        if order.phone:
            content = addressed(content, order.phone)
        content = msgspec.structs.replace(content, psu_id=order.psu_id, dedupe_key=order.dedupe_key)
        key = order.dedupe_key or alert_id
        queued = await self._store.add(
            NewAlert(
                id=alert_id,
                client=client,
                psu=self._keyring.pseudonym("payer", client, order.psu_id),
                kind=AlertKind.NOTICE,
                dedupe=self._keyring.pseudonym("alert", AlertKind.NOTICE, client, key),
                channels=channels,
                lifetime_ms=order.lifetime_seconds * 1000,
                sealed=sealed(self._keyring, content, alert_id),
                sealed_bare=sealed(self._keyring, content.bare, alert_id),
            ),
            origin,
        )
        return self._seen(queued)

    async def get(self, client: str, alert_id: str) -> SeenAlert:
        """One of a client's alerts. Raises NotFound, StoreUnavailable."""
        found = await self._store.get(alert_id, client) if _ID.fullmatch(alert_id) else None
        if found is None:
            raise NotFound
        return self._seen(found)

    def _check(self, order: AlertOrder) -> None:
        """Raises InvalidInput for a notice, variables, channels or a number that do not fit."""
        notices = self._policy.texts.language_for(order.locale).notices
        notice: Notice | None = notices.get(order.template) if order.template != LINE_REPLACED else None
        if notice is None:
            raise InvalidInput.at("/template", "must be a notice of the policy that clients may send")
        if order.variables.keys() != notice.variables:
            wanted = ", ".join(sorted(notice.variables)) or "nothing"
            raise InvalidInput.at("/variables", f"must be what this notice leaves open: {wanted}")
        if len(set(order.channels)) < len(order.channels):
            raise InvalidInput.at("/channels", "must name every channel once")
        if Channel.EMAIL in order.channels:
            raise InvalidInput.at("/channels", "must not name email: a notice has no text for it")
        wants_phone = not order.channels or any(one.needs_phone for one in order.channels)
        if wants_phone and order.phone is None:
            raise InvalidInput.at("/psu/phone", "is required for these channels")
        texts = [one for one in order.channels if one.needs_phone and one is not Channel.VOICE]
        if texts and order.phone and not order.phone.can_receive_text:
            raise InvalidInput.at("/psu/phone", "must be a number that receives texts, or be called")

    def _seen(self, alert: Alert) -> SeenAlert:
        return SeenAlert(alert, opened(self._keyring, alert.sealed, alert.id) if alert.sealed else None)
