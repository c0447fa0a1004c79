"""Twilio's Messages: the form that goes out, what codes mean, and call-backs, true and forged."""

from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
import pytest

from sca_service.delivery.channels.kinds import make_reader, make_supplier
from sca_service.delivery.channels.sms.call_back import form_of
from sca_service.delivery.channels.sms.twilio_messages import wire
from sca_service.delivery.channels.sms.twilio_messages.receipts import is_signed, signature
from sca_service.delivery.channels.sms.twilio_messages.settings import Settings
from sca_service.delivery.http_client import HttpAnswer, HttpClient
from sca_service.delivery.supplier import (
    CallBack,
    FailureReason,
    Receipt,
    ReceiptStatus,
    SupplierFailure,
    Word,
    WordReader,
)
from sca_service.kernel.errors import ConfigurationError, InvalidInput, Unauthorized
from sca_service.kernel.money import Price
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel
from sca_service.policy.supply import SenderKind, SenderRule
from tests.adapters import (
    DELIVERY,
    NOW_MS,
    NUMBER,
    PUBLIC_URL,
    TEXT,
    adapter_context,
    call_back,
    text_message,
    words_of,
)
from tests.rude_server import RudeServer

ACCOUNT = "AC" + "0" * 32
SERVICE = "MG" + "0" * 32
AUTH_TOKEN = "example-auth-token-of-32-chars.."
URL = f"{PUBLIC_URL}/receipts/example-twilio-messages"
STATUS_URL = f"{URL}?delivery={DELIVERY}"
FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
SENDER = SenderRule("DE", Channel.SMS, "BANKEX", SenderKind.ALPHANUMERIC)


def settings(**options: Any) -> Settings:
    """A section."""
    return msgspec.convert({"account_sid": ACCOUNT, "sender": "+4930900"} | options, Settings)


def sent(options: Settings, **message: Any) -> dict[str, str]:
    """The form of a message."""
    body = wire.form(options, text_message(**message), status_url=STATUS_URL, now_ms=NOW_MS)
    return dict(parse_qsl(body.decode(), strict_parsing=True))


def test_the_form() -> None:
    """Number, text, sender, call-back and life time; the text is sent as it is on record."""
    assert sent(settings()) == {
        "To": NUMBER,
        "From": "+4930900",
        "Body": TEXT,
        "StatusCallback": STATUS_URL,
        "SmartEncoded": "false",
        "ValidityPeriod": "300",
    }


def test_the_registered_sender_comes_first() -> None:
    """What the country's registration says is shown, not the section's default."""
    assert sent(settings(), sender=SENDER)["From"] == "BANKEX"


def test_a_messaging_service_chooses_unless_a_sender_is_registered() -> None:
    """The service's pool, or the registered sender of it."""
    pool = settings(sender="", messaging_service_sid=SERVICE)
    assert sent(pool)["MessagingServiceSid"] == SERVICE
    assert "From" not in sent(pool)
    assert sent(pool, sender=SENDER)["From"] == "BANKEX"


def test_without_any_sender_nothing_is_sent() -> None:
    """An unregistered sender costs nothing."""
    with pytest.raises(SupplierFailure) as raised:
        sent(settings(sender=""))
    assert (raised.value.reason, raised.value.transient) == (FailureReason.SENDER_UNREGISTERED, False)


@pytest.mark.parametrize(
    ("expires_at_ms", "expected"),
    [(NOW_MS - 1, "1"), (NOW_MS + 1_999, "1"), (NOW_MS + 10**9, "36000"), (0, None)],
)
def test_the_life_time_stays_in_its_bounds(expires_at_ms: int, expected: str | None) -> None:
    """Twilio takes 1 to 36,000 seconds."""
    assert sent(settings(), expires_at_ms=expires_at_ms).get("ValidityPeriod") == expected


def test_the_text_need_not_be_kept() -> None:
    """The privacy feature is asked for where the section wants it."""
    assert sent(settings(discard_content=True))["ContentRetention"] == "discard"


