"""WhatsApp: a payment's template says amount and payee before the code, and only Meta is believed."""

import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from sca_service.delivery.channels.kinds import check, make_reader, make_supplier
from sca_service.delivery.channels.whatsapp.cloud.settings import Template
from sca_service.delivery.http_client import HttpClient
from sca_service.delivery.supplier import (
    CallBack,
    FailureReason,
    Message,
    ReceiptStatus,
    SupplierFailure,
    Word,
    WordReader,
)
from sca_service.kernel.errors import ConfigurationError, InvalidInput, Unauthorized
from sca_service.policy.model import Occasion
from tests.adapters import DELIVERY, NOW_MS, NUMBER
from tests.rude_server import RudeServer
from tests.unit.delivery.channels.examples import CODE, KEY, NUMBER_ID, WHATSAPP, call_back

URL = "https://sca.bank.example/receipts/example-whatsapp-cloud"


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    """A client of its own, closed afterwards."""
    client = HttpClient()
    yield client
    await client.close()


@pytest.fixture
async def server() -> AsyncIterator[RudeServer]:
    """A server at which all is well."""
    async with RudeServer() as server:
        server.answer_by(WHATSAPP.accept)
        yield server


def reader() -> WordReader:
    """The reader of the example's call-backs."""
    made = make_reader(WHATSAPP.context())
    assert made
    return made


def signed(body: bytes, *, key: str = KEY) -> CallBack:
    """A call-back as Meta signs it."""
    signature = hmac.digest(key.encode(), body, "sha256").hex()
    return call_back(URL, body, {"x-hub-signature-256": f"sha256={signature}"})


def notice(*, number: str = NUMBER_ID, field: str = "messages", **value: Any) -> bytes:
    """A notice of what happened at a number."""
    told = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": number}, **value}
    return json.dumps({"object": "whatsapp_business_account", "entry": [
        {"id": "1", "changes": [{"field": field, "value": told}]},
    ]}).encode()  # fmt: skip


def told(**value: Any) -> Word:
    """What a notice about the example's number tells."""
    return reader().read(signed(notice(**value)))


def status(said: str, **more: Any) -> dict[str, Any]:
    """What became of the message of the delivery."""
    return {
        "id": "wamid.x",
        "status": said,
        "timestamp": str(NOW_MS // 1000),
        "recipient_id": NUMBER.removeprefix("+"),
        "biz_opaque_callback_data": DELIVERY,
        **more,
    }


async def sent(server: RudeServer, http: HttpClient, message: Message) -> dict[str, Any]:
    """What goes over the wire for a message."""
    await make_supplier(WHATSAPP.context(server.url, http=http)).send(message)
    body: dict[str, Any] = server.requests[-1].json()
    return body


async def test_a_payment_s_template_says_amount_and_payee_first(server: RudeServer, http: HttpClient) -> None:
    """In the configured order, on one line each, with the button that declines; Meta is given the delivery's id."""
    assert await sent(server, http, WHATSAPP.message()) == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": NUMBER.removeprefix("+"),
        "type": "template",
        "biz_opaque_callback_data": DELIVERY,
        "template": {
            "name": "payment_code",
            "language": {"code": "de"},
            "components": [
                {
                    "type": "body",
                    "parameters": [
                        {"type": "text", "text": "49,99 €"},
                        {"type": "text", "text": "ACME & Söhne …3000"},
                        {"type": "text", "text": CODE},
                        {"type": "text", "text": "5 Minuten"},
                    ],
                },
                {
                    "type": "button",
                    "sub_type": "quick_reply",
                    "index": "0",
                    "parameters": [{"type": "payload", "payload": f"not-me {DELIVERY}"}],
                },
            ],
        },
    }
    assert server.requests[-1].headers["authorization"] == f"Bearer {KEY}"


async def test_an_authentication_template_has_the_code_twice(server: RudeServer, http: HttpClient) -> None:
    """As the body's parameter, and for the button that copies it."""
    message = replace(WHATSAPP.message(), occasion=Occasion.LOGIN, locale="en-US")
    template = (await sent(server, http, message))["template"]
    code = [{"type": "text", "text": CODE}]
    assert (template["name"], template["language"]) == ("login_code", {"code": "en_US"})
    assert template["components"] == [
        {"type": "body", "parameters": code},
        {"type": "button", "sub_type": "url", "index": "0", "parameters": code},
    ]


