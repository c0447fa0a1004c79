"""Hands text messages to Kaleyra."""

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.sms.call_back import DeliveryUrls
from sca_service.delivery.channels.sms.kaleyra import wire
from sca_service.delivery.channels.sms.kaleyra.settings import Settings
from sca_service.delivery.http_client import HttpClient
from sca_service.delivery.supplier import Accepted, Message, Supplier
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel


class Kaleyra:
    """One Kaleyra account. A class because it holds the key and the shared client.

    Kaleyra knows no repeated request (no idempotency key is documented): `ref` lets its reports be matched.
    """

    channel = Channel.SMS

    def __init__(
        self, name: str, *, settings: Settings, api_key: Secret[str], urls: DeliveryUrls, http: HttpClient
    ) -> None:
        self.name = name
        self._settings = settings
        self._url = wire.url(settings)
        self._api_key = api_key
        self._urls = urls
        self._http = http

    async def send(self, message: Message) -> Accepted:
        """Hand over one message. Raises SupplierFailure."""
        body = wire.form(self._settings, message, self._urls.proven(message.delivery_id))
        headers = {"Content-Type": wire.CONTENT_TYPE, wire.API_KEY_HEADER: self._api_key.reveal()}
        answer = await self._http.call("POST", self._url, headers=headers, body=body)
        return wire.accepted(answer, message.text.reveal())

    async def close(self) -> None:
        """Nothing of its own is open."""


def build(context: Context) -> Supplier:
    """The supplier of a section. Raises ConfigurationError."""
    settings = context.settings(Settings)
    urls = DeliveryUrls(supplier=context.rule.name, public_url=context.public_url, keyring=context.keyring)
    return Kaleyra(
        context.rule.name, settings=settings, api_key=context.secret("api_key"), urls=urls, http=context.http
    )