@pytest.mark.parametrize(
    "options",
    [
        {"account_sid": "AC1"},
        {"account_sid": ACCOUNT + "\n"},
        {"base_url": "http://api.twilio.example"},
        {"sender": "a sender that is too long"},
        {"messaging_service_sid": ACCOUNT},
        {"unknown": 1},
    ],
)
def test_a_section_that_is_refused(options: dict[str, Any]) -> None:
    """Mistakes are found when the policy is loaded."""
    with pytest.raises(msgspec.ValidationError):
        settings(**options)


def answer(status: int, body: Any) -> HttpAnswer:
    """An answer with a JSON body."""
    return HttpAnswer(status, {"retry-after": "3"}, msgspec.json.encode(body))


@pytest.mark.parametrize(
    ("said", "expected"), [("2", 2), (3, 3), ("0", 1), (None, 1), ("many", 1), ("-1", 1)]
)
def test_segments(said: Any, expected: int) -> None:
    """As many as Twilio says; with a messaging service it says 0, and they are counted."""
    accepted = wire.accepted(answer(201, {"sid": "SM1", "status": "accepted", "num_segments": said}), "Hello")
    assert (accepted.reference, accepted.segments) == ("SM1", expected)


@pytest.mark.parametrize(
    ("status", "code", "reason", "transient"),
    [
        (400, 21211, FailureReason.REJECTED, False),  # not a number
        (400, 21614, FailureReason.REJECTED, False),  # not a mobile number
        (400, 21610, FailureReason.REJECTED, False),  # the payer has opted out
        (400, 21408, FailureReason.REJECTED, False),  # that region is not allowed
        (400, 21606, FailureReason.SENDER_UNREGISTERED, False),
        (400, 21611, FailureReason.SUPPLIER_DOWN, True),  # queue full
        (401, 20003, FailureReason.SUPPLIER_DOWN, True),
        (403, 30002, FailureReason.SUPPLIER_DOWN, True),  # account suspended
        (429, 20429, FailureReason.SUPPLIER_DOWN, True),
        (500, 20500, FailureReason.SUPPLIER_DOWN, False),
        (400, "21211", FailureReason.REJECTED, False),  # not the type that it should be
    ],
)
def test_codes(status: int, code: Any, reason: FailureReason, transient: bool) -> None:
    """A code says more than the status; the sentence beside it holds the number and is never shown."""
    refused = answer(status, {"code": code, "message": f"The 'To' number {NUMBER} is …", "status": status})
    with pytest.raises(SupplierFailure) as raised:
        wire.accepted(refused, TEXT)
    assert (raised.value.reason, raised.value.transient) == (reason, transient)
    assert raised.value.retry_after_ms == (3_000 if transient else 0)
    assert NUMBER not in words_of(raised.value)


@pytest.mark.parametrize(
    ("secrets", "expected"),
    [
        ({"auth_token": AUTH_TOKEN}, (ACCOUNT, AUTH_TOKEN)),
        ({"auth_token": AUTH_TOKEN, "api_key_sid": "SK1", "api_key_secret": "s"}, ("SK1", "s")),
    ],
)
async def test_who_signs_requests(secrets: dict[str, str], expected: tuple[str, str]) -> None:
    """The account itself, or an API key where there is one."""
    async with RudeServer() as server:
        server.answer(201, {"sid": "SM1"})
        http = HttpClient()
        options = {"account_sid": ACCOUNT, "base_url": server.url + "/", "sender": "BANKEX"}
        await make_supplier(adapter_context("twilio-messages", options, secrets, http=http)).send(
            text_message()
        )
        await http.close()
        (request,) = server.requests
        assert request.path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
        assert request.headers["authorization"] == wire.authorization(*expected)
        assert request.form()["StatusCallback"] == STATUS_URL


