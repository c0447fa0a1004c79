"""What a client orders, and what is stored of it: checked, rendered, sealed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import msgspec

from sca_service.alerts.content import Content, addressed, channels_to, rendered, sealed
from sca_service.alerts.links.model import checked_url, link_id, new_link
from sca_service.alerts.model import AlertKind, NewAlert
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import PhoneNumber
from sca_service.policy.model import Channel, Policy
from sca_service.policy.notices import LINE_REPLACED, LINK, Notice

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class AlertOrder:
    """A notice that a client wants to be sent. `channels` is empty where the number decides; `dedupe_key` "" for none.

    `variables` are what the notice leaves open, `link` where its link leads. `send_at` is Unix time in milliseconds,
    None for at once; `time_zone` an IANA name, "" where the number or the policy says it.
    """

    psu_id: str = field(repr=False)
    template: str
    lifetime_seconds: int
    phone: PhoneNumber | None = None
    locale: str = ""
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    channels: tuple[Channel, ...] = ()
    dedupe_key: str = field(default="", repr=False)
    send_at: int | None = None
    time_zone: str = ""
    link: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class OrderBook:
    """Makes alerts of orders. `links_at` is where links begin, such as `https://sca.bank.example/l/`."""

    policy: Policy
    keyring: Keyring
    links_at: str

    def checked(self, order: AlertOrder, now_ms: int) -> None:
        """Raises InvalidInput for a notice, variables, channels, a number, a time or a link that do not fit."""
        notice = self._notice(order)
        if order.variables.keys() != notice.variables:
            wanted = ", ".join(sorted(notice.variables)) or "nothing"
            raise InvalidInput.at("/variables", f"must be what this notice leaves open: {wanted}")
        _check_channels(order)
        rules = self.policy.alerts.notices
        if order.send_at is not None and order.send_at > now_ms + rules.most_days_ahead * _DAY_MS:
            raise InvalidInput.at("/send_at", f"must be at most {rules.most_days_ahead} days ahead")
        if notice.has_link != bool(order.link):
            said = "is required by this notice" if notice.has_link else "has no place in this notice"
            raise InvalidInput.at("/link", said)
        if order.link:
            try:
                checked_url(rules.links, order.link)
            except InvalidInput as wrong:
                raise InvalidInput.at("/link", wrong.mistakes[0].detail) from None

    def new_alert(self, client: str, order: AlertOrder, alert_id: str) -> NewAlert:
        """The alert to be stored for an order that was checked."""
        rules = self.policy.alerts.notices
        channels = order.channels or (channels_to(order.phone) if order.phone else ())
        values = dict(order.variables)
        if order.link:
            values[LINK] = self.links_at + link_id(self.keyring, alert_id)
        content = rendered(self.policy, order.template, locale=order.locale, channels=channels, values=values)
        if order.phone:
            content = addressed(content, order.phone)
        content = msgspec.structs.replace(content, psu_id=order.psu_id, dedupe_key=order.dedupe_key)
        key = order.dedupe_key or alert_id
        return NewAlert(
            id=alert_id,
            client=client,
            psu=self.keyring.pseudonym("payer", client, order.psu_id),
            kind=AlertKind.NOTICE,
            dedupe=self.keyring.pseudonym("alert", AlertKind.NOTICE, client, key),
            channels=channels,
            lifetime_ms=order.lifetime_seconds * 1000,
            sealed=sealed(self.keyring, content, alert_id),
            seal_bare=partial(_sealed_bare, self.keyring, content, alert_id),
            topic=rules.topic_of(order.template),
            time_zone=order.time_zone,
            send_at=order.send_at,
            link=new_link(self.keyring, rules.links, alert_id, order.link) if order.link else None,
        )

    def _notice(self, order: AlertOrder) -> Notice:
        notices = self.policy.texts.language_for(order.locale).notices
        notice: Notice | None = notices.get(order.template) if order.template != LINE_REPLACED else None
        if notice is None:
            raise InvalidInput.at("/template", "must be a notice of the policy that clients may send")
        return notice


def _check_channels(order: AlertOrder) -> None:
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


def _sealed_bare(keyring: Keyring, content: Content, alert_id: str) -> str:
    return sealed(keyring, content.bare, alert_id)
