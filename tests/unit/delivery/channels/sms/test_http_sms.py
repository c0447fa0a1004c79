"""The described SMS supplier: sections that are refused, templates, answers, and every proof of a call-back."""

import hmac
from base64 import b64encode
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
import pytest

from sca_service.delivery.channels.kinds import make_reader, make_supplier
from sca_service.delivery.channels.sms.call_back import DeliveryUrls
from sca_service.delivery.channels.sms.charge import price
from sca_service.delivery.channels.sms.http_sms import wire
from sca_service.delivery.channels.sms.http_sms.settings import Answer, Settings
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
from sca_service.policy.model import Channel, Occasion
from sca_service.policy.supply import SenderKind, SenderRule
from tests.adapters import (
    DELIVERY,
    KEYRING,
    NOW_MS,
    NUMBER,
    PUBLIC_URL,
    TEXT,
    adapter_context,
    call_back,
    text_message,
)
from tests.rude_server import RudeServer

URL = f"{PUBLIC_URL}/receipts/example-http-sms"
SECRET = "example-secret-of-call-backs"
URLS = DeliveryUrls(supplier="example-http-sms", public_url=PUBLIC_URL, keyring=KEYRING)
SECTION: dict[str, Any] = {
    "url": "https://api.supplier.example/sms",
    "body": {"to": "{to}", "text": "{text}"},
    "answer": {},
}
INDIAN = SenderRule(
    "IN", Channel.SMS, "BANKEX", SenderKind.DLT, entity="1101", templates={Occasion.PAYMENT: "1107"}
)


def settings(**options: Any) -> Settings:
    """A section."""
    return msgspec.convert(SECTION | options, Settings)


def encoded(section: Settings, *, text: str = TEXT, sender: SenderRule | None = None) -> tuple[str, bytes]:
    """The URL and the body of a message."""
    message = text_message(text=text, sender=sender)
    values = wire.values_of(section, message, call_back_url=f"{URL}?a=b&c=d", now_ms=NOW_MS)
    return wire.encoded(section, {**values, "secret:api_key": "s3cret"})


@pytest.mark.parametrize(
    "options",
    [
        {"url": "http://api.supplier.example/sms"},
        {"url": "https://api.supplier.example/sms?key=1"},
        {"body": {}},
        {"body": {"to": "{to}"}},
        {"body": {"text": "{text} {code}"}},
        {"body": {"text": "{text} {"}},
        {"body": {"text": "{text}", "key": "{secret:../x}"}},
        {"body": {"text": ["{text}"] * 65}},
        {"encoding": "form", "body": {"text": "{text}", "n": 1}},
        {"encoding": "form", "body": {"text": {"a": "{text}"}}},
        {"encoding": "query", "method": "GET", "body": {"text": "{text}", "key": "{secret:api_key}"}},
        {"method": "GET"},
        {"encoding": "query"},
        {"method": "DELETE"},
        {"headers": {"X Key": "1"}},
        {"headers": {"Content-Length": "1"}},
        {"headers": {"X-Key": "a\r\nb"}},
        {"headers": {"X-Key": "{text}"}},
        {"headers": {"X-Key": "{to}"}},
        {"answer": {"success": [404]}},
        {"answer": {"id": "id"}},
        {"answer": {"id": "/a~2"}},
        {"answer": {"status": "/status"}},
        {"answer": {"currency": "Euro"}},
        {"call_backs": {"status": "/s", "delivered": ["D"], "undelivered": [], "proof": "hmac"}},
        {
            "call_backs": {
                "status": "/s",
                "delivered": ["D"],
                "undelivered": [],
                "proof": "hmac",
                "header": "X-Mac",
                "encoding": "query",
            }
        },
        {"call_backs": {"status": "/s", "delivered": ["D"], "undelivered": [], "delivery": "/ref"}},
        {
            "call_backs": {
                "status": "/s",
                "delivered": [],
                "undelivered": [],
                "replies": {"sender": "/f", "text": "/t"},
            }
        },
        {"unknown": 1},
    ],
)
def test_a_section_that_is_refused(options: dict[str, Any]) -> None:
    """What cannot work, or could leak or be forged, is found when the policy is loaded."""
    settings()
    with pytest.raises(msgspec.ValidationError):
        settings(**options)


