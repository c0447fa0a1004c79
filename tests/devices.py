"""What the tests of push and e-mail share: devices kept in memory, a browser that decrypts, a supplier's context."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.kinds import KINDS
from sca_service.delivery.channels.push.model import A, Address, Subscription, WebPushAddress
from sca_service.delivery.http_client import HttpClient
from sca_service.delivery.supplier import Ear, Message
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.keyring import Keyring, create_keyring_text
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel, Occasion
from sca_service.policy.supply import SupplierRule
from sca_service.policy.template import Placeholder

NOW_MS = 1_700_000_000_000
PAYER = "00112233445566778899aabbccddeeff"
DELIVERY = "dlv_" + "0123456789abcdef" * 2 + "00112201"
TEXT = "You are paying 49.99 € to ACME GmbH. Your code is 135790."
SHOWN = "49.99 € to ACME GmbH"
PUBLIC_URL = "https://sca.example"


@dataclass
class SetClock:
    """A clock that shows what it is set to."""

    at_ms: int = NOW_MS

    def now_ms(self) -> int:
        """What it was set to."""
        return self.at_ms


@dataclass
class MemoryDevices:
    """The payer's devices, without a store; keeps what it was told."""

    devices: list[Subscription[Address]] = field(default_factory=list)
    used_ids: list[str] = field(default_factory=list)
    gone_ids: list[str] = field(default_factory=list)
    is_away: bool = False

    def add(self, *addresses: Address) -> None:
        """The payer has these as well, as `psb_0`, `psb_1`, …"""
        for address in addresses:
            self.devices.append(Subscription(f"psb_{len(self.devices)}", address, NOW_MS))

    async def of(self, payer: str, kind: type[A]) -> Sequence[Subscription[A]]:
        """The payer's devices of a kind."""
        if self.is_away:
            raise StoreUnavailable
        found = [one for one in self.devices if payer == PAYER and isinstance(one.address, kind)]
        return cast("list[Subscription[A]]", found)

    async def used(self, subscriptions: Sequence[Subscription[Address]]) -> None:
        """Keep their ids."""
        self.used_ids += [subscription.id for subscription in subscriptions]

    async def gone(self, subscription_id: str) -> None:
        """Keep the id, and forget the device."""
        self.gone_ids.append(subscription_id)
        self.devices = [one for one in self.devices if one.id != subscription_id]


@dataclass
class Browser:
    """A browser: its keys, and how it reads what was sent to it (RFC 8291 section 3.4, written for the tests alone)."""

    private: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    auth: bytes = field(default_factory=lambda: os.urandom(16))

    @property
    def public(self) -> bytes:
        """What it gives away as `p256dh`."""
        return point_of(self.private.public_key())

    def at(self, endpoint: str) -> WebPushAddress:
        """Its subscription at a push service."""
        return WebPushAddress(endpoint, self.public, self.auth)

    def read(self, body: bytes) -> bytes:
        """The text of a message, without its padding."""
        salt, point, record = body[:16], body[21 : 21 + body[20]], body[21 + body[20] :]
        theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        agreed = derived(
            self.private.exchange(ec.ECDH(), theirs), self.auth, b"WebPush: info\0" + self.public + point, 32
        )
        key = derived(agreed, salt, b"Content-Encoding: aes128gcm\0", 16)
        nonce = derived(agreed, salt, b"Content-Encoding: nonce\0", 12)
        padded = AESGCM(key).decrypt(nonce, record, None).rstrip(b"\0")
        assert padded[-1:] == b"\x02", "the last record ends with its delimiter"
        return padded[:-1]


def derived(secret: bytes, salt: bytes, about: bytes, size: int) -> bytes:
    """HKDF with SHA-256."""
    return HKDF(hashes.SHA256(), size, salt, about).derive(secret)


def point_of(key: ec.EllipticCurvePublicKey) -> bytes:
    """The uncompressed point."""
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def pem_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    """A private key as PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def context_for(
    kind: str,
    options: Mapping[str, object],
    secrets: Mapping[str, str],
    *,
    http: HttpClient | None = None,
    devices: MemoryDevices | None = None,
    clock: SetClock | None = None,
    keyring: Keyring | None = None,
) -> Context:
    """The context of a supplier that is named like its kind; it has no Redis and nothing to tell by itself."""
    return Context(
        rule=SupplierRule(kind, kind, KINDS[kind].channel, (), "EUR", (), options),
        secrets={name: Secret(value) for name, value in secrets.items()},
        public_url=PUBLIC_URL,
        http=http or cast("HttpClient", None),
        ear=cast("Ear", None),
        redis=cast("RedisConnection", None),
        keyring=keyring or Keyring.parse(create_keyring_text()),
        clock=clock or SetClock(),
        subscriptions=devices,
    )


def push_message(*, expires_in_ms: int = 120_000, text: str = TEXT, locale: str = "de-DE") -> Message:
    """A payment's message to the payer's devices."""
    return Message(
        DELIVERY,
        Channel.PUSH,
        Secret(PAYER),
        Secret(text),
        locale,
        occasion=Occasion.PAYMENT,
        shown=Secret(SHOWN),
        values={Placeholder.CODE: Secret("135790"), Placeholder.AMOUNT: Secret("49.99 €")},
        expires_at_ms=NOW_MS + expires_in_ms,
    )
