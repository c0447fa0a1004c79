"""The described API: its template filled in and encoded, and its answer read where the section says.

Placeholders are filled into values, never into encoded text: JSON, forms and queries are encoded afterwards.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

import msgspec

from sca_service.delivery import gsm
from sca_service.delivery.channels.sms.charge import price
from sca_service.delivery.channels.sms.http_sms.settings import (
    PLACEHOLDER,
    Answer,
    Encoding,
    Settings,
    leaves,
)
from sca_service.delivery.http_client import HttpAnswer, failure_of, retry_after_ms, unreadable
from sca_service.delivery.supplier import Accepted, FailureReason, Message, SupplierFailure
from sca_service.kernel.secret import Secret

Values = Mapping[str, str | int]
"""What placeholders stand for; an empty text is no value."""

_CONTENT_TYPES: Final = {
    Encoding.JSON: "application/json",
    Encoding.FORM: "application/x-www-form-urlencoded",
}
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,5}")


def values_of(settings: Settings, message: Message, *, call_back_url: str, now_ms: int) -> Values:
    """What the placeholders of a message stand for. Raises SupplierFailure (`sender_unregistered`) without a sender.

    A section that never mentions `{sender}` needs none: the account has its own.
    """
    registered = message.sender
    sender = registered.id if registered else settings.sender
    if not sender and any("{sender}" in str(leaf) for leaf in leaves(settings.body)):
        raise SupplierFailure(FailureReason.SENDER_UNREGISTERED, transient=False)
    to = message.to.reveal()
    return {
        "to": to,
        "to_digits": to.removeprefix("+"),
        "text": message.text.reveal(),
        "sender": sender,
        "delivery_id": message.delivery_id,
        "call_back_url": call_back_url,
        "ttl_seconds": max((message.expires_at_ms - now_ms) // 1000, 1) if message.expires_at_ms else "",
        "template": registered.template_for(message.occasion) if registered and message.occasion else "",
        "entity": registered.entity if registered else "",
        "brand": registered.brand if registered else "",
        "campaign": registered.campaign if registered else "",
    }


def secret_values(secrets: Mapping[str, Secret[str]]) -> dict[str, str]:
    """The placeholders of secrets."""
    return {f"secret:{name}": secret.reveal() for name, secret in secrets.items()}


def headers(settings: Settings, values: Values) -> dict[str, str]:
    """The headers, those of the encoding and of `basic_auth` among them."""
    found = {name: str(_filled(text, values)) for name, text in settings.headers.items()}
    if settings.encoding in _CONTENT_TYPES:
        found["Content-Type"] = _CONTENT_TYPES[settings.encoding]
    if settings.basic_auth:
        pair = f"{values['secret:username']}:{values['secret:password']}"
        found["Authorization"] = "Basic " + b64encode(pair.encode()).decode()
    return found


def encoded(settings: Settings, values: Values) -> tuple[str, bytes]:
    """The URL and the body."""
    filled = _filled(settings.body, values)
    if settings.encoding is Encoding.JSON:
        return settings.url, msgspec.json.encode(filled)
    fields = urlencode(filled if isinstance(filled, dict) else {})
    if settings.encoding is Encoding.FORM:
        return settings.url, fields.encode()
    return f"{settings.url}?{fields}", b""


def accepted(rules: Answer, answer: HttpAnswer, message: Message, currency: str) -> Accepted:
    """What the answer says. Raises SupplierFailure; the supplier's own word comes before the HTTP status.

    `currency` is that of prices where the section's `answer` names no other.
    """
    document = document_of(answer.body)
    if rules.status:
        word = text_at(document, rules.status).casefold()
        if word in _folded(rules.permanent):
            raise SupplierFailure(FailureReason.REJECTED, transient=False)
        if word in _folded(rules.transient):
            wait_ms = retry_after_ms(answer.headers)
            raise SupplierFailure(FailureReason.SUPPLIER_DOWN, transient=True, retry_after_ms=wait_ms)
    if answer.status not in rules.success:
        raise failure_of(answer) or unreadable()
    if rules.status and word not in _folded(rules.accepted):
        raise unreadable()
    reference = text_at(document, rules.id) if rules.id else message.delivery_id
    if not reference:
        raise unreadable()
    said = text_at(document, rules.segments)
    segments = int(said) if said.isascii() and said.isdigit() and len(said) < 4 else 0
    return Accepted(
        reference,
        segments or gsm.segments(message.text.reveal()),
        price(text_at(document, rules.price), rules.currency or currency),
    )


def document_of(body: bytes) -> object:
    """A JSON text's value, None for anything else."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def text_at(document: object, pointer: str) -> str:
    """What stands at a JSON pointer (RFC 6901), as text; nothing where there is nothing, or no single value."""
    if not pointer:
        return ""
    for part in pointer[1:].split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, Mapping):
            document = document.get(name)
        elif isinstance(document, list) and _INDEX.fullmatch(name) and int(name) < len(document):
            document = document[int(name)]
        else:
            return ""
    if isinstance(document, bool):
        return "true" if document else "false"
    return str(document) if isinstance(document, str | int | float) else ""


def _filled(template: object, values: Values) -> object:
    """The template with its placeholders filled; a member that is one placeholder without a value is left out."""
    if isinstance(template, Mapping):
        return {
            name: _filled(member, values)
            for name, member in template.items()
            if not (isinstance(member, str) and _is_empty(member, values))
        }
    if isinstance(template, list):
        return [_filled(member, values) for member in template]
    if not isinstance(template, str):
        return template
    whole = PLACEHOLDER.fullmatch(template)
    if whole:
        return values[whole[1]]
    return PLACEHOLDER.sub(lambda found: str(values[found[1]]), template)


def _is_empty(member: str, values: Values) -> bool:
    whole = PLACEHOLDER.fullmatch(member)
    return whole is not None and values[whole[1]] == ""


def _folded(words: tuple[str, ...]) -> frozenset[str]:
    return frozenset(word.casefold() for word in words)
