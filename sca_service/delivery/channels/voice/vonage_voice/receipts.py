"""What Vonage tells of a call: who took it, which key was pressed, how it ended and what it cost."""

import hashlib
import hmac

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.json_events import decoded
from sca_service.delivery.channels.times import time_ms
from sca_service.delivery.channels.voice.call_urls import MOST_TIMES, CallStep, CallUrls, Step
from sca_service.delivery.channels.voice.keys import Key, sentence
from sca_service.delivery.channels.voice.languages import spoken_language
from sca_service.delivery.channels.voice.vonage_voice.settings import LEAST_SIGNATURE_SECRET, Settings
from sca_service.delivery.channels.voice.vonage_voice.wire import Event, Voice, ncco, price
from sca_service.delivery.supplier import (
    CallBack,
    CallBackAnswer,
    Message,
    Receipt,
    ReceiptStatus,
    Word,
    WordReader,
)
from sca_service.kernel.errors import ConfigurationError, Unauthorized

FRESH_SECONDS = 86_400
"""How old a call-back's signature may be: Vonage repeats what was not answered for a day."""


class Speaker:
    """Puts messages into NCCOs. A class because it holds the URLs and settings that each needs."""

    def __init__(self, context: Context) -> None:
        """Raises ConfigurationError."""
        self._settings = context.settings(Settings)
        self.urls = CallUrls(
            supplier=context.rule.name, public_url=context.public_url, keyring=context.keyring
        )

    def ncco(self, message: Message, *, heard: int) -> bytes:
        """The NCCO that says a message; `heard` is how often the call will have said it then."""
        settings = self._settings
        return ncco(
            f"{message.text.reveal()} {sentence(message.locale)}",
            voice=Voice(spoken_language(message.locale), settings.style, settings.premium),
            key_url=self.urls.url(message.delivery_id, Step.KEY, heard=heard),
            key_seconds=settings.key_seconds,
        )


class VonageVoiceWords:
    """Reads Vonage's call-backs. A class because it holds the key they are signed with.

    `Word.note` is how often the call will have said the message.
    """

    def __init__(self, context: Context) -> None:
        """Raises ConfigurationError."""
        self._rule = context.rule
        self._application_id = context.settings(Settings).application_id
        self._clock = context.clock
        self._speaker = Speaker(context)
        secret = context.secret("signature_secret").reveal()
        if len(secret) < LEAST_SIGNATURE_SECRET:
            raise ConfigurationError(f"suppliers.toml:{self._rule.name}: its signature secret is too short")
        self._key = OctKey.import_key(secret)

    def read(self, call: CallBack) -> Word:
        """What a call-back tells. Raises Unauthorized, InvalidInput."""
        self._authenticate(call)
        step = self._speaker.urls.read(call.query)
        event = decoded(call.body, Event, what="an event of Vonage's")
        if step.step is Step.KEY:
            return self._key_pressed(step, event)
        status = event.receipt_status
        return Word(receipts=(self._receipt(step, status, event),)) if status else Word()

    def answer(self, word: Word, message: Message | None) -> CallBackAnswer:
        """The NCCO with the message once more; nothing otherwise, upon which the call goes on, or ends."""
        if message is None or not word.again:
            return CallBackAnswer()
        return CallBackAnswer(self._speaker.ncco(message, heard=int(word.note)))

    def _key_pressed(self, step: CallStep, event: Event) -> Word:
        if event.key == Key.NOT_ME:
            receipt = self._receipt(step, ReceiptStatus.ANSWERED, event)
            return Word(receipts=(receipt,), declined=(step.delivery_id,))
        if event.key == Key.AGAIN and step.heard < MOST_TIMES:
            return Word(again=step.delivery_id, note=str(step.heard + 1))
        return Word()

    def _receipt(self, step: CallStep, status: ReceiptStatus, event: Event) -> Receipt:
        return Receipt(
            self._rule.name,
            step.delivery_id,
            status,
            time_ms(event.timestamp),
            price(event.price, self._rule.currency),
        )

    def _authenticate(self, call: CallBack) -> None:
        """Vonage, Signed Webhooks: a JWT in HS256 whose `payload_hash` is the SHA-256 of the body."""
        scheme, _, compact = call.headers.get("authorization", "").partition(" ")
        try:
            claims = jwt.decode(compact.strip(), self._key, algorithms=["HS256"]).claims
        except (JoseError, ValueError) as error:
            raise Unauthorized("the call-back is not signed by Vonage") from error
        said = claims.get("payload_hash")
        hashed = hashlib.sha256(call.body).hexdigest()
        issued_at = claims.get("iat")
        if (
            scheme.lower() != "bearer"
            or not isinstance(said, str)
            or not hmac.compare_digest(hashed.encode(), said.lower().encode(errors="replace"))
            or claims.get("application_id") != self._application_id
            or not isinstance(issued_at, int)
            or abs(self._clock.now_ms() // 1000 - issued_at) > FRESH_SECONDS
        ):
            raise Unauthorized("the call-back is not signed by Vonage")


def build(context: Context) -> WordReader | None:
    """The reader of a section's call-backs. Raises ConfigurationError."""
    return VonageVoiceWords(context)