def test_without_its_secret_there_is_no_supplier() -> None:
    """The error names the variable."""
    context = adapter_context("twilio-messages", {"account_sid": ACCOUNT}, {})
    with pytest.raises(ConfigurationError, match="SCA_SUPPLIER_EXAMPLE_TWILIO_MESSAGES_AUTH_TOKEN"):
        make_supplier(context)


# The signatures below are those of the test suite of twilio/twilio-python (MIT), computed there by Twilio.
VECTOR_URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
VECTOR_TOKEN = Secret("12345")
VECTOR_FORM = {
    "CallSid": "CA1234567890ABCDE",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
    "Caller": "+14158675309",
}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (VECTOR_URL, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        (VECTOR_URL.replace(".com", ".com:1234"), "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        (VECTOR_URL, "kvajT1Ptam85bY51eRf/AJRuM3w="),  # signed with port 443
        (VECTOR_URL.replace("https", "http").replace(".com", ".com:1234"), "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
        (VECTOR_URL.replace("https", "http"), "0ZXoZLH/DfblKGATFgpif+LLRf4="),  # signed with port 80
    ],
)
def test_twilios_own_signatures(url: str, expected: str) -> None:
    """With and without the port's number."""
    call = call_back(url, headers={"x-twilio-signature": expected})
    assert is_signed(VECTOR_TOKEN, call, {name: [value] for name, value in VECTOR_FORM.items()})


def test_twilios_own_signature_of_a_repeated_field() -> None:
    """Each of its values once, in their order."""
    form = {"Sid": ["CA123"], "SidAccount": ["AC123"], "Digits": ["5678", "1234", "5678"]}
    assert signature(VECTOR_TOKEN, VECTOR_URL, form) == "IK+Dwps556ElfBT0I3Rgjkr1wJU="


@pytest.fixture
def reader() -> WordReader:
    """The reader of an account's call-backs."""
    context = adapter_context("twilio-messages", {"account_sid": ACCOUNT}, {"auth_token": AUTH_TOKEN})
    found = make_reader(context)
    assert found
    return found


def signed(url: str, fields: list[tuple[str, str]], *, token: str = AUTH_TOKEN) -> CallBack:
    """A call-back as Twilio makes it."""
    call = call_back(url, body=urlencode(fields).encode(), headers={"content-type": FORM["Content-Type"]})
    proof = signature(Secret(token), url, form_of(call))
    return call_back(
        url, body=call.body, headers={"content-type": FORM["Content-Type"], "x-twilio-signature": proof}
    )


def status(word: str, *more: tuple[str, str]) -> list[tuple[str, str]]:
    """The fields of a status."""
    return [("MessageSid", "SM1"), ("MessageStatus", word), ("To", NUMBER), ("AccountSid", ACCOUNT), *more]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("delivered", ReceiptStatus.DELIVERED),
        ("read", ReceiptStatus.DELIVERED),
        ("undelivered", ReceiptStatus.UNDELIVERED),
        ("failed", ReceiptStatus.UNDELIVERED),
        ("canceled", ReceiptStatus.UNDELIVERED),
        ("queued", None),
        ("sent", None),
        ("a word of next year", None),
    ],
)
def test_statuses(reader: WordReader, word: str, expected: ReceiptStatus | None) -> None:
    """Last words are receipts; others are heard and say nothing."""
    found = reader.read(signed(STATUS_URL, status(word, ("ErrorCode", "30003"))))
    receipt = expected and Receipt("example-twilio-messages", DELIVERY, expected, 0)
    assert found == Word(receipts=(receipt,) if receipt else ())
    assert reader.answer(found, None).body == b""


def test_a_price_that_comes_with_the_status(reader: WordReader) -> None:
    """Twilio writes what it takes with a minus."""
    found = reader.read(signed(STATUS_URL, status("delivered", ("Price", "-0.00750"), ("PriceUnit", "usd"))))
    assert found.receipts[0].cost == Price("USD", 7_500)