def test_json() -> None:
    """Any shape of JSON; a whole value may be a number; what has no value is left out."""
    section = settings(
        body={
            "messages": [
                {"dest": ["{to_digits}"], "content": {"text": "{text}"}, "valid_s": "{ttl_seconds}"}
            ],
            "from": "{sender}",
            "ref": "sca-{delivery_id}",
            "dlr": "{call_back_url}",
            "dlt": {"template": "{template}", "entity": "{entity}"},
            "campaign": "{campaign}",
            "flash": False,
            "priority": 1,
        },
        sender="OTHER",
    )
    url, body = encoded(section, sender=INDIAN)
    assert url == section.url
    assert msgspec.json.decode(body) == {
        "messages": [{"dest": [NUMBER[1:]], "content": {"text": TEXT}, "valid_s": 300}],
        "from": "BANKEX",
        "ref": f"sca-{DELIVERY}",
        "dlr": f"{URL}?a=b&c=d",
        "dlt": {"template": "1107", "entity": "1101"},
        "flash": False,
        "priority": 1,
    }


NASTY = 'a"},{"to":"+1900","x":"&to=%2B1900;{to}\\\r\n\0#?+ é😀'


def test_no_text_breaks_out_of_json() -> None:
    """Quotes, braces and placeholders in a text are a text."""
    _, body = encoded(settings(), text=NASTY)
    assert msgspec.json.decode(body) == {"to": NUMBER, "text": NASTY}


def test_no_text_breaks_out_of_a_form() -> None:
    """Neither do ampersands, line breaks and percent signs."""
    url, body = encoded(settings(encoding="form"), text=NASTY)
    assert url == SECTION["url"]
    assert parse_qsl(body.decode(), strict_parsing=True) == [("to", NUMBER), ("text", NASTY)]


def test_no_text_breaks_out_of_a_query() -> None:
    """Nor a number sign, in a URL."""
    url, body = encoded(settings(encoding="query", method="GET"), text=NASTY)
    assert body == b""
    assert urlsplit(url).path == "/sms"
    assert parse_qsl(urlsplit(url).query, strict_parsing=True) == [("to", NUMBER), ("text", NASTY)]
    assert url.isascii()


def test_a_secret_may_stand_in_a_body() -> None:
    """Some suppliers want it there."""
    _, body = encoded(settings(encoding="form", body={"text": "{text}", "key": "{secret:api_key}"}))
    assert dict(parse_qsl(body.decode()))["key"] == "s3cret"


def test_without_any_sender_nothing_is_sent() -> None:
    """Unless the section names none at all."""
    with pytest.raises(SupplierFailure) as raised:
        encoded(settings(body={"text": "{text}", "from": "{sender}"}))
    assert (raised.value.reason, raised.value.transient) == (FailureReason.SENDER_UNREGISTERED, False)
    assert encoded(settings())


async def test_what_goes_over_the_wire() -> None:
    """Headers with secrets, basic authentication, and a call-back URL that the reader believes."""
    options = SECTION | {
        "method": "PUT",
        "headers": {"X-Api-Key": "Key {secret:api_key}", "X-Request": "{delivery_id}"},
        "basic_auth": True,
        "body": {"text": "{text}", "dlr": "{call_back_url}"},
        "call_backs": {"status": "/status", "delivered": ["ok"], "undelivered": ["no"]},
    }
    secrets = {"api_key": "s3cret", "username": "bank", "password": "pass:word"}
    async with RudeServer() as server:
        http = HttpClient()
        context = adapter_context("http-sms", options | {"url": f"{server.url}/sms"}, secrets, http=http)
        accepted = await make_supplier(context).send(text_message())
        await http.close()
    assert accepted.reference == DELIVERY
    (request,) = server.requests
    assert (request.method, request.target) == ("PUT", "/sms")
    assert request.headers["x-api-key"] == "Key s3cret"
    assert request.headers["x-request"] == DELIVERY
    assert request.headers["authorization"] == "Basic " + b64encode(b"bank:pass:word").decode()
    assert request.headers["content-type"] == "application/json"
    reader = make_reader(context)
    assert reader
    found = reader.read(call_back(request.json()["dlr"], body=b'{"status": "OK"}'))
    assert found.receipts == (Receipt("example-http-sms", DELIVERY, ReceiptStatus.DELIVERED, 0),)


