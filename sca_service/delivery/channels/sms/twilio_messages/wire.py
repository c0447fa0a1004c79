"""Twilio's Messages resource: a form out, JSON back, and what its codes mean to us.

Sources: https://www.twilio.com/docs/messaging/api/message-resource (parameters, properties, statuses),
https://www.twilio.com/docs/api/errors (codes), https://www.twilio.com/docs/usage/twilios-response (error body).
"""

from base64 import b64encode
from typing import Final
from urllib.parse import urlencode

import msgspec

from sca_service.delivery import gsm
from sca_service.delivery.channels.sms.twilio_messages.settings import Settings
from sca_service.delivery.http_client import HttpAnswer, failure_of, read_json, retry_after_ms, unreadable
from sca_service.delivery.supplier import Accepted, FailureReason, Message, SupplierFailure

LONGEST_VALIDITY_SECONDS: Final = 36_000
CONTENT_TYPE: Final = "application/x-www-form-urlencoded"

_THROTTLED: Final = frozenset({
    14107,  # send rate of the sender exceeded
    20429,  # too many requests
    21611,  # the sender's queue is full
    30001,  # queue overflow
    30022,  # 10DLC: the campaign's throughput exceeded
    63038,  # daily limit of the account
})  # fmt: skip
_ACCOUNT: Final = frozenset({
    20003,  # credentials are wrong, or no balance
    20005,  # account not active
    20008,  # test credentials
    30002,  # account suspended
})  # fmt: skip
_SENDER: Final = frozenset({
    21212,  # `From` is not valid
    21603,  # a sender is required
    21606,  # `From` is no sender of this account
    21659,  # not a number of this account, or a short code of another country
    21660,  # `From` belongs to another account
    21703,  # the messaging service has no sender
    21704,  # the same
    21705,  # messaging service not valid
    21267,  # alphanumeric sender on a trial account
    21612,  # no route from this sender to that number
    30034,  # 10DLC: number without a registered campaign
})  # fmt: skip


class _Answer(msgspec.Struct, frozen=True):
    """What we read of a message or of an error; Twilio writes numbers as text in one and as numbers in the other."""

    sid: str = ""
    status: str | int = ""
    num_segments: str | int | None = None
    error_code: int | None = None
    code: int | None = None


def url(settings: Settings) -> str:
    """Where messages are posted."""
    return f"{settings.base_url.rstrip('/')}/2010-04-01/Accounts/{settings.account_sid}/Messages.json"


def authorization(username: str, password: str) -> str:
    """The value of the header (RFC 7617)."""
    return "Basic " + b64encode(f"{username}:{password}".encode()).decode()


def form(settings: Settings, message: Message, *, status_url: str, now_ms: int) -> bytes:
    """The message as a form. Raises SupplierFailure (`sender_unregistered`) when there is no sender.

    `SmartEncoded=false` because the payer is to read the very text that is on record.
    """
    fields = {
        "To": message.to.reveal(),
        "Body": message.text.reveal(),
        "StatusCallback": status_url,
        "SmartEncoded": "false",
    }
    sender = message.sender.id if message.sender else settings.sender
    if sender:
        fields["From"] = sender
    if settings.messaging_service_sid:
        fields["MessagingServiceSid"] = settings.messaging_service_sid
    elif not sender:
        raise SupplierFailure(FailureReason.SENDER_UNREGISTERED, transient=False)
    if message.expires_at_ms:
        seconds = (message.expires_at_ms - now_ms) // 1000
        fields["ValidityPeriod"] = str(min(max(seconds, 1), LONGEST_VALIDITY_SECONDS))
    if settings.discard_content:
        fields["ContentRetention"] = "discard"
    return urlencode(fields).encode()


def accepted(answer: HttpAnswer, text: str) -> Accepted:
    """What Twilio answered. Raises SupplierFailure, also for a success with an error inside.

    With a messaging service Twilio says 0 segments: they are counted here then.
    """
    refused = failure_of(answer)
    if refused:
        raise _failure(_error_code(answer), answer) or refused
    found = read_json(answer, _Answer)
    code = found.error_code or found.code
    if code or found.status in ("failed", "canceled"):
        raise _failure(code or 0, answer) or SupplierFailure(FailureReason.REJECTED, transient=False)
    if not found.sid:
        raise unreadable()
    said = str(found.num_segments or "0")
    segments = int(said) if said.isascii() and said.isdigit() and len(said) < 4 else 0
    return Accepted(found.sid, segments or gsm.segments(text), None)


def _error_code(answer: HttpAnswer) -> int:
    try:
        return msgspec.json.decode(answer.body, type=_Answer).code or 0
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0


def _failure(code: int, answer: HttpAnswer) -> SupplierFailure | None:
    """What a code says better than the status does; everything else (21211, 21610, 21614, …) is as its status says."""
    if code in _THROTTLED or code in _ACCOUNT:
        return SupplierFailure(
            FailureReason.SUPPLIER_DOWN, transient=True, retry_after_ms=retry_after_ms(answer.headers)
        )
    if code in _SENDER:
        return SupplierFailure(FailureReason.SENDER_UNREGISTERED, transient=False)
    return None
