"""`Sca` and `AsyncSca`: who sends calls to the service, waits, tries again, and reads what comes back."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Any, TypeVar

import httpx2
import msgspec

from sca_service.client.call import Call, Page, Stream
from sca_service.client.events import EventReader
from sca_service.client.faults import ScaFault, Unavailable, Unreadable, fault_of, seconds_of
from sca_service.client.patience import Patience, may_pass

T = TypeVar("T")

_STREAM_IDLE_SECONDS = 60.0
"""The service says that it is still there every quarter of a minute."""


class _Tries:
    """The tries of one call. A class because it counts them."""

    def __init__(self, patience: Patience, *, repeats: bool = True) -> None:
        self._patience = patience
        self._repeats = repeats
        self._began = time.monotonic()
        self._tried = 0

    def pause(self, response: httpx2.Response | None) -> float | None:
        """How long to wait before the next try, None when there is none."""
        self._tried += 1
        if response is None:
            if not self._repeats:
                return None
        elif not may_pass(response.status_code, response.content, repeats=self._repeats):
            return None
        told = None if response is None else seconds_of(response.headers.get("Retry-After"))
        return self._patience.pause(
            self._tried, spent_seconds=time.monotonic() - self._began, told_seconds=told
        )


class Sca:
    """The service, for callers that wait. Keeps connections open; close it, or use it in a `with`."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout_seconds: float = 5.0,
        patience: Patience = Patience(),  # noqa: B008 - a value that nobody changes
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """`transport` is for a proxy or a client certificate of yours."""
        self._patience = patience
        self._http = httpx2.Client(
            base_url=base_url, headers=_headers(api_key), timeout=timeout_seconds, transport=transport
        )

    def __enter__(self) -> "Sca":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def call(self, call: Call[T]) -> T:
        """What a call answers. Raises a ScaFault."""
        tries = _Tries(self._patience, repeats=call.repeats)
        while True:
            try:
                response: httpx2.Response | None = self._http.request(call.method, call.path, **_sent(call))
            except httpx2.TransportError:
                response = None
            if response is not None and response.is_success:
                return _answer(call, response)
            pause = tries.pause(response)
            if pause is None:
                raise _fault(response)
            time.sleep(pause)

    def each(self, call: Call[Page[T]]) -> Iterator[T]:
        """All of a list, page by page, each page when it is needed. Raises a ScaFault."""
        while True:
            page = self.call(call)
            yield from page.items
            if page.next_cursor is None:
                return
            call = call.after(page.next_cursor)

    def parts(self, call: Call[bytes]) -> Iterator[bytes]:
        """An answer that may be large, part by part. It is asked for once. Raises a ScaFault."""
        try:
            with self._http.stream(call.method, call.path, **_sent(call)) as response:
                if not response.is_success:
                    response.read()
                    raise _fault(response)
                yield from response.iter_bytes()
        except httpx2.TransportError as error:
            raise Unavailable("the answer broke off") from error

    def listen(self, stream: Stream[T]) -> Iterator[T]:
        """What a stream tells, until its end; a connection that breaks is made again. Raises a ScaFault."""
        reader = EventReader(stream)
        tries = _Tries(self._patience)
        while True:
            response = None
            try:
                with self._http.stream("GET", stream.path, **_listening(reader)) as response:
                    if response.is_success:
                        for line in response.iter_lines():
                            for event in reader.feed(line):
                                tries = _Tries(self._patience)
                                yield event
                        if reader.is_over:
                            return
                    else:
                        response.read()
            except httpx2.TransportError:
                response = None
            pause = tries.pause(response if response is None or not response.is_success else None)
            if pause is None:
                raise _fault(None if response is None or response.is_success else response)
            time.sleep(pause)


class AsyncSca:
    """The service, for callers on an event loop. Keeps connections open; close it, or use it in an `async with`."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout_seconds: float = 5.0,
        patience: Patience = Patience(),  # noqa: B008 - a value that nobody changes
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """`transport` is for a proxy or a client certificate of yours."""
        self._patience = patience
        self._http = httpx2.AsyncClient(
            base_url=base_url, headers=_headers(api_key), timeout=timeout_seconds, transport=transport
        )

    async def __aenter__(self) -> "AsyncSca":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def call(self, call: Call[T]) -> T:
        """What a call answers. Raises a ScaFault."""
        tries = _Tries(self._patience, repeats=call.repeats)
        while True:
            try:
                response: httpx2.Response | None = await self._http.request(
                    call.method, call.path, **_sent(call)
                )
            except httpx2.TransportError:
                response = None
            if response is not None and response.is_success:
                return _answer(call, response)
            pause = tries.pause(response)
            if pause is None:
                raise _fault(response)
            await asyncio.sleep(pause)

    async def each(self, call: Call[Page[T]]) -> AsyncIterator[T]:
        """All of a list, page by page, each page when it is needed. Raises a ScaFault."""
        while True:
            page = await self.call(call)
            for item in page.items:
                yield item
            if page.next_cursor is None:
                return
            call = call.after(page.next_cursor)

    async def parts(self, call: Call[bytes]) -> AsyncIterator[bytes]:
        """An answer that may be large, part by part. It is asked for once. Raises a ScaFault."""
        try:
            async with self._http.stream(call.method, call.path, **_sent(call)) as response:
                if not response.is_success:
                    await response.aread()
                    raise _fault(response)
                async for part in response.aiter_bytes():
                    yield part
        except httpx2.TransportError as error:
            raise Unavailable("the answer broke off") from error

    async def listen(self, stream: Stream[T]) -> AsyncIterator[T]:
        """What a stream tells, until its end; a connection that breaks is made again. Raises a ScaFault."""
        reader = EventReader(stream)
        tries = _Tries(self._patience)
        while True:
            response = None
            try:
                async with self._http.stream("GET", stream.path, **_listening(reader)) as response:
                    if response.is_success:
                        async for line in response.aiter_lines():
                            for event in reader.feed(line):
                                tries = _Tries(self._patience)
                                yield event
                        if reader.is_over:
                            return
                    else:
                        await response.aread()
            except httpx2.TransportError:
                response = None
            pause = tries.pause(response if response is None or not response.is_success else None)
            if pause is None:
                raise _fault(None if response is None or response.is_success else response)
            await asyncio.sleep(pause)


def _headers(api_key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {api_key}", "User-Agent": "sca-client"}


def _sent(call: Call[Any]) -> dict[str, Any]:
    return {"params": call.parameters, "content": call.content, "headers": call.headers}


def _listening(reader: EventReader[Any]) -> dict[str, Any]:
    return {"headers": reader.headers, "timeout": _STREAM_IDLE_SECONDS}


def _answer(call: Call[T], response: httpx2.Response) -> T:
    try:
        return call.read(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Unreadable(f"{response.status_code} with another body than {call.answer}") from None


def _fault(response: httpx2.Response | None) -> ScaFault:
    if response is None:
        return Unavailable("the service was not reached")
    return fault_of(response.status_code, response.content, response.headers.get("Retry-After"))
