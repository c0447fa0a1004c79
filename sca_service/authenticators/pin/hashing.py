"""How a PIN is kept and checked: Argon2id over a MAC, in threads that nobody can make wait for long.

What is kept is a string in the PHC format, `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>`. Argon2 sees no PIN but
HMAC-SHA256, keyed with the pepper, over the authenticator's id and the PIN: whoever steals the hashes cannot guess
without the pepper, and a hash moved to another authenticator matches nothing there.
"""

import asyncio
import contextlib
import hmac
import os
import re
import secrets
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final, ParamSpec, TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import VerificationError, VerifyMismatchError

from sca_service.kernel.errors import ConfigurationError, Overloaded
from sca_service.kernel.keyring import SealBroken
from sca_service.kernel.secret import Secret
from sca_service.kernel.telemetry import PINS_TURNED_AWAY

LEAST_PEPPER_BYTES: Final = 32
"""As much as HMAC-SHA256 is worth."""

MOST_MEMORY_KIB: Final = 256 * 1024
"""What one check may take: beyond it a few at once would fill a machine. Holds for a kept hash too."""

MOST_PASSES: Final = 16
"""At the default memory some 0.2 s: a check must not keep a thread longer."""

MOST_LANES: Final = 4
"""The lanes that RFC 9106 section 4 recommends; more would be threads beside the pool."""

MOST_SALT_BYTES: Final = 64
"""RFC 9106 section 3.1 advises 16; more protects nothing better."""

MOST_HASH_BYTES: Final = 64
"""BLAKE2b, which makes it, is no longer."""

_NICE: Final = 10
"""How much sooner than a PIN's thread the event loop gets a core that both want (Linux)."""

_KEPT: Final = re.compile(
    r"\$argon2id\$v=19\$m=([0-9]{1,6}),t=([0-9]{1,2}),p=([0-9])\$([A-Za-z0-9+/]{1,86})\$([A-Za-z0-9+/]{1,86})"
)
"""A hash of ours, whole: Argon2 itself would read as far as the first NUL. 86 letters of base64 are 64 bytes."""

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Argon2Parameters:
    """What a hash costs; the defaults are OWASP's (Password Storage Cheat Sheet: m=19456, t=2, p=1).

    Raises ConfigurationError for what RFC 9106 section 3.1 does not allow, and beyond the bounds of this file.
    """

    memory_kib: int = 19456
    passes: int = 2
    lanes: int = 1
    salt_bytes: int = 16
    hash_bytes: int = 32

    def __post_init__(self) -> None:
        if not (
            1 <= self.lanes <= MOST_LANES
            and 8 * self.lanes <= self.memory_kib <= MOST_MEMORY_KIB
            and 1 <= self.passes <= MOST_PASSES
            and 8 <= self.salt_bytes <= MOST_SALT_BYTES
            and 4 <= self.hash_bytes <= MOST_HASH_BYTES
        ):
            raise ConfigurationError("pin: Argon2's parameters are out of bounds")


@dataclass(frozen=True, slots=True)
class PinCheck:
    """What a check came to."""

    matches: bool
    rehashed: str | None = field(default=None, repr=False)
    """The PIN's new hash, to be kept instead, when it matched and was kept with other parameters; else None."""


