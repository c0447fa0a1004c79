"""Kaleyra's Messages API: a form out, JSON back.

Sources: https://developers.kaleyra.io/docs/send-your-first-sms (parameters, `callback`, `ref`),
https://developers.kaleyra.io/docs/callback-request-using-callback-profiles (`callback_profile_id`, `template_id`).
An answer names the request (`id`) and each recipient's message (`data[].message_id`); `error` holds what was refused,
also with a status of success. The exact members vary between regions: what is missing is not insisted on.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from sca_service.delivery import gsm
from sca_service.delivery.channels.sms.kaleyra.settings import Settings
from sca_service.delivery.http_client import HttpAnswer, failure_of, read_json, unreadable
from sca_service.delivery.supplier import Accepted, FailureReason, Message, SupplierFailure

CONTENT_TYPE: Final = "application/x-www-form-urlencoded"
API_KEY_HEADER: Final = "api-key"

_THROTTLED: Final = ("throttl", "too many", "rate limit")
"""Parts of the words in which an answer says that it wants fewer messages; there is no published list of codes."""


class _Recipient(msgspec.Struct, frozen=True):
    """One message of a request."""

    message_id: str | int = ""
    id: str | int = ""


class _Answer(msgspec.Struct, frozen=True):
    """What we read of an answer; `error` and `data` are empty in several shapes."""

    id: str | int = ""
    data: Any = None
    error: Any = None


def url(settings: Settings) -> str:
    """Where messages are posted."""
    return f"{settings.base_url.rstrip('/')}/v1/{settings.sid}/messages"


def form(settings: Settings, message: Message, call_back_url: str) -> bytes:
    """The message as a form. Raises SupplierFailure (`sender_unregistered`) when there is no sender.

    `ref` carries the delivery's id. The template is the one registered for the occasion (India, DLT).
    """
    sender = message.sender.id if message.sender else settings.sender
    if not sender:
        raise SupplierFailure(FailureReason.SENDER_UNREGISTERED, transient=False)
    fields = {
        "to": message.to.reveal(),
        "sender": sender,
        "body": message.text.reveal(),
        "ref": message.delivery_id,
    }
    kind = settings.type if message.occasion else settings.alert_type
    if kind:
        fields["type"] = kind
    template = message.sender.template_for(message.occasion) if message.sender and message.occasion else ""
    if template:
        fields["template_id"] = template
    if settings.callback_profile_id:
        fields["callback_profile_id"] = settings.callback_profile_id
    else:
        fields["callback"] = msgspec.json.encode({"url": call_back_url, "method": "POST"}).decode()
    return urlencode(fields).encode()


def accepted(answer: HttpAnswer, text: str) -> Accepted:
    """What Kaleyra answered. Raises SupplierFailure, also for a success with an error inside."""
    refused = failure_of(answer)
    if refused:
        raise refused
    found = read_json(answer, _Answer)
    reference = _reference(found)
    if found.error and not _first(found.data):
        raise _inner_failure(found.error)
    if not reference:
        raise unreadable()
    return Accepted(reference, gsm.segments(text), None)


def _reference(answer: _Answer) -> str:
    try:
        recipient = msgspec.convert(_first(answer.data) or {}, _Recipient)
    except msgspec.ValidationError:
        raise unreadable() from None
    return str(recipient.message_id or recipient.id or answer.id)


def _first(data: object) -> object:
    """The one recipient's part: `data` is a list in most answers, an object in some."""
    if isinstance(data, list):
        return data[0] if data else None
    return data


def _inner_failure(error: object) -> SupplierFailure:
    words = " ".join(str(word).lower() for word in _leaves(error))
    if any(part in words for part in _THROTTLED):
        return SupplierFailure(FailureReason.SUPPLIER_DOWN, transient=True)
    return SupplierFailure(FailureReason.REJECTED, transient=False)


def _leaves(value: object) -> list[object]:
    if isinstance(value, Mapping):
        return [leaf for member in value.values() for leaf in _leaves(member)]
    if isinstance(value, list):
        return [leaf for member in value for leaf in _leaves(member)]
    return [value]
