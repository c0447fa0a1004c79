"""Hands text messages to Twilio."""

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.sms.call_back import DeliveryUrls
from sca_service.delivery.channels.sms.twilio_messages import wire
from sca_service.delivery.channels.sms.twilio_messages.settings import Settings
from sca_service.delivery.http_client import HttpClient
from sca_service.delivery.supplier import Accepted, Message, Supplier
from sca_service.kernel.clock import Clock
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel


class TwilioMessages:
    """One Twilio account. A class because it holds the credentials and the shared client.

    Twilio takes no reference of ours and knows no repeated request: the delivery stands in the call-back's URL.
    """

    channel = Channel.SMS

    def __init__(
        self,
        name: str,
        *,
        settings: Settings,
        authorization: Secret[str],
        urls: DeliveryUrls,
        context: Context,
    ) -> None:
        self.name = name
        self._settings = settings
        self._url = wire.url(settings)
        self._authorization = authorization
        self._urls = urls
        self._http: HttpClient = context.http
        self._clock: Clock = context.clock

    async def send(self, message: Message) -> Accepted:
        """Hand over one message. Raises SupplierFailure."""
        body = wire.form(
            self._settings,
            message,
            status_url=self._urls.named(message.delivery_id),
            now_ms=self._clock.now_ms(),
        )
        headers = {"Content-Type": wire.CONTENT_TYPE, "Authorization": self._authorization.reveal()}
        answer = await self._http.call("POST", self._url, headers=headers, body=body)
        return wire.accepted(answer, message.text.reveal())

    async def close(self) -> None:
        """Nothing of its own is open."""


def build(context: Context) -> Supplier:
    """The supplier of a section. Raises ConfigurationError."""
    settings = context.settings(Settings)
    if "api_key_sid" in context.secrets:
        username, password = context.secret("api_key_sid").reveal(), context.secret("api_key_secret").reveal()
    else:
        username, password = settings.account_sid, context.secret("auth_token").reveal()
    urls = DeliveryUrls(supplier=context.rule.name, public_url=context.public_url, keyring=context.keyring)
    authorization = Secret(wire.authorization(username, password))
    return TwilioMessages(
        context.rule.name, settings=settings, authorization=authorization, urls=urls, context=context
    )