@pytest.mark.parametrize("occasion", [Occasion.ENROLMENT, Occasion.BATCH, None])
async def test_an_occasion_without_a_template_is_rejected(
    server: RudeServer, http: HttpClient, occasion: Occasion | None
) -> None:
    """Nothing is sent: the ladder goes on to its next channel."""
    supplier = make_supplier(WHATSAPP.context(server.url, http=http))
    with pytest.raises(SupplierFailure) as raised:
        await supplier.send(replace(WHATSAPP.message(), occasion=occasion))
    assert (raised.value.reason, raised.value.transient) == (FailureReason.REJECTED, False)
    with pytest.raises(SupplierFailure):
        await supplier.send(replace(WHATSAPP.message(), values={}))
    assert server.requests == []


@pytest.mark.parametrize(
    ("code", "reason", "transient"),
    [
        (131026, FailureReason.NO_DEVICE, False),
        (131056, FailureReason.SUPPLIER_DOWN, True),
        (80007, FailureReason.SUPPLIER_DOWN, True),
        (130429, FailureReason.SUPPLIER_DOWN, True),
        (132001, FailureReason.REJECTED, False),
    ],
)
async def test_an_error_s_code_says_more_than_its_status(
    server: RudeServer, http: HttpClient, code: int, reason: FailureReason, *, transient: bool
) -> None:
    """Inside a 400 or inside a success."""
    supplier = make_supplier(WHATSAPP.context(server.url, http=http))
    for http_status in (400, 200):
        server.answer(http_status, {"error": {"message": "(#x)", "code": code, "fbtrace_id": "x"}})
        with pytest.raises(SupplierFailure) as raised:
            await supplier.send(WHATSAPP.message())
        assert (raised.value.reason, raised.value.transient) == (reason, transient)


@pytest.mark.parametrize(
    ("locale", "language"),
    [
        ("de-AT", "de"),
        ("en-GB", "en_US"),
        ("en-US", "en_US"),
        ("pt_BR", "pt_BR"),
        ("fr", "en_US"),
        ("", "en_US"),
    ],
)
def test_a_template_speaks_a_language_it_was_approved_in(locale: str, language: str) -> None:
    """The nearest one to the payer's; the first for everybody else."""
    template = Template(name="x", languages=("en_US", "de", "pt_PT", "pt_BR"))
    assert template.language_for(locale) == language


@pytest.mark.parametrize(
    ("occasion", "template", "mistake"),
    [
        ("payment", {"parameters": ["code"]}, "need `amount` and `payee` before `code`"),
        ("payment", {"parameters": ["amount", "code", "payee"]}, "need `amount` and `payee` before `code`"),
        ("batch", {"parameters": ["payees", "code"]}, "need `amount` and `payee` before `code`"),
        ("preauthorisation", {}, "need `amount` and `payee` before `code`"),
        ("payment", {"parameters": ["amount", "payee", "code"], "button": "copy_code"}, "neither amount"),
        ("login", {"parameters": ["amount", "code"]}, "only a payment has an amount"),
        ("login", {"parameters": ["lifetime"]}, "lack `code`"),
        ("login", {"parameters": ["code", "warning"]}, "may be amount"),
        ("login", {"parameters": ["code", "lifetime"], "button": "copy_code"}, "the one parameter `code`"),
        ("login", {"parameters": ["iban"]}, "iban"),
        ("holiday", {}, "holiday"),
        ("login", {"name": "Not A Name"}, "regex"),
        ("login", {"languages": []}, "length"),
    ],
)
def test_a_template_that_hides_what_is_paid_is_refused(
    occasion: str, template: dict[str, Any], mistake: str
) -> None:
    """When the policy is read, with the mistake: RTS Art. 5(1)(a)."""
    rule = WHATSAPP.context().rule
    options = {**rule.options, "templates": {occasion: {"name": "a_name", **template}}}
    with pytest.raises(ConfigurationError, match=mistake):
        check(replace(rule, options=options))


