"""The client of HTTP suppliers: what it makes of rude servers, and what it never does."""

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sca_service.delivery import http_client
from sca_service.delivery.http_client import (
    LONGEST_RETRY_AFTER_MS,
    MOST_ANSWER_BYTES,
    HttpAnswer,
    HttpClient,
    check_base_url,
    failure_of,
    read_json,
    retry_after_ms,
)
from sca_service.delivery.supplier import FailureReason, SupplierFailure
from tests.adapters import words_of
from tests.certificates import make_certificate
from tests.http2_server import Http2Answer, Http2Server
from tests.rude_server import Answer, RudeServer

SECRET = "example-secret-271828"
HEADERS = {"Authorization": f"Bearer {SECRET}"}
DOWN = (FailureReason.SUPPLIER_DOWN, True)
DOWN_FOR_GOOD = (FailureReason.SUPPLIER_DOWN, False)
TIMEOUT = (FailureReason.TIMEOUT, False)
REJECTED = (FailureReason.REJECTED, False)


@pytest.fixture
async def server() -> AsyncIterator[RudeServer]:
    """A rude server."""
    async with RudeServer() as server:
        yield server


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    """A client that ends with its test."""
    client = HttpClient()
    yield client
    await client.close()


async def post(client: HttpClient, url: str) -> HttpAnswer:
    """One call with a secret in its header, URL and body."""
    return await client.call("POST", f"{url}/{SECRET}?q={SECRET}", headers=HEADERS, body=SECRET.encode())


async def failure(client: HttpClient, url: str) -> tuple[FailureReason, bool]:
    """What a call that has to fail fails with; nothing of the request is in the error."""
    with pytest.raises(SupplierFailure) as raised:
        await post(client, url)
    assert SECRET not in words_of(raised.value)
    return raised.value.reason, raised.value.transient


async def test_a_call_and_its_answer(server: RudeServer, client: HttpClient) -> None:
    """Method, URL, headers and body arrive; status, headers in lower case and body come back."""
    server.answer(202, {"id": "1"}, {"X-Example": "Yes"})
    answer = await post(client, server.url)
    assert (answer.status, answer.headers["x-example"], answer.body) == (202, "Yes", b'{"id": "1"}')
    (request,) = server.requests
    assert (request.method, request.path, request.query) == ("POST", f"/{SECRET}", {"q": SECRET})
    assert (request.headers["authorization"], request.body) == (HEADERS["Authorization"], SECRET.encode())


async def test_a_connection_is_kept(server: RudeServer, client: HttpClient) -> None:
    """Calls one after the other share a connection."""
    for _ in range(3):
        await post(client, server.url)
    assert [request.connection for request in server.requests] == [1, 1, 1]


async def test_a_connection_closed_in_between_is_no_failure(server: RudeServer, client: HttpClient) -> None:
    """A server that gave up an idle connection gets the next call over another one."""
    await post(client, server.url)
    await server.close_idle()
    await post(client, server.url)
    assert [request.connection for request in server.requests] == [1, 2]


