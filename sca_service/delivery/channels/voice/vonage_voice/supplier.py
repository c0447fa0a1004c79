"""Hands messages to Vonage as calls."""

import secrets

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.rsa_jwt import RsaJwtSigner
from sca_service.delivery.channels.voice.call_urls import Step
from sca_service.delivery.channels.voice.vonage_voice.receipts import Speaker
from sca_service.delivery.channels.voice.vonage_voice.settings import Settings
from sca_service.delivery.channels.voice.vonage_voice.wire import Call, Created
from sca_service.delivery.http_client import failure_of, read_json, unreadable
from sca_service.delivery.supplier import Accepted, Message, Supplier
from sca_service.policy.model import Channel

_JWT_SECONDS = 60


class VonageVoiceSupplier:
    """Makes calls over Vonage. A class because it holds the application's key and settings.

    Vonage has no key that makes a repeated request recognisable: the dispatcher repeats only what surely was not taken.
    """

    channel = Channel.VOICE

    def __init__(self, context: Context) -> None:
        """Raises ConfigurationError."""
        self.name = context.rule.name
        self._settings = context.settings(Settings)
        self._http = context.http
        self._clock = context.clock
        self._signer = RsaJwtSigner(context.secret("private_key"), section=self.name)
        self._speaker = Speaker(context)

    async def send(self, message: Message) -> Accepted:
        """Begin one call; returns once Vonage has taken it. Raises SupplierFailure."""
        settings = self._settings
        call = Call(
            to=message.to.reveal(),
            caller=message.sender.id if message.sender else settings.caller,
            ncco=self._speaker.ncco(message, heard=1),
            event_url=self._speaker.urls.url(message.delivery_id, Step.STATUS),
            ring_seconds=settings.ring_seconds,
            longest_call_seconds=settings.longest_call_seconds,
        )
        answer = await self._http.call(
            "POST",
            f"{settings.base_url.rstrip('/')}/v1/calls",
            headers={"Authorization": self._authorization(), "Content-Type": "application/json"},
            body=call.body(),
        )
        if failure := failure_of(answer):
            raise failure
        created = read_json(answer, Created)
        if not created.uuid:
            raise unreadable()
        return Accepted(created.uuid, segments=1, cost=None)

    async def close(self) -> None:
        """Nothing: the connections are shared."""

    def _authorization(self) -> str:
        now = self._clock.now_ms() // 1000
        claims = {
            "application_id": self._settings.application_id,
            "iat": now,
            "exp": now + _JWT_SECONDS,
            "jti": secrets.token_hex(16),
        }
        return f"Bearer {self._signer.sign(claims).reveal()}"


def build(context: Context) -> Supplier:
    """The supplier of a section. Raises ConfigurationError."""
    return VonageVoiceSupplier(context)
