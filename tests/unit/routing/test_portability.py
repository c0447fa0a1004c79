"""Portability: which network a number belongs to, asked of a real DNS server and a real HTTP server."""

import asyncio
from collections.abc import AsyncIterator

import dns.rcode
import pytest

from sca_service.delivery.http_client import HttpClient
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.keyring import Keyring, create_keyring_text
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.secret import Secret
from sca_service.policy.supply import Lookup, NetworkPrefix, PortabilityRule
from sca_service.routing.countries import COUNTRY_CODES, network_name
from sca_service.routing.model import Destination
from sca_service.routing.portability import (
    EnumSource,
    HttpCaller,
    HttpSource,
    LookupFailed,
    NetworkSource,
    Portability,
    enum_name,
    network_in,
    network_source,
    pointed_at,
)
from tests.dns_server import DnsServer
from tests.rude_server import RudeServer

KEYRING = Keyring.parse(create_keyring_text())
NUMBER = PhoneNumber.parse("+4915112345678")
NAME = "8.7.6.5.4.3.2.1.1.5.1.9.4.enum.example."
BY_PREFIX = Destination("DE", "262-01")
PREFIXES = (NetworkPrefix("4915", "262"), NetworkPrefix("49151", "262-01"), NetworkPrefix("4916", "262-03"))
TIMEOUT_MS = 150
HANGS_SECONDS = 20