@pytest.mark.parametrize("secrets", [{}, {"api_key": "a\r\nX-Other: b"}])
def test_a_secret_that_is_missing_or_no_header(secrets: dict[str, str]) -> None:
    """The service does not start, and does not quote it."""
    options = SECTION | {"headers": {"X-Api-Key": "{secret:api_key}"}}
    with pytest.raises(ConfigurationError) as raised:
        make_supplier(adapter_context("http-sms", options, secrets))
    assert "X-Other" not in str(raised.value)


def taken(rules: dict[str, Any], status: int, body: Any) -> Any:
    """What an answer comes to: reference, segments and price, or the failure's reason and transience."""
    answer = HttpAnswer(
        status, {"retry-after": "2"}, body if isinstance(body, bytes) else msgspec.json.encode(body)
    )
    try:
        found = wire.accepted(msgspec.convert(rules, Answer), answer, text_message(), "EUR")
    except SupplierFailure as failed:
        return failed.reason, failed.transient, failed.retry_after_ms
    return found.reference, found.segments, found.cost


RULES = {
    "id": "/list/0/a~1b~0",
    "status": "/code",
    "accepted": ["0", "true"],
    "transient": ["42"],
    "permanent": ["Bad"],
    "segments": "/parts",
    "price": "/price",
}
UNKNOWN = (FailureReason.TIMEOUT, False, 0)


@pytest.mark.parametrize(
    ("rules", "status", "body", "expected"),
    [
        ({}, 200, b"OK", (DELIVERY, 1, None)),
        ({"success": [201]}, 200, b"", UNKNOWN),
        (RULES, 200, {"code": 0, "list": [{"a/b~": "x"}]}, ("x", 1, None)),
        (RULES, 200, {"code": True, "list": [{"a/b~": 7}]}, ("7", 1, None)),
        (
            RULES,
            200,
            {"code": "0", "list": [{"a/b~": "x"}], "parts": "3", "price": 0.0075},
            ("x", 3, Price("EUR", 7_500)),
        ),
        (RULES, 200, {"code": 0, "list": [{"a/b~": "x"}], "parts": 0, "price": "-"}, ("x", 1, None)),
        (RULES, 200, {"code": "bad", "list": [{"a/b~": "x"}]}, (FailureReason.REJECTED, False, 0)),
        (RULES, 200, {"code": 42}, (FailureReason.SUPPLIER_DOWN, True, 2_000)),
        (RULES, 400, {"code": 42}, (FailureReason.SUPPLIER_DOWN, True, 2_000)),
        (RULES, 500, {"code": "BAD"}, (FailureReason.REJECTED, False, 0)),
        (RULES, 500, {"code": 0, "list": [{"a/b~": "x"}]}, (FailureReason.SUPPLIER_DOWN, False, 0)),
        (RULES, 400, b"<html>", (FailureReason.REJECTED, False, 0)),
        (RULES, 429, b"", (FailureReason.SUPPLIER_DOWN, True, 2_000)),
        (RULES, 200, {"code": 99, "list": [{"a/b~": "x"}]}, UNKNOWN),
        (RULES, 200, {"list": [{"a/b~": "x"}]}, UNKNOWN),
        (RULES, 200, {"code": 0, "list": []}, UNKNOWN),
        (RULES, 200, {"code": 0, "list": [{"a/b~": {}}]}, UNKNOWN),
        (RULES, 200, {"code": {"0": 0}}, UNKNOWN),
        ({"price": "/p", "currency": "USD"}, 200, {"p": "1.5"}, (DELIVERY, 1, Price("USD", 1_500_000))),
    ],
)
def test_answers(rules: dict[str, Any], status: int, body: Any, expected: Any) -> None:
    """The supplier's own words come first, then the status; what is neither yes nor no is not sent again."""
    assert taken(rules, status, body) == expected


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        ("0.07", "EUR", 70_000),
        ("-0.00750", "USD", 7_500),
        ("0", "EUR", 0),
        ("1e-3", "EUR", 1_000),
        ("", "EUR", None),
        ("NaN", "EUR", None),
        ("Infinity", "EUR", None),
        ("1e99999999", "EUR", None),
        ("1000001", "EUR", None),
        ("0.07", "Euro", None),
        ("0,07", "EUR", None),
        ("9" * 25, "EUR", None),
    ],
)
def test_prices(amount: str, currency: str, expected: int | None) -> None:
    """In millionths, never negative, and nothing for nonsense."""
    assert price(amount, currency) == (None if expected is None else Price(currency, expected))


