"""What a described supplier tells later, read and authenticated as its section says."""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping

import msgspec

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.sms.call_back import (
    DeliveryUrls,
    Parameters,
    form_of,
    query_of,
    same,
    shared_secret,
    single,
)
from sca_service.delivery.channels.sms.charge import price
from sca_service.delivery.channels.sms.http_sms.settings import CallBacks, Encoding, Proof, Settings
from sca_service.delivery.channels.sms.http_sms.wire import text_at
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

LONGEST_REPLY = 1_600


class HttpSmsWords:
    """Reads a described supplier's call-backs. A class because it holds what proves them."""

    def __init__(
        self, supplier: str, *, rules: CallBacks, currency: str, urls: DeliveryUrls, secret: Secret[str]
    ) -> None:
        """`secret` is the shared one; for `basic` name and password with a colon between; for `url` not used."""
        self._supplier = supplier
        self._rules = rules
        self._currency = currency
        self._urls = urls
        self._secret = secret
        self._statuses = {word.casefold(): ReceiptStatus.UNDELIVERED for word in rules.undelivered} | {
            word.casefold(): ReceiptStatus.DELIVERED for word in rules.delivered
        }

    def read(self, call: CallBack) -> Word:
        """A receipt, a reply, or nothing yet. Raises Unauthorized, InvalidInput."""
        if not self._is_proven(call):
            raise Unauthorized("the call-back is not the supplier's")
        query = query_of(call)
        if self._rules.proof is Proof.URL:
            self._urls.delivery_of(query)
        document = self._document(call, query)
        replies = self._rules.replies
        if (
            replies
            and (sender := text_at(document, replies.sender))
            and (text := text_at(document, replies.text))
        ):
            return Word(replies=(Reply(Secret(sender), Secret(text[:LONGEST_REPLY])),))
        delivery = self._delivery(document, query)
        status = self._statuses.get(text_at(document, self._rules.status).casefold())
        if status is None:
            return Word()
        cost = price(text_at(document, self._rules.price), self._currency)
        return Word(receipts=(Receipt(self._supplier, delivery, status, 0, cost),))

    def answer(self, word: Word, message: Message | None) -> CallBackAnswer:
        """Nothing."""
        del word, message
        return CallBackAnswer()

    def _delivery(self, document: object, query: Parameters) -> str:
        if not self._rules.delivery:
            return self._urls.delivery_of(query)
        delivery = text_at(document, self._rules.delivery)
        if not delivery:
            raise InvalidInput.at(self._rules.delivery, "is missing")
        return delivery

    def _is_proven(self, call: CallBack) -> bool:
        """Whether the proof of the section's choice is there; `url` is proven by the URL itself."""
        claimed = call.headers.get(self._rules.header.lower(), "")
        match self._rules.proof:
            case Proof.URL:
                return True
            case Proof.HEADER:
                return same(claimed, self._secret.reveal())
            case Proof.BASIC:
                return same(_basic(call.headers.get("authorization", "")), self._secret.reveal())
            case Proof.HMAC:
                mac = hmac.digest(self._secret.reveal().encode(), call.body, self._rules.digest.value)
                forms = (mac.hex(), b64encode(mac).decode())
                return any(same(claimed, self._rules.prefix + form) for form in forms)

    def _document(self, call: CallBack, query: Parameters) -> object:
        match self._rules.encoding:
            case Encoding.JSON:
                try:
                    return msgspec.json.decode(call.body)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    raise InvalidInput.at("", "must be JSON") from None
            case Encoding.FORM:
                return _fields(form_of(call))
            case Encoding.QUERY:
                return _fields(query)


def _fields(parameters: Parameters) -> Mapping[str, str]:
    return {name: single(parameters, name) for name in parameters}


def _basic(header: str) -> str:
    scheme, _, credentials = header.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return b64decode(credentials, validate=True).decode()
    except ValueError:  # neither base64 nor UTF-8
        return ""


def build(context: Context) -> WordReader | None:
    """The reader of a section's call-backs, None when it describes none. Raises ConfigurationError."""
    settings = context.settings(Settings)
    rules = settings.call_backs
    if rules is None:
        return None
    secret = Secret("")
    if rules.proof is Proof.BASIC:
        pair = (context.secret("call_back_username"), shared_secret(context, "call_back_password"))
        secret = Secret(":".join(part.reveal() for part in pair))
    elif rules.proof is not Proof.URL:
        secret = shared_secret(context, "call_back_secret")
    urls = DeliveryUrls(supplier=context.rule.name, public_url=context.public_url, keyring=context.keyring)
    return HttpSmsWords(
        context.rule.name,
        rules=rules,
        currency=settings.answer.currency or context.rule.currency,
        urls=urls,
        secret=secret,
    )