class Memory:
    """What a Redis would remember, in a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[str, int]] = {}
        self.is_away = False

    async def find(self, pseudonym: str) -> str | None:
        """The remembered network."""
        if self.is_away:
            raise StoreUnavailable("away")
        kept = self.kept.get(pseudonym)
        return kept[0] if kept else None

    def remember(self, pseudonym: str, network: str, *, seconds: int) -> None:
        """Keep it."""
        self.kept[pseudonym] = (network, seconds)


def rule(lookup: Lookup, *, server: str = "", url: str = "", body: str = "") -> PortabilityRule:
    """A look-up that is waited for a little."""
    return PortabilityRule(
        lookup=lookup,
        timeout_ms=TIMEOUT_MS,
        remember_seconds=600,
        remember_unknown_seconds=60,
        server=server,
        zone="enum.example",
        url=url,
        body=body,
        pointer="/result/0/mccmnc",
    )


def portability(
    source: NetworkSource | None, memory: Memory | None = None, held: PortabilityRule | None = None
) -> Portability:
    """What finds destinations."""
    return Portability(
        prefixes=PREFIXES,
        rule=held or rule(Lookup.ENUM),
        source=source,
        memory=memory or Memory(),
        keyring=KEYRING,
    )


@pytest.fixture
async def dns_server() -> AsyncIterator[DnsServer]:
    """A DNS server."""
    async with DnsServer() as server:
        yield server


@pytest.fixture
async def http() -> AsyncIterator[HttpCaller]:
    """The client that suppliers are called with."""
    client = HttpClient()
    yield client
    await client.close()


@pytest.mark.parametrize(
    ("number", "country", "network"),
    [
        ("+4915112345678", "DE", "262-01"),
        ("+4915212345678", "DE", "262"),
        ("+4917612345678", "DE", "262"),
        ("+919876543210", "IN", "404"),
        ("+12025550123", "US", "310"),
        ("+393312345678", "IT", "222"),
    ],
)
async def test_the_longest_prefix_decides_else_the_country(number: str, country: str, network: str) -> None:
    """Nobody is asked where the policy has no look-up."""
    found = await portability(None).destination(PhoneNumber.parse(number))
    assert found == Destination(country, network)


async def test_a_number_that_moved_is_found_in_the_dns(dns_server: DnsServer) -> None:
    """Under its digits backwards; the answer is remembered under a pseudonym, so that it is asked once."""
    dns_server.records[NAME] = [
        '100 20 "u" "E2U+sip" "!^.*$!sip:nobody@example!" .',
        r'100 10 "u" "E2U+pstn:tel" "!^(.*)$!tel:\\1\;npdi\;mcc=262\;mnc=002\;ported=true!" .',
    ]
    memory = Memory()
    finder = portability(EnumSource(rule(Lookup.ENUM, server=dns_server.address)), memory)
    for _ in range(3):
        assert await finder.destination(NUMBER) == Destination("DE", "262-02", ported=True)
    assert dns_server.asked == [NAME]
    assert memory.kept == {KEYRING.pseudonym("network", NUMBER.e164): ("262-02", 600)}


@pytest.mark.parametrize("records", [None, [], ['1 1 "u" "E2U+sip" "!^.*$!sip:nobody@example!" .']])
async def test_that_nobody_knows_a_number_is_remembered_too(
    dns_server: DnsServer, records: list[str] | None
) -> None:
    """For a shorter time; the prefix decides meanwhile."""
    if records is not None:
        dns_server.records[NAME] = records
    memory = Memory()
    finder = portability(EnumSource(rule(Lookup.ENUM, server=dns_server.address)), memory)
    for _ in range(3):
        assert await finder.destination(NUMBER) == BY_PREFIX
    assert len(dns_server.asked) == 1
    assert list(memory.kept.values()) == [("", 60)]


@pytest.mark.parametrize("fault", ["silent", "garbage", "refused", "nobody there"])
async def test_a_dns_that_fails_holds_nothing_up(dns_server: DnsServer, fault: str) -> None:
    """The prefix decides within the time-out, nothing is remembered, and the next messages do not wait again."""
    dns_server.is_silent = fault == "silent"
    dns_server.garbage = b"\x00" if fault == "garbage" else b""
    dns_server.rcode = dns.rcode.SERVFAIL if fault == "refused" else dns.rcode.NOERROR
    server = "127.0.0.1:9" if fault == "nobody there" else dns_server.address
    memory = Memory()
    finder = portability(EnumSource(rule(Lookup.ENUM, server=server)), memory)
    async with asyncio.timeout(HANGS_SECONDS):
        for _ in range(20):
            assert await finder.destination(NUMBER) == BY_PREFIX
    assert len(dns_server.asked) <= 3, "one look-up, and what the resolver repeats of it"
    assert memory.kept == {}


async def test_a_memory_that_is_away_holds_nothing_up(dns_server: DnsServer) -> None:
    """Without Redis there is the prefix."""
    memory = Memory()
    memory.is_away = True
    finder = portability(EnumSource(rule(Lookup.ENUM, server=dns_server.address)), memory)
    assert await finder.destination(NUMBER) == BY_PREFIX


async def test_a_number_is_looked_up_over_http(http: HttpCaller) -> None:
    """In the URL, with the header that the service wants, and read where the pointer says."""
    async with RudeServer() as server:
        server.answer(200, {"result": [{"mccmnc": 26203}]})
        held = rule(Lookup.HTTP, url=f"{server.url}/hlr?n={{number}}")
        finder = portability(HttpSource(held, http, Secret("Basic ZXhhbXBsZQ==")), held=held)
        assert await finder.destination(NUMBER) == Destination("DE", "262-03", ported=True)
        (call,) = server.requests
        assert (call.method, call.target) == ("GET", "/hlr?n=4915112345678")
        assert call.headers["authorization"] == "Basic ZXhhbXBsZQ=="


async def test_a_number_may_stand_in_the_body(http: HttpCaller) -> None:
    """Then it is a POST, and no URL holds the number."""
    async with RudeServer() as server:
        server.answer(200, {"result": [{"mccmnc": "262-03"}]})
        held = rule(Lookup.HTTP, url=f"{server.url}/hlr", body='{"msisdn": "{number}"}')
        assert await HttpSource(held, http, None).network(NUMBER) == "262-03"
        (call,) = server.requests
        assert (call.method, call.target, call.json()) == ("POST", "/hlr", {"msisdn": "4915112345678"})


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, b""), (200, {"result": [{"mccmnc": None}]}), (200, {"result": [{"mccmnc": "00000"}]})],
)
async def test_a_service_that_knows_no_network_says_so(http: HttpCaller, status: int, body: object) -> None:
    """That is an answer, and worth remembering."""
    async with RudeServer() as server:
        server.answer(status, body)
        assert (
            await HttpSource(rule(Lookup.HTTP, url=f"{server.url}/{{number}}"), http, None).network(NUMBER)
            == ""
        )


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b""),
        (401, b"{}"),
        (200, b"<html>"),
        (200, {}),
        (200, []),
        (200, {"result": "x"}),
        (200, b"[" * 9000),
    ],
)
async def test_an_answer_nobody_understands_is_none(http: HttpCaller, status: int, body: object) -> None:
    """It is not remembered, and its text is not quoted."""
    async with RudeServer() as server:
        server.answer(status, body)
        with pytest.raises(LookupFailed) as failed:
            await HttpSource(rule(Lookup.HTTP, url=f"{server.url}/{{number}}"), http, None).network(NUMBER)
        assert "4915112345678" not in repr(failed.value) + str(failed.value.__cause__)


async def test_a_service_that_is_slow_or_cut_holds_nothing_up(http: HttpCaller) -> None:
    """The message goes out by its prefix."""
    async with RudeServer() as server:
        held = rule(Lookup.HTTP, url=f"{server.url}/{{number}}")
        server.delay_next(60)
        async with asyncio.timeout(HANGS_SECONDS):
            assert await portability(HttpSource(held, http, None), held=held).destination(NUMBER) == BY_PREFIX
        server.reset_next()
        assert await portability(HttpSource(held, http, None), held=held).destination(NUMBER) == BY_PREFIX


def test_the_policy_says_who_is_asked(http: HttpCaller) -> None:
    """Nobody, the DNS or a service."""
    assert network_source(rule(Lookup.NONE), http, None) is None
    assert isinstance(network_source(rule(Lookup.ENUM, server="127.0.0.1"), http, None), EnumSource)
    assert isinstance(network_source(rule(Lookup.HTTP), http, None), HttpSource)


def test_a_numbers_name_is_the_one_of_the_rfc() -> None:
    """RFC 6116 section 3.2 turns +44-116-496-0348 into this."""
    number = PhoneNumber("+441164960348", "GB", NUMBER.kind, "44")
    assert enum_name(number, "e164.arpa") == "8.4.3.0.6.9.4.6.1.1.4.4.e164.arpa."


@pytest.mark.parametrize(
    ("regexp", "network"),
    [
        (r"!^(.*)$!country=null\;operator=null\;mcc=604\;mnc=001\;ported=false\;err=0!", "604-01"),
        ("!^.*$!tel:+4915112345678;npdi;mcc=262;mnc=02!", "262-02"),
        ("!^.*$!tel:+4915112345678;mnc=02;npdi;mcc=262!", "262-02"),
        ("!^.*$!sip:+4915112345678@ims.mnc001.mcc262.3gppnetwork.org;user=phone!", "262-01"),
        ("!^.*$!tel:+12025550123;mcc=310;mnc=004!", "310-004"),
        ("#^.*$#tel:+4915112345678;mcc=262;mnc=02#i", "262-02"),
        ("!^.*$!tel:+4915112345678;rn=+49151!", ""),
        ("!mcc=262;mnc=01!tel:nothing!", ""),
        ("!^.*$!tel:1;xmcc=262;mnc=02!", ""),
        ("!^.*$!tel:1;mcc=162;mnc=02!", ""),
        ("!!", ""),
        ("!", ""),
        ("", ""),
    ],
)
def test_the_network_stands_in_what_a_record_puts_for_the_number(regexp: str, network: str) -> None:
    """As parameters or as the home domain; what the pattern would match makes no difference."""
    assert network_in(regexp) == network


def test_pointers_are_read_as_the_rfc_says() -> None:
    """RFC 6901: escapes, positions, and paths that lead nowhere."""
    content = {"a/b": [{"m~n": 7}]}
    assert pointed_at(content, "/a~1b/0/m~0n") == 7
    for wrong in ("/a", "/a~1b/1", "/a~1b/x", "/a~1b/0/m~0n/x"):
        with pytest.raises((LookupError, ValueError)):
            pointed_at(content, wrong)


@pytest.mark.parametrize(
    ("mcc", "mnc", "name"),
    [("262", "001", "262-01"), ("262", "01", "262-01"), ("310", "004", "310-004"), ("262", "123", "262-123")],
)
def test_a_padding_zero_is_no_part_of_a_network(mcc: str, mnc: str, name: str) -> None:
    """3GPP TS 23.003 pads to three digits where a country's networks have two."""
    assert network_name(mcc, mnc) == name


def test_every_country_has_its_code() -> None:
    """Some share one; each is a mobile country code of ITU-T E.212."""
    assert all(codes for codes in COUNTRY_CODES.values())
    every = {code for codes in COUNTRY_CODES.values() for code in codes}
    assert all(len(code) == 3 and (200 <= int(code) <= 799 or code == "995") for code in every)
    expected = {"DE": "262", "GB": "234", "US": "310", "IN": "404", "IT": "222", "FR": "208", "SG": "525"}
    assert {country: COUNTRY_CODES[country][0] for country in expected} == expected
