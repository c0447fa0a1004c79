"""What Twilio tells of a call: who took it, which key was pressed, how it ended."""

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.sms.call_back import form_of, single
from sca_service.delivery.channels.sms.twilio_messages.receipts import is_signed
from sca_service.delivery.channels.times import time_ms
from sca_service.delivery.channels.voice.call_urls import MOST_TIMES, CallStep, CallUrls, Step
from sca_service.delivery.channels.voice.keys import Key, greeting, sentence
from sca_service.delivery.channels.voice.languages import by_locale, spoken_language
from sca_service.delivery.channels.voice.twilio_calls.settings import Settings
from sca_service.delivery.channels.voice.twilio_calls.wire import (
    HANG_UP,
    AnsweredBy,
    Voice,
    receipt_status,
    twiml,
)
from sca_service.delivery.supplier import (
    CallBack,
    CallBackAnswer,
    Message,
    Receipt,
    ReceiptStatus,
    Word,
    WordReader,
)
from sca_service.kernel.errors import Unauthorized

_TWIML = "text/xml"


class TwilioCallsWords:
    """Reads Twilio's call-backs and tells it what to say. A class because it holds the key they are signed with.

    `Word.note` is how often the call will have said the message, `0` for a call that first asks for a key.
    """

    def __init__(self, context: Context) -> None:
        """Raises ConfigurationError."""
        self._supplier = context.rule.name
        self._settings = context.settings(Settings)
        self._secret = context.secret("auth_token")
        self._urls = CallUrls(supplier=self._supplier, public_url=context.public_url, keyring=context.keyring)

    def read(self, call: CallBack) -> Word:
        """What a call-back tells. Raises Unauthorized, InvalidInput."""
        form = form_of(call)
        if not is_signed(self._secret, call, form):
            raise Unauthorized("the signature is not Twilio's")
        step = self._urls.read(call.query)
        answered_by = AnsweredBy.parse(single(form, "AnsweredBy"))
        at_ms = time_ms(single(form, "Timestamp"))
        match step.step:
            case Step.STATUS:
                return self._receipt(step, receipt_status(single(form, "CallStatus"), answered_by), at_ms)
            case Step.TAKEN:
                return self._taken(step, answered_by, at_ms)
            case Step.KEY:
                return self._key(step, single(form, "Digits"), at_ms)

    def answer(self, word: Word, message: Message | None) -> CallBackAnswer:
        """What Twilio is to say; it hangs up where nothing is left to be said."""
        if message is None or not word.again:
            return CallBackAnswer(HANG_UP, _TWIML)
        heard = int(word.note or "1")
        text = f"{message.text.reveal()} {sentence(message.locale)}" if heard else greeting(message.locale)
        said = twiml(
            text,
            voice=Voice(
                spoken_language(message.locale), by_locale(self._settings.voices, message.locale, "")
            ),
            key_url=self._urls.url(message.delivery_id, Step.KEY, heard=heard),
            key_seconds=self._settings.key_seconds,
        )
        return CallBackAnswer(said, _TWIML)

    def _taken(self, step: CallStep, answered_by: AnsweredBy, at_ms: int) -> Word:
        match answered_by:
            case AnsweredBy.MACHINE:
                return self._receipt(step, ReceiptStatus.NO_ANSWER, at_ms)
            case AnsweredBy.PERSON:
                return self._receipt(step, ReceiptStatus.ANSWERED, at_ms, says=1)
            case AnsweredBy.UNKNOWN:
                return Word(again=step.delivery_id, note="0")

    def _key(self, step: CallStep, key: str, at_ms: int) -> Word:
        if key == Key.NOT_ME:
            receipt = Receipt(self._supplier, step.delivery_id, ReceiptStatus.ANSWERED, at_ms)
            return Word(receipts=(receipt,), declined=(step.delivery_id,))
        if key == Key.AGAIN and step.heard < MOST_TIMES:
            return self._receipt(step, ReceiptStatus.ANSWERED, at_ms, says=step.heard + 1)
        return Word()

    def _receipt(self, step: CallStep, status: ReceiptStatus | None, at_ms: int, *, says: int = 0) -> Word:
        if status is None:
            return Word()
        receipt = Receipt(self._supplier, step.delivery_id, status, at_ms)
        if says:
            return Word(receipts=(receipt,), again=step.delivery_id, note=str(says))
        return Word(receipts=(receipt,))


def build(context: Context) -> WordReader | None:
    """The reader of a section's call-backs. Raises ConfigurationError."""
    return TwilioCallsWords(context)
