"""Reads the log as anybody may: the published checkpoint, tiles and entries up to it, and the proofs made of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Concatenate, ParamSpec, TypeVar

from sca_service.audit.log import postgres_store as store
from sca_service.audit.log.postgres_store import PublishedCheckpoint
from sca_service.audit.log.proof import encode_proof
from sca_service.audit.log.tiles import (
    Span,
    TileId,
    consistency_spans,
    inclusion_spans,
    root_over,
    tiles_of,
    width_at,
)
from sca_service.audit.merkle import HASH_BYTES
from sca_service.kernel.errors import NotFound
from sca_service.kernel.postgres import in_time

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")

_MOST_AT_ONCE = 2
"""How many of the pool's connections readers of the log may hold: they never keep a decision waiting."""


class LogReader:
    """What is published of the log. Nothing beyond the newest published checkpoint is ever given out.

    A class because it holds the pool, and the size that is known to be published: that only grows.
    """

    def __init__(self, pool: store.Pool) -> None:
        self._pool = pool
        self._known_size = 0
        self._turns = asyncio.Semaphore(_MOST_AT_ONCE)

    async def checkpoint(self) -> PublishedCheckpoint | None:
        """The newest published checkpoint, or None before the first. Raises StoreUnavailable."""
        newest = await self._ask(store.published)
        if newest:
            self._known_size = max(self._known_size, newest.size)
        return newest

    async def tile(self, level: int, index: int, width: int) -> bytes | None:
        """The first `width` hashes of a tile, or None when it has not so many (any more). Raises StoreUnavailable."""
        tile = TileId(level, index)
        if not await self._reaches(tile, width):
            return None
        hashes = (await self._ask(store.tiles, [tile])).get(tile, b"")[: width * HASH_BYTES]
        return hashes if len(hashes) == width * HASH_BYTES else None

    async def entries(self, index: int, width: int) -> bytes | None:
        """The bundle of the first `width` entries of a level-0 tile: each with its length in two bytes before it.

        None when there are not so many (any more). Raises StoreUnavailable.
        """
        if not await self._reaches(TileId(0, index), width):
            return None
        bodies = [body.encode() for body in await self._ask(store.entries, index, width)]
        if len(bodies) != width:
            return None
        return b"".join(part for body in bodies for part in (len(body).to_bytes(2), body))

    async def inclusion(self, index: int, size: int) -> list[bytes]:
        """The proof that the leaf at `index` is in the tree of `size` (RFC 6962, section 2.1.1).

        Raises NotFound when that tree is not published or has no such leaf, or its tiles are pruned; StoreUnavailable.
        """
        if not 0 <= index < size or not await self._has_published(size):
            raise NotFound
        return await self._roots(inclusion_spans(index, size))

    async def consistency(self, old_size: int, size: int) -> list[bytes]:
        """The proof that the tree of `size` only adds to the one of `old_size` (RFC 6962, section 2.1.2).

        Raises NotFound when the larger one is not published, or the tiles are pruned; StoreUnavailable.
        """
        if not 0 <= old_size <= size or not await self._has_published(size):
            raise NotFound
        return await self._roots(consistency_spans(old_size, size))

    async def proof(self, index: int) -> str | None:
        """The proof of a leaf against the newest published checkpoint (C2SP tlog-proof).

        None when it is not in it yet, or not kept any more. Raises StoreUnavailable.
        """
        newest = await self.checkpoint()
        if newest is None or not 0 <= index < newest.size:
            return None
        if not await self._ask(store.has_leaf, index):
            return None
        try:
            hashes = await self._roots(inclusion_spans(index, newest.size))
        except NotFound:  # pruned just now
            return None
        return encode_proof(index, hashes, newest.note)

    async def leaves(self, event_ids: Sequence[str]) -> dict[str, int]:
        """The index of each of these events that has one. Raises StoreUnavailable."""
        return await self._ask(store.leaves, event_ids) if event_ids else {}

    async def _reaches(self, tile: TileId, width: int) -> bool:
        """Whether the published tree has so many hashes in a tile."""
        if width_at(tile, self._known_size) < width:
            await self.checkpoint()
        return width_at(tile, self._known_size) >= width > 0

    async def _has_published(self, size: int) -> bool:
        if size > self._known_size:
            await self.checkpoint()
        return size <= self._known_size

    async def _roots(self, spans: list[Span]) -> list[bytes]:
        tiles = await self._ask(store.tiles, tiles_of(spans))
        try:
            return [root_over(span, tiles) for span in spans]
        except LookupError as error:
            raise NotFound from error

    async def _ask(
        self,
        ask: Callable[Concatenate[store.Pool, Arguments], Awaitable[Result]],
        *arguments: Arguments.args,
        **named: Arguments.kwargs,
    ) -> Result:
        async def in_turn() -> Result:
            async with self._turns:
                return await ask(self._pool, *arguments, **named)

        return await in_time(in_turn())
