"""Wakes a payer's apps over the Apple Push Notification service."""

from joserfc.jwk import ECKey

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.push.apns.settings import KEY, Settings
from sca_service.delivery.channels.push.apns.wire import (
    body_of,
    headers_of,
    is_gone,
    is_signature_expired,
    signature,
    signing_key,
)
from sca_service.delivery.channels.push.device_words import DeviceWords
from sca_service.delivery.channels.push.fan_out import lifetime_seconds, refusal_of, to_every_device
from sca_service.delivery.channels.push.model import ApnsAddress
from sca_service.delivery.channels.push.wake_up import WakeUp
from sca_service.delivery.http_client import HttpAnswer
from sca_service.delivery.supplier import Accepted, Message
from sca_service.kernel.errors import ConfigurationError
from sca_service.policy.model import Channel

SIGNED_FOR_SECONDS = 40 * 60
"""How long a signature is used: Apple refuses one older than an hour, and new ones more often than every 20 minutes."""


class ApnsSupplier:
    """Carries push to apps over Apple. A class because it holds the key and the signature made with it."""

    channel = Channel.PUSH

    def __init__(self, context: Context, settings: Settings, key: ECKey) -> None:
        self.name = context.rule.name
        self._settings = settings
        self._key = key
        self._http = context.http
        self._clock = context.clock
        self._devices = context.devices
        self._words = DeviceWords(context)
        self._signed = ""
        self._signed_at = 0

    async def send(self, message: Message) -> Accepted:
        """Wake every app of the payer that Apple knows. Raises SupplierFailure."""
        wake_up = WakeUp.of(
            message,
            lifetime_seconds=lifetime_seconds(message, self._clock, otherwise=self._settings.notice_seconds),
            reply_to=self._words.reply_to(message.delivery_id),
            own=self._settings.titles,
        )

        async def hand_over(address: ApnsAddress) -> str | None:
            return await self._hand_over(wake_up, address)

        return await to_every_device(self._devices, message, ApnsAddress, hand_over)

    async def close(self) -> None:
        """Nothing is under way between two messages; the connections are the worker's."""

    async def _hand_over(self, wake_up: WakeUp, address: ApnsAddress) -> str | None:
        signed = self._signature()
        answer = await self._post(wake_up, address, signed)
        if is_signature_expired(answer):
            if (
                signed == self._signed
            ):  # its time is Apple's to judge; nothing was taken, so once more with a new one
                self._signed = ""
            answer = await self._post(wake_up, address, self._signature())
        if is_gone(answer):
            return None
        if answer.status != 200:
            raise refusal_of(answer)
        return answer.headers.get("apns-id", "")

    async def _post(self, wake_up: WakeUp, address: ApnsAddress, signed: str) -> HttpAnswer:
        now = self._clock.now_ms() // 1000
        headers = headers_of(wake_up, address, topic=self._settings.topic, signed=signed, now_seconds=now)
        url = f"{self._settings.url}/3/device/{address.device}"
        return await self._http.call("POST", url, headers=headers, body=body_of(wake_up))

    def _signature(self) -> str:
        now = self._clock.now_ms() // 1000
        if not self._signed or now - self._signed_at >= SIGNED_FOR_SECONDS:
            self._signed_at = now
            self._signed = signature(
                self._key, key_id=self._settings.key_id, team=self._settings.team, now_seconds=now
            )
        return self._signed


def build(context: Context) -> ApnsSupplier:
    """The supplier of a section. Raises ConfigurationError."""
    settings = context.settings(Settings)
    try:
        key = signing_key(context.secret(KEY).reveal())
    except ValueError as error:
        raise ConfigurationError(f"suppliers.toml:{context.rule.name}: key {error}") from error
    return ApnsSupplier(context, settings, key)
