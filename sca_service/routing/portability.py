"""Which network a number belongs to: by its prefix, and by a look-up (MNP), since numbers move between networks.

A look-up never holds a message up for longer than the policy's time-out, and never fails it: then the prefix decides.
"""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

import dns.asyncresolver
import dns.exception
import dns.rdatatype
import dns.resolver

from sca_service.kernel.errors import ConfigurationError, ScaError
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.secret import Secret
from sca_service.policy.portability_reader import split_server
from sca_service.policy.supply import Lookup, NetworkPrefix, PortabilityRule
from sca_service.routing.countries import COUNTRY_CODES, network_name
from sca_service.routing.model import Destination

REST_SECONDS = 1.0
"""After a look-up that failed, the next ones are left out for so long: they would only wait in vain."""

_MOST_RECORDS = 20
_MCC_MNC = re.compile(r"(?:^|[;?&!:])mcc=([2-7][0-9]{2})\b.*?(?:[;?&])mnc=([0-9]{2,3})\b", re.IGNORECASE)
_MNC_MCC = re.compile(r"(?:^|[;?&!:])mnc=([0-9]{2,3})\b.*?(?:[;?&])mcc=([2-7][0-9]{2})\b", re.IGNORECASE)
_HOME_DOMAIN = re.compile(r"\bmnc([0-9]{2,3})\.mcc([2-7][0-9]{2})\.3gppnetwork\.org\b", re.IGNORECASE)
_PLAIN = re.compile(r"([2-7][0-9]{2})[- ]?([0-9]{2,3})")


class Answer(Protocol):
    """What an HTTP look-up answered."""

    @property
    def status(self) -> int:
        """The status code."""

    @property
    def body(self) -> bytes:
        """The body."""


class HttpCaller(Protocol):
    """Calls over HTTP; `HttpClient` of the delivery room is one."""

    async def call(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """One request. Raises ScaError."""


class NetworkSource(Protocol):
    """Asks somebody who knows."""

    async def network(self, number: PhoneNumber) -> str:
        """The network of a number, empty when there is no answer for it. Raises LookupFailed."""


class NetworkMemory(Protocol):
    """Remembers answers; `NetworkStore` is one."""

    async def find(self, pseudonym: str) -> str | None:
        """The remembered network, empty for none, None for nothing remembered. Raises StoreUnavailable."""

    def remember(self, pseudonym: str, network: str, *, seconds: int) -> None:
        """Keep an answer; never waits and never raises."""


class LookupFailed(ScaError):
    """The look-up gave no answer, or none that can be read. Nobody sees it: the prefix decides."""


class Portability:
    """Finds the destination of a number. A class because it holds the prefixes and knows when look-ups rest."""

    def __init__(
        self,
        *,
        prefixes: Sequence[NetworkPrefix],
        rule: PortabilityRule,
        source: NetworkSource | None,
        memory: NetworkMemory,
        keyring: Keyring,
    ) -> None:
        """`source` is None where the policy has no look-up (`network_source` makes it)."""
        self._prefixes = {prefix.prefix: prefix.network for prefix in prefixes}
        self._lengths = sorted({len(prefix) for prefix in self._prefixes}, reverse=True)
        self._rule = rule
        self._source = source
        self._memory = memory
        self._keyring = keyring
        self._rests_until = 0.0

    async def destination(self, number: PhoneNumber) -> Destination:
        """Where messages to this number go. Never raises, and takes no longer than the rule's time-out."""
        if self._source is not None and asyncio.get_running_loop().time() >= self._rests_until:
            network = await self._looked_up(number, self._source)
            if network:
                return Destination(number.country, network, ported=True)
        return self.by_prefix(number)

    def by_prefix(self, number: PhoneNumber) -> Destination:
        """What the longest prefix that fits says, else only the country's code."""
        digits = number.e164[1:]
        for length in self._lengths:
            network = self._prefixes.get(digits[:length])
            if network:
                return Destination(number.country, network)
        return Destination(number.country, next(iter(COUNTRY_CODES.get(number.country, ())), ""))

    async def _looked_up(self, number: PhoneNumber, source: NetworkSource) -> str:
        """The network, empty when nobody knows it or nobody said so in time."""
        rule, pseudonym = self._rule, self._keyring.pseudonym("network", number.e164)
        try:
            async with asyncio.timeout(rule.timeout_ms / 1000):
                remembered = await self._memory.find(pseudonym)
                if remembered is not None:
                    return remembered
                network = await source.network(number)
                seconds = rule.remember_seconds if network else rule.remember_unknown_seconds
                self._memory.remember(pseudonym, network, seconds=seconds)
                return network
        except (ScaError, TimeoutError):
            self._rests_until = asyncio.get_running_loop().time() + REST_SECONDS
            return ""


class EnumSource:
    """Asks the DNS for the NAPTR records of a number (ENUM, RFC 6116). A class because it holds the resolver.

    The network stands in the record's URI as parameters `mcc` and `mnc`, or as the home domain that GSMA IR.67 and
    3GPP TS 23.003 give it (`mnc001.mcc262.3gppnetwork.org`).
    """

    def __init__(self, rule: PortabilityRule) -> None:
        """`rule.server` empty takes the machine's own servers. Raises ConfigurationError when it has none."""
        self._zone = rule.zone
        self._seconds = rule.timeout_ms / 1000
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=not rule.server)
        except dns.exception.DNSException as error:
            raise ConfigurationError("networks.toml:portability: this machine has no DNS server") from error
        if rule.server:
            address, port = split_server(rule.server)
            self._resolver.nameservers = [address]
            self._resolver.port = port

    async def network(self, number: PhoneNumber) -> str:
        """The network that the first record with one names. Raises LookupFailed."""
        try:
            answer = await self._resolver.resolve(
                enum_name(number, self._zone), dns.rdatatype.NAPTR, lifetime=self._seconds, search=False
            )
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return ""
        except (dns.exception.DNSException, OSError) as error:
            raise LookupFailed("the DNS gave no answer") from error
        records = sorted(answer, key=lambda record: (record.order, record.preference))[:_MOST_RECORDS]
        for record in records:
            if record.service.upper().startswith(b"E2U"):
                network = network_in(record.regexp.decode("utf-8", "replace"))
                if network:
                    return network
        return ""


