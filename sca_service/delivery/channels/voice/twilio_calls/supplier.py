"""Hands messages to Twilio as calls."""

import base64

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.voice.call_urls import CallUrls, Step
from sca_service.delivery.channels.voice.twilio_calls.settings import Settings
from sca_service.delivery.channels.voice.twilio_calls.wire import Call, Created, failure_reason
from sca_service.delivery.http_client import failure_of, read_json, unreadable
from sca_service.delivery.supplier import Accepted, FailureReason, Message, Supplier, SupplierFailure
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel


class TwilioCallsSupplier:
    """Makes calls over Twilio. A class because it holds the credentials and settings.

    Twilio has no key that makes a repeated request recognisable: the dispatcher repeats only what surely was not taken.
    """

    channel = Channel.VOICE

    def __init__(self, context: Context) -> None:
        """Raises ConfigurationError."""
        self.name = context.rule.name
        self._settings = context.settings(Settings)
        self._http = context.http
        self._urls = CallUrls(supplier=self.name, public_url=context.public_url, keyring=context.keyring)
        self._authorization = _authorization(context, self._settings.account_sid)

    async def send(self, message: Message) -> Accepted:
        """Begin one call; returns once Twilio has queued it. Raises SupplierFailure."""
        settings = self._settings
        call = Call(
            to=message.to.reveal(),
            caller=message.sender.id if message.sender else settings.caller,
            taken_url=self._urls.url(message.delivery_id, Step.TAKEN),
            status_url=self._urls.url(message.delivery_id, Step.STATUS),
            ring_seconds=settings.ring_seconds,
            longest_call_seconds=settings.longest_call_seconds,
            detection_seconds=settings.detection_seconds,
        )
        answer = await self._http.call(
            "POST",
            f"{settings.base_url.rstrip('/')}/2010-04-01/Accounts/{settings.account_sid}/Calls.json",
            headers={
                "Authorization": self._authorization.reveal(),
                "Content-Type": "application/x-www-form-urlencoded",
            },
            body=call.form(),
        )
        failure = failure_of(answer)
        if failure and failure.reason is not FailureReason.REJECTED:
            raise failure
        try:
            created = read_json(answer, Created)
        except SupplierFailure:
            raise failure or unreadable() from None
        if failure or created.code:
            raise SupplierFailure(failure_reason(created.code), transient=False)
        if not created.sid:
            raise unreadable()
        return Accepted(created.sid, segments=1, cost=None)

    async def close(self) -> None:
        """Nothing: the connections are shared."""


def _authorization(context: Context, account_sid: str) -> Secret[str]:
    """Basic authentication (RFC 7617) with the API key, or with the account's own key where there is none."""
    if "api_key_sid" in context.secrets:
        name, key = context.secret("api_key_sid").reveal(), context.secret("api_key_secret").reveal()
    else:
        name, key = account_sid, context.secret("auth_token").reveal()
    return Secret(f"Basic {base64.b64encode(f'{name}:{key}'.encode()).decode()}")


def build(context: Context) -> Supplier:
    """The supplier of a section. Raises ConfigurationError."""
    return TwilioCallsSupplier(context)
