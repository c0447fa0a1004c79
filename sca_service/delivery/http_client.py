"""HTTP to suppliers: bounded time, size and connections; no redirects, cookies or proxies, and no word in any log.

Every supplier (scheme, host and port) has connections of its own, so that one who hangs takes none from the others.
The transport is called without httpx's client around it, which would log URLs, keep cookies and unpack what a few bytes
can blow up to gigabytes.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import TypeVar

import httpcore2
import httpx2
import msgspec

from sca_service.delivery.supplier import FailureReason, SupplierFailure

ANSWER_SECONDS = 8.0
"""What a call may take in all, less than the dispatcher's deadline: the client knows more of how far it got."""

CONNECT_SECONDS = 3.0
MOST_ANSWER_BYTES = 65_536
MOST_CONNECTIONS = 64
"""To one supplier. The cost of a call grows with their number."""

LONGEST_RETRY_AFTER_MS = 3_600_000
_WAIT_FOR_CONNECTION_SECONDS = 2.0
_KEEP_ALIVE_SECONDS = (
    4.0  # most servers close after 5 s or more: the shorter here, the rarer a request meets that
)
_MOST_SUPPLIERS = 256
_TIMEOUTS = {"connect": CONNECT_SECONDS, "pool": _WAIT_FOR_CONNECTION_SECONDS}
_HEADERS = {"User-Agent": "sca-service", "Accept": "*/*", "Accept-Encoding": "identity"}

Shape = TypeVar("Shape")


@dataclass(frozen=True, slots=True, eq=False)
class HttpAnswer:
    """What a supplier answered; `body` is cut off after 64 KiB. Header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class HttpClient:
    """Calls suppliers. A class because it holds the connections, which all adapters share."""

    def __init__(self, *, verify: ssl.SSLContext | None = None, http2: bool = True) -> None:
        """`verify` replaces the system's certificate authorities (a supplier with a private one, tests)."""
        self._verify = verify or httpx2.create_ssl_context()
        self._http2 = http2
        self._transports: dict[str, httpx2.AsyncHTTPTransport] = {}

    async def call(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes = b""
    ) -> HttpAnswer:
        """One request, answered within ANSWER_SECONDS.

        Raises SupplierFailure: `supplier_down` (transient) when it surely never got there. Once it was written and no
        answer came, the supplier may have taken the message: that is `timeout` and not transient, so that nobody gets
        it twice. What cannot be sent at all, or would travel in clear, is `rejected`. No error holds the URL or more.
        """
        progress = _Progress()
        try:
            request = _request(method, url, headers, body, progress)
        except (httpx2.InvalidURL, ValueError):
            raise SupplierFailure(FailureReason.REJECTED, transient=False) from None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._send(request, progress)
        except httpx2.LocalProtocolError:
            failure = SupplierFailure(FailureReason.REJECTED, transient=False)
        except (httpx2.TransportError, OSError):  # a TimeoutError is an OSError
            failure = (
                SupplierFailure(FailureReason.TIMEOUT, transient=False)
                if progress.written
                else SupplierFailure(FailureReason.SUPPLIER_DOWN, transient=True)
            )
        raise failure  # outside of the handlers: the library's error holds the request with all its headers

    async def close(self) -> None:
        """Close every connection."""
        transports = list(self._transports.values())
        self._transports.clear()
        await asyncio.gather(*(transport.aclose() for transport in transports))

    async def _send(self, request: httpx2.Request, progress: "_Progress") -> HttpAnswer:
        transport = self._transport(request.url)
        try:
            return await _exchange(transport, request)
        except httpx2.TransportError:
            if not progress.refused_by_connection:
                raise
        # Kept alive, but closed by the supplier before the request was written: it goes out over another.
        progress.written = progress.refused_by_connection = False
        return await _exchange(transport, request)

    def _transport(self, url: httpx2.URL) -> httpx2.AsyncHTTPTransport:
        origin = f"{url.scheme}://{url.netloc.decode('ascii')}"
        if origin not in self._transports and len(self._transports) >= _MOST_SUPPLIERS:
            origin = ""  # shared by all who came too late
        transport = self._transports.get(origin)
        if transport is None:
            transport = self._transports[origin] = httpx2.AsyncHTTPTransport(
                verify=self._verify,
                http2=self._http2,
                trust_env=False,
                limits=httpx2.Limits(
                    max_connections=MOST_CONNECTIONS,
                    max_keepalive_connections=MOST_CONNECTIONS,
                    keepalive_expiry=_KEEP_ALIVE_SECONDS,
                ),
            )
        return transport


