"""Web Push against a server that behaves badly: what is sent, what each answer means, who is forgotten."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sca_service.delivery.channels.kinds import make_supplier
from sca_service.delivery.channels.push.web_push.supplier import (
    SIGNED_FOR_SECONDS,
    WebPushSupplier,
    build,
)
from sca_service.delivery.channels.push.web_push.wire import (
    MOST_PLAIN_BYTES,
    encrypted,
    origin_of,
    padding_for,
    topic_of,
)
from sca_service.delivery.http_client import HttpClient
from sca_service.delivery.supplier import FailureReason, SupplierFailure
from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.secret import Secret
from tests.devices import (
    DELIVERY,
    NOW_MS,
    SHOWN,
    TEXT,
    Browser,
    MemoryDevices,
    SetClock,
    context_for,
    pem_of,
    push_message,
)
from tests.rude_server import Answer, RudeServer

OPTIONS = {"contact": "mailto:push@bank.example", "push_services": ["127.0.0.1"]}
KEY = pem_of(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
async def server() -> AsyncIterator[RudeServer]:
    """A push service."""
    async with RudeServer() as server:
        server.answer(201, headers={"Location": "/message/1"})
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
    return MemoryDevices()


@pytest.fixture
def clock() -> SetClock:
    """The time."""
    return SetClock()


@pytest.fixture
def supplier(http: HttpClient, devices: MemoryDevices, clock: SetClock) -> WebPushSupplier:
    """Our side."""
    return build(
        context_for("web-push", OPTIONS, {"vapid_key": KEY}, http=http, devices=devices, clock=clock)
    )


async def test_what_is_sent(supplier: WebPushSupplier, server: RudeServer, devices: MemoryDevices) -> None:
    """The headers of RFC 8030 and 8292, and a body that only the browser can read."""
    browser = Browser()
    devices.add(browser.at(f"{server.url}/send/1"))
    accepted = await supplier.send(push_message())
    (request,) = server.requests
    assert (accepted.reference, accepted.segments, accepted.cost) == ("/message/1", 1, None)
    assert (request.method, request.path) == ("POST", "/send/1")
    assert request.headers["ttl"] == "120"
    assert request.headers["urgency"] == "high"
    assert request.headers["topic"] == topic_of(DELIVERY)
    assert request.headers["content-encoding"] == "aes128gcm"
    assert request.headers["authorization"].startswith("vapid t=")
    content = json.loads(browser.read(request.body))
    assert content == {
        "delivery": DELIVERY,
        "title": "Bestätigung erforderlich",
        "text": TEXT,
        "shown": SHOWN,
        "expires": "2023-11-14T22:15:20.000Z",
        "receipt": {"url": "https://sca.example/receipts/web-push", "mac": content["receipt"]["mac"]},
    }


async def test_nothing_goes_in_clear(
    supplier: WebPushSupplier, server: RudeServer, devices: MemoryDevices
) -> None:
    """Neither code, amount and payee nor our ids can be read on the way, and the length does not tell them either."""
    lengths = set()
    for text in (TEXT, TEXT + " Never share it.", "1"):
        devices.devices.clear()
        devices.add(Browser().at(f"{server.url}/send/1"))
        await supplier.send(push_message(text=text))
        request = server.requests[-1]
        whole = f"{request.target}{request.headers}".encode() + request.body
        assert not any(
            word in whole for word in (b"135790", b"49.99", b"ACME", DELIVERY.encode(), b"receipts")
        )
        lengths.add(len(request.body))
    assert len(lengths) == 1


async def test_every_body_has_a_fresh_key(
    supplier: WebPushSupplier, server: RudeServer, devices: MemoryDevices
) -> None:
    """Salt and our point differ from message to message and from browser to browser."""
    devices.add(*(Browser().at(f"{server.url}/send/{number}") for number in range(3)))
    await supplier.send(push_message())
    await supplier.send(push_message())
    assert len({request.body[:16] for request in server.requests}) == 6
    assert len({request.body[21:86] for request in server.requests}) == 6


async def test_the_signature_is_kept_and_renewed(
    supplier: WebPushSupplier, server: RudeServer, devices: MemoryDevices, clock: SetClock
) -> None:
    """One for each push service, renewed at half its time; its end is less than 24 hours away."""
    devices.add(Browser().at(f"{server.url}/send/1"))
    forever = replace(push_message(), expires_at_ms=0)
    for _ in range(2):
        await supplier.send(forever)
    clock.at_ms += SIGNED_FOR_SECONDS * 500 + 1_000
    await supplier.send(forever)
    signed = [request.headers["authorization"] for request in server.requests]
    assert signed[0] == signed[1] != signed[2]
    claims = json.loads(base64.urlsafe_b64decode(signed[0].split(".")[1] + "=="))
    assert claims["aud"] == server.url
    assert claims["sub"] == "mailto:push@bank.example"
    assert 0 < claims["exp"] - NOW_MS // 1000 <= 24 * 3_600
    assert [request.headers["ttl"] for request in server.requests] == ["86400"] * 3


@pytest.mark.parametrize(
    ("answer", "reason", "transient", "retry_after_ms"),
    [
        (Answer(429, headers={"Retry-After": "7"}), FailureReason.SUPPLIER_DOWN, True, 7_000),
        (Answer(503), FailureReason.SUPPLIER_DOWN, True, 0),
        (Answer(403), FailureReason.SUPPLIER_DOWN, True, 0),
        (Answer(401), FailureReason.SUPPLIER_DOWN, True, 0),
        (Answer(500), FailureReason.SUPPLIER_DOWN, False, 0),
        (Answer(413), FailureReason.REJECTED, False, 0),
        (Answer(400), FailureReason.REJECTED, False, 0),
        (Answer(301, headers={"Location": "http://127.0.0.1:1/"}), FailureReason.SUPPLIER_DOWN, False, 0),
        (Answer(204), FailureReason.TIMEOUT, False, 0),
    ],
)
async def test_what_an_answer_means(
    supplier: WebPushSupplier,
    server: RudeServer,
    devices: MemoryDevices,
    answer: Answer,
    reason: FailureReason,
    transient: bool,
    retry_after_ms: int,
) -> None:
    """No answer but a success is one, none of these forgets the device, and nobody follows a redirect."""
    devices.add(Browser().at(f"{server.url}/send/1"))
    server.answers([answer])
    with pytest.raises(SupplierFailure) as failure:
        await supplier.send(push_message())
    assert (failure.value.reason, failure.value.transient) == (reason, transient)
    assert failure.value.retry_after_ms == retry_after_ms
    assert (devices.gone_ids, devices.used_ids) == ([], [])
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [404, 410])
async def test_a_device_that_is_gone(
    supplier: WebPushSupplier, server: RudeServer, devices: MemoryDevices, status: int
) -> None:
    """It is forgotten, and the next time there is none (RFC 8030 section 7.3)."""
    devices.add(Browser().at(f"{server.url}/send/1"))
    server.answers([Answer(status)])
    for _ in range(2):
        with pytest.raises(SupplierFailure) as failure:
            await supplier.send(push_message())
        assert (failure.value.reason, failure.value.transient) == (FailureReason.NO_DEVICE, True)
    assert devices.gone_ids == ["psb_0"]
    assert len(server.requests) == 1


async def test_one_device_is_enough(
    supplier: WebPushSupplier, server: RudeServer, devices: MemoryDevices
) -> None:
    """Accepted when one took it, whatever became of the others; only what is gone is forgotten."""
    devices.add(*(Browser().at(f"{server.url}/send/{status}") for status in (410, 500, 201)))
    server.answer_by(lambda request: Answer(int(request.path.rpartition("/")[2])))
    accepted = await supplier.send(push_message())
    assert accepted.segments == 1
    assert (devices.gone_ids, devices.used_ids) == (["psb_0"], ["psb_2"])


@pytest.mark.parametrize(
    ("statuses", "reason", "transient"),
    [
        ((400, 503), FailureReason.SUPPLIER_DOWN, True),
        ((410, 400), FailureReason.REJECTED, False),
        ((503, 204), FailureReason.TIMEOUT, False),
    ],
)
async def test_the_failure_of_several(
    supplier: WebPushSupplier,
    server: RudeServer,
    devices: MemoryDevices,
    statuses: tuple[int, ...],
    reason: FailureReason,
    transient: bool,
) -> None:
    """What may have arrived is not sent again; what may arrive later may be; what is refused everywhere is over."""
    devices.add(*(Browser().at(f"{server.url}/send/{status}") for status in statuses))
    server.answer_by(lambda request: Answer(int(request.path.rpartition("/")[2])))
    with pytest.raises(SupplierFailure) as failure:
        await supplier.send(push_message())
    assert (failure.value.reason, failure.value.transient) == (reason, transient)


async def test_devices_are_reached_at_once(
    supplier: WebPushSupplier, server: RudeServer, devices: MemoryDevices
) -> None:
    """Ten browsers do not wait for each other: all have been asked though none is ever answered."""
    devices.add(*(Browser().at(f"{server.url}/send/{number}") for number in range(10)))
    for _ in range(10):
        server.silence_next()
    sending = asyncio.create_task(supplier.send(push_message()))
    assert len(await server.received(10)) == 10
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending


async def test_a_connection_that_breaks(
    supplier: WebPushSupplier, server: RudeServer, devices: MemoryDevices
) -> None:
    """A request that was read and never answered may have been taken: it is not sent twice."""
    devices.add(Browser().at(f"{server.url}/send/1"))
    server.reset_next()
    with pytest.raises(SupplierFailure) as failure:
        await supplier.send(push_message())
    assert (failure.value.reason, failure.value.transient) == (FailureReason.TIMEOUT, False)
    assert devices.gone_ids == []


async def test_a_caller_who_gives_up(
    supplier: WebPushSupplier, server: RudeServer, devices: MemoryDevices
) -> None:
    """The deadline of the dispatcher ends every request of it."""
    devices.add(*(Browser().at(f"{server.url}/send/{number}") for number in range(2)))
    server.silence_next()
    server.silence_next()
    sending = asyncio.create_task(supplier.send(push_message()))
    await server.received(2)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending


async def test_a_payer_without_devices(supplier: WebPushSupplier) -> None:
    """Transient, so that the next push supplier is tried."""
    with pytest.raises(SupplierFailure) as failure:
        await supplier.send(push_message())
    assert (failure.value.reason, failure.value.transient) == (FailureReason.NO_DEVICE, True)


async def test_devices_that_cannot_be_read(supplier: WebPushSupplier, devices: MemoryDevices) -> None:
    """A store that is away is no payer without devices."""
    devices.is_away = True
    with pytest.raises(SupplierFailure) as failure:
        await supplier.send(push_message())
    assert (failure.value.reason, failure.value.transient) == (FailureReason.SUPPLIER_DOWN, True)


async def test_a_host_that_is_no_longer_allowed(
    supplier: WebPushSupplier, server: RudeServer, devices: MemoryDevices
) -> None:
    """It is not called, and stays known: the list may have been shortened by mistake."""
    devices.add(Browser().at(server.url.replace("127.0.0.1", "localhost")))
    with pytest.raises(SupplierFailure) as failure:
        await supplier.send(push_message())
    assert failure.value.reason is FailureReason.NO_DEVICE
    assert (devices.gone_ids, server.requests) == ([], [])


async def test_what_is_too_late_or_too_long(
    supplier: WebPushSupplier, server: RudeServer, devices: MemoryDevices
) -> None:
    """An expired message and one that no push service has to take are refused here."""
    devices.add(Browser().at(f"{server.url}/send/1"))
    for message in (push_message(expires_in_ms=0), push_message(text="x" * MOST_PLAIN_BYTES)):
        with pytest.raises(SupplierFailure) as failure:
            await supplier.send(message)
        assert (failure.value.reason, failure.value.transient) == (FailureReason.REJECTED, False)
    assert server.requests == []


async def test_a_notice_is_not_urgent(
    supplier: WebPushSupplier, server: RudeServer, devices: MemoryDevices
) -> None:
    """Nobody waits for an alert, and it has another title, in the payer's language or in English."""
    browser = Browser()
    devices.add(browser.at(f"{server.url}/send/1"))
    for locale, title in (("it-IT", "Messaggio dalla tua banca"), ("xx", "Message from your bank")):
        await supplier.send(replace(push_message(locale=locale), occasion=None, text=Secret("Balance low")))
        assert server.requests[-1].headers["urgency"] == "normal"
        assert json.loads(browser.read(server.requests[-1].body))["title"] == title


