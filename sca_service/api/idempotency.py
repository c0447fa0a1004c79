"""Idempotency-Key (IETF draft): the same request, sent again, gets the same answer and does nothing twice.

What a request creates is named after its key and when that was first claimed, so even a request whose process was
killed half-way finds, when it is sent again, what it had created; and a key that is used again after its 24 hours
creates something new.
"""

import asyncio
import contextlib
import hashlib
import re
import zlib
from collections.abc import Awaitable, Callable

import msgspec

from sca_service.api.answer import HttpAnswer
from sca_service.api.redis_store import Claim, IdempotencyStore
from sca_service.challenges.issue import Caller
from sca_service.kernel.errors import (
    IdempotencyKeyReused,
    InvalidInput,
    RequestInFlight,
    ScaError,
    StoreUnavailable,
)
from sca_service.kernel.ids import digits_at
from sca_service.kernel.keyring import Keyring

_PACKED_FROM_BYTES = 8_192
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class _Stored(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]
    packed: bool = False

    @classmethod
    def of(cls, answer: HttpAnswer) -> "_Stored":
        """An answer as it is kept for a day: a long one, whose parts are alike, in a tenth of its room."""
        if len(answer.body) <= _PACKED_FROM_BYTES:
            return cls(answer.status, answer.body, answer.headers)
        return cls(answer.status, zlib.compress(answer.body, 1), answer.headers, packed=True)

    @property
    def whole_body(self) -> bytes:
        """The body as it was sent."""
        return zlib.decompress(self.body) if self.packed else self.body


class Idempotency:
    """Runs a request once per key. A class because it holds the store and what is being given back."""

    def __init__(self, store: IdempotencyStore, keyring: Keyring) -> None:
        self._store = store
        self._keyring = keyring
        self._under_way: set[asyncio.Task[None]] = set()

    async def once(
        self,
        caller: Caller,
        key: str | None,
        request: bytes,
        create: Callable[[str | None], Awaitable[HttpAnswer]],
    ) -> HttpAnswer:
        """Answer a request that creates; `request` is its path and body.

        `create` is given the name under which to create (32 hexadecimal digits), None without a key. Raises
        InvalidInput for a malformed key, IdempotencyKeyReused, RequestInFlight and whatever `create` raises.
        """
        if key is None:
            return await create(None)
        if not _KEY.fullmatch(key):
            raise InvalidInput.at("/Idempotency-Key", "must be 1 to 255 visible ASCII characters")
        name = self._keyring.pseudonym("idempotency key", caller.client, key)
        # Keyed: a body holds a phone number, which a plain digest would let one guess.
        fingerprint = self._keyring.pseudonym("request", hashlib.sha256(request).hexdigest())
        claim = await self._store.claim(name, fingerprint)
        match claim.word:
            case "reused":
                raise IdempotencyKeyReused
            case "in_flight":
                raise RequestInFlight
            case "done":
                return self._replayed(name, claim.answer)
        try:
            answer = await create(self._created_under(name, claim))
        except StoreUnavailable:
            self._give_back(name, fingerprint, claim)
            raise
        except ScaError:
            await self._store.release(name)
            raise
        stored = msgspec.msgpack.encode(_Stored.of(answer))
        await self._store.finish(name, fingerprint, self._keyring.seal(stored, name))
        return answer

    def _created_under(self, name: str, claim: Claim) -> str:
        """The name under which a request creates: the same each time it is sent, and nobody else's."""
        chance = self._keyring.pseudonym("created under", name, str(claim.since_ms))
        return digits_at(claim.since_ms, chance) if claim.in_order else chance

    def _give_back(self, name: str, fingerprint: str, claim: Claim) -> None:
        """End the lease without waiting: it may be this very store that is away, and then the lease ends by itself."""
        task = asyncio.get_running_loop().create_task(self._try_to_give_back(name, fingerprint, claim))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _try_to_give_back(self, name: str, fingerprint: str, claim: Claim) -> None:
        with contextlib.suppress(StoreUnavailable):
            await self._store.give_back(name, fingerprint, claim)

    def _replayed(self, name: str, sealed: str) -> HttpAnswer:
        stored = msgspec.msgpack.decode(self._keyring.open(sealed, name), type=_Stored)
        return HttpAnswer(
            stored.status, stored.whole_body, (*stored.headers, ("Idempotency-Replayed", "true"))
        )
