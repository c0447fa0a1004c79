"""Hands messages to browsers, each over the push service that the browser named."""

import os

from cryptography.hazmat.primitives.asymmetric import ec

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.push.addresses import is_push_service
from sca_service.delivery.channels.push.device_words import DeviceWords
from sca_service.delivery.channels.push.fan_out import lifetime_seconds, refusal_of, to_every_device
from sca_service.delivery.channels.push.model import WebPushAddress
from sca_service.delivery.channels.push.web_push.settings import VAPID_KEY, Settings
from sca_service.delivery.channels.push.web_push.wire import (
    MOST_PLAIN_BYTES,
    Vapid,
    content_of,
    encrypted,
    origin_of,
    padding_for,
    topic_of,
)
from sca_service.delivery.channels.titles import titles_for
from sca_service.delivery.supplier import Accepted, FailureReason, Message, SupplierFailure
from sca_service.kernel.errors import ConfigurationError
from sca_service.policy.model import Channel

SIGNED_FOR_SECONDS = 12 * 3_600
"""How long a VAPID signature is good for; RFC 8292 allows 24 hours. It is made anew at half that time."""


class WebPushSupplier:
    """Carries push to browsers. A class because it holds the key and the signatures made with it."""

    channel = Channel.PUSH

    def __init__(self, context: Context, settings: Settings, vapid: Vapid) -> None:
        self.name = context.rule.name
        self._settings = settings
        self._vapid = vapid
        self._http = context.http
        self._clock = context.clock
        self._devices = context.devices
        self._words = DeviceWords(context)
        self._signed: dict[str, tuple[int, str]] = {}

    @property
    def public_key(self) -> str:
        """What browsers subscribe with (`applicationServerKey`)."""
        return self._vapid.public

    async def send(self, message: Message) -> Accepted:
        """Encrypt the message for each browser of the payer and hand it over. Raises SupplierFailure."""
        titles = titles_for(message.locale, self._settings.titles)
        title = titles.approval if message.occasion else titles.notice
        plain = content_of(message, title, self._words.reply_to(message.delivery_id))
        if len(plain) > MOST_PLAIN_BYTES:
            raise SupplierFailure(FailureReason.REJECTED, transient=False)
        headers = {
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(lifetime_seconds(message, self._clock, otherwise=self._settings.notice_seconds)),
            "Urgency": "high" if message.occasion else "normal",
            "Topic": topic_of(message.delivery_id),
        }

        async def hand_over(address: WebPushAddress) -> str | None:
            return await self._hand_over(address, plain, headers)

        return await to_every_device(self._devices, message, WebPushAddress, hand_over)

    async def close(self) -> None:
        """Nothing is under way between two messages; the connections are the worker's."""

    async def _hand_over(self, address: WebPushAddress, plain: bytes, headers: dict[str, str]) -> str | None:
        if not is_push_service(address.endpoint, self._settings.push_services):
            # The list has become shorter since it registered. It stays known: that may have been a mistake.
            raise SupplierFailure(FailureReason.NO_DEVICE, transient=True)
        body = encrypted(
            plain,
            address,
            ours=ec.generate_private_key(ec.SECP256R1()),
            salt=os.urandom(16),
            padding=padding_for(len(plain)),
        )
        signed = {**headers, "Authorization": self._authorization(origin_of(address.endpoint))}
        answer = await self._http.call("POST", address.endpoint, headers=signed, body=body)
        if answer.status in (404, 410):  # RFC 8030 section 7.3
            return None
        if answer.status not in (200, 201, 202):
            raise refusal_of(answer)
        return answer.headers.get("location", "")

    def _authorization(self, origin: str) -> str:
        """The signature for a push service; there are few of them, and each costs an elliptic curve's signature."""
        now = self._clock.now_ms() // 1000
        until, signed = self._signed.get(origin, (0, ""))
        if until - now < SIGNED_FOR_SECONDS // 2:
            until = now + SIGNED_FOR_SECONDS
            signed = self._vapid.authorization(
                origin=origin, contact=self._settings.contact, until_seconds=until
            )
            if len(self._signed) >= 1_000:  # `*.notify.windows.com` has many hosts, not without end
                self._signed.clear()
            self._signed[origin] = (until, signed)
        return signed


def build(context: Context) -> WebPushSupplier:
    """The supplier of a section. Raises ConfigurationError."""
    settings = context.settings(Settings)
    try:
        vapid = Vapid.parse(context.secret(VAPID_KEY).reveal())
    except ValueError as error:
        raise ConfigurationError(f"suppliers.toml:{context.rule.name}: vapid_key {error}") from error
    return WebPushSupplier(context, settings, vapid)
