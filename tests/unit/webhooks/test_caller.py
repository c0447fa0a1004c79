"""Calls to endpoints: which addresses are called, how often a name is resolved, and what a rude peer can do."""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import dns.asyncresolver
import pytest

from sca_service.kernel.addresses import is_public
from sca_service.webhooks import caller as module
from sca_service.webhooks.caller import (
    MOST_ANSWER_BYTES,
    MOST_CONNECTIONS,
    EndpointCaller,
    Resolve,
    system_resolver,
    url_mistake,
)
from sca_service.webhooks.model import AttemptOutcome, CallResult
from tests.certificates import make_certificate
from tests.dns_server import DnsServer
from tests.rude_server import RudeServer

PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111"]
NOT_PUBLIC = [
    *("127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("0.0.0.0", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1"),  # noqa: S104
    *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "::8.8.8.8"),
    *("64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:1::"),
    *("", "bank.example", "127.1", "0x7f000001"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    """Those of the open Internet may be called."""
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_are_not_public(address: str) -> None:
    """Private, local, shared, reserved, multicast, documented, or IPv4 in any disguise."""
    assert not is_public(address)


@pytest.mark.parametrize(
    ("url", "production", "sandbox"),
    [
        ("https://bank.example/hook?key=1", True, True),
        ("https://bank.example:8443/", True, True),
        ("https://[2606:4700:4700::1111]/", True, True),
        ("http://bank.example/", False, False),
        ("http://127.0.0.1:8080/hook", False, True),
        ("https://localhost/hook", False, True),
        ("http://localhost/hook", False, True),
        ("https://10.0.0.1/", False, False),
        ("https://169.254.169.254/latest", False, False),
        ("https://[::ffff:10.0.0.1]/", False, False),
        ("https://127.1/", False, False),
        ("https://2130706433/", False, False),
        ("https://a:b@bank.example/", False, False),
        ("https://bank.example/#part", False, False),
        ("https://bank.example:0/", False, False),
        ("https://bank.example:x/", False, False),
        ("https://bank.example/\\@10.0.0.1", False, False),
        ("https://b\u00e4nk.example/", False, False),
        ("https://bank.example/a b", False, False),
        ("https:///hook", False, False),
        ("ftp://bank.example/", False, False),
        ("https://bank.example/" + "a" * 2048, False, False),
        ("", False, False),
    ],
)
def test_urls_that_an_endpoint_may_have(url: str, production: bool, sandbox: bool) -> None:
    """https to a public host; in the sandbox this machine as well, and there without TLS."""
    assert (url_mistake(url, sandbox=False) is None) is production
    assert (url_mistake(url, sandbox=True) is None) is sandbox


@asynccontextmanager
async def calling(
    *,
    sandbox: bool = True,
    seconds: float = 10,
    resolve: Resolve | None = None,
    verify: ssl.SSLContext | None = None,
) -> AsyncIterator[Callable[[str], "asyncio.Future[CallResult]"]]:
    """A caller; what it gives sends a body to a URL."""
    one = EndpointCaller(answer_seconds=seconds, sandbox=sandbox, resolve=resolve, verify=verify)

    def call(url: str) -> "asyncio.Future[CallResult]":
        return asyncio.ensure_future(one.call(url, headers={"webhook-id": "msg_1"}, body='{"a":"\u00e9"}'))

    try:
        yield call
    finally:
        await one.close()


async def test_what_is_sent() -> None:
    """One POST of the body as it is, with the headers it is given."""
    async with RudeServer() as server, calling() as call:
        server.answer(204)
        result = await call(server.url + "/hook?key=1")
        (request,) = server.requests
    assert (result.outcome, result.http_status) == (AttemptOutcome.DELIVERED, 204)
    assert (request.method, request.target) == ("POST", "/hook?key=1")
    assert request.body == '{"a":"\u00e9"}'.encode()
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == "msg_1"


async def test_a_redirect_is_not_followed() -> None:
    """Wherever it leads: nobody is asked there."""
    async with RudeServer() as inner, RudeServer() as server, calling() as call:
        server.answer(307, headers={"Location": inner.url})
        result = await call(server.url)
        assert inner.connections == 0
    assert (result.outcome, result.http_status) == (AttemptOutcome.REDIRECTED, 307)


async def test_two_megabytes_are_not_read() -> None:
    """An answer is cut off, and what was said before counts; one without an end as well."""
    async with RudeServer() as server, calling() as call:
        server.answer(200, b"x" * 2_000_000)
        assert (await call(server.url)).outcome is AttemptOutcome.DELIVERED
        server.endless_next()
        assert (await call(server.url)).outcome is AttemptOutcome.DELIVERED
    assert MOST_ANSWER_BYTES < 65_536


async def test_a_peer_that_says_nothing_is_left() -> None:
    """After the time that the policy allows."""
    async with RudeServer() as server, calling(seconds=0.2) as call:
        server.silence_next()
        assert (await call(server.url)).outcome is AttemptOutcome.TIMEOUT


async def test_what_a_broken_peer_comes_to() -> None:
    """Garbage, a reset, half an answer, nobody there: a failed call, and never an exception."""
    async with RudeServer() as server, calling(seconds=5) as call:
        server.answer(200, b"x" * 100)
        for break_next in (server.garbage_next, server.reset_next, server.half_next):
            break_next()
            assert (await call(server.url)).outcome is AttemptOutcome.UNREACHABLE
        url = server.url
    async with calling() as call:
        assert (await call(url)).outcome is AttemptOutcome.UNREACHABLE


async def test_what_is_asked_for_before_the_next_call() -> None:
    """`Retry-After` in seconds is told; a date or nonsense is not."""
    async with RudeServer() as server, calling() as call:
        asked = []
        for value in ("120", "Fri, 28 Nov 2026 10:00:00 GMT", "-5", "9" * 40):
            server.answer(503, headers={"Retry-After": value})
            asked.append((await call(server.url)).retry_after_seconds)
    assert asked == [120, 0, 0, 999_999]


async def test_this_machine_is_called_in_the_sandbox_only() -> None:
    """In production nobody here is even connected to, by name or by address."""
    async with RudeServer() as server, calling(sandbox=False) as call:
        port = server.url.rpartition(":")[2]
        for url in (
            server.url,
            f"https://127.0.0.1:{port}",
            f"https://localhost:{port}",
            f"https://127.1:{port}",
        ):
            assert (await call(url)).outcome is AttemptOutcome.FORBIDDEN_ADDRESS
        assert server.connections == 0


@pytest.mark.parametrize("address", ["10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "64:ff9b::7f00:1"])
async def test_a_name_that_leads_inside_is_not_called(address: str) -> None:
    """Also when only one of its addresses does, and in the sandbox too."""

    async def resolve(_: str, __: int) -> Sequence[str]:
        return ["8.8.8.8", address]

    for sandbox in (False, True):
        async with calling(sandbox=sandbox, resolve=resolve) as call:
            assert (await call("https://bank.example/")).outcome is AttemptOutcome.FORBIDDEN_ADDRESS


async def test_names_that_nobody_answers_for_delay_no_other() -> None:
    """As many as there are calls at once hang, each for longer than its call: a name that is answered for is called."""
    is_over = threading.Event()

    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        if host != "127.0.0.1":
            is_over.wait()
            raise OSError
        return [(0, 0, 0, "", (host, port))]

    try:
        resolve = system_resolver(look_up)
        async with RudeServer() as server, calling(resolve=resolve, seconds=5) as call:
            hanging = [asyncio.ensure_future(resolve(f"{at}.example", 443)) for at in range(MOST_CONNECTIONS)]
            await asyncio.sleep(0)
            assert (await call(server.url)).outcome is AttemptOutcome.DELIVERED
            assert not any(one.done() for one in hanging)
    finally:
        is_over.set()
    assert {type(one) for one in await asyncio.gather(*hanging, return_exceptions=True)} == {OSError}


@asynccontextmanager
async def by_dns(*addresses: str) -> AsyncIterator[tuple[DnsServer, Resolve]]:
    """A DNS server that gives another answer each time, and what asks it."""
    async with DnsServer() as server:
        server.addresses["bank.example."] = list(addresses)
        asking = dns.asyncresolver.Resolver(configure=False)
        host, _, port = server.address.partition(":")
        asking.nameservers, asking.port = [host], int(port)

        async def resolve(name: str, _: int) -> Sequence[str]:
            return [record.to_text() for record in await asking.resolve(name, "A", search=False)]

        yield server, resolve


async def test_dns_that_changes_between_the_look_and_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is resolved once for a connection, and that goes to the very address that was looked at."""
    certificate = make_certificate(tmp_path, "bank.example")
    looked_at = []

    def may_be_called(address: str, *, sandbox: bool) -> bool:
        looked_at.append(address)
        return address == "127.0.0.1"  # stands for a public address; 127.0.0.2 for one inside

    monkeypatch.setattr(module, "may_be_called", may_be_called)
    async with (
        RudeServer(tls=certificate.server()) as server,
        by_dns("127.0.0.1", "127.0.0.2") as (names, resolve),
        calling(sandbox=False, resolve=resolve, verify=certificate.client()) as call,
    ):
        port = server.url.rpartition(":")[2]
        server.hang_up_after_next()
        url = f"https://bank.example:{port}/hook"
        first = await call(url)
        assert names.asked == ["bank.example."]
        assert looked_at == ["127.0.0.1"]
        assert server.requests[0].headers["host"] == f"bank.example:{port}"
        await server.close_idle()
        second = await call(url)
        assert len(server.requests) == 1
    assert first.outcome is AttemptOutcome.DELIVERED  # TLS knew the name: the certificate is bank.example's
    assert second.outcome is AttemptOutcome.FORBIDDEN_ADDRESS


async def test_a_certificate_of_another_name_is_refused(tmp_path: Path) -> None:
    """The address is not what is believed, the certificate is."""
    certificate = make_certificate(tmp_path, "other.example")

    async def resolve(_: str, __: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async with (
        RudeServer(tls=certificate.server()) as server,
        calling(resolve=resolve, verify=certificate.client()) as call,
    ):
        port = server.url.rpartition(":")[2]
        assert (await call(f"https://bank.example:{port}/")).outcome is AttemptOutcome.UNREACHABLE
        assert server.requests == []
