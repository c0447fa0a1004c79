"""What Kaleyra tells later, by the URL of each message or by a call-back profile.

Sources: https://developers.kaleyra.io/docs/sms-callback (GET or POST, statuses),
https://developers.kaleyra.io/docs/create-callback-profile-for-sms (the variables are the profile's own choice),
https://developers.kaleyra.io/docs/sms-status-and-status-trace-codes (words of a status).
"""

from collections.abc import Mapping

import msgspec

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.sms.call_back import (
    DeliveryUrls,
    form_of,
    query_of,
    same,
    shared_secret,
    single,
)
from sca_service.delivery.channels.sms.kaleyra.settings import Settings
from sca_service.delivery.supplier import (
    CallBack,
    CallBackAnswer,
    Message,
    Receipt,
    ReceiptStatus,
    Word,
    WordReader,
)
from sca_service.kernel.errors import InvalidInput, Unauthorized
from sca_service.kernel.secret import Secret


class KaleyraWords:
    """Reads call-backs of one account. A class because it holds the keys that prove them."""

    def __init__(
        self, supplier: str, *, settings: Settings, urls: DeliveryUrls, secret: Secret[str] | None
    ) -> None:
        """`secret` is the call-back profile's, None where messages carry their own URL."""
        self._supplier = supplier
        self._settings = settings
        self._urls = urls
        self._secret = secret
        self._statuses = {word.upper(): ReceiptStatus.UNDELIVERED for word in settings.undelivered} | {
            word.upper(): ReceiptStatus.DELIVERED for word in settings.delivered
        }

    def read(self, call: CallBack) -> Word:
        """A receipt, or nothing yet. Raises Unauthorized, InvalidInput."""
        if self._secret is None:
            delivery = self._urls.delivery_of(query_of(call))
            fields = _fields(call)
        else:
            claimed = call.headers.get(self._settings.callback_header.lower(), "")
            if not same(claimed, self._secret.reveal()):
                raise Unauthorized("the call-back does not carry the secret of its profile")
            fields = _fields(call)
            delivery = fields.get(self._settings.reference_field, "")
            if not delivery:
                raise InvalidInput.at(f"/{self._settings.reference_field}", "is missing")
        status = self._statuses.get(fields.get(self._settings.status_field, "").strip().upper())
        if status is None:
            return Word()
        return Word(receipts=(Receipt(self._supplier, delivery, status, 0),))

    def answer(self, word: Word, message: Message | None) -> CallBackAnswer:
        """Nothing: the status of the answer is all that Kaleyra looks at."""
        del word, message
        return CallBackAnswer()


def _fields(call: CallBack) -> Mapping[str, str]:
    """What the call-back says: in a JSON body, in a form, or in the URL. Raises InvalidInput."""
    if call.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        try:
            found = msgspec.json.decode(call.body, type=dict[str, object])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise InvalidInput.at("", "must be a JSON object") from None
        return {name: str(value) for name, value in found.items() if isinstance(value, str | int)}
    parameters = form_of(call) or query_of(call)
    return {name: single(parameters, name) for name in parameters}


def build(context: Context) -> WordReader:
    """The reader of a section's call-backs. Raises ConfigurationError."""
    settings = context.settings(Settings)
    urls = DeliveryUrls(supplier=context.rule.name, public_url=context.public_url, keyring=context.keyring)
    secret = shared_secret(context, "call_back_secret") if settings.callback_profile_id else None
    return KaleyraWords(context.rule.name, settings=settings, urls=urls, secret=secret)
