"""What Google tells of RCS messages: delivered, read, expired; and what payers press and write.

Source: https://developers.google.com/business-communications/rcs-business-messaging/guides/integrate/webhooks.
"""

import base64
import hmac
from typing import Final

from sca_service.delivery.channels.buttons import declined_delivery
from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.json_events import decoded
from sca_service.delivery.channels.rcs.business_messaging.settings import Settings
from sca_service.delivery.channels.rcs.business_messaging.wire import Envelope, Event
from sca_service.delivery.channels.times import time_ms
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
LONGEST_ECHO: Final = 256


class RcsBusinessMessagingWords:
    """Reads one agent's call-backs. A class because it holds the key they are signed with.

    `Word.note` is the text that Google wants back when it asks whether the webhook is ours.
    """

    def __init__(self, context: Context) -> None:
        """Raises ConfigurationError."""
        self._supplier = context.rule.name
        self._agent_id = context.settings(Settings).agent_id
        self._key = context.secret("client_token")

    def read(self, call: CallBack) -> Word:
        """What a call-back tells; nothing when it is about another agent. Raises Unauthorized, InvalidInput."""
        envelope = decoded(call.body, Envelope, what="a call-back of Google's")
        if envelope.message is None:
            self._check(envelope.client, self._key.reveal())
            return Word(note=envelope.secret[:LONGEST_ECHO])
        content = _from_base64(envelope.message.content)
        signature = hmac.digest(self._key.reveal().encode(), content, "sha512")
        self._check(call.headers.get("x-goog-signature", ""), base64.b64encode(signature).decode())
        event = decoded(content, Event, what="an event of Google's")
        return self._word(event) if event.agent_id == self._agent_id else Word()

    def answer(self, word: Word, message: Message | None) -> CallBackAnswer:
        """The text that Google wants back, or any: it takes 200 alone for an answer, and else repeats for a week."""
        del message
        return CallBackAnswer((word.note or "ok").encode(), "text/plain")

    def _check(self, claimed: str, right: str) -> None:
        if not hmac.compare_digest(claimed.encode(errors="replace"), right.encode()):
            raise Unauthorized("the call-back is not signed by Google")

    def _word(self, event: Event) -> Word:
        if status := event.receipt_status:
            receipt = Receipt(self._supplier, event.message_id, status, time_ms(event.send_time))
            return Word(receipts=(receipt,))
        pressed = event.suggestion_response
        if pressed and (delivery := declined_delivery(pressed.postback)):
            return Word(declined=(delivery,))
        text = pressed.text if pressed else event.text
        if text and event.sender_phone_number:
            return Word(replies=(Reply(Secret(event.sender_phone_number), Secret(text[:LONGEST_REPLY])),))
        return Word()


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise InvalidInput.at("/message/data", "is not base64") from error


def build(context: Context) -> WordReader | None:
    """The reader of a section's call-backs. Raises ConfigurationError."""
    return RcsBusinessMessagingWords(context)