async def test_the_banks_own_titles(http: HttpClient, server: RudeServer, devices: MemoryDevices) -> None:
    """They stand before ours, language by language."""
    titles = {"de": {"approval": "Bitte prüfen", "notice": "Hinweis"}}
    context = context_for(
        "web-push", {**OPTIONS, "titles": titles}, {"vapid_key": KEY}, http=http, devices=devices
    )
    browser = Browser()
    devices.add(browser.at(f"{server.url}/send/1"))
    for locale, title in (("de-AT", "Bitte prüfen"), ("en-GB", "Confirmation needed")):
        await make_supplier(context).send(push_message(locale=locale))
        assert json.loads(browser.read(server.requests[-1].body))["title"] == title


@pytest.mark.parametrize("plain", [0, 1, 1_023, 1_024, 1_025, 3_071, 3_073, MOST_PLAIN_BYTES])
def test_padding(plain: int) -> None:
    """To the next of a few sizes, never over what fits."""
    whole = plain + padding_for(plain)
    assert whole in (0, 1_024, 2_048, 3_072, MOST_PLAIN_BYTES)
    assert whole >= plain


def test_a_whole_message_is_what_every_push_service_takes() -> None:
    """4,096 bytes at most (RFC 8030 section 7.2); a byte more is refused."""
    browser = Browser()
    ours = ec.generate_private_key(ec.SECP256R1())
    body = encrypted(b"x" * MOST_PLAIN_BYTES, browser.at("https://x"), ours=ours, salt=bytes(16))
    assert len(body) == 4_096
    with pytest.raises(ValueError, match="does not fit"):
        encrypted(b"x" * MOST_PLAIN_BYTES, browser.at("https://x"), ours=ours, salt=bytes(16), padding=1)


