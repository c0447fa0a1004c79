"""Kaleyra's Messages: the form that goes out, answers in their shapes, and call-backs, true and forged."""

from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
import pytest

from sca_service.delivery.channels.kinds import make_reader, make_supplier
from sca_service.delivery.channels.sms.call_back import DeliveryUrls
from sca_service.delivery.channels.sms.kaleyra import wire
from sca_service.delivery.channels.sms.kaleyra.settings import Settings
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
from sca_service.policy.model import Channel, Occasion
from sca_service.policy.supply import SenderKind, SenderRule
from tests.adapters import (
    DELIVERY,
    KEYRING,
    NUMBER,
    PUBLIC_URL,
    TEXT,
    adapter_context,
    call_back,
    text_message,
)
from tests.rude_server import RudeServer

URL = f"{PUBLIC_URL}/receipts/example-kaleyra"
SECRET = "example-secret-of-a-profile"
PROFILE = {"sid": "EXAMPLE1", "callback_profile_id": "EU_example"}
JSON = {"content-type": "application/json; charset=utf-8"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
INDIAN = SenderRule(
    "IN",
    Channel.SMS,
    "BANKEX",
    SenderKind.DLT,
    entity="1101",
    templates={Occasion.PAYMENT: "1107"},
)


def settings(**options: Any) -> Settings:
    """A section."""
    return msgspec.convert({"sid": "EXAMPLE1", "sender": "BANKEX"} | options, Settings)


def sent(options: Settings, **message: Any) -> dict[str, str]:
    """The form of a message."""
    body = wire.form(options, text_message(**message), f"{URL}?delivery=1&mac=2")
    return dict(parse_qsl(body.decode(), strict_parsing=True))


def test_the_form() -> None:
    """Number, text, sender, kind of traffic, our reference, and where to tell what became of it."""
    assert sent(settings()) == {
        "to": NUMBER,
        "sender": "BANKEX",
        "body": TEXT,
        "type": "OTP",
        "ref": DELIVERY,
        "callback": f'{{"url":"{URL}?delivery=1&mac=2","method":"POST"}}',
    }


def test_a_registered_template_and_a_profile() -> None:
    """India's template of the occasion; a profile instead of a URL."""
    form = sent(settings(callback_profile_id="IN_example"), sender=INDIAN)
    assert (form["template_id"], form["callback_profile_id"]) == ("1107", "IN_example")
    assert "callback" not in form
    assert "template_id" not in sent(settings(), sender=INDIAN, occasion=Occasion.LOGIN)


def test_kinds_of_traffic() -> None:
    """An alert is no one-time password; an account without kinds names none."""
    assert sent(settings(), occasion=None)["type"] == "TXN"
    assert "type" not in sent(settings(type=""))


def test_without_any_sender_nothing_is_sent() -> None:
    """An unregistered sender costs nothing."""
    with pytest.raises(SupplierFailure) as raised:
        sent(settings(sender=""))
    assert (raised.value.reason, raised.value.transient) == (FailureReason.SENDER_UNREGISTERED, False)


@pytest.mark.parametrize(
    "options",
    [
        {"sid": "a/../b"},
        {"sid": "EXAMPLE1\n"},
        {"base_url": "http://api.kaleyra.example"},
        {"type": "otp"},
        {"callback_header": "a b"},
        {"api_key": "never here"},
    ],
)
def test_a_section_that_is_refused(options: dict[str, Any]) -> None:
    """Mistakes are found when the policy is loaded."""
    with pytest.raises(msgspec.ValidationError):
        settings(**options)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"id": "r1", "data": [{"message_id": "m1", "recipient": NUMBER}], "error": {}}, "m1"),
        ({"id": "r1", "data": [{"id": "m2"}], "error": []}, "m2"),
        ({"id": "r1", "data": {"message_id": "m3"}, "error": None}, "m3"),
        ({"id": "r1", "status": "accepted"}, "r1"),
        ({"id": 17, "data": [{"message_id": 18}]}, "18"),
        ({"id": "r1", "data": [], "error": ""}, "r1"),
    ],
)
def test_shapes_of_a_yes(body: Any, expected: str) -> None:
    """The message's id if there is one, else the request's."""
    accepted = wire.accepted(HttpAnswer(202, {}, msgspec.json.encode(body)), TEXT)
    assert (accepted.reference, accepted.segments, accepted.cost) == (expected, 1, None)