def test_a_batch_may_name_its_payees() -> None:
    """All of them, or how they are summed up."""
    rule = WHATSAPP.context().rule
    template = {"name": "batch", "parameters": ["amount", "count", "payees", "code"]}
    check(replace(rule, options={**rule.options, "templates": {"batch": template}}))


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("delivered", [ReceiptStatus.DELIVERED]),
        ("read", [ReceiptStatus.DELIVERED]),
        ("failed", [ReceiptStatus.UNDELIVERED]),
        ("sent", []),
        ("a word of next year", []),
    ],
)
def test_statuses_are_receipts(said: str, meaning: list[ReceiptStatus]) -> None:
    """Of the delivery that was sent along."""
    word = told(statuses=[status(said, errors=[{"code": 131026, "title": "x"}])])
    assert [one.status for one in word.receipts] == meaning
    assert all((one.delivery_id, one.at_ms) == (DELIVERY, NOW_MS) for one in word.receipts)
    assert reader().answer(word, None).body == b"ok"


def test_statuses_of_others_say_nothing() -> None:
    """Another number's, another field's, or a message that we did not send."""
    delivered = [status("delivered")]
    assert told(number="1", statuses=delivered) == Word()
    assert told(field="account_update", statuses="not a list") == Word()
    assert told(statuses=[status("delivered", biz_opaque_callback_data="")]) == Word()
    assert told(statuses=[{"status": "delivered"}]) == Word()
    assert told(statuses=[status("read", timestamp="soon")]).receipts[0].at_ms == 0


def test_a_notice_may_tell_several_things() -> None:
    """Each of them is read."""
    word = told(
        statuses=[status("sent"), status("delivered"), status("read")],
        messages=[
            {"from": NUMBER.removeprefix("+"), "type": "text", "text": {"body": "NO"}},
            {"from": NUMBER.removeprefix("+"), "type": "button", "button": {"payload": f"not-me {DELIVERY}"}},
            {"from": NUMBER.removeprefix("+"), "type": "button", "button": {"payload": "x", "text": "Stop"}},
            {"from": NUMBER.removeprefix("+"), "type": "image", "image": {"id": "1"}},
        ],
    )
    assert [one.status for one in word.receipts] == [ReceiptStatus.DELIVERED] * 2
    assert word.declined == (DELIVERY,)
    assert [(one.sender.reveal(), one.text.reveal()) for one in word.replies] == [
        (NUMBER, "NO"),
        (NUMBER, "Stop"),
    ]


def test_what_meta_did_not_sign_is_refused() -> None:
    """No signature, another key's, another body's."""
    body = notice(statuses=[status("read")])
    for wrong in (
        call_back(URL, body),
        call_back(URL, body, {"x-hub-signature-256": "é"}),
        signed(body, key="another key"),
        replace(signed(body), body=body + b" "),
    ):
        with pytest.raises(Unauthorized):
            reader().read(wrong)


def test_meta_is_told_that_the_webhook_is_ours() -> None:
    """Its challenge goes back as plain text, only for the text that was agreed."""
    url = f"{URL}?hub.mode=subscribe&hub.verify_token={KEY.replace(' ', '%20')}&hub.challenge=1158201444"
    answer = reader().answer(reader().read(call_back(url, method="GET")), None)
    assert (answer.body, answer.content_type) == (b"1158201444", "text/plain")
    for wrong in (URL, f"{URL}?hub.mode=subscribe&hub.verify_token=x&hub.challenge=1"):
        with pytest.raises(Unauthorized):
            reader().read(call_back(wrong, method="GET"))


@pytest.mark.parametrize(
    "asked", ["hub.mode=unsubscribe&hub.challenge=1", "hub.mode=subscribe&hub.challenge=<b>"]
)
def test_only_meta_s_question_is_answered(asked: str) -> None:
    """Nothing else is ever echoed."""
    url = f"{URL}?hub.verify_token={KEY.replace(' ', '%20')}&{asked}"
    with pytest.raises(InvalidInput):
        reader().read(call_back(url, method="GET"))


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"entry": 1}', notice(statuses=1), b"[" * 100_000])
def test_a_signed_body_that_is_no_notice_is_a_mistake(body: bytes) -> None:
    """It is told so, whatever it is."""
    with pytest.raises(InvalidInput):
        reader().read(signed(body))
