"""Hands messages to the WhatsApp Cloud API."""

import msgspec

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.whatsapp.cloud import wire
from sca_service.delivery.channels.whatsapp.cloud.settings import Settings
from sca_service.delivery.http_client import HttpAnswer, failure_of, read_json, retry_after_ms, unreadable
from sca_service.delivery.supplier import Accepted, FailureReason, Message, Supplier, SupplierFailure
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel


class WhatsAppCloudSupplier:
    """Sends from one business number. A class because it holds its access and templates.

    Meta knows no repeated request: the dispatcher repeats only what surely was not taken.
    """

    channel = Channel.WHATSAPP

    def __init__(self, context: Context) -> None:
        """Raises ConfigurationError."""
        self.name = context.rule.name
        settings = context.settings(Settings)
        self._templates = settings.templates
        self._url = f"{settings.base_url.rstrip('/')}/{settings.version}/{settings.phone_number_id}/messages"
        self._http = context.http
        self._authorization = Secret(f"Bearer {context.secret('access_token').reveal()}")

    async def send(self, message: Message) -> Accepted:
        """Hand over one message. Raises SupplierFailure: `rejected` for an occasion without a template.

        The reference is ours: Meta's own id of a message spells out the payer's number in base64.
        """
        template = self._templates.get(message.occasion) if message.occasion else None
        if template is None:
            raise SupplierFailure(FailureReason.REJECTED, transient=False)
        answer = await self._http.call(
            "POST",
            self._url,
            headers={"Authorization": self._authorization.reveal(), "Content-Type": "application/json"},
            body=wire.body(message, template),
        )
        _check(answer)
        return Accepted(message.delivery_id, segments=1, cost=None)

    async def close(self) -> None:
        """Nothing: the connections are shared."""


def _check(answer: HttpAnswer) -> None:
    """Whether the message was taken. Raises SupplierFailure, also for a success with an error inside."""
    failure = failure_of(answer)
    if failure:
        raise wire.failure_by_code(_error_code(answer), retry_after_ms(answer.headers)) or failure
    said = read_json(answer, wire.Answer)
    if said.error:
        by_code = wire.failure_by_code(said.error.code, retry_after_ms(answer.headers))
        raise by_code or SupplierFailure(FailureReason.REJECTED, transient=False)
    if not any(taken.id for taken in said.messages):
        raise unreadable()


def _error_code(answer: HttpAnswer) -> int:
    try:
        error = msgspec.json.decode(answer.body, type=wire.Answer).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0
    return error.code if error else 0


def build(context: Context) -> Supplier:
    """The supplier of a section. Raises ConfigurationError."""
    return WhatsAppCloudSupplier(context)
