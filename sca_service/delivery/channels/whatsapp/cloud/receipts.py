"""What Meta tells of WhatsApp messages: delivered, read, failed; and what payers press and write.

Source: https://developers.facebook.com/docs/graph-api/webhooks/getting-started (handshake, X-Hub-Signature-256).
"""

import hmac
import re
from typing import Final

from sca_service.delivery.channels.buttons import declined_delivery
from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.whatsapp.cloud.settings import Settings
from sca_service.delivery.channels.whatsapp.cloud.wire import Inbound, told
from sca_service.delivery.supplier import (
    CallBack,
    CallBackAnswer,
    Message,
    Receipt,
    Reply,
    Word,
    WordReader,
)
from sca_service.kernel.errors import InvalidInput, Unauthorized
from sca_service.kernel.secret import Secret

LONGEST_REPLY: Final = 1_600
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{1,256}", re.ASCII)


class WhatsAppCloudWords:
    """Reads one number's call-backs. A class because it holds the key they are signed with.

    `Word.note` is the text that Meta wants back when it asks whether the webhook is ours.
    """

    def __init__(self, context: Context) -> None:
        """Raises ConfigurationError."""
        self._supplier = context.rule.name
        self._number_id = context.settings(Settings).phone_number_id
        self._key = context.secret("app_secret")
        self._verify = context.secret("verify_token")

    def read(self, call: CallBack) -> Word:
        """What a call-back tells; nothing of other numbers. Raises Unauthorized, InvalidInput."""
        if call.method == "GET":
            return self._greeted(call)
        right = f"sha256={hmac.digest(self._key.reveal().encode(), call.body, 'sha256').hex()}"
        _check(call.headers.get("x-hub-signature-256", ""), right)
        values = [value for value in told(call.body) if value.number.phone_number_id == self._number_id]
        receipts = tuple(
            Receipt(self._supplier, status.delivery, meaning, status.at_ms)
            for value in values
            for status in value.statuses
            if (meaning := status.receipt_status) and status.delivery
        )
        inbound = [message for value in values for message in value.messages]
        declined = (declined_delivery(message.button.payload) for message in inbound if message.button)
        replies = (_reply(message) for message in inbound)
        return Word(
            receipts=receipts,
            declined=tuple(delivery for delivery in declined if delivery),
            replies=tuple(reply for reply in replies if reply),
        )

    def answer(self, word: Word, message: Message | None) -> CallBackAnswer:
        """The text that Meta wants back, or any: it takes 200 alone for an answer, and repeats the rest for a week."""
        del message
        return CallBackAnswer((word.note or "ok").encode(), "text/plain")

    def _greeted(self, call: CallBack) -> Word:
        _check(call.query.get("hub.verify_token", ""), self._verify.reveal())
        challenge = call.query.get("hub.challenge", "")
        if call.query.get("hub.mode") != "subscribe" or not _CHALLENGE.fullmatch(challenge):
            raise InvalidInput.at("/hub.challenge", "is not what Meta asks with")
        return Word(note=challenge)


def _reply(message: Inbound) -> Reply | None:
    if message.button and declined_delivery(message.button.payload):
        return None
    text = message.button.text if message.button else message.text.body if message.text else ""
    if not text or not message.sender:
        return None
    return Reply(Secret(f"+{message.sender.removeprefix('+')}"), Secret(text[:LONGEST_REPLY]))


def _check(claimed: str, right: str) -> None:
    if not hmac.compare_digest(claimed.encode(errors="replace"), right.encode()):
        raise Unauthorized("the call-back is not signed by Meta")


def build(context: Context) -> WordReader | None:
    """The reader of a section's call-backs. Raises ConfigurationError."""
    return WhatsAppCloudWords(context)
