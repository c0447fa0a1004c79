"""A message as a filled template of the WhatsApp Cloud API, its answers and its call-backs. Pure.

Sources: https://developers.facebook.com/docs/whatsapp/cloud-api/reference/messages,
https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes,
https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/components.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from sca_service.delivery.channels.buttons import DECLINE_PREFIX
from sca_service.delivery.channels.json_events import decoded
from sca_service.delivery.channels.whatsapp.cloud.settings import Button, Template
from sca_service.delivery.supplier import FailureReason, Message, ReceiptStatus, SupplierFailure
from sca_service.policy.template import Placeholder

_NOT_ON_WHATSAPP: Final = frozenset({
    131026,  # no WhatsApp, one that is too old, or its terms not accepted
    131021,  # the number is the sender's own
})  # fmt: skip
_NOT_TAKEN: Final = frozenset({
    4,  # the app's calls are used up
    80007,  # the account's calls are used up
    130429,  # throughput of the number
    131048,  # too many of the number's messages were blocked or reported
    131056,  # too many to this payer at once
    131016,  # overloaded
    131057,  # under maintenance
    133004,  # not available
    190,  # the access has ended
})  # fmt: skip

_RECEIPTS: Final[Mapping[str, ReceiptStatus]] = {
    "delivered": ReceiptStatus.DELIVERED,
    "read": ReceiptStatus.DELIVERED,
    "failed": ReceiptStatus.UNDELIVERED,
}
"""The last words; `sent` says nothing yet."""


class _Text(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    text: str


class _Payload(msgspec.Struct, frozen=True, tag_field="type", tag="payload"):
    payload: str


class _Body(msgspec.Struct, frozen=True, tag_field="type", tag="body"):
    parameters: tuple[_Text, ...]


class _Button(msgspec.Struct, frozen=True, tag_field="type", tag="button"):
    sub_type: str
    parameters: tuple[_Text | _Payload]
    index: str = "0"


class _Language(msgspec.Struct, frozen=True):
    code: str


class _Template(msgspec.Struct, frozen=True):
    name: str
    language: _Language
    components: tuple[_Body | _Button, ...]


class _Message(msgspec.Struct, frozen=True):
    to: str
    template: _Template
    delivery: str = msgspec.field(name="biz_opaque_callback_data")
    messaging_product: str = "whatsapp"
    recipient_type: str = "individual"
    type: str = "template"


class Problem(msgspec.Struct, frozen=True):
    """An error in an answer."""

    code: int = 0


class _Taken(msgspec.Struct, frozen=True):
    id: str = ""


class Answer(msgspec.Struct, frozen=True):
    """Meta's answer to a message."""

    messages: tuple[_Taken, ...] = ()
    error: Problem | None = None


class Status(msgspec.Struct, frozen=True):
    """What became of a message; `delivery` is what we sent along with it, `at` seconds since the epoch."""

    status: str = ""
    at: str = msgspec.field(name="timestamp", default="")
    delivery: str = msgspec.field(name="biz_opaque_callback_data", default="")

    @property
    def receipt_status(self) -> ReceiptStatus | None:
        """What it means; None for one that is not the last."""
        return _RECEIPTS.get(self.status)

    @property
    def at_ms(self) -> int:
        """When, in ms since the epoch; 0 when it does not say."""
        return int(self.at) * 1000 if self.at.isascii() and self.at.isdigit() and len(self.at) < 12 else 0


class _Written(msgspec.Struct, frozen=True):
    body: str = ""


class _Pressed(msgspec.Struct, frozen=True):
    payload: str = ""
    text: str = ""


class Inbound(msgspec.Struct, frozen=True):
    """What a payer wrote, or which button they pressed; `sender` is their number without `+`."""

    sender: str = msgspec.field(name="from", default="")
    text: _Written | None = None
    button: _Pressed | None = None


class _Number(msgspec.Struct, frozen=True):
    phone_number_id: str = ""


class Value(msgspec.Struct, frozen=True):
    """What happened at one of the account's numbers."""

    number: _Number = msgspec.field(name="metadata", default=_Number())
    statuses: tuple[Status, ...] = ()
    messages: tuple[Inbound, ...] = ()


class _Change(msgspec.Struct, frozen=True):
    field: str = ""
    value: msgspec.Raw = msgspec.Raw(b"{}")


class _Entry(msgspec.Struct, frozen=True):
    changes: tuple[_Change, ...] = ()


class _Notice(msgspec.Struct, frozen=True):
    entry: tuple[_Entry, ...] = ()


def body(message: Message, template: Template) -> bytes:
    """A message as its filled template. Raises SupplierFailure when the message lacks what a parameter stands for."""
    try:
        values = [_value(message.values[parameter].reveal()) for parameter in template.parameters]
    except KeyError:
        raise SupplierFailure(FailureReason.REJECTED, transient=False) from None
    components: list[_Body | _Button] = [_Body(tuple(_Text(value) for value in values))]
    if template.button is Button.COPY_CODE:
        code = message.values[Placeholder.CODE].reveal()
        components.append(_Button("url", (_Text(code),)))
    elif template.button is Button.DECLINE:
        components.append(_Button("quick_reply", (_Payload(f"{DECLINE_PREFIX}{message.delivery_id}"),)))
    return msgspec.json.encode(
        _Message(
            to=message.to.reveal().removeprefix("+"),
            template=_Template(
                template.name, _Language(template.language_for(message.locale)), tuple(components)
            ),
            delivery=message.delivery_id,
        )
    )


def failure_by_code(code: int, retry_after_ms: int) -> SupplierFailure | None:
    """What the code of an error says better than its status; None for a code that does not."""
    if code in _NOT_ON_WHATSAPP:
        return SupplierFailure(FailureReason.NO_DEVICE, transient=False)
    if code in _NOT_TAKEN:
        return SupplierFailure(FailureReason.SUPPLIER_DOWN, transient=True, retry_after_ms=retry_after_ms)
    return None


def told(content: bytes) -> list[Value]:
    """What a call-back tells of messages. Raises InvalidInput."""
    notice = decoded(content, _Notice, what="a notice of Meta's")
    return [
        decoded(bytes(change.value), Value, what="a notice of Meta's")
        for entry in notice.entry
        for change in entry.changes
        if change.field == "messages"
    ]


def _value(text: str) -> str:
    """A parameter as Meta takes it: without line breaks, tabs and runs of spaces."""
    return " ".join(text.split())