async def test_a_connection_found_closed_when_written_is_no_failure(
    server: RudeServer, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the look at the connection comes too early to see its end, the write finds out, and goes elsewhere."""
    await post(client, server.url)
    await server.close_idle(reset=True)
    await asyncio.sleep(0.01)
    monkeypatch.setattr("httpcore2._backends.anyio.is_socket_readable", lambda _: False)
    await post(client, server.url)
    assert [request.connection for request in server.requests] == [1, 2]


async def test_a_connection_that_ends_unanswered_may_have_been_read(
    server: RudeServer, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the request was written over a kept connection nobody knows, so it is not sent again."""
    await post(client, server.url)
    await server.close_idle()
    await asyncio.sleep(0.01)
    monkeypatch.setattr("httpcore2._backends.anyio.is_socket_readable", lambda _: False)
    assert await failure(client, server.url) == TIMEOUT
    assert len(server.requests) == 1


async def test_nobody_listens(client: HttpClient) -> None:
    """A refused connection took nothing: another try is welcome."""
    async with RudeServer() as gone:
        url = gone.url
    assert await failure(client, url) == DOWN


async def test_reset_after_reading(server: RudeServer, client: HttpClient) -> None:
    """The supplier may have taken it: no second request is made."""
    server.reset_next()
    assert await failure(client, server.url) == TIMEOUT
    assert len(server.requests) == 1


async def test_garbage_and_half_an_answer(server: RudeServer, client: HttpClient) -> None:
    """What is no HTTP, or ends too early, is no answer."""
    server.garbage_next()
    assert await failure(client, server.url) == TIMEOUT
    server.answer(200, {"id": "1234567890"})
    server.half_next()
    assert await failure(client, server.url) == TIMEOUT
    assert len(server.requests) == 2


async def test_an_endless_body_is_cut_off(server: RudeServer, client: HttpClient) -> None:
    """64 KiB are read, and the connection is given up."""
    server.endless_next()
    assert len((await post(client, server.url)).body) == MOST_ANSWER_BYTES
    await post(client, server.url)
    assert [request.connection for request in server.requests] == [1, 2]


async def test_no_answer_in_time(
    server: RudeServer, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole call has one deadline, whatever trickles in."""
    monkeypatch.setattr(http_client, "ANSWER_SECONDS", 1.0)
    server.silence_next()
    assert await failure(client, server.url) == TIMEOUT


async def test_the_callers_deadline_cancels(server: RudeServer, client: HttpClient) -> None:
    """Cancelled from outside, the call ends at once and the next one works."""
    server.delay_next(60)
    call = asyncio.create_task(post(client, server.url))
    await server.received(1)
    call.cancel()  # as a deadline does
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await post(client, server.url)).status == 200


async def test_a_supplier_that_hangs_takes_no_connection_of_another(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own calls wait, then fail as not sent; those to others go on."""
    monkeypatch.setattr(http_client, "MOST_CONNECTIONS", 1)
    monkeypatch.setattr(http_client, "_TIMEOUTS", {"connect": 3.0, "pool": 0.1})
    async with RudeServer() as hanging, RudeServer() as other:
        hanging.silence_next()
        first = asyncio.create_task(post(client, hanging.url))
        await hanging.received(1)
        assert await failure(client, hanging.url) == DOWN
        assert (await post(client, other.url)).status == 200
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def test_a_certificate_that_nobody_vouches_for(client: HttpClient, tmp_path: Path) -> None:
    """Nothing is sent to a server that cannot say who it is; to one that can, over kept connections, it is."""
    certificate = make_certificate(tmp_path)
    trusting = HttpClient(verify=certificate.client())
    async with RudeServer(tls=certificate.server()) as server:
        assert await failure(client, server.url) == DOWN
        assert server.requests == []
        await post(trusting, server.url)
        await server.close_idle()
        await post(trusting, server.url)
        assert len(server.requests) == 2
        server.reset_next()
        assert await failure(trusting, server.url) == TIMEOUT
        await trusting.close()


async def test_http_2(tmp_path: Path) -> None:
    """Where the supplier speaks it, calls at the same time share one connection; none waits for an idle one."""
    certificate = make_certificate(tmp_path)
    client = HttpClient(verify=certificate.client())
    async with Http2Server(certificate.server("h2")) as server:
        server.answer = lambda request: Http2Answer(201, request.body)
        await post(client, server.url)
        answers = await asyncio.gather(*(post(client, server.url) for _ in range(150)))
        assert {(answer.status, answer.body) for answer in answers} == {(201, SECRET.encode())}
        assert (len(server.requests), server.connections) == (151, 1)
        await client.close()


async def test_redirects_are_not_followed_and_cookies_not_kept(
    server: RudeServer, client: HttpClient
) -> None:
    """A message goes where the policy says, and a supplier leaves nothing behind."""
    server.answer(307, headers={"Location": f"{server.url}/elsewhere", "Set-Cookie": "a=b; Path=/"})
    assert (await post(client, server.url)).status == 307
    await post(client, server.url)
    assert [request.path for request in server.requests] == [f"/{SECRET}"] * 2
    assert "cookie" not in server.requests[1].headers


async def test_proxies_of_the_environment_are_not_asked(
    server: RudeServer, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the supplier sees the message."""
    async with RudeServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        await post(client, server.url)
        assert (len(server.requests), len(proxy.requests)) == (1, 0)


async def test_nothing_is_unpacked(server: RudeServer, client: HttpClient) -> None:
    """Compression is not asked for, and what comes compressed all the same stays so."""
    bomb = gzip.compress(bytes(10_000_000))
    server.answer(200, bomb, {"Content-Encoding": "gzip"})
    assert (await post(client, server.url)).body == bomb
    assert server.requests[0].headers["accept-encoding"] == "identity"


async def test_nothing_is_logged(
    server: RudeServer, client: HttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the URL nor anything else, at the level of operators."""
    caplog.set_level(logging.INFO)
    await post(client, server.url)
    assert caplog.records == []


@pytest.mark.parametrize(
    "url", ["http://supplier.example/", "ftp://127.0.0.1/", "no url", "http://127.0.0.1:x/"]
)
async def test_what_must_not_be_called(client: HttpClient, url: str) -> None:
    """Clear text to another machine and what is no URL never leave this one."""
    assert await failure(client, url) == REJECTED


async def test_a_header_that_cannot_be(server: RudeServer, client: HttpClient) -> None:
    """A line break in a value is refused before anything is written, and not quoted."""
    with pytest.raises(SupplierFailure) as raised:
        await client.call("POST", server.url, headers={"X-Key": f"{SECRET}\r\nX-Other: 1"})
    assert (raised.value.reason, raised.value.transient) == REJECTED
    assert SECRET not in words_of(raised.value)
    assert server.requests == []


async def test_an_answer_shows_nothing_of_itself(server: RudeServer, client: HttpClient) -> None:
    """Suppliers repeat numbers and texts in their answers."""
    server.answer(200, SECRET, {"X-Echo": SECRET})
    assert SECRET not in repr(await post(client, server.url))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, None),
        (202, None),
        (204, None),
        (302, DOWN_FOR_GOOD),
        (400, REJECTED),
        (401, DOWN),
        (402, DOWN),
        (403, REJECTED),
        (404, REJECTED),
        (408, DOWN),
        (409, REJECTED),
        (422, REJECTED),
        (425, DOWN),
        (429, DOWN),
        (500, DOWN_FOR_GOOD),
        (502, DOWN_FOR_GOOD),
        (503, DOWN),
        (504, TIMEOUT),
    ],
)
def test_what_a_status_means(status: int, expected: tuple[FailureReason, bool] | None) -> None:
    """Transient only where the supplier says itself that it took nothing."""
    found = failure_of(HttpAnswer(status, {"retry-after": "7"}, b""))
    assert (found and (found.reason, found.transient)) == expected
    if found:
        assert found.retry_after_ms == (7_000 if found.transient else 0)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 0),
        ({"retry-after": "0"}, 0),
        ({"retry-after": " 30 "}, 30_000),
        ({"retry-after": "99999999999999999999"}, LONGEST_RETRY_AFTER_MS),
        ({"retry-after": "-5"}, 0),
        ({"retry-after": "1.5"}, 0),
        ({"retry-after": "٣"}, 0),
        ({"retry-after": "soon"}, 0),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT", "date": "Fri, 31 Dec 1999 23:59:49 GMT"}, 10_000),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:39 GMT", "date": "Fri, 31 Dec 1999 23:59:49 GMT"}, 0),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}, 0),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT", "date": "Fri, 31 Dec 1999 23:59:49 -0000"}, 0),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], expected: int) -> None:
    """Seconds, or a date by the supplier's own clock; nonsense asks for nothing."""
    assert retry_after_ms(headers) == expected


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"id": 7}', b"[" * 60_000, b'"\xff"'])
def test_a_success_that_nobody_can_read(body: bytes) -> None:
    """It may have been taken, so it is not sent again."""
    with pytest.raises(SupplierFailure) as raised:
        read_json(HttpAnswer(200, {}, body), dict[str, str])
    assert (raised.value.reason, raised.value.transient) == TIMEOUT
    assert raised.value.__context__ is None


