"""RCS Business Messaging: access is asked for once, a phone without RCS is no device, only Google is believed."""

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from sca_service.delivery.channels.google_access import GoogleAccess, ServiceAccount
from sca_service.delivery.channels.kinds import make_reader, make_supplier
from sca_service.delivery.http_client import HttpClient
from sca_service.delivery.supplier import (
    CallBack,
    FailureReason,
    ReceiptStatus,
    SupplierFailure,
    Word,
    WordReader,
)
from sca_service.kernel.errors import ConfigurationError, InvalidInput, Unauthorized
from sca_service.kernel.secret import Secret
from tests.adapters import DELIVERY, NOW_MS, NUMBER
from tests.rude_server import Answer, RudeServer
from tests.unit.delivery.channels.examples import (
    AGENT,
    KEY,
    PATH_OF_KEYS,
    RCS,
    SPOKEN,
    call_back,
    private_key,
)

URL = "https://sca.bank.example/receipts/example-rcs-business-messaging"


class MovingClock:
    """A clock that a test sets forward."""

    def __init__(self) -> None:
        self.at_ms = NOW_MS

    def now_ms(self) -> int:
        """The time that was set."""
        return self.at_ms


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
        server.answer_by(RCS.accept)
        yield server


def reader() -> WordReader:
    """The reader of the example's call-backs."""
    made = make_reader(RCS.context())
    assert made
    return made


def signed(event: bytes, *, key: str = KEY) -> CallBack:
    """A call-back as Google makes it: the event in base64, and a signature over the event."""
    body = json.dumps({"message": {"data": base64.b64encode(event).decode(), "messageId": "1"}}).encode()
    signature = base64.b64encode(hmac.digest(key.encode(), event, "sha512")).decode()
    return call_back(URL, body, {"x-goog-signature": signature})


def told(**event: Any) -> Word:
    """What an event of the example's agent tells."""
    return reader().read(signed(json.dumps({"agentId": AGENT, **event}).encode()))


async def test_a_message_names_its_delivery_and_when_it_expires(server: RudeServer, http: HttpClient) -> None:
    """The id is the delivery's, so that a repeated send is recognised; a button declines it."""
    message = RCS.message()
    await make_supplier(RCS.context(server.url, http=http)).send(message)
    request = server.requests[-1]
    assert request.query == {"messageId": DELIVERY, "agentId": AGENT}
    assert request.headers["authorization"] == "Bearer an-access-key"
    assert request.json() == {
        "contentMessage": {
            "text": SPOKEN,
            "suggestions": [
                {"reply": {"text": "Das war ich nicht", "postbackData": f"not-me {DELIVERY}"}},
            ],
        },
        "messageTrafficType": "AUTHENTICATION",
        "expireTime": "2023-11-14T22:18:20.000Z",
    }


async def test_a_notice_has_no_button_and_may_never_expire(server: RudeServer, http: HttpClient) -> None:
    """There is nothing to decline; what expires too soon for Google lives ten seconds."""
    supplier = make_supplier(RCS.context(server.url, http=http))
    await supplier.send(replace(RCS.message(), occasion=None, expires_at_ms=0))
    assert server.requests[-1].json() == {
        "contentMessage": {"text": SPOKEN},
        "messageTrafficType": "TRANSACTION",
    }
    await supplier.send(replace(RCS.message(), expires_at_ms=NOW_MS + 1))
    assert server.requests[-1].json()["expireTime"] == "2023-11-14T22:13:30.000Z"


async def test_a_phone_without_rcs_is_no_device(server: RudeServer, http: HttpClient) -> None:
    """404, as a status or inside a success: the ladder goes on to its next channel."""
    supplier = make_supplier(RCS.context(server.url, http=http))
    await supplier.send(RCS.message())
    for status in (404, 200):
        server.answer(status, {"error": {"code": 404, "status": "NOT_FOUND", "message": NUMBER}})
        with pytest.raises(SupplierFailure) as raised:
            await supplier.send(RCS.message())
        assert (raised.value.reason, raised.value.transient) == (FailureReason.NO_DEVICE, False)


