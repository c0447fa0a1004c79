"""The sandbox's endpoints: read what suppliers received, script them, send a receipt by hand. Loopback only, no key."""

from collections.abc import Collection
from typing import Annotated, Any, Protocol

import msgspec
from litestar import Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.params import Parameter

from sca_service.api.answer import HttpAnswer
from sca_service.api.loopback import is_on_loopback
from sca_service.api.routes import problems, refuse_unknown_parameters, respond
from sca_service.delivery.model import DeliveryStatus, SettledDelivery, Settlement
from sca_service.delivery.supplier import ReceiptStatus
from sca_service.kernel.clock import timestamp
from sca_service.kernel.errors import NotFound
from sca_service.policy.model import Channel
from sca_service.sandbox.mailbox import AsyncMailbox, Behaviour, ReceivedMessage
from sca_service.sandbox.supplier.settings import supplier_named

_TAGS = ["sandbox"]


class ScriptForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a supplier is to behave, for the `next` messages or from now on."""

    behaviour: Behaviour
    delay_ms: int | None = None
    next: int | None = None


class ReceiptForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A receipt by hand."""

    delivery: str
    status: ReceiptStatus
    supplier: str = ""


class MessageBody(msgspec.Struct, frozen=True):
    """What a supplier received. The only place where a code can be read.

    `sender` is what the handset shows as the sender, null where none is registered.
    """

    id: str
    channel: Channel
    to: str
    text: str
    at: str
    delivery: str
    supplier: str
    sender: str | None = None


class MessageListBody(msgspec.Struct, frozen=True):
    """What suppliers received, newest last."""

    data: list[MessageBody]
    next_cursor: str | None = None


class Book(Protocol):
    """Where deliveries stand."""

    async def settle(self, delivery: str, settlement: Settlement) -> SettledDelivery | None:
        """Put down what became of a delivery; None for an unknown one. Raises StoreUnavailable."""


class SandboxOperations:
    """The sandbox's operations. A class because it holds the mailbox and the book."""

    def __init__(self, mailbox: AsyncMailbox, book: Book, names: Collection[str]) -> None:
        """`names` are the suppliers of the policy that are the sandbox's."""
        self._mailbox = mailbox
        self._book = book
        self._names = names

    async def messages(self, *, to: str | None, channel: Channel | None, after: str | None) -> HttpAnswer:
        """What suppliers received. Raises InvalidInput for an `after` that is no message's id."""
        found = await self._mailbox.messages(to=to, channel=channel, after=after)
        return HttpAnswer(200, msgspec.json.encode(MessageListBody([_message(one) for one in found])))

    async def script(self, name: str, form: ScriptForm) -> HttpAnswer:
        """Script a supplier. Raises NotFound, InvalidInput."""
        supplier = supplier_named(name, self._names)
        await self._mailbox.script(supplier, form.behaviour, delay_ms=form.delay_ms, next_count=form.next)
        return HttpAnswer(200, msgspec.json.encode({"supplier": supplier, **msgspec.to_builtins(form)}))

    async def receipt(self, form: ReceiptForm) -> HttpAnswer:
        """Settle a delivery as a receipt would. Raises NotFound."""
        supplier = supplier_named(form.supplier, self._names) if form.supplier else ""
        if not await self._book.settle(form.delivery, Settlement(DeliveryStatus(form.status), supplier)):
            raise NotFound
        return HttpAnswer(202, msgspec.json.encode({"delivery": form.delivery, "status": form.status}))


def _on_loopback(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    if not is_on_loopback(connection):
        raise NotFound
    refuse_unknown_parameters(connection, handler)


@get(
    "/sandbox/messages",
    guards=[_on_loopback],
    tags=_TAGS,
    operation_id="sandbox_messages",
    summary="What the sandbox suppliers received",
    responses=problems(404, 422, keyed=False),
)
async def sandbox_messages(
    sandbox: SandboxOperations,
    to: Annotated[str | None, Parameter(description="The payer's number.")] = None,
    channel: Channel | None = None,
    after: Annotated[str | None, Parameter(description="The id of the last message already seen.")] = None,
) -> Response[MessageListBody]:
    """What the sandbox suppliers received, newest last."""
    return respond(await sandbox.messages(to=to, channel=channel, after=after))


@post(
    "/sandbox/suppliers/{name:str}",
    guards=[_on_loopback],
    tags=_TAGS,
    operation_id="sandbox_script",
    summary="Script a sandbox supplier",
    status_code=200,
    responses=problems(404, 413, 415, 422, keyed=False),
)
async def sandbox_script(
    request: Request[Any, Any, Any], data: ScriptForm, sandbox: SandboxOperations, name: str
) -> Response[dict[str, Any]]:
    """Script a supplier by its name in the policy; `sms` is short for `sandbox-sms`.

    `deliver`: the message arrives, with a receipt after `delay_ms`. `undelivered`: it is taken and lost, and the
    receipt says so. `no_receipt`: it arrives without one. `duplicate_receipt`: with two. `early_receipt`: with one
    before the supplier answers. `decline`: with one, and the payer says no. `slow`: it is taken after `delay_ms` only.
    `timeout`: no answer, and it never arrives. `accept_timeout`: no answer, yet it arrives. `throttle`: the supplier
    asks for another try after `delay_ms`. `error`: the supplier refuses it.
    """
    return respond(await sandbox.script(name, data))


@post(
    "/sandbox/receipts",
    guards=[_on_loopback],
    tags=_TAGS,
    operation_id="sandbox_receipt",
    summary="Send a receipt by hand",
    status_code=202,
    responses=problems(404, 413, 415, 422, keyed=False),
)
async def sandbox_receipt(
    request: Request[Any, Any, Any], data: ReceiptForm, sandbox: SandboxOperations
) -> Response[dict[str, Any]]:
    """Send a delivery receipt by hand."""
    return respond(await sandbox.receipt(data))


ROUTES = (sandbox_messages, sandbox_script, sandbox_receipt)


def _message(message: ReceivedMessage) -> MessageBody:
    return MessageBody(
        id=message.id,
        channel=message.channel,
        to=message.to.reveal(),
        text=message.text.reveal(),
        at=timestamp(message.at_ms),
        delivery=message.delivery_id,
        supplier=message.supplier,
        sender=message.sender or None,
    )