def reader(secrets: dict[str, str] | None = None, **rules: Any) -> WordReader:
    """The reader of a section with these call-backs."""
    base = {"status": "/status", "delivered": ["DELIVRD"], "undelivered": ["UNDELIV"]}
    context = adapter_context("http-sms", SECTION | {"call_backs": base | rules}, secrets or {})
    found = make_reader(context)
    assert found
    return found


BODY = msgspec.json.encode({"ref": DELIVERY, "status": "delivrd", "from": "", "cost": "0.05"})
DELIVERED = Word(receipts=(Receipt("example-http-sms", DELIVERY, ReceiptStatus.DELIVERED, 0),))


def test_no_call_backs() -> None:
    """A supplier that tells nothing has no reader."""
    assert make_reader(adapter_context("http-sms", SECTION, {})) is None


def mac(body: bytes, digest: str = "sha256", secret: str = SECRET) -> bytes:
    """An HMAC as a supplier computes it."""
    return hmac.digest(secret.encode(), body, digest)


@pytest.mark.parametrize(
    ("rules", "value"),
    [
        ({}, mac(BODY).hex()),
        ({"prefix": "sha256="}, "sha256=" + mac(BODY).hex()),
        ({"digest": "sha512"}, b64encode(mac(BODY, "sha512")).decode()),
        ({"digest": "sha1"}, mac(BODY, "sha1").hex()),
    ],
)
def test_hmac(rules: dict[str, Any], value: str) -> None:
    """Hexadecimal or base64, behind a prefix or not; over the body as it came."""
    words = reader({"call_back_secret": SECRET}, proof="hmac", header="X-Signature", delivery="/ref", **rules)
    assert words.read(call_back(URL, body=BODY, headers={"x-signature": value})) == DELIVERED
    for wrong in ("", value[:-1], value + "0", mac(BODY, secret="another").hex(), "ü", "\udcff"):
        with pytest.raises(Unauthorized):
            words.read(call_back(URL, body=BODY, headers={"x-signature": wrong}))
    with pytest.raises(Unauthorized):
        words.read(call_back(URL, body=BODY + b" ", headers={"x-signature": value}))
    with pytest.raises(Unauthorized):
        words.read(call_back(URL, body=BODY))


def test_an_hmac_does_not_cover_the_url() -> None:
    """Where the delivery stands in the URL, a signed body is not believed of another delivery."""
    words = reader({"call_back_secret": SECRET}, proof="hmac", header="X-Signature")
    headers = {"x-signature": mac(BODY).hex()}
    assert words.read(call_back(URLS.proven(DELIVERY), body=BODY, headers=headers)) == DELIVERED
    for url in (URL, URLS.named(DELIVERY), URLS.proven(DELIVERY).replace(DELIVERY, DELIVERY[:-1] + "2")):
        with pytest.raises(Unauthorized):
            words.read(call_back(url, body=BODY, headers=headers))


def test_a_shared_secret_in_a_header() -> None:
    """The very value, and nothing like it."""
    words = reader({"call_back_secret": SECRET}, proof="header", header="X-Token", delivery="/ref")
    assert words.read(call_back(URL, body=BODY, headers={"x-token": SECRET})) == DELIVERED
    for wrong in ("", SECRET.upper(), SECRET + " ", "\udcff"):
        with pytest.raises(Unauthorized):
            words.read(call_back(URL, body=BODY, headers={"x-token": wrong}))


def test_name_and_password() -> None:
    """Basic authentication (RFC 7617)."""
    secrets = {"call_back_username": "supplier", "call_back_password": SECRET}
    words = reader(secrets, proof="basic", delivery="/ref")
    right = b64encode(f"supplier:{SECRET}".encode()).decode()
    for header in (f"Basic {right}", f"basic {right}"):
        assert words.read(call_back(URL, body=BODY, headers={"authorization": header})) == DELIVERED
    wrong = b64encode(b"supplier:").decode()
    for header in (
        "",
        "Basic",
        f"Basic {wrong}",
        f"Bearer {right}",
        "Basic ü",
        "Basic /w==",
        f"Basic {right}=",
    ):
        with pytest.raises(Unauthorized):
            words.read(call_back(URL, body=BODY, headers={"authorization": header}))


