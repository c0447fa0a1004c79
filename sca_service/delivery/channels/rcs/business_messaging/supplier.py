"""Hands messages to Google's RCS Business Messaging."""

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.google_access import GoogleAccess, ServiceAccount
from sca_service.delivery.channels.rcs.business_messaging import wire
from sca_service.delivery.channels.rcs.business_messaging.settings import Settings
from sca_service.delivery.http_client import HttpAnswer, failure_of, read_json, unreadable
from sca_service.delivery.supplier import Accepted, FailureReason, Message, Supplier, SupplierFailure
from sca_service.policy.model import Channel

_ALREADY_TAKEN = 409
_NOT_REACHABLE = 404


class RcsBusinessMessagingSupplier:
    """Sends as one agent. A class because it holds the agent's access.

    The message's id is the delivery's: Google sends none twice, and every event names it. Google asks for a UUID there,
    which has no room for a delivery's id; its own examples use other texts too.
    """

    channel = Channel.RCS

    def __init__(self, context: Context) -> None:
        """Raises ConfigurationError."""
        self.name = context.rule.name
        self._settings = context.settings(Settings)
        self._http = context.http
        self._clock = context.clock
        self._access = GoogleAccess(
            ServiceAccount.parse(context.secret("service_account"), section=self.name),
            scope=wire.SCOPE,
            section=self.name,
            http=context.http,
            clock=context.clock,
        )

    async def send(self, message: Message) -> Accepted:
        """Hand over one message. Raises SupplierFailure: `no_device` for a phone without RCS."""
        authorization = await self._access.authorization()
        answer = await self._http.call(
            "POST",
            wire.url(
                self._settings.base_url,
                to=message.to.reveal(),
                agent_id=self._settings.agent_id,
                message_id=message.delivery_id,
            ),
            headers={"Authorization": authorization.reveal(), "Content-Type": "application/json"},
            body=self._body(message),
        )
        if answer.status == 401:
            self._access.forget(authorization)
        _check(answer)
        return Accepted(message.delivery_id, segments=1, cost=None)

    async def close(self) -> None:
        """Nothing: the connections are shared."""

    def _body(self, message: Message) -> bytes:
        asks = message.occasion is not None
        expires_at_ms = message.expires_at_ms
        if expires_at_ms:
            expires_at_ms = max(expires_at_ms, self._clock.now_ms() + wire.SHORTEST_LIFE_MS)
        return wire.body(
            message.text.reveal(),
            asks=asks,
            expires_at_ms=expires_at_ms,
            decline=message.delivery_id if asks and self._settings.decline_button else "",
            locale=message.locale,
        )


def _check(answer: HttpAnswer) -> None:
    """Whether the message was taken, now or by an earlier send of it. Raises SupplierFailure."""
    status = answer.status
    if 200 <= status < 300:
        created = read_json(answer, wire.Created)
        if created.error is None:
            if not created.name:
                raise unreadable()
            return
        status = created.error.code
    if status == _ALREADY_TAKEN:
        return
    if status == _NOT_REACHABLE:
        raise SupplierFailure(FailureReason.NO_DEVICE, transient=False)
    raise failure_of(HttpAnswer(status, answer.headers, answer.body)) or SupplierFailure(
        FailureReason.REJECTED, transient=False
    )


def build(context: Context) -> Supplier:
    """The supplier of a section. Raises ConfigurationError."""
    return RcsBusinessMessagingSupplier(context)
