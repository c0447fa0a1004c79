"""Calls an endpoint: one POST, to a public address only, bounded in time and size; no redirect is followed.

A client names any URL it likes, and we call it from within our network. So a name is resolved once, each address it
leads to has to be public, and the connection goes to one of these very addresses, with the name for TLS and `Host`: a
DNS server that answers otherwise a moment later changes nothing. In the sandbox this machine's own addresses are
allowed as well, and http to them; nothing else is.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpcore2
import httpx2

from sca_service.kernel.addresses import is_loopback, is_public
from sca_service.webhooks.model import AttemptOutcome, CallResult, outcome_of

MOST_ANSWER_BYTES = 16_384
"""What is read of an answer; nobody looks at it."""
MOST_CONNECTIONS = 256
_CONNECT_SECONDS = 5.0
_KEEP_ALIVE_SECONDS = 4.0
LONGEST_URL = 2048

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Finds the addresses of a name. Raises OSError when there are none."""


LookUp = Callable[..., Sequence[tuple[Any, ...]]]
"""As `socket.getaddrinfo`: blocks, and raises OSError."""


class ForbiddenAddress(Exception):
    """A name leads to an address that must not be called."""


class EndpointCaller:
    """Calls endpoints. A class because it holds the connections."""

    def __init__(
        self,
        *,
        answer_seconds: float,
        sandbox: bool,
        resolve: Resolve | None = None,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        """`resolve` and `verify` replace the system's resolver and its certificate authorities."""
        self._answer_seconds = answer_seconds
        self._sandbox = sandbox
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=verify or httpx2.create_ssl_context(),
            max_connections=MOST_CONNECTIONS,
            max_keepalive_connections=MOST_CONNECTIONS // 4,
            keepalive_expiry=_KEEP_ALIVE_SECONDS,
            network_backend=GuardedNetwork(resolve or system_resolver(), sandbox=sandbox),
        )

    async def call(self, url: str, *, headers: Mapping[str, str], body: str) -> CallResult:
        """POST a body; what came of it, whatever that is. Raises nothing that a peer could cause."""
        began = time.monotonic()
        status, retry_after = None, 0
        try:
            if url_mistake(url, sandbox=self._sandbox):
                raise ForbiddenAddress
            async with asyncio.timeout(self._answer_seconds):
                status, retry_after = await self._exchange(url, headers, body.encode())
            outcome = outcome_of(status)
        except ForbiddenAddress:
            outcome = AttemptOutcome.FORBIDDEN_ADDRESS
        except (TimeoutError, httpcore2.TimeoutException):
            outcome = AttemptOutcome.TIMEOUT
        except (OSError, httpcore2.NetworkError, httpcore2.ProtocolError, ValueError):
            outcome = AttemptOutcome.UNREACHABLE
        return CallResult(
            outcome,
            round((time.monotonic() - began) * 1000),
            http_status=status,
            retry_after_seconds=retry_after,
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

    async def _exchange(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, int]:
        """The status, and what `Retry-After` asks for in seconds.

        A connection that was kept may have been closed by the endpoint meanwhile: then it goes out over a new one.
        """
        way = _Way()
        try:
            return await self._post(url, headers, body, way)
        except (httpcore2.NetworkError, httpcore2.RemoteProtocolError):
            if way.is_new or way.is_answered:
                raise
        return await self._post(url, headers, body, way)

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes, way: "_Way") -> tuple[int, int]:
        sent = {
            "User-Agent": "sca-service",
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "Content-Length": str(len(body)),
            **headers,
        }
        async with self._pool.stream(
            "POST",
            url,
            headers=[(name.encode(), value.encode()) for name, value in sent.items()],
            content=body,
            extensions={
                "timeout": {"connect": _CONNECT_SECONDS, "pool": self._answer_seconds},
                "trace": way.note,
            },
        ) as response:
            way.is_answered = True
            received = 0
            async for part in response.aiter_stream():
                received += len(part)
                if received >= MOST_ANSWER_BYTES:
                    break
            asked = next((value for name, value in response.headers if name.lower() == b"retry-after"), b"")
            return response.status, int(asked[:6]) if asked.isdigit() else 0


@dataclass(slots=True)
class _Way:
    """How a request went, by the events of its connection: whether that was opened for it, and an answer began."""

    is_new: bool = False
    is_answered: bool = False

    async def note(self, event: str, _: Mapping[str, object]) -> None:
        """Hear one event of httpcore's `trace` extension."""
        self.is_new = self.is_new or event == "connection.connect_tcp.started"


def url_mistake(url: str, *, sandbox: bool) -> str | None:
    """What is wrong with a URL as an endpoint's, None when nothing is that can be told before its name is resolved."""
    rule = "must be an https:// URL of a public host, without a password or fragment"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return rule
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url or len(url) > LONGEST_URL:
        return rule
    if not host or port == 0 or "@" in parts.netloc or "#" in url or parts.scheme not in ("https", "http"):
        return rule
    is_here = host == "localhost" or is_loopback(host)
    if parts.scheme == "http" and not (sandbox and is_here):
        return rule
    is_address = ":" in host or host.replace(".", "").isdigit()
    if (is_address or is_here) and not may_be_called(
        host if host != "localhost" else "127.0.0.1", sandbox=sandbox
    ):
        return rule
    return None


def may_be_called(address: str, *, sandbox: bool) -> bool:
    """Whether an address is public; or this machine's own, in the sandbox."""
    return is_public(address) or (sandbox and is_loopback(address))


def system_resolver(look_up: LookUp = socket.getaddrinfo) -> Resolve:
    """What asks the system's resolver, in threads of its own: as many as there are calls at once, and as many again.

    A look-up blocks its thread, for longer than the call that wants it, when a name's servers do not answer. Anybody
    may name such a name; the few threads that asyncio has would soon look up nothing else.
    """
    threads = ThreadPoolExecutor(2 * MOST_CONNECTIONS, thread_name_prefix="names")

    async def resolve(host: str, port: int) -> Sequence[str]:
        ask = partial(look_up, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(threads, ask)
        return [str(entry[4][0]) for entry in found]

    return resolve


class GuardedNetwork(httpcore2.AsyncNetworkBackend):
    """Connects to addresses that were looked at. A class because the connections ask one for every connection."""

    def __init__(self, resolve: Resolve, *, sandbox: bool) -> None:
        self._resolve = resolve
        self._sandbox = sandbox
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to an address of a host. Raises ForbiddenAddress when one of them must not be called."""
        addresses = list(dict.fromkeys(await self._resolve(host, port)))
        if not addresses or not all(may_be_called(one, sandbox=self._sandbox) for one in addresses):
            raise ForbiddenAddress
        for address in addresses[:-1]:
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.NetworkError, httpcore2.TimeoutException):
                continue
        return await self._network.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        """Wait between two tries."""
        await self._network.sleep(seconds)