async def test_a_message_that_was_taken_before_is_accepted(server: RudeServer, http: HttpClient) -> None:
    """Google says that it has the id already: an earlier send did arrive."""
    supplier = make_supplier(RCS.context(server.url, http=http))
    await supplier.send(RCS.message())
    server.answer(409, {"error": {"code": 409, "status": "ALREADY_EXISTS"}})
    assert (await supplier.send(RCS.message())).reference == DELIVERY


async def test_access_is_asked_for_once_by_all_who_wait(server: RudeServer, http: HttpClient) -> None:
    """Ten messages at once need one key, by a claim that the service account signed."""
    supplier = make_supplier(RCS.context(server.url, http=http))
    await asyncio.gather(*(supplier.send(RCS.message()) for _ in range(10)))
    asked = [request for request in server.requests if request.path == PATH_OF_KEYS]
    assert len(asked) == 1
    form = asked[0].form()
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    signed_claim = jwt.decode(
        form["assertion"], RSAKey.import_key(private_key().public_key()), algorithms=["RS256"]
    )
    assert signed_claim.header["kid"] == "key-1"
    assert signed_claim.claims == {
        "iss": "agent@example.test",
        "scope": "https://www.googleapis.com/auth/rcsbusinessmessaging",
        "aud": f"{server.url}{PATH_OF_KEYS}",
        "iat": NOW_MS // 1000,
        "exp": NOW_MS // 1000 + 3600,
    }


async def test_access_is_renewed_before_it_ends(server: RudeServer, http: HttpClient) -> None:
    """Two minutes before, and as soon as Google refuses it."""
    clock = MovingClock()
    access = GoogleAccess(
        ServiceAccount.parse(RCS.context(server.url).secret("service_account"), section="example"),
        scope="a-scope",
        section="example",
        http=http,
        clock=clock,
    )
    first = await access.authorization()
    clock.at_ms += 3_479_000
    assert await access.authorization() is first
    clock.at_ms += 1_000
    second = await access.authorization()
    assert second is not first
    access.forget(first)  # what was refused is gone already
    assert await access.authorization() is second
    access.forget(second)
    assert await access.authorization() is not second


async def test_a_refused_key_is_asked_for_anew(server: RudeServer, http: HttpClient) -> None:
    """401 is not the message's fault: it was not taken, and the next send brings another key."""
    supplier = make_supplier(RCS.context(server.url, http=http))
    await supplier.send(RCS.message())
    server.answers([Answer(401, {"error": {"code": 401}})])
    with pytest.raises(SupplierFailure) as raised:
        await supplier.send(RCS.message())
    assert (raised.value.reason, raised.value.transient) == (FailureReason.SUPPLIER_DOWN, True)
    await supplier.send(RCS.message())
    assert [request.path for request in server.requests].count(PATH_OF_KEYS) == 2


@pytest.mark.parametrize("answer", [Answer(400, {"error": "invalid_grant"}), Answer(500), Answer(200, b"?")])
async def test_without_access_no_message_was_handed_over(
    server: RudeServer, http: HttpClient, answer: Answer
) -> None:
    """Whatever the authorisation server says: another supplier may take the message."""
    supplier = make_supplier(RCS.context(server.url, http=http))
    server.answers([answer])
    with pytest.raises(SupplierFailure) as raised:
        await supplier.send(RCS.message())
    assert (raised.value.reason, raised.value.transient) == (FailureReason.SUPPLIER_DOWN, True)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "account",
    ["", "[]", "{}", '{"client_email": "a", "private_key": "b", "token_uri": "http://other.example"}'],
)
def test_a_service_account_that_is_none_keeps_the_service_from_starting(account: str) -> None:
    """The mistake names the section, and quotes nothing."""
    with pytest.raises(ConfigurationError, match=r"suppliers\.toml:example"):
        ServiceAccount.parse(Secret(account), section="example")


