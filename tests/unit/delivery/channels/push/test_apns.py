"""APNs over HTTP/2: what wakes an app, the signature it is sent with, and what Apple's errors mean."""

import base64
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from sca_service.delivery.channels.kinds import make_supplier
from sca_service.delivery.channels.push.apns.supplier import SIGNED_FOR_SECONDS
from sca_service.delivery.channels.push.model import ApnsAddress
from sca_service.delivery.http_client import HttpClient
from sca_service.delivery.supplier import FailureReason, Supplier, SupplierFailure
from sca_service.kernel.errors import ConfigurationError
from tests.certificates import Certificate, make_certificate
from tests.devices import DELIVERY, NOW_MS, MemoryDevices, SetClock, context_for, pem_of, push_message
from tests.http2_server import Http2Answer, Http2Request, Http2Server

KEY = ec.generate_private_key(ec.SECP256R1())
DEVICE = "ab" * 32
OPTIONS = {"team": "ABCDE12345", "key_id": "ABC123DEFG", "topic": "example.bank.app"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """The server's."""
    folder: Path = tmp_path_factory.mktemp("certificate")
    return make_certificate(folder)


@pytest.fixture
async def server(certificate: Certificate) -> AsyncIterator[Http2Server]:
    """Apple's side: it speaks HTTP/2 and nothing else."""
    async with Http2Server(certificate.server("h2")) as server:
        yield server


@pytest.fixture
async def http(certificate: Certificate) -> AsyncIterator[HttpClient]:
    """The connections of a worker, which trusts the server."""
    http = HttpClient(verify=certificate.client())
    yield http
    await http.close()


@pytest.fixture
def devices() -> MemoryDevices:
    """The payer's devices."""
    devices = MemoryDevices()
    devices.add(ApnsAddress(DEVICE))
    return devices


@pytest.fixture
def clock() -> SetClock:
    """The time."""
    return SetClock()


@pytest.fixture
def supplier(server: Http2Server, http: HttpClient, devices: MemoryDevices, clock: SetClock) -> Supplier:
    """Our side."""
    options = {**OPTIONS, "url": server.url}
    return make_supplier(
        context_for("apns", options, {"key": pem_of(KEY)}, http=http, devices=devices, clock=clock)
    )


def refused(status: int, reason: str = "", **headers: str) -> Http2Answer:
    """An error as Apple writes it."""
    return Http2Answer(status, json.dumps({"reason": reason}).encode() if reason else b"", headers)


async def test_what_wakes_an_app(supplier: Supplier, server: Http2Server) -> None:
    """Over HTTP/2, with Apple's headers; the body has a neutral title and nothing of the message itself."""
    server.answer = lambda request: Http2Answer(200, b"", {"apns-id": request.headers["apns-id"]})
    accepted = await supplier.send(push_message())
    (request,) = server.requests
    assert request.headers[":path"] == f"/3/device/{DEVICE}"
    assert request.headers["apns-topic"] == "example.bank.app"
    assert request.headers["apns-push-type"] == "alert"
    assert request.headers["apns-priority"] == "10"
    assert request.headers["apns-expiration"] == str(NOW_MS // 1000 + 120)
    assert request.headers["apns-collapse-id"] == DELIVERY
    assert accepted.reference == request.headers["apns-id"] == str(uuid.UUID(accepted.reference))
    body = json.loads(request.body)
    assert body["aps"] == {
        "alert": {"title": "Bestätigung erforderlich"},
        "sound": "default",
        "content-available": 1,
        "mutable-content": 1,
        "interruption-level": "time-sensitive",
    }
    assert body["sca"]["delivery"] == DELIVERY
    assert body["sca"]["receipt_url"] == "https://sca.example/receipts/apns"
    whole = f"{request.headers}".encode() + request.body
    assert not any(word in whole for word in (b"135790", b"49.99", b"ACME"))


async def test_a_repetition_is_recognised(supplier: Supplier, server: Http2Server) -> None:
    """The same delivery to the same device has the same id and replaces what is shown."""
    for _ in range(2):
        await supplier.send(push_message())
    ids = {(request.headers["apns-id"], request.headers["apns-collapse-id"]) for request in server.requests}
    assert len(ids) == 1


async def test_one_connection_carries_all(
    supplier: Supplier, server: Http2Server, devices: MemoryDevices
) -> None:
    """Ten devices at once are ten streams of few connections."""
    devices.add(*(ApnsAddress(f"{number:064x}") for number in range(9)))
    await supplier.send(push_message())
    await supplier.send(push_message())
    assert len(server.requests) == 20
    assert server.connections <= 2


async def test_the_signature(supplier: Supplier, server: Http2Server, clock: SetClock) -> None:
    """ES256 with the team's key, kept for 40 minutes; checked here without the library that signs it."""
    await supplier.send(push_message())
    clock.at_ms += (SIGNED_FOR_SECONDS - 1) * 1000
    await supplier.send(push_message(expires_in_ms=10_000_000))
    clock.at_ms += 1_000
    await supplier.send(push_message(expires_in_ms=10_000_000))
    first, second, third = (request.headers["authorization"] for request in server.requests)
    assert first == second != third
    for said, at_ms in ((first, NOW_MS), (third, clock.at_ms)):
        head, claims, signature = said.removeprefix("bearer ").split(".")
        raw = base64.urlsafe_b64decode(signature + "==")
        der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        KEY.public_key().verify(der, f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
        assert json.loads(base64.urlsafe_b64decode(head + "=="))["kid"] == "ABC123DEFG"
        assert json.loads(base64.urlsafe_b64decode(claims + "==")) == {
            "iss": "ABCDE12345",
            "iat": at_ms // 1000,
        }


async def test_a_signature_that_apple_finds_too_old(
    supplier: Supplier, server: Http2Server, clock: SetClock
) -> None:
    """Clocks differ: it is made anew, and the message goes out once more."""
    await supplier.send(push_message())
    clock.at_ms += 60_000
    old = server.requests[0].headers["authorization"]
    server.answer = lambda request: (
        refused(403, "ExpiredProviderToken") if request.headers["authorization"] == old else Http2Answer(200)
    )
    await supplier.send(push_message())
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "answer",
    [
        refused(410, "Unregistered"),
        refused(410, "ExpiredToken"),
        refused(410),
        refused(400, "BadDeviceToken"),
    ],
)
async def test_a_device_that_is_gone(
    supplier: Supplier, server: Http2Server, devices: MemoryDevices, answer: Http2Answer
) -> None:
    """It is forgotten."""
    server.answer = lambda _: answer
    with pytest.raises(SupplierFailure) as failure:
        await supplier.send(push_message())
    assert (failure.value.reason, failure.value.transient) == (FailureReason.NO_DEVICE, True)
    assert devices.gone_ids == ["psb_0"]


@pytest.mark.parametrize(
    ("answer", "reason", "transient", "retry_after_ms"),
    [
        (refused(400, "BadTopic"), FailureReason.REJECTED, False, 0),
        (refused(400, "DeviceTokenNotForTopic"), FailureReason.REJECTED, False, 0),  # another app's, not gone
        (refused(400), FailureReason.REJECTED, False, 0),
        (refused(404, "BadPath"), FailureReason.REJECTED, False, 0),
        (refused(413, "PayloadTooLarge"), FailureReason.REJECTED, False, 0),
        (refused(403, "InvalidProviderToken"), FailureReason.SUPPLIER_DOWN, True, 0),
        (refused(429, "TooManyRequests", **{"retry-after": "9"}), FailureReason.SUPPLIER_DOWN, True, 9_000),
        (refused(503, "ServiceUnavailable"), FailureReason.SUPPLIER_DOWN, True, 0),
        (refused(500, "InternalServerError"), FailureReason.SUPPLIER_DOWN, False, 0),
    ],
)
async def test_what_an_answer_means(
    supplier: Supplier,
    server: Http2Server,
    devices: MemoryDevices,
    answer: Http2Answer,
    reason: FailureReason,
    transient: bool,
    retry_after_ms: int,
) -> None:
    """A fault of our message, our signature or Apple is none of the device's."""
    server.answer = lambda _: answer
    with pytest.raises(SupplierFailure) as failure:
        await supplier.send(push_message())
    assert (failure.value.reason, failure.value.transient) == (reason, transient)
    assert failure.value.retry_after_ms == retry_after_ms
    assert devices.gone_ids == []


async def test_a_signature_that_is_never_good(supplier: Supplier, server: Http2Server) -> None:
    """Two tries, no more; another supplier may carry the message."""

    def answer(_: Http2Request) -> Http2Answer:
        return refused(403, "ExpiredProviderToken")

    server.answer = answer
    with pytest.raises(SupplierFailure) as failure:
        await supplier.send(push_message())
    assert (failure.value.reason, failure.value.transient) == (FailureReason.SUPPLIER_DOWN, True)
    assert len(server.requests) == 2


@pytest.mark.parametrize("key", ["x", pem_of(ec.generate_private_key(ec.SECP384R1()))])
def test_a_key_that_is_none(key: str) -> None:
    """Refused when the supplier is made, without a word of it."""
    with pytest.raises(ConfigurationError, match="key is not a private key of P-256"):
        make_supplier(context_for("apns", OPTIONS, {"key": key}, devices=MemoryDevices()))


def test_a_key_as_an_environment_has_it() -> None:
    """Line breaks may be written `\\n`."""
    secrets = {"key": pem_of(KEY).replace("\n", "\\n")}
    supplier = make_supplier(context_for("apns", OPTIONS, secrets, devices=MemoryDevices()))
    assert supplier.name == "apns"


@pytest.mark.parametrize(
    "options", [{"team": "short"}, {"topic": "a b"}, {"url": "http://push.example"}, {"sandbox": True}]
)
def test_a_section_that_is_wrong(options: dict[str, object]) -> None:
    """Every option is checked when the service starts."""
    with pytest.raises(ConfigurationError, match=r"suppliers\.toml:apns"):
        make_supplier(context_for("apns", {**OPTIONS, **options}, {}, devices=MemoryDevices()))
