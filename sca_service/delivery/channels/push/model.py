"""A payer's devices that push can reach: what a subscription is, and who tells which there are."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

MOST_SUBSCRIPTIONS = 10
"""Devices of one payer that are kept; a new one puts the one that registered longest ago out."""


class PushKind(StrEnum):
    """Whose push service a device listens to."""

    WEB_PUSH = "web_push"  # a browser: RFC 8030
    FCM = "fcm"  # Firebase Cloud Messaging
    APNS = "apns"  # Apple Push Notification service


@dataclass(frozen=True, slots=True, repr=False)
class WebPushAddress:
    """A browser: where its push service takes messages, and its keys (RFC 8291: `p256dh`, 65 bytes, and `auth`, 16).

    Like the other addresses it has no telling `repr`: whoever knows it may write to the device.
    """

    kind: ClassVar[PushKind] = PushKind.WEB_PUSH

    endpoint: str
    public_key: bytes
    auth: bytes

    @property
    def named(self) -> str:
        """What the device is found again by: a browser's keys may change, its endpoint names it."""
        return self.endpoint

    @property
    def masked(self) -> str:
        """What may be shown of it."""
        return f"{urlsplit(self.endpoint).hostname} …{self.endpoint[-4:]}"


@dataclass(frozen=True, slots=True, repr=False)
class FcmAddress:
    """An app known to Firebase by its registration."""

    kind: ClassVar[PushKind] = PushKind.FCM

    registration: str

    @property
    def named(self) -> str:
        """What the device is found again by."""
        return self.registration

    @property
    def masked(self) -> str:
        """What may be shown of it."""
        return f"…{self.registration[-4:]}"


@dataclass(frozen=True, slots=True, repr=False)
class ApnsAddress:
    """An app known to Apple by its device, in hexadecimal."""

    kind: ClassVar[PushKind] = PushKind.APNS

    device: str

    @property
    def named(self) -> str:
        """What the device is found again by."""
        return self.device

    @property
    def masked(self) -> str:
        """What may be shown of it."""
        return f"…{self.device[-4:]}"


Address = WebPushAddress | FcmAddress | ApnsAddress

ADDRESSES: dict[PushKind, type[Address]] = {
    address.kind: address for address in (WebPushAddress, FcmAddress, ApnsAddress)
}

A = TypeVar("A", WebPushAddress, FcmAddress, ApnsAddress)
AnyAddress_co = TypeVar("AnyAddress_co", bound=Address, covariant=True)


@dataclass(frozen=True, slots=True)
class Subscription(Generic[AnyAddress_co]):
    """One device of a payer. Times in milliseconds since the epoch; `used_at_ms` is 0 before the first message."""

    id: str
    address: AnyAddress_co = field(repr=False)
    registered_at_ms: int
    used_at_ms: int = 0


class Devices(Protocol):
    """Where the push suppliers learn which devices a payer has, and tell which are gone."""

    async def of(self, payer: str, kind: type[A]) -> Sequence[Subscription[A]]:
        """A payer's devices of one kind, the newest first, at most ten. Raises StoreUnavailable."""

    async def used(self, subscriptions: Sequence[Subscription[Address]]) -> None:
        """These took a message just now. Raises StoreUnavailable."""

    async def gone(self, subscription_id: str) -> None:
        """The push service knows that device no more: it is forgotten. Raises StoreUnavailable."""
