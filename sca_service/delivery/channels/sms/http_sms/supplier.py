"""Hands text messages to a described HTTP API."""

from collections.abc import Mapping

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.sms.call_back import DeliveryUrls
from sca_service.delivery.channels.sms.http_sms import wire
from sca_service.delivery.channels.sms.http_sms.settings import Proof, Settings, secrets_of
from sca_service.delivery.http_client import HttpClient
from sca_service.delivery.supplier import Accepted, Message, Supplier
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel


class HttpSms:
    """One described supplier. A class because it holds the secrets and the shared client."""

    channel = Channel.SMS

    def __init__(
        self, name: str, *, settings: Settings, secrets: Mapping[str, Secret[str]], context: Context
    ) -> None:
        self.name = name
        self._settings = settings
        self._secrets = secrets
        self._currency = context.rule.currency
        self._urls = DeliveryUrls(supplier=name, public_url=context.public_url, keyring=context.keyring)
        self._http: HttpClient = context.http
        self._clock: Clock = context.clock

    async def send(self, message: Message) -> Accepted:
        """Hand over one message. Raises SupplierFailure."""
        values = wire.values_of(
            self._settings,
            message,
            call_back_url=self._call_back_url(message.delivery_id),
            now_ms=self._clock.now_ms(),
        )
        values = {**values, **wire.secret_values(self._secrets)}
        url, body = wire.encoded(self._settings, values)
        headers = wire.headers(self._settings, values)
        answer = await self._http.call(self._settings.method, url, headers=headers, body=body)
        return wire.accepted(self._settings.answer, answer, message, self._currency)

    async def close(self) -> None:
        """Nothing of its own is open."""

    def _call_back_url(self, delivery_id: str) -> str:
        rules = self._settings.call_backs
        if rules is None or (rules.proof is not Proof.URL and rules.delivery):
            return self._urls.named(delivery_id)
        return self._urls.proven(delivery_id)


def build(context: Context) -> Supplier:
    """The supplier of a section. Raises ConfigurationError."""
    settings = context.settings(Settings)
    names = secrets_of(settings) | ({"username", "password"} if settings.basic_auth else set())
    secrets = {name: context.secret(name) for name in sorted(names)}
    for name, secret in secrets.items():
        if not secret.reveal().isprintable():
            raise ConfigurationError(
                f"suppliers.toml:{context.rule.name}: the secret {name} is not printable"
            )
    return HttpSms(context.rule.name, settings=settings, secrets=secrets, context=context)
