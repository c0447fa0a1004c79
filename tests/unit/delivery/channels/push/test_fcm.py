"""FCM HTTP v1: what wakes an app, the access it is sent with, and what Firebase's errors mean."""

import base64
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from sca_service.delivery.channels.kinds import make_supplier
from sca_service.delivery.channels.push.model import FcmAddress
from sca_service.delivery.http_client import HttpClient
from sca_service.delivery.supplier import FailureReason, Supplier, SupplierFailure
from sca_service.kernel.errors import ConfigurationError
from tests.devices import DELIVERY, NOW_MS, MemoryDevices, SetClock, context_for, pem_of, push_message
from tests.rude_server import Answer, RudeRequest, RudeServer

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SEND = "/v1/projects/example-bank/messages:send"
NAME = "projects/example-bank/messages/1"


@pytest.fixture
async def server() -> AsyncIterator[RudeServer]:
    """Firebase and Google's authorisation in one."""
    async with RudeServer() as server:
        server.answer_by(answering(lambda _: Answer(200, {"name": NAME})))
        yield server


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    """The connections of a worker."""
    http = HttpClient()
    yield http
    await http.close()


@pytest.fixture
def devices() -> MemoryDevices:
    """The payer's devices."""
    devices = MemoryDevices()
    devices.add(FcmAddress("app:" + "a" * 30))
    return devices


@pytest.fixture
def clock() -> SetClock:
    """The time."""
    return SetClock()


@pytest.fixture
def supplier(server: RudeServer, http: HttpClient, devices: MemoryDevices, clock: SetClock) -> Supplier:
    """Our side."""
    return make_supplier(
        context_for(
            "fcm",
            {"url": server.url},
            {"service_account": account(server)},
            http=http,
            devices=devices,
            clock=clock,
        )
    )


def account(server: RudeServer, **changes: str) -> str:
    """The JSON that Google gives for a service account."""
    members = {
        "type": "service_account",
        "project_id": "example-bank",
        "private_key_id": "key-1",
        "private_key": pem_of(KEY),
        "client_email": "push@example-bank.example",
        "token_uri": f"{server.url}/access",
    }
    return json.dumps(members | changes)


def answering(send: Callable[[RudeRequest], Answer]) -> Callable[[RudeRequest], Answer]:
    """Grants access `bearer-1`, `bearer-2`, …, and answers messages as told."""
    granted = 0

    def answer(request: RudeRequest) -> Answer:
        nonlocal granted
        if request.path != "/access":
            return send(request)
        granted += 1
        return Answer(200, {"access_token": f"bearer-{granted}", "expires_in": 3_599, "token_type": "Bearer"})

    return answer


def sent(server: RudeServer) -> list[RudeRequest]:
    """The messages that came."""
    return [request for request in server.requests if request.path == SEND]


def asked(server: RudeServer) -> list[RudeRequest]:
    """The requests for access."""
    return [request for request in server.requests if request.path == "/access"]


def refused(status: int, code: str, **detail: Any) -> Answer:
    """An error as Firebase writes it."""
    kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
    details = [{"@type": kind, "errorCode": code}] if code else []
    return Answer(status, {"error": {"code": status, "status": "X", "details": [*details, detail]}})


async def test_what_wakes_an_app(supplier: Supplier, server: RudeServer) -> None:
    """Delivery, end, a neutral title, and where to confirm; nothing of the message itself."""
    accepted = await supplier.send(push_message())
    assert (accepted.reference, accepted.segments, accepted.cost) == (NAME, 1, None)
    (request,) = sent(server)
    assert request.headers["authorization"] == "Bearer bearer-1"
    message = request.json()["message"]
    assert message["token"] == "app:" + "a" * 30
    assert message["android"] == {"priority": "HIGH", "ttl": "120s"}
    assert message["data"] == {
        "delivery": DELIVERY,
        "title": "Bestätigung erforderlich",
        "expires": "2023-11-14T22:15:20.000Z",
        "receipt_url": "https://sca.example/receipts/fcm",
        "receipt_mac": message["data"]["receipt_mac"],
    }
    assert message["apns"]["payload"]["aps"]["mutable-content"] == 1
    assert "notification" not in message


async def test_firebase_reads_neither_code_nor_amount(supplier: Supplier, server: RudeServer) -> None:
    """Not in the body, not in a header, not in the URL."""
    await supplier.send(push_message())
    for request in server.requests:
        whole = f"{request.target}{request.headers}".encode() + request.body
        assert not any(word in whole for word in (b"135790", b"49.99", b"ACME"))


async def test_the_access_is_asked_for_with_a_signed_claim(supplier: Supplier, server: RudeServer) -> None:
    """RFC 7523, signed with the service account's key; checked here without the library that signs it."""
    await supplier.send(push_message())
    (request,) = asked(server)
    form = request.form()
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    head, claims, signature = form["assertion"].split(".")
    KEY.public_key().verify(
        base64.urlsafe_b64decode(signature + "=="),
        f"{head}.{claims}".encode(),
        padding.PKCS1v15(),
        hashes.SHA256(),
    )
    assert json.loads(base64.urlsafe_b64decode(claims + "==")) == {
        "iss": "push@example-bank.example",
        "scope": "https://www.googleapis.com/auth/firebase.messaging",
        "aud": f"{server.url}/access",
        "iat": NOW_MS // 1000,
        "exp": NOW_MS // 1000 + 3_600,
    }