@pytest.mark.parametrize(
    ("endpoint", "origin"),
    [
        ("https://push.example/a/b?c", "https://push.example"),
        ("https://push.example:443/", "https://push.example"),
        ("https://push.example:8443/", "https://push.example:8443"),
        ("http://127.0.0.1:80/", "http://127.0.0.1"),
        ("http://[::1]:81/", "http://[::1]:81"),
    ],
)
def test_the_origin_of_an_endpoint(endpoint: str, origin: str) -> None:
    """As RFC 6454 writes it: the usual port is left out, any other is not."""
    assert origin_of(endpoint) == origin


def test_a_topic_is_short_and_says_nothing() -> None:
    """At most 32 characters of base64url, the same for a repetition."""
    assert topic_of(DELIVERY) == topic_of(DELIVERY) != topic_of(DELIVERY + "0")
    assert len(topic_of(DELIVERY)) == 24
    assert topic_of(DELIVERY) not in DELIVERY


@pytest.mark.parametrize(
    "key",
    [
        "not a key",
        "A" * 43,
        pem_of(ec.generate_private_key(ec.SECP384R1())),
        "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----",
    ],
)
def test_a_key_that_is_none(key: str) -> None:
    """Refused when the supplier is made, without a word of it."""
    with pytest.raises(ConfigurationError) as refused:
        build(context_for("web-push", OPTIONS, {"vapid_key": key}, devices=MemoryDevices()))
    assert key not in str(refused.value)
    assert "vapid_key" in str(refused.value)


def test_what_it_needs() -> None:
    """A key in the environment, a contact, and somebody who keeps the devices."""
    with pytest.raises(ConfigurationError, match="SCA_SUPPLIER_WEB_PUSH_VAPID_KEY"):
        build(context_for("web-push", OPTIONS, {}, devices=MemoryDevices()))
    with pytest.raises(ConfigurationError, match="contact"):
        build(context_for("web-push", {}, {"vapid_key": KEY}, devices=MemoryDevices()))
    with pytest.raises(ConfigurationError, match="subscriptions"):
        build(context_for("web-push", OPTIONS, {"vapid_key": KEY}))
