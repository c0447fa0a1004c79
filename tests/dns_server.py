"""A small DNS server on the loopback interface: answers NAPTR and A queries over UDP as a test says, or not at all."""

import asyncio

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset


class DnsServer(asyncio.DatagramProtocol):
    """The server; an async context manager. A class because it holds its socket and what it was asked.

    `records` are NAPTR records as a zone file has them, by name; a name without any does not exist (NXDOMAIN). While
    `is_silent`, nothing is answered; `garbage` is sent instead of an answer; `rcode` is every answer's. `addresses` are
    A records by name: each query gets the next one, and the last one stays.
    """

    def __init__(self) -> None:
        self.records: dict[str, list[str]] = {}
        self.addresses: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.is_silent = False
        self.garbage = b""
        self.rcode = dns.rcode.NOERROR
        self.address = ""
        self._transport: asyncio.DatagramTransport | None = None

    async def __aenter__(self) -> "DnsServer":
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._transport.get_extra_info('sockname')[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._transport:
            self._transport.close()

    def datagram_received(self, datagram: bytes, sender: tuple[str, int]) -> None:
        """Answer one query."""
        query = dns.message.from_wire(datagram)
        name = query.question[0].name.to_text()
        self.asked.append(name)
        if self.is_silent or self._transport is None:
            return
        if self.garbage:
            self._transport.sendto(self.garbage, sender)
            return
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.AA
        answer.set_rcode(self.rcode)
        records = self.records.get(name)
        kind = "NAPTR"
        if query.question[0].rdtype == dns.rdatatype.A:
            left = self.addresses.get(name, [])
            records, kind = left[:1] or None, "A"
            if len(left) > 1:
                left.pop(0)
        if records is None and self.rcode is dns.rcode.NOERROR:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif records:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *records))
        self._transport.sendto(answer.to_wire(), sender)