@pytest.mark.parametrize(
    ("event_type", "meaning"),
    [
        ("DELIVERED", [ReceiptStatus.DELIVERED]),
        ("READ", [ReceiptStatus.DELIVERED]),
        ("TTL_EXPIRATION_REVOKED", [ReceiptStatus.UNDELIVERED]),
        ("TTL_EXPIRATION_REVOKE_FAILED", [ReceiptStatus.UNDELIVERED]),
        ("IS_TYPING", []),
        ("A_WORD_OF_NEXT_YEAR", []),
    ],
)
def test_events_are_receipts(event_type: str, meaning: list[ReceiptStatus]) -> None:
    """Read is delivered; expired is not."""
    word = told(
        eventType=event_type,
        messageId=DELIVERY,
        senderPhoneNumber=NUMBER,
        sendTime="2023-11-14T22:13:20.000000Z",
    )
    assert [one.status for one in word.receipts] == meaning
    assert all((one.delivery_id, one.at_ms) == (DELIVERY, NOW_MS) for one in word.receipts)
    assert not word.replies
    assert not word.declined
    assert reader().answer(word, None).body == b"ok"


def test_the_button_declines() -> None:
    """It names the delivery that it stood under."""
    pressed = {"postbackData": f"not-me {DELIVERY}", "text": "Das war ich nicht", "type": "REPLY"}
    word = told(senderPhoneNumber=NUMBER, messageId="1", suggestionResponse=pressed)
    assert word.declined == (DELIVERY,)
    assert word.replies == ()


@pytest.mark.parametrize("written", [{"text": "NO"}, {"suggestionResponse": {"text": "NO"}}])
def test_what_a_payer_writes_is_a_reply(written: dict[str, Any]) -> None:
    """Its meaning is another's business."""
    (reply,) = told(senderPhoneNumber=NUMBER, messageId="1", **written).replies
    assert (reply.sender.reveal(), reply.text.reveal()) == (NUMBER, "NO")


def test_another_agent_s_events_say_nothing() -> None:
    """A partner's webhook hears all of its agents."""
    event = json.dumps({"agentId": "other", "eventType": "READ", "messageId": DELIVERY}).encode()
    assert reader().read(signed(event)) == Word()


def test_what_google_did_not_sign_is_refused() -> None:
    """No signature, another key's, another event's."""
    event = json.dumps({"agentId": AGENT, "eventType": "READ", "messageId": DELIVERY}).encode()
    good = signed(event)
    for wrong in (
        replace(good, headers={}),
        replace(good, headers={"x-goog-signature": "é"}),
        signed(event, key="another key"),
        replace(good, body=signed(event + b" ").body),
    ):
        with pytest.raises(Unauthorized):
            reader().read(wrong)


def test_google_is_told_that_the_webhook_is_ours() -> None:
    """Its secret goes back as plain text, only for the right client key."""
    body = json.dumps({"clientToken": KEY, "secret": "1234567890"}).encode()
    answer = reader().answer(reader().read(call_back(URL, body)), None)
    assert (answer.body, answer.content_type) == (b"1234567890", "text/plain")
    for wrong in (b'{"clientToken": "x", "secret": "1"}', b'{"secret": "1"}', b"{}"):
        with pytest.raises(Unauthorized):
            reader().read(call_back(URL, wrong))


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"message": {"data": "?"}}', b'{"message": {"data": "\xc3\xa9"}}']
)
def test_what_is_no_call_back_is_a_mistake(body: bytes) -> None:
    """It is told so, whatever it is."""
    with pytest.raises(InvalidInput):
        reader().read(call_back(URL, body))
    with pytest.raises(InvalidInput):
        reader().read(signed(b"\xff not JSON"))