def check_base_url(url: str) -> None:
    """Whether a supplier may be called there: https, or http on this very machine.

    Raises ValueError, which does not quote it, so that a section's `__post_init__` can let it through.
    """
    if not _is_safe(url):
        raise ValueError("must be an https URL without a password, query or fragment (http on loopback only)")


def failure_of(answer: HttpAnswer) -> SupplierFailure | None:
    """What an answer's status says of a message that was to be taken; None for 2xx.

    Surely not taken, and welcome elsewhere or later (transient): 408, 425, 429 and 503, with what `Retry-After` asks;
    and 401, 402 and 407, which are the account's fault and not the message's. Any other 4xx is `rejected`. Of other
    statuses nobody knows whether the message was taken, so it is not sent again: 504 is `timeout`, the rest
    `supplier_down`. RFC 9110, 15; RFC 6585, 4; RFC 8470, 5.2.
    """
    status = answer.status
    if 200 <= status < 300:
        return None
    if status in _NOT_TAKEN:
        return SupplierFailure(
            FailureReason.SUPPLIER_DOWN, transient=True, retry_after_ms=retry_after_ms(answer.headers)
        )
    if 400 <= status < 500:
        return SupplierFailure(FailureReason.REJECTED, transient=False)
    if status == 504:
        return SupplierFailure(FailureReason.TIMEOUT, transient=False)
    return SupplierFailure(FailureReason.SUPPLIER_DOWN, transient=False)


def retry_after_ms(headers: Mapping[str, str]) -> int:
    """What `Retry-After` asks for (RFC 9110, 10.2.3), at most an hour; 0 without one, or for what cannot be read.

    A date counts from the answer's own `Date`: the two clocks are one.
    """
    asked = headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdigit():
        return min(int(asked[:9]) * 1000, LONGEST_RETRY_AFTER_MS)
    try:
        wait = parsedate_to_datetime(asked) - parsedate_to_datetime(headers.get("date", ""))
        return min(max(round(wait.total_seconds() * 1000), 0), LONGEST_RETRY_AFTER_MS)
    except (ValueError, TypeError, OverflowError):
        return 0


def read_json(answer: HttpAnswer, shape: type[Shape]) -> Shape:
    """The body of an answer as `shape`. Raises SupplierFailure as `unreadable` for any other body."""
    try:
        return msgspec.json.decode(answer.body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        failure = unreadable()
    raise failure


def unreadable() -> SupplierFailure:
    """For a success that nobody can read: the message may have been taken, so it is not sent again."""
    return SupplierFailure(FailureReason.TIMEOUT, transient=False)


_NOT_TAKEN = frozenset({401, 402, 407, 408, 425, 429, 503})
_WRITES_FAILED = frozenset({"send_request_headers.failed", "send_request_body.failed"})


@dataclass(slots=True)
class _Progress:
    """How far a request got, by the events of the connection.

    `written` claims that all of it may have gone out; `refused_by_connection` that the connection turned out to be
    closed before that: a request without its end is none.
    """

    written: bool = False
    refused_by_connection: bool = False

    async def note(self, event: str, about: Mapping[str, object]) -> None:
        """Hear one event of httpcore's `trace` extension, such as `http11.send_request_body.failed`."""
        step = event.partition(".")[2]
        if step == "send_request_headers.started":
            self.written = True
        elif step in _WRITES_FAILED and isinstance(about.get("exception"), httpcore2.WriteError):
            self.written, self.refused_by_connection = False, True


def _request(
    method: str, url: str, headers: Mapping[str, str], body: bytes, progress: _Progress
) -> httpx2.Request:
    """Raises ValueError for a URL that is not safe, and httpx2.InvalidURL."""
    request = httpx2.Request(
        method,
        url,
        headers=_HEADERS | dict(headers),
        content=body,
        extensions={"timeout": _TIMEOUTS, "trace": progress.note},
    )
    if request.url.scheme != "https" and not (request.url.scheme == "http" and _is_local(request.url.host)):
        raise ValueError("not a URL that may be called")
    return request


async def _exchange(transport: httpx2.AsyncHTTPTransport, request: httpx2.Request) -> HttpAnswer:
    response = await transport.handle_async_request(request)
    received = bytearray()
    try:
        async for part in response.aiter_raw():
            received += part
            if len(received) >= MOST_ANSWER_BYTES:
                break
    finally:
        await response.aclose()
    return HttpAnswer(
        response.status_code, dict(response.headers.items()), bytes(received[:MOST_ANSWER_BYTES])
    )


def _is_safe(url: str) -> bool:
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError):
        return False
    if not parsed.host or parsed.userinfo or "?" in url or "#" in url or not url.isprintable() or " " in url:
        return False
    return parsed.scheme == "https" or (parsed.scheme == "http" and _is_local(parsed.host))


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
