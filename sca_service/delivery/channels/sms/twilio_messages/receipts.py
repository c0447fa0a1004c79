"""What Twilio tells later: status call-backs, and messages that payers send back.

Sources: https://www.twilio.com/docs/usage/security (X-Twilio-Signature),
https://www.twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks (statuses),
https://www.twilio.com/docs/messaging/guides/webhook-request (inbound messages).
"""

import hmac
from base64 import b64encode
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.sms.call_back import (
    Parameters,
    form_of,
    query_of,
    same,
    shared_secret,
    single,
)
from sca_service.delivery.channels.sms.charge import price
from sca_service.delivery.channels.sms.twilio_messages.settings import Settings
from sca_service.delivery.supplier import (
    CallBack,
    CallBackAnswer,
    Message,
    Receipt,
    ReceiptStatus,
    Reply,
    Word,
    WordReader,
)
from sca_service.kernel.errors import InvalidInput, Unauthorized
from sca_service.kernel.secret import Secret

LONGEST_REPLY: Final = 1_600
_STATUSES: Final = {
    "delivered": ReceiptStatus.DELIVERED,
    "read": ReceiptStatus.DELIVERED,
    "undelivered": ReceiptStatus.UNDELIVERED,
    "failed": ReceiptStatus.UNDELIVERED,
    "canceled": ReceiptStatus.UNDELIVERED,
}
"""The last words; `queued`, `sending` and `sent` say nothing yet. Codes such as 30003 come with `undelivered`."""

_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


class TwilioMessagesWords:
    """Reads call-backs of one account. A class because it holds the key that signs them."""

    def __init__(self, supplier: str, auth_token: Secret[str]) -> None:
        self._supplier = supplier
        self._auth_token = auth_token

    def read(self, call: CallBack) -> Word:
        """A receipt or a reply. Raises Unauthorized for a wrong signature, InvalidInput."""
        form = form_of(call)
        if not is_signed(self._auth_token, call, form):
            raise Unauthorized("the signature is not Twilio's")
        fields = form if call.method == "POST" else query_of(call)
        status = single(fields, "MessageStatus")
        if status:
            return self._receipt(call, fields, _STATUSES.get(status))
        sender, text = single(fields, "From"), single(fields, "Body")
        if sender.startswith("+") and single(fields, "SmsStatus") == "received":
            return Word(replies=(Reply(Secret(sender), Secret(text[:LONGEST_REPLY])),))
        return Word()

    def answer(self, word: Word, message: Message | None) -> CallBackAnswer:
        """Nothing to a status; to a reply instructions to do nothing (TwiML)."""
        del message
        if word.replies:
            return CallBackAnswer(b"<Response></Response>", "text/xml")
        return CallBackAnswer()

    def _receipt(self, call: CallBack, fields: Parameters, status: ReceiptStatus | None) -> Word:
        delivery = single(query_of(call), "delivery")
        if not delivery:
            raise InvalidInput.at("/delivery", "is missing")
        if status is None:
            return Word()
        cost = price(single(fields, "Price"), (single(fields, "PriceUnit") or "USD").upper())
        return Word(receipts=(Receipt(self._supplier, delivery, status, 0, cost),))


def signature(auth_token: Secret[str], url: str, form: Parameters) -> str:
    """HMAC-SHA1 over the URL and the form's fields in their order, a repeated one with each of its values once."""
    fields = (name + value for name in sorted(form) for value in sorted(set(form[name])))
    message = (url + "".join(fields)).encode(errors="surrogatepass")
    return b64encode(hmac.digest(auth_token.reveal().encode(), message, "sha1")).decode()


def is_signed(auth_token: Secret[str], call: CallBack, form: Parameters) -> bool:
    """Whether a call-back carries the signature; Twilio signs some ports with, some without their number."""
    claimed = call.headers.get("x-twilio-signature", "")
    return any(same(claimed, signature(auth_token, url, form)) for url in _spellings(call.url))


def _spellings(url: str) -> Iterator[str]:
    parts = urlsplit(url)
    host = parts.netloc.rpartition(":")[0] if parts.port else parts.netloc
    yield url
    yield parts._replace(netloc=host).geturl()
    yield parts._replace(netloc=f"{host}:{_DEFAULT_PORTS.get(parts.scheme, 443)}").geturl()


def build(context: Context) -> WordReader:
    """The reader of a section's call-backs. Raises ConfigurationError."""
    context.settings(Settings)
    return TwilioMessagesWords(context.rule.name, shared_secret(context, "auth_token"))