@pytest.mark.parametrize(
    ("error", "reason", "transient"),
    [
        ({"to": "invalid"}, FailureReason.REJECTED, False),
        ("Sender is not approved", FailureReason.REJECTED, False),
        ([{"code": "RBC000", "message": "Rate limit exceeded"}], FailureReason.SUPPLIER_DOWN, True),
        ({"a": {"b": ["Request throttled"]}}, FailureReason.SUPPLIER_DOWN, True),
        ({"url": "https://supplier.example/errors"}, FailureReason.REJECTED, False),
    ],
)
@pytest.mark.parametrize("data", [[], None, {}])
def test_shapes_of_a_no(error: Any, reason: FailureReason, transient: bool, data: Any) -> None:
    """An error inside of 202 refuses the message, for good unless it speaks of a rate."""
    with pytest.raises(SupplierFailure) as raised:
        wire.accepted(HttpAnswer(202, {}, msgspec.json.encode({"data": data, "error": error})), TEXT)
    assert (raised.value.reason, raised.value.transient) == (reason, transient)


async def test_what_goes_over_the_wire() -> None:
    """The account in the path, the key in its header, and a call-back URL that the reader believes."""
    async with RudeServer() as server:
        server.answer(202, {"id": "r1", "data": [{"message_id": "m1"}], "error": {}})
        http = HttpClient()
        options = {"sid": "EXAMPLE1", "base_url": server.url, "sender": "BANKEX"}
        context = adapter_context("kaleyra", options, {"api_key": SECRET}, http=http)
        await make_supplier(context).send(text_message())
        await http.close()
    (request,) = server.requests
    assert (request.path, request.headers["api-key"]) == ("/v1/EXAMPLE1/messages", SECRET)
    url = msgspec.json.decode(request.form()["callback"])["url"]
    reader = make_reader(context)
    assert reader
    found = reader.read(call_back(url, body=b'{"status": "DELIVRD"}', headers=JSON))
    assert found == Word(receipts=(Receipt("example-kaleyra", DELIVERY, ReceiptStatus.DELIVERED, 0),))


@pytest.fixture
def by_url() -> WordReader:
    """The reader of an account whose messages carry their own URL."""
    found = make_reader(adapter_context("kaleyra", {"sid": "EXAMPLE1"}, {}))
    assert found
    return found


@pytest.fixture
def by_profile() -> WordReader:
    """The reader of an account with a call-back profile."""
    found = make_reader(adapter_context("kaleyra", PROFILE, {"call_back_secret": SECRET}))
    assert found
    return found