def test_nothing_but_our_own_url() -> None:
    """A supplier without any proof: the URL that it was given."""
    words = reader()
    assert words.read(call_back(URLS.proven(DELIVERY), body=BODY)) == DELIVERED
    other = DeliveryUrls(supplier="another", public_url=PUBLIC_URL, keyring=KEYRING)
    for url in (
        URL,
        URLS.named(DELIVERY),
        f"{URLS.proven(DELIVERY)}0",
        f"{URLS.proven(DELIVERY)}&delivery=x",
        other.proven(DELIVERY).replace("another", "example-http-sms"),
    ):
        for body in (BODY, b"no JSON"):  # who is not the supplier is told nothing about the body
            with pytest.raises(Unauthorized):
                words.read(call_back(url, body=body))


def test_forms_and_queries() -> None:
    """Pointers name fields there; of two with one name none counts."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    fields = urlencode({"ref": DELIVERY, "status": "UNDELIV", "price": "0.05"})
    by_form = reader(
        {"call_back_secret": SECRET}, proof="header", header="X-Token", delivery="/ref", encoding="form"
    )
    headers = form | {"x-token": SECRET}
    (receipt,) = by_form.read(call_back(URL, body=fields.encode(), headers=headers)).receipts
    assert receipt.status is ReceiptStatus.UNDELIVERED
    with pytest.raises(InvalidInput):
        by_form.read(call_back(URL, body=fields.encode() + b"&status=DELIVRD", headers=headers))
    by_query = reader(encoding="query", price="/price")
    url = f"{URLS.proven(DELIVERY)}&{fields}"
    (receipt,) = by_query.read(call_back(url, method="GET")).receipts
    assert (receipt.status, receipt.cost) == (ReceiptStatus.UNDELIVERED, Price("EUR", 50_000))
    with pytest.raises(InvalidInput):
        by_query.read(call_back(f"{url}&status=DELIVRD", method="GET"))


def test_replies() -> None:
    """A payer's message instead of a status; without a text it is none."""
    words = reader(
        {"call_back_secret": SECRET},
        proof="header",
        header="X-Token",
        delivery="/ref",
        replies={"sender": "/from", "text": "/message/text"},
    )
    headers = {"x-token": SECRET}
    body = msgspec.json.encode({"from": NUMBER, "message": {"text": "NO" + "!" * 5_000}})
    found = words.read(call_back(URL, body=body, headers=headers))
    (reply,) = found.replies
    assert (reply.sender.reveal(), reply.text.reveal()[:3], len(reply.text.reveal())) == (
        NUMBER,
        "NO!",
        1_600,
    )
    assert NUMBER not in repr(found)
    assert words.answer(found, None).body == b""
    assert words.read(call_back(URL, body=BODY, headers=headers)) == DELIVERED
    with pytest.raises(Unauthorized):
        words.read(call_back(URL, body=body))


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"{}", b"\xff", b'{"status": "DELIVRD"}', b"[" * 50_000])
def test_proven_and_yet_unreadable(body: bytes) -> None:
    """No JSON, or no delivery."""
    words = reader({"call_back_secret": SECRET}, proof="header", header="X-Token", delivery="/ref")
    with pytest.raises(InvalidInput):
        words.read(call_back(URL, body=body, headers={"x-token": SECRET}))


@pytest.mark.parametrize("word", ["", "ACCEPTD", "sent"])
def test_what_is_not_final(word: str) -> None:
    """It is heard and says nothing."""
    body = msgspec.json.encode({"status": word})
    assert reader().read(call_back(URLS.proven(DELIVERY), body=body)) == Word()


@pytest.mark.parametrize("secrets", [{}, {"call_back_secret": "short"}])
def test_call_backs_without_their_secret(secrets: dict[str, str]) -> None:
    """The service does not start."""
    with pytest.raises(ConfigurationError):
        reader(secrets, proof="header", header="X-Token", delivery="/ref")


def test_secrets_stay_secrets() -> None:
    """The values of placeholders are made for one request; what is kept shows nothing."""
    assert wire.secret_values({"api_key": Secret("s3cret")}) == {"secret:api_key": "s3cret"}
    words = reader({"call_back_secret": SECRET}, proof="header", header="X-Token", delivery="/ref")
    call: CallBack = call_back(URL, body=BODY)
    with pytest.raises(Unauthorized) as raised:
        words.read(call)
    assert SECRET not in repr(words) + str(raised.value)