class HttpSource:
    """Asks an HLR look-up service over HTTP. A class because it holds the client."""

    def __init__(self, rule: PortabilityRule, http: HttpCaller, authorization: Secret[str] | None) -> None:
        """`authorization` is what its Authorization header holds."""
        self._rule = rule
        self._http = http
        self._authorization = authorization

    async def network(self, number: PhoneNumber) -> str:
        """The network at the rule's pointer, empty for null or 404. Raises LookupFailed."""
        digits, rule = number.e164[1:], self._rule
        headers = {"Accept": "application/json"}
        if self._authorization is not None:
            headers["Authorization"] = self._authorization.reveal()
        if rule.body:
            headers["Content-Type"] = "application/json"
        try:
            answer = await self._http.call(
                "POST" if rule.body else "GET",
                rule.url.replace("{number}", digits),
                headers=headers,
                body=rule.body.replace("{number}", digits).encode(),
            )
        except ScaError:
            raise LookupFailed(
                "the look-up service cannot be reached"
            ) from None  # its text may hold the number
        if answer.status == 404:
            return ""
        if answer.status != 200:
            raise LookupFailed("the look-up service refused")
        try:
            found = pointed_at(json.loads(answer.body), rule.pointer)
        except (ValueError, RecursionError, LookupError):
            raise LookupFailed("the look-up service answered something else") from None
        match = _PLAIN.fullmatch(str(found)) if isinstance(found, str | int) else None
        return network_name(match[1], match[2]) if match else ""


def network_source(
    rule: PortabilityRule, http: HttpCaller, authorization: Secret[str] | None
) -> NetworkSource | None:
    """What the policy says to ask, None when it says to ask nobody."""
    match rule.lookup:
        case Lookup.ENUM:
            return EnumSource(rule)
        case Lookup.HTTP:
            return HttpSource(rule, http, authorization)
        case Lookup.NONE:
            return None


def enum_name(number: PhoneNumber, zone: str) -> str:
    """The name under which a number stands in the DNS: its digits backwards, each a label (RFC 6116 section 3.2)."""
    return ".".join([*reversed(number.e164[1:]), zone]) + "."


def network_in(regexp: str) -> str:
    """The network that a NAPTR's `!pattern!replacement!` names in its replacement; empty for none.

    What the pattern would capture is of no interest, so it never runs.
    """
    parts = regexp[1:].replace("\\;", ";").split(regexp[:1]) if regexp else []
    if len(parts) != 3:
        return ""
    uri = parts[1]
    if match := _MCC_MNC.search(uri):
        return network_name(match[1], match[2])
    if match := _MNC_MCC.search(uri) or _HOME_DOMAIN.search(uri):
        return network_name(match[2], match[1])
    return ""


def pointed_at(content: object, pointer: str) -> object:
    """What a JSON pointer (RFC 6901) names. Raises LookupError, ValueError for a path that is not there."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(content, dict):
            content = content[name]
        elif isinstance(content, list):
            content = content[int(name)]
        else:
            raise LookupError("nothing stands below a plain value")
    return content