@pytest.mark.parametrize(
    "url",
    [
        "https://api.supplier.example",
        "https://api.supplier.example:8443/v1/",
        "http://127.0.0.1:8080",
        "http://[::1]:8080/x",
        "http://localhost/x",
    ],
)
def test_where_a_supplier_may_be(url: str) -> None:
    """Encrypted, or on this machine."""
    check_base_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.supplier.example",
        "http://api.supplier.example",
        "http://127.0.0.1.supplier.example",
        "http://10.0.0.1",
        "https://",
        "https://name:password@api.supplier.example",
        "https://api.supplier.example?a=b",
        "https://api.supplier.example/#a",
        "https://api.supplier.example/a b",
        "https://api.supplier.example/\n",
        "https://api.supplier.example:port",
        "file:///etc/passwd",
    ],
)
def test_where_no_supplier_may_be(url: str) -> None:
    """In clear, with a password in the URL, or no URL at all; the error does not quote it."""
    with pytest.raises(ValueError, match="https URL") as raised:
        check_base_url(url)
    assert len(url) < 5 or url not in str(raised.value)


async def test_the_servers_answers_come_in_their_order(server: RudeServer, client: HttpClient) -> None:
    """The rude server itself: queued answers first, then the standing one."""
    server.answer(204)
    server.answers([Answer(429), Answer(503)])
    assert [(await post(client, server.url)).status for _ in range(3)] == [429, 503, 204]
