"""Web Push against npm's web-push-testing: it decrypts what we send, refuses another key, and lets devices expire."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sca_service.delivery.channels.push.addresses import web_push_address
from sca_service.delivery.channels.push.web_push.supplier import WebPushSupplier, build
from sca_service.delivery.supplier import Accepted, FailureReason, SupplierFailure
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.keyring import Keyring, create_keyring_text
from tests.devices import DELIVERY, SHOWN, TEXT, MemoryDevices, SetClock, context_for, pem_of, push_message
from tests.peers.push_service import PushService, running_push_service


async def subscribe(push_service: PushService, key: str, devices: MemoryDevices) -> str:
    """A browser of the payer that takes messages signed with this key; its name at the push service."""
    given = await push_service.subscribe(key)
    devices.add(
        web_push_address(
            endpoint=given.endpoint,
            public_key=given.keys["p256dh"],
            auth=given.keys["auth"],
            push_services=("127.0.0.1",),
        )
    )
    return given.name


@pytest.fixture
async def push_service() -> AsyncIterator[PushService]:
    """The push service on a port of the loopback interface."""
    async with running_push_service() as service:
        yield service


@pytest.fixture
def devices() -> MemoryDevices:
    """The payer's devices."""
    return MemoryDevices()


@pytest.fixture
def supplier(push_service: PushService, devices: MemoryDevices) -> WebPushSupplier:
    """Our side."""
    return build_supplier(push_service, devices)


def build_supplier(push_service: PushService, devices: MemoryDevices) -> WebPushSupplier:
    """A supplier with a new key, by the time of this machine: the push service looks at the signature's end."""
    key = ec.generate_private_key(ec.SECP256R1())
    return build(
        context_for(
            "web-push",
            {"contact": "mailto:push@bank.example", "push_services": ["127.0.0.1"]},
            {"vapid_key": pem_of(key)},
            http=push_service.http,
            devices=devices,
            clock=SetClock(SystemClock().now_ms()),
            keyring=Keyring.parse(create_keyring_text()),
        )
    )


async def send(supplier: WebPushSupplier) -> Accepted:
    """Send a payment's message that is good for two minutes."""
    message = replace(push_message(), expires_at_ms=SystemClock().now_ms() + 120_000)
    return await supplier.send(message)


async def test_it_decrypts_what_we_send(
    push_service: PushService, supplier: WebPushSupplier, devices: MemoryDevices
) -> None:
    """Every browser of the payer has the whole message, with the text and what to confirm it with."""
    names = [await subscribe(push_service, supplier.public_key, devices) for _ in range(3)]
    accepted = await send(supplier)
    assert accepted.segments == 1
    for name in names:
        (received,) = await push_service.messages(name)
        assert (received["delivery"], received["text"], received["shown"]) == (DELIVERY, TEXT, SHOWN)
        assert received["receipt"]["url"] == "https://sca.example/receipts/web-push"
    assert devices.used_ids == ["psb_0", "psb_1", "psb_2"]


async def test_it_refuses_another_key(push_service: PushService, devices: MemoryDevices) -> None:
    """A browser that subscribed with one bank's key takes nothing that another's has signed."""
    theirs, ours = (build_supplier(push_service, devices) for _ in range(2))
    name = await subscribe(push_service, theirs.public_key, devices)
    with pytest.raises(SupplierFailure) as failure:
        await send(ours)
    assert (failure.value.reason, failure.value.transient) == (FailureReason.REJECTED, False)
    assert await push_service.messages(name) == []
    await send(theirs)
    assert len(await push_service.messages(name)) == 1


async def test_an_expired_device_is_dropped(
    push_service: PushService, supplier: WebPushSupplier, devices: MemoryDevices
) -> None:
    """410 takes the device off the list; the others get the message; without any left there is no device."""
    expired, kept = [await subscribe(push_service, supplier.public_key, devices) for _ in range(2)]
    await push_service.expire(expired)
    await send(supplier)
    assert devices.gone_ids == ["psb_0"]
    assert await push_service.messages(expired) == []
    assert len(await push_service.messages(kept)) == 1
    await push_service.expire(kept)
    for _ in range(2):
        with pytest.raises(SupplierFailure) as failure:
            await send(supplier)
        assert (failure.value.reason, failure.value.transient) == (FailureReason.NO_DEVICE, True)
    assert devices.gone_ids == ["psb_0", "psb_1"]
