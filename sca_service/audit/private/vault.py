"""Keeps what is personal about events, under a key for each payer that can be destroyed.

A payer's key is 256 random bits, wrapped by the keyring. Values are sealed by AES-256-GCM, bound to their event. When
the key is destroyed the values are gone, and the commitments in the leaves say nothing to anybody any more.
"""

import asyncio
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sca_service.audit.private import postgres_store
from sca_service.audit.private.commitments import CommitmentBroken, Disclosure, PrivateValues
from sca_service.kernel.keyring import Keyring, SealBroken
from sca_service.kernel.postgres import in_time
from sca_service.kernel.secret import Secret

_KEY_BYTES = 32
_NONCE_BYTES = 12
_MOST_KEYS = 10_000
_KEPT_SECONDS = 60.0

__all__ = ["Disclosure", "Vault"]


@dataclass(frozen=True, slots=True)
class _PayerKey:
    """Held as bytes: a cipher made of them takes a microsecond to make, and kilobytes to keep."""

    id: int
    key: Secret[bytes]
    read_at: float

    def close(self, plain: bytes, event_id: str) -> bytes:
        """A nonce, and the bytes sealed for this event only."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(self.key.reveal()).encrypt(nonce, plain, event_id.encode())


class Vault:
    """Seals and opens. A class because it holds the pool, and for a minute the keys of payers who were just here."""

    def __init__(self, pool: postgres_store.Pool, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring
        self._keys: OrderedDict[str, _PayerKey] = OrderedDict()

    async def save(self, connection: postgres_store.Connection, private: Sequence[PrivateValues]) -> None:
        """Store the values of events, within the transaction that commits them. A repeated one changes nothing."""
        await self._seal(connection, private)

    async def disclosures(self, event_ids: Sequence[str]) -> dict[str, tuple[Disclosure, ...]]:
        """The values of these events with what opens their commitments; those of erased payers are absent.

        Raises StoreUnavailable; SealBroken or CommitmentBroken when what is stored was altered.
        """
        rows = await in_time(self._read(event_ids))
        return {row.event_id: self._open(row).disclosures for row in rows if row.key.wrapped is not None}

    async def openings(self, event_ids: Sequence[str]) -> dict[str, tuple[Disclosure, ...] | None]:
        """As `disclosures`, event by event: None for one whose values do not open, so that it hides no other.

        Raises StoreUnavailable.
        """
        rows = await in_time(self._read(event_ids))
        return {row.event_id: self._opened(row) for row in rows if row.key.wrapped is not None}

    def _opened(self, row: postgres_store.SealedRow) -> tuple[Disclosure, ...] | None:
        try:
            return self._open(row).disclosures
        except (SealBroken, CommitmentBroken):
            return None

    async def _read(self, event_ids: Sequence[str]) -> list[postgres_store.SealedRow]:
        async with self._pool.acquire() as connection:
            return await postgres_store.read_sealed(connection, event_ids)

    async def _seal(self, connection: postgres_store.Connection, private: Sequence[PrivateValues]) -> None:
        keys = await self._keys_of(connection, {one.psu for one in private})
        rows = [
            (one.event_id, keys[one.psu].id, keys[one.psu].close(one.pack(), one.event_id)) for one in private
        ]
        gone = set(await postgres_store.add_sealed(connection, rows))
        again = [one for one in private if keys[one.psu].id in gone]
        for one in again:
            self._keys.pop(one.psu, None)
        if again:  # a payer whose key was destroyed or pruned a moment ago is back, under a new one
            await self._seal(connection, again)

    async def _keys_of(self, connection: postgres_store.Connection, payers: set[str]) -> dict[str, _PayerKey]:
        oldest = asyncio.get_running_loop().time() - _KEPT_SECONDS
        keys = {
            payer: key
            for payer in payers
            if (key := self._keys.get(payer)) is not None and key.read_at > oldest
        }
        while missing := payers - keys.keys():
            new = {payer: Secret(os.urandom(_KEY_BYTES)) for payer in missing}
            wrapped = {payer: self._wrap(payer, key.reveal()) for payer, key in new.items()}
            rows = await postgres_store.keys_of(connection, wrapped)
            keys |= self._kept({row: new[row.psu] for row in rows if row.wrapped == wrapped[row.psu]})
            keys |= self._kept({row: Secret(self._unwrap(row)) for row in rows if row.psu not in keys})
        return keys

    def _kept(self, found_keys: Mapping[postgres_store.KeyRow, Secret[bytes]]) -> dict[str, _PayerKey]:
        """These payers' keys, which are remembered for a while."""
        read_at = asyncio.get_running_loop().time()
        found = {row.psu: _PayerKey(row.id, key, read_at) for row, key in found_keys.items()}
        self._keys |= found
        while len(self._keys) > _MOST_KEYS:
            self._keys.popitem(last=False)
        return found

    def _wrap(self, payer: str, key: bytes) -> str:
        return self._keyring.seal(key, f"payer key {payer}")

    def _unwrap(self, row: postgres_store.KeyRow) -> bytes:
        if row.wrapped is None:
            raise SealBroken("the payer's key was destroyed")
        return self._keyring.open(row.wrapped, f"payer key {row.psu}")

    def _open(self, row: postgres_store.SealedRow) -> PrivateValues:
        nonce, closed = row.sealed[:_NONCE_BYTES], row.sealed[_NONCE_BYTES:]
        try:
            packed = AESGCM(self._unwrap(row.key)).decrypt(nonce, closed, row.event_id.encode())
        except (InvalidTag, ValueError) as error:
            raise CommitmentBroken("personal values of an event do not open") from error
        return PrivateValues.unpack(packed, event_id=row.event_id, psu=row.key.psu)
