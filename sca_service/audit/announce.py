"""Puts on record what the decisions rest on besides the requests: policy, keys, and the clocks (RTS Art. 29(2))."""

import asyncio
import ctypes
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import structlog

from sca_service.audit.model import AuditEvent, Record
from sca_service.audit.postgres_store import AnnouncementStore
from sca_service.audit.redis_store import Outbox
from sca_service.audit.writer import AuditWriter
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring, key_id

_MEASURED_EVERY_SECONDS = 3600.0
_TIME_ERROR = 5
"""What adjtimex(2) returns while no official time signal is followed."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class KernelClock:
    """What the kernel says of the machine's clock: whether it follows a time signal, and how far off it may be."""

    synchronised: bool
    most_error_ms: int


class _Timex(ctypes.Structure):
    """The beginning of the kernel's `struct timex`, and room for the rest of it."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("rest", ctypes.c_byte * 256),
    )


def kernel_clock() -> KernelClock:
    """Ask the kernel (adjtimex(2), which changes nothing like this). Unknown counts as not synchronised."""
    asked = _Timex(modes=0)
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.byref(asked))
    except (AttributeError, OSError):
        return KernelClock(synchronised=False, most_error_ms=-1)
    return KernelClock(0 <= state < _TIME_ERROR, asked.maxerror // 1000 if state >= 0 else -1)


class Announcer:
    """Tells the log of a policy or keys that are new to it, and how far the clocks are apart.

    A class because it holds the stores.
    """

    def __init__(
        self,
        *,
        announcements: AnnouncementStore,
        writer: AuditWriter,
        outbox: Outbox,
        clock: Clock,
        actor: str,
    ) -> None:
        self._announcements = announcements
        self._writer = writer
        self._outbox = outbox
        self._clock = clock
        self._actor = actor

    async def announce(self, policy_digest: str, keyring: Keyring) -> None:
        """At the start of a role: `policy.changed` and `keys.changed`, each only when it is news.

        Raises StoreUnavailable.
        """
        if await self._announce("policy.changed", policy_digest, {}):
            log.info("policy.changed")
        keys: dict[str, object] = {
            "current": keyring.current,
            "versions": keyring.versions,
            "signing": [key_id(key.public_key().public_bytes_raw()) for key in keyring.signing_keys],
            "log": [key_id(key.public_key().public_bytes_raw()) for key in keyring.log_signing_keys],
        }
        if await self._announce("keys.changed", _digest(keys), keys):
            log.info("keys.changed")

    async def keep_measuring(self, stop: asyncio.Event) -> None:
        """Put `clock.measured` on record at once and every hour, until `stop` is set."""
        while not stop.is_set():
            try:
                await self.measure()
            except StoreUnavailable as away:
                log.warning("clock.unmeasured", reason=away.detail)
            try:
                await asyncio.wait_for(stop.wait(), _MEASURED_EVERY_SECONDS)
            except TimeoutError:
                continue

    async def measure(self) -> None:
        """Compare the clocks that events are stamped by with this machine's. Raises StoreUnavailable.

        An offset is what a store's clock is ahead, in ms, against the middle of asking and answer; it is exact to half
        the `round_trip_ms` beside it.
        """
        began = time.monotonic_ns()
        before_ms = self._clock.now_ms()
        redis_ms = await self._outbox.now_ms()
        between_ms, between = self._clock.now_ms(), time.monotonic_ns()
        postgres_ms = await self._announcements.now_ms()
        after_ms, ended = self._clock.now_ms(), time.monotonic_ns()
        kernel = kernel_clock()
        members = {
            "actor": self._actor,
            "source": "redis",
            "redis_offset_ms": redis_ms - (before_ms + between_ms) // 2,
            "postgres_offset_ms": postgres_ms - (between_ms + after_ms) // 2,
            "round_trip_ms": max(between - began, ended - between) // 1_000_000,
            "synchronised": kernel.synchronised,
            "most_error_ms": kernel.most_error_ms,
        }
        event = AuditEvent.create(
            event_id=new_id("evt"), kind="clock.measured", at_ms=after_ms, members=members
        )
        await self._writer.commit(Record((event,)))

    async def _announce(self, kind: str, digest: str, members: dict[str, object]) -> bool:
        event = AuditEvent.create(
            event_id=new_id("evt"),
            kind=kind,
            at_ms=self._clock.now_ms(),
            members={"actor": self._actor, "digest": digest, **members},
        )
        return await self._announcements.announce(event, digest)


def _digest(keys: Mapping[str, object]) -> str:
    return "sha256:" + hashlib.sha256(msgspec.json.encode(keys, order="sorted")).hexdigest()