class PinHasher:
    """Hashes and checks PINs, a few at a time; the event loop goes on meanwhile (argon2-cffi lets go of the GIL).

    A class because it owns the threads, and counts who is at work and who waits. Where the pool is full, one more is
    turned away at once: answers that come too late help nobody, and each waiting check promises memory. No client has
    more than half of the places, so that none fills them for the others.
    """

    def __init__(
        self,
        pepper: Secret[bytes],
        parameters: Argon2Parameters | None = None,
        *,
        threads: int = 1,
        most_waiting: int = 32,
    ) -> None:
        """Nothing is hashed before the first PIN comes, and no thread started.

        `threads` PINs are worked on at once and `most_waiting` more may wait. No PIN matches under another pepper
        than it was hashed with. Raises ConfigurationError for a pepper of less than 32 bytes, for no thread, and for
        a negative number of places to wait.
        """
        if len(pepper.reveal()) < LEAST_PEPPER_BYTES:
            raise ConfigurationError(f"pin: the pepper needs {LEAST_PEPPER_BYTES} random bytes")
        if threads < 1 or most_waiting < 0:
            raise ConfigurationError(
                "pin: needs at least one thread, and no negative number of places to wait"
            )
        self._pepper = pepper
        self._parameters = parameters or Argon2Parameters()
        self._argon2 = PasswordHasher(
            time_cost=self._parameters.passes,
            memory_cost=self._parameters.memory_kib,
            parallelism=self._parameters.lanes,
            salt_len=self._parameters.salt_bytes,
            hash_len=self._parameters.hash_bytes,
            type=Type.ID,
        )
        self._stand_in: Future[str] | None = None
        self._places = _Places(threads + most_waiting)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="pin", initializer=_give_way)

    async def hash(self, pin: Secret[str], context: str, *, client: str = "") -> str:
        """The hash to keep of a PIN that belongs to the authenticator `context`; it takes a place of `client`'s share.

        Raises Overloaded.
        """
        return await self._run(client, self._hash, pin, context)

    async def verify(
        self, stored: str | None, pin: Secret[str], context: str, *, client: str = ""
    ) -> PinCheck:
        """Whether this is the PIN that was kept as `stored` for the authenticator `context`.

        None, for a PIN that was never enrolled or is suspended, matches nothing and takes the work of a check with
        the parameters of today: neither the answer nor its time tells one from a wrong PIN. (A PIN that was kept
        with other parameters takes their time, until it is given rightly once and rehashed.) It takes a place of
        `client`'s share. Raises Overloaded, and SealBroken for a `stored` that is no hash of ours.
        """
        return await self._run(client, self._verify, stored, pin, context)

    async def close(self) -> None:
        """Finish what is at work and what waits, and end the threads; whatever comes later is Overloaded."""
        await asyncio.to_thread(self._threads.shutdown)

    async def _run(self, client: str, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run in a thread. A place is free again when the work ended, or when its caller gave up before it began."""
        refused = self._places.take(client)
        if refused:
            PINS_TURNED_AWAY.labels(refused).inc()
            raise Overloaded("too many PINs wait to be checked")
        try:
            if self._stand_in is None:  # before the first PIN, whoever's: its time tells nothing either
                self._stand_in = self._threads.submit(self._argon2.hash, secrets.token_bytes(32))
            work = self._threads.submit(partial(call, *args, **kwargs))
        except RuntimeError as error:  # closed, or the machine has no thread left
            self._places.give_back(client)
            PINS_TURNED_AWAY.labels("closed").inc()
            raise Overloaded("PINs cannot be checked right now") from error
        work.add_done_callback(lambda _: self._places.give_back(client))
        return await asyncio.wrap_future(work)

    def _hash(self, pin: Secret[str], context: str) -> str:
        return self._argon2.hash(self._bound(pin, context))

    def _verify(self, stored: str | None, pin: Secret[str], context: str) -> PinCheck:
        if stored is None:
            assert self._stand_in is not None  # noqa: S101 - submitted before this
            self._matches(self._stand_in.result(), pin, context)
            return PinCheck(matches=False)
        kept_with = _parameters_of(stored)
        if not self._matches(stored, pin, context):
            return PinCheck(matches=False)
        return PinCheck(
            matches=True, rehashed=None if kept_with == self._parameters else self._hash(pin, context)
        )

    def _matches(self, stored: str, pin: Secret[str], context: str) -> bool:
        try:
            return self._argon2.verify(stored, self._bound(pin, context))
        except VerifyMismatchError:
            return False
        except VerificationError as error:
            raise SealBroken("the hash of a PIN cannot be checked") from error

    def _bound(self, pin: Secret[str], context: str) -> bytes:
        """What Argon2 sees. A PIN is digits, so the last NUL ends the id."""
        return hmac.digest(self._pepper.reveal(), f"PIN\0{context}\0{pin.reveal()}".encode(), "sha256")


class _Places:
    """Who is at work or waits, by client. A class because it counts; the threads give places back."""

    def __init__(self, most: int) -> None:
        """`most` places in all, half of them (rounded up) for any one client."""
        self._most = most
        self._share = -(-most // 2)
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, client: str) -> str:
        """Take a place, and return "", or why there is none: `full`, or `share` when only this client has no more."""
        with self._lock:
            if self._taken.total() >= self._most:
                return "full"
            if self._taken[client] >= self._share:
                return "share"
            self._taken[client] += 1
            return ""

    def give_back(self, client: str) -> None:
        """A place is free again; a client that has none is not remembered."""
        with self._lock:
            self._taken[client] -= 1
            if not self._taken[client]:
                del self._taken[client]


def _give_way() -> None:
    """Let the event loop go first on a core that it shares with this thread, where threads have priorities."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def _parameters_of(stored: str) -> Argon2Parameters:
    """What a kept hash was made with. Raises SealBroken for what is no hash of ours, or would cost too much."""
    found = _KEPT.fullmatch(stored)
    if found is None:
        raise SealBroken("the hash of a PIN cannot be read")
    memory_kib, passes, lanes, salt, tag = found.groups()
    try:
        return Argon2Parameters(
            int(memory_kib), int(passes), int(lanes), len(salt) * 3 // 4, len(tag) * 3 // 4
        )
    except ConfigurationError as error:
        raise SealBroken("the hash of a PIN is out of bounds") from error