def test_a_reply(reader: WordReader) -> None:
    """A message from a payer: number and text, and an answer that sends nothing back."""
    found = reader.read(
        signed(URL, [("From", NUMBER), ("Body", "NO"), ("SmsStatus", "received"), ("NumMedia", "0")])
    )
    (reply,) = found.replies
    assert (reply.sender.reveal(), reply.text.reveal(), found.receipts) == (NUMBER, "NO", ())
    assert reader.answer(found, None).body == b"<Response></Response>"
    assert reader.answer(found, None).content_type == "text/xml"
    assert NUMBER not in repr(found)


def test_a_reply_by_get(reader: WordReader) -> None:
    """Where the console says GET, everything stands in the URL that is signed."""
    url = f"{URL}?{urlencode({'From': NUMBER, 'Body': 'NO', 'SmsStatus': 'received'})}"
    proof = signature(Secret(AUTH_TOKEN), url, {})
    found = reader.read(call_back(url, method="GET", headers={"x-twilio-signature": proof}))
    assert found.replies[0].text.reveal() == "NO"


GOOD = signed(STATUS_URL, status("delivered"))
OTHER_DELIVERY = DELIVERY[:-1] + "2"


@pytest.mark.parametrize(
    "forged",
    [
        call_back(GOOD.url, body=GOOD.body, headers={"content-type": FORM["Content-Type"]}),
        call_back(GOOD.url, body=GOOD.body, headers={**GOOD.headers, "x-twilio-signature": ""}),
        call_back(GOOD.url, body=GOOD.body, headers={**GOOD.headers, "x-twilio-signature": "\udcff"}),
        call_back(GOOD.url.replace(DELIVERY, OTHER_DELIVERY), body=GOOD.body, headers=GOOD.headers),
        call_back(GOOD.url, body=GOOD.body.replace(b"delivered", b"failed"), headers=GOOD.headers),
        call_back(GOOD.url, body=GOOD.body + b"&MessageStatus=failed", headers=GOOD.headers),
        call_back(GOOD.url + "&x=y", body=GOOD.body, headers=GOOD.headers),
        call_back(GOOD.url.replace("sca.bank", "sca.other"), body=GOOD.body, headers=GOOD.headers),
        call_back(
            GOOD.url, body=GOOD.body, headers={"x-twilio-signature": GOOD.headers["x-twilio-signature"]}
        ),
        signed(STATUS_URL, status("delivered"), token="another-token-of-32-characters.."),
    ],
)
def test_forged(reader: WordReader, forged: CallBack) -> None:
    """Without a signature, with another's, over another URL or other fields: not Twilio's."""
    assert reader.read(GOOD).receipts
    with pytest.raises(Unauthorized):
        reader.read(forged)


@pytest.mark.parametrize(
    "call",
    [
        signed(STATUS_URL, status("delivered", ("MessageStatus", "failed"))),
        signed(STATUS_URL + f"&delivery={OTHER_DELIVERY}", status("delivered")),
        signed(URL, status("delivered")),
        call_back(STATUS_URL, body=b"a=b&" * 101, headers={**GOOD.headers}),
    ],
)
def test_signed_and_yet_ambiguous(reader: WordReader, call: CallBack) -> None:
    """A status or a delivery twice, none at all, and more fields than anybody sends."""
    with pytest.raises((InvalidInput, Unauthorized)):
        reader.read(call)


def test_a_replay_says_the_same_again(reader: WordReader) -> None:
    """It is the same word; what is settled stays settled."""
    assert reader.read(GOOD) == reader.read(GOOD)


def test_something_else_that_is_signed_says_nothing(reader: WordReader) -> None:
    """A fallback call or one of next year."""
    assert reader.read(signed(STATUS_URL, [("EventType", "new")])) == Word()


def test_a_short_token_proves_nothing() -> None:
    """Whoever guesses it would settle deliveries."""
    context = adapter_context("twilio-messages", {"account_sid": ACCOUNT}, {"auth_token": "short"})
    with pytest.raises(ConfigurationError, match="16 characters"):
        make_reader(context)