async def test_one_access_for_all(
    supplier: Supplier, server: RudeServer, devices: MemoryDevices, clock: SetClock
) -> None:
    """Ten devices at once ask for it once; it is kept until shortly before its end."""
    devices.add(*(FcmAddress(f"app:{number:030}") for number in range(9)))
    await supplier.send(push_message())
    clock.at_ms += 3_400_000
    await supplier.send(replace(push_message(), expires_at_ms=0))
    assert len(asked(server)) == 1
    clock.at_ms += 120_000
    await supplier.send(replace(push_message(), expires_at_ms=0))
    assert len(asked(server)) == 2
    assert {request.headers["authorization"] for request in sent(server)[20:]} == {"Bearer bearer-2"}


async def test_an_access_that_was_revoked(supplier: Supplier, server: RudeServer) -> None:
    """401 asks for another one, once; it took nothing, so the message goes out again."""
    server.answer_by(
        answering(
            lambda request: (
                Answer(200, {"name": NAME})
                if request.headers["authorization"] == "Bearer bearer-2"
                else Answer(401)
            )
        )
    )
    await supplier.send(push_message())
    assert (len(asked(server)), len(sent(server))) == (2, 2)


async def test_an_access_that_is_never_good(supplier: Supplier, server: RudeServer) -> None:
    """Two tries, no more; another supplier may carry the message."""
    server.answer_by(answering(lambda _: Answer(401)))
    with pytest.raises(SupplierFailure) as failure:
        await supplier.send(push_message())
    assert (failure.value.reason, failure.value.transient) == (FailureReason.SUPPLIER_DOWN, True)
    assert len(sent(server)) == 2


@pytest.mark.parametrize(
    "answer",
    [
        Answer(400, {"error": "invalid_grant"}),
        Answer(500),
        Answer(200, "garbage"),
        Answer(200, {"error": "inside"}),
    ],
)
async def test_no_access(
    supplier: Supplier, server: RudeServer, devices: MemoryDevices, answer: Answer
) -> None:
    """No message was on its way yet: transient, and no device is forgotten."""
    server.answer_by(lambda _: answer)
    with pytest.raises(SupplierFailure) as failure:
        await supplier.send(push_message())
    assert (failure.value.reason, failure.value.transient) == (FailureReason.SUPPLIER_DOWN, True)
    assert sent(server) == []
    assert devices.gone_ids == []


@pytest.mark.parametrize(
    "answer",
    [
        refused(404, "UNREGISTERED"),
        refused(403, "SENDER_ID_MISMATCH"),
        refused(400, "INVALID_ARGUMENT", fieldViolations=[{"field": "message.token"}]),
    ],
)
async def test_a_registration_that_is_gone(
    supplier: Supplier, server: RudeServer, devices: MemoryDevices, answer: Answer
) -> None:
    """Removed, another project's, or never one: it is forgotten."""
    server.answer_by(answering(lambda _: answer))
    with pytest.raises(SupplierFailure) as failure:
        await supplier.send(push_message())
    assert (failure.value.reason, failure.value.transient) == (FailureReason.NO_DEVICE, True)
    assert devices.gone_ids == ["psb_0"]


@pytest.mark.parametrize(
    ("answer", "reason", "transient", "retry_after_ms"),
    [
        (refused(400, "INVALID_ARGUMENT"), FailureReason.REJECTED, False, 0),
        (
            refused(400, "INVALID_ARGUMENT", fieldViolations=[{"field": "message.android.ttl"}]),
            FailureReason.REJECTED,
            False,
            0,
        ),
        (Answer(404), FailureReason.REJECTED, False, 0),
        (Answer(404, "garbage"), FailureReason.REJECTED, False, 0),
        (refused(403, "THIRD_PARTY_AUTH_ERROR"), FailureReason.SUPPLIER_DOWN, True, 0),
        (Answer(429, headers={"Retry-After": "60"}), FailureReason.SUPPLIER_DOWN, True, 60_000),
        (refused(503, "UNAVAILABLE"), FailureReason.SUPPLIER_DOWN, True, 0),
        (refused(500, "INTERNAL"), FailureReason.SUPPLIER_DOWN, False, 0),
        (Answer(200, "garbage"), FailureReason.TIMEOUT, False, 0),
        (Answer(200, {"error": {"status": "INTERNAL"}}), FailureReason.TIMEOUT, False, 0),
    ],
)
async def test_what_an_answer_means(
    supplier: Supplier,
    server: RudeServer,
    devices: MemoryDevices,
    answer: Answer,
    reason: FailureReason,
    transient: bool,
    retry_after_ms: int,
) -> None:
    """A fault of our message or of Firebase's is none of the device's; a 200 must name the message."""
    server.answer_by(answering(lambda _: answer))
    with pytest.raises(SupplierFailure) as failure:
        await supplier.send(push_message())
    assert (failure.value.reason, failure.value.transient) == (reason, transient)
    assert failure.value.retry_after_ms == retry_after_ms
    assert devices.gone_ids == []


@pytest.mark.parametrize(
    "changes",
    [
        {"private_key": "x"},
        {"project_id": ""},
        {"project_id": "a/../b"},
        {"token_uri": "http://google.example"},
    ],
)
async def test_an_account_that_is_none(server: RudeServer, changes: dict[str, str]) -> None:
    """Refused when the supplier is made; the error quotes nothing of it."""
    with pytest.raises(ConfigurationError) as failure:
        make_supplier(
            context_for("fcm", {}, {"service_account": account(server, **changes)}, devices=MemoryDevices())
        )
    assert "example-bank" not in str(failure.value)


def test_a_section_that_is_wrong() -> None:
    """An option nobody knows, or a URL that would carry messages in clear."""
    for options in ({"server": "x"}, {"url": "http://fcm.example"}):
        with pytest.raises(ConfigurationError, match=r"suppliers\.toml:fcm"):
            make_supplier(context_for("fcm", options, {}, devices=MemoryDevices()))