def proven_url() -> str:
    """The URL that a message carries."""
    return DeliveryUrls(supplier="example-kaleyra", public_url=PUBLIC_URL, keyring=KEYRING).proven(DELIVERY)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("DELIVRD", ReceiptStatus.DELIVERED),
        ("Delivered", ReceiptStatus.DELIVERED),
        ("Undelivered", ReceiptStatus.UNDELIVERED),
        ("NOT-SENT", ReceiptStatus.UNDELIVERED),
        ("EXPIRED", ReceiptStatus.UNDELIVERED),
        ("OPT-OUT", ReceiptStatus.UNDELIVERED),
        ("Sent", None),
        ("SUBMITTED", None),
        ("SENT - NO DLR", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("shape", ["json", "form", "query"])
def test_statuses(by_url: WordReader, word: str, expected: ReceiptStatus | None, shape: str) -> None:
    """In JSON, in a form or in the URL; what is not final says nothing."""
    fields = urlencode({"id": "m1", "status": word, "mobile": NUMBER})
    calls = {
        "json": call_back(proven_url(), body=msgspec.json.encode({"status": word, "units": 1}), headers=JSON),
        "form": call_back(proven_url(), body=fields.encode(), headers=FORM),
        "query": call_back(f"{proven_url()}&{fields}", method="GET"),
    }
    receipt = expected and Receipt("example-kaleyra", DELIVERY, expected, 0)
    found = by_url.read(calls[shape])
    assert found == Word(receipts=(receipt,) if receipt else ())
    assert by_url.answer(found, None).body == b""


@pytest.mark.parametrize(
    "url",
    [
        URL,
        f"{URL}?delivery={DELIVERY}",
        f"{URL}?delivery={DELIVERY}&mac=",
        f"{URL}?delivery={DELIVERY}&mac={'0' * 32}",
        proven_url().upper(),
        proven_url().replace(DELIVERY, DELIVERY[:-1] + "2"),
        f"{proven_url()}&delivery={DELIVERY[:-1]}2",
        f"{proven_url()}&mac={'0' * 32}",
        f"{URL}?delivery=%FF%FE&mac=%C3%BC",
    ],
)
def test_forged_urls(by_url: WordReader, url: str) -> None:
    """Only the URL that we made ourselves for that delivery is believed."""
    with pytest.raises(Unauthorized):
        by_url.read(call_back(url, body=b'{"status": "DELIVRD"}', headers=JSON))


def test_a_profile(by_profile: WordReader) -> None:
    """The profile's header proves it, and `ref` names the delivery."""
    body = msgspec.json.encode({"ref": DELIVERY, "status": "Undelivered"})
    found = by_profile.read(call_back(URL, body=body, headers=JSON | {"x-api-key": SECRET}))
    assert found == Word(receipts=(Receipt("example-kaleyra", DELIVERY, ReceiptStatus.UNDELIVERED, 0),))


@pytest.mark.parametrize(
    "headers", [JSON, JSON | {"x-api-key": ""}, JSON | {"x-api-key": SECRET + "x"}, JSON | {"x-api-key": "ü"}]
)
def test_a_profile_forged(by_profile: WordReader, headers: dict[str, str]) -> None:
    """Without the secret nothing is believed, not even one of our own URLs."""
    body = msgspec.json.encode({"ref": DELIVERY, "status": "DELIVRD"})
    for url in (URL, proven_url()):
        with pytest.raises(Unauthorized):
            by_profile.read(call_back(url, body=body, headers=headers))


@pytest.mark.parametrize(
    "call",
    [
        call_back(URL, body=b"{}", headers=JSON | {"x-api-key": SECRET}),
        call_back(URL, body=b"[1]", headers=JSON | {"x-api-key": SECRET}),
        call_back(URL, body=b"\xff", headers=JSON | {"x-api-key": SECRET}),
        call_back(URL, body=b"\xff", headers=FORM | {"x-api-key": SECRET}),
        call_back(URL, body=b"ref=a&ref=b&status=DELIVRD", headers=FORM | {"x-api-key": SECRET}),
        call_back(URL, body=b"ref=a&status=DELIVRD&status=FAILED", headers=FORM | {"x-api-key": SECRET}),
    ],
)
def test_proven_and_yet_unreadable(by_profile: WordReader, call: CallBack) -> None:
    """No delivery, no object, no text, or two of what there can be but one."""
    with pytest.raises(InvalidInput):
        by_profile.read(call)


@pytest.mark.parametrize("secrets", [{}, {"call_back_secret": "short"}])
def test_a_profile_without_its_secret(secrets: dict[str, str]) -> None:
    """The service does not start."""
    with pytest.raises(ConfigurationError):
        make_reader(adapter_context("kaleyra", PROFILE, secrets))
