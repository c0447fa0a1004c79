"""Reads networks.toml: which prefix belongs to which network, and how a number that moved is found."""

import ipaddress
import re
from urllib.parse import urlsplit

from sca_service.policy.reader import Table
from sca_service.policy.supply import Lookup, NetworkPrefix, PortabilityRule

_PREFIX = re.compile(r"[1-9][0-9]{0,14}", re.ASCII)
NETWORK = re.compile(r"[2-7][0-9]{2}(?:-[0-9]{2,3})?", re.ASCII)
"""MCC, or MCC and MNC (ITU-T E.212): `262`, `262-01`."""
_ZONE = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9][a-z0-9-]{0,61}[a-z0-9]", re.ASCII)
_POINTER = re.compile(r"(?:/[^/]{1,64}){1,8}")
_NUMBER = "{number}"
_OF = {"server": Lookup.ENUM, "zone": Lookup.ENUM} | dict.fromkeys(("url", "body", "pointer"), Lookup.HTTP)


def read_networks(table: Table) -> tuple[tuple[NetworkPrefix, ...], PortabilityRule]:
    """The prefixes in the order of the file and how numbers are looked up; notes at the table what is wrong."""
    portability = _portability(table.table("portability"))
    rows = table.tables("network") if table.may_hold("network") else ()
    prefixes = tuple(_prefix(row) for row in rows)
    table.close()
    seen = set()
    for row, prefix in zip(rows, prefixes, strict=True):
        if row.is_sound("prefix") and prefix.prefix in seen:
            row.note("prefix", f'"{prefix.prefix}" stands twice; allowed: every prefix once')
        seen.add(prefix.prefix)
    return prefixes, portability


def _prefix(table: Table) -> NetworkPrefix:
    prefix = NetworkPrefix(table.text("prefix", "digits"), table.text("network", 'MCC and MNC: "262-01"'))
    table.close()
    if table.is_sound("prefix") and not _PREFIX.fullmatch(prefix.prefix):
        table.note("prefix", "is no prefix; allowed: 1 to 15 digits, country code first")
    if table.is_sound("network") and not NETWORK.fullmatch(prefix.network):
        table.note("network", 'is no network; allowed: MCC and MNC (ITU-T E.212) such as "262-01", or "262"')
    return prefix


def _portability(table: Table) -> PortabilityRule:
    rule = PortabilityRule(
        lookup=table.choice("lookup", Lookup),
        timeout_ms=table.integer("timeout_ms"),
        remember_seconds=table.integer("remember_seconds"),
        remember_unknown_seconds=table.integer("remember_unknown_seconds"),
        server=_optional(table, "server"),
        zone=_optional(table, "zone"),
        url=_optional(table, "url"),
        body=_optional(table, "body"),
        pointer=_optional(table, "pointer"),
    )
    table.close()
    if table.is_sound("lookup"):
        for key, lookup in _OF.items():
            if getattr(rule, key) and rule.lookup is not lookup:
                table.note(key, f'does not fit lookup = "{rule.lookup}"; allowed: only with "{lookup}"')
        if rule.lookup is Lookup.ENUM:
            _note_enum(table, rule)
        elif rule.lookup is Lookup.HTTP:
            _note_http(table, rule)
    return rule


def _optional(table: Table, key: str) -> str:
    return table.text(key) if table.may_hold(key) else ""


def _note_enum(table: Table, rule: PortabilityRule) -> None:
    if table.is_sound("zone") and not _ZONE.fullmatch(rule.zone):
        table.note("zone", 'is no DNS name; allowed: the suffix of the look-up such as "e164.arpa"')
    if table.is_sound("server") and rule.server and not is_server(rule.server):
        table.note(
            "server", 'is no DNS server; allowed: an IP address, with its port if not 53: "192.0.2.53:5353"'
        )


def is_server(text: str) -> bool:
    """Whether this is an IP address, with or without a port (`[2001:db8::1]:53`)."""
    try:
        return bool(split_server(text))
    except ValueError:
        return False


def split_server(text: str) -> tuple[str, int]:
    """Address and port of a DNS server. Raises ValueError."""
    try:
        return str(ipaddress.ip_address(text)), 53
    except ValueError:
        parts = urlsplit(f"//{text}")
        if parts.username or parts.path or parts.query or not parts.port:
            raise ValueError("no server") from None
        return str(ipaddress.ip_address(parts.hostname or "")), parts.port


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("https", "http") and bool(parts.hostname) and parts.username is None
    except ValueError:
        return False


def _note_http(table: Table, rule: PortabilityRule) -> None:
    if table.is_sound("url") and not _is_url(rule.url):
        table.note("url", "is no URL; allowed: https://…, without name and password")
    if table.is_sound("url", "body") and (rule.url + rule.body).count(_NUMBER) != 1:
        table.note("body" if rule.body else "url", f"needs {_NUMBER} once, in the URL or in the body")
    if table.is_sound("pointer") and not _POINTER.fullmatch(rule.pointer):
        table.note(
            "pointer", "is no JSON pointer (RFC 6901); allowed: where MCC and MNC stand, such as /mccmnc"
        )
