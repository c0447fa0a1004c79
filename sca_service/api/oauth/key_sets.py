"""Clients' keys where they publish them (`jwks_uri`): fetched from public addresses only, and kept for some minutes.

A client names any URL it likes, and we call it from within our network, as with webhooks: the same guard stands before.
"""

import asyncio
import ssl
import time
from dataclasses import dataclass

import httpcore2
import httpx2
from joserfc.jwk import KeySet

from sca_service.api.oauth.assertion import UnusableKeys, read_keys
from sca_service.webhooks.caller import (
    ForbiddenAddress,
    GuardedNetwork,
    Resolve,
    system_resolver,
    url_mistake,
)

_KEPT_SECONDS = 300.0
_AGAIN_SECONDS = 15.0
"""How soon a URL is asked again, for a key that was not in the set, or after it failed."""
_ANSWER_SECONDS = 3.0
_MOST_BYTES = 65_536
_MOST_URLS = 1024
_MOST_CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class _Kept:
    keys: KeySet | None
    at: float


class KeySets:
    """Fetches clients' keys. A class because it holds the connections, and what it has fetched."""

    def __init__(
        self, *, sandbox: bool, resolve: Resolve | None = None, verify: ssl.SSLContext | None = None
    ) -> None:
        """`resolve` and `verify` replace the system's resolver and its certificate authorities."""
        self._sandbox = sandbox
        self._kept: dict[str, _Kept] = {}
        self._under_way: dict[str, asyncio.Task[KeySet | None]] = {}
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=verify or httpx2.create_ssl_context(),
            max_connections=_MOST_CONNECTIONS,
            network_backend=GuardedNetwork(resolve or system_resolver(), sandbox=sandbox),
        )

    async def keys_at(self, url: str, *, wanted: str) -> KeySet | None:
        """The keys at a URL, of some minutes ago at most, None where there are none to be had.

        Where the key `wanted` is not among them they are fetched anew, but not more often than every 15 seconds.
        """
        kept, now = self._kept.get(url), time.monotonic()
        if kept and now - kept.at < _AGAIN_SECONDS:
            return kept.keys
        if kept and kept.keys and now - kept.at < _KEPT_SECONDS and _has(kept.keys, wanted):
            return kept.keys
        if url not in self._under_way:
            task = asyncio.get_running_loop().create_task(self._fetched(url))
            self._under_way[url] = task
            task.add_done_callback(lambda _: self._under_way.pop(url, None))
        return await asyncio.shield(self._under_way[url])

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

    async def _fetched(self, url: str) -> KeySet | None:
        if len(self._kept) >= _MOST_URLS:
            self._kept.clear()
        keys = await self._fetch(url)
        self._kept[url] = _Kept(keys, time.monotonic())
        return keys

    async def _fetch(self, url: str) -> KeySet | None:
        """One GET, which follows no redirect. Raises nothing that a peer could cause."""
        if url_mistake(url, sandbox=self._sandbox):
            return None
        try:
            async with (
                asyncio.timeout(_ANSWER_SECONDS),
                self._pool.stream("GET", url, headers=[(b"Accept", b"application/json")]) as response,
            ):
                if response.status != 200:
                    return None
                body = bytearray()
                async for part in response.aiter_stream():
                    body += part
                    if len(body) > _MOST_BYTES:
                        return None
                return read_keys(bytes(body))
        except (ForbiddenAddress, UnusableKeys, TimeoutError, OSError, ValueError):
            return None
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException):
            return None


def _has(keys: KeySet, wanted: str) -> bool:
    return not wanted or any(key.get("kid") in (None, wanted) for key in keys.keys)
