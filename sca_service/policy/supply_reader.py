"""Reads suppliers.toml, senders.toml and networks.toml: who carries what, at which price, under which sender."""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import phonenumbers

from sca_service.kernel.money import MINOR_DIGITS
from sca_service.policy.portability_reader import NETWORK, read_networks
from sca_service.policy.reader import Table
from sca_service.policy.sender_reader import read_senders
from sca_service.policy.supply import (
    BreakerRule,
    NetworkPrice,
    PriceTier,
    RoutingRule,
    SupplierRule,
    SupplyPolicy,
)
from sca_service.policy.words import Channel, Purpose

ALERT = "alert"
ROUTING, BREAKER, EXCHANGE = RESERVED = ("routing", "breaker", "exchange")
"""Sections of suppliers.toml that are no suppliers; none can be called so."""

_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*", re.ASCII)
_LONGEST_NAME = 40
_ANYWHERE = "*"
_ANY_NETWORK = 'a network ("262-01"), a country ("262") or "*"'
_SECRET = re.compile(
    r"(?:^|_)(?:password|passwd|passphrase|secret|token|credentials?|bearer)$"
    r"|(?:api|auth|access|private|secret|signing|account)_?key$|passwd$|password$"
)


def read_supply(suppliers: Table, senders: Table, networks: Table) -> SupplyPolicy:
    """Everything the three files say; notes at the tables what is wrong with them."""
    rules, sections = _suppliers(suppliers)
    routing = suppliers.table(ROUTING)
    weights = {purpose: _routing(routing.table(purpose, pattern="*")) for purpose in Purpose}
    alert_routing = _routing(routing.table(ALERT, pattern="*"))
    routing.close()
    breaker = _breaker(suppliers.table(BREAKER))
    exchange = _exchange(suppliers.table(EXCHANGE))
    suppliers.close()
    for section, rule in zip(sections, rules, strict=True):
        if section.is_sound("currency") and rule.currency not in exchange:
            section.note("currency", f"{rule.currency} has no rate; allowed: what stands in [{EXCHANGE}]")
    carried = dict.fromkeys(suppliers.keys)
    carried |= {
        rule.name: rule.channel
        for section, rule in zip(sections, rules, strict=True)
        if section.is_sound("channel")
    }
    registered, must_register = read_senders(senders, carried)
    prefixes, portability = read_networks(networks)
    return SupplyPolicy(
        suppliers=rules,
        senders=registered,
        must_register=must_register,
        networks=prefixes,
        routing=MappingProxyType(weights),
        alert_routing=alert_routing,
        breaker=breaker,
        exchange=MappingProxyType(exchange),
        portability=portability,
    )


def _suppliers(table: Table) -> tuple[tuple[SupplierRule, ...], tuple[Table, ...]]:
    rules, sections = [], []
    for name in table.keys:
        if name in RESERVED or not _is_name(name):
            continue  # what is no name is told as an unknown key
        section = table.table(name, pattern="*")
        sections.append(section)
        rules.append(_supplier(section, name))
    if not rules:
        table.note(
            "", "has no supplier; allowed: at least one section named with letters, digits and hyphens"
        )
    return tuple(rules), tuple(sections)


def _is_name(name: str) -> bool:
    return len(name) <= _LONGEST_NAME and _NAME.fullmatch(name) is not None


def _supplier(table: Table, name: str) -> SupplierRule:
    kind = table.text("kind", "the name of an adapter")
    if table.is_sound("kind") and not _is_name(kind):
        table.note("kind", "is no name of an adapter; allowed: lower-case letters, digits and hyphens")
    channel = table.choice("channel", Channel)
    countries = table.texts("countries", 'an array of ISO 3166 codes such as "DE"; empty for everywhere')
    for country in countries:
        if country not in phonenumbers.SUPPORTED_REGIONS:
            table.note(
                "countries", f'"{country[:8]}" is no country with phone numbers; allowed: ISO 3166 codes'
            )
    if len(set(countries)) < len(countries):
        table.note("countries", "names a country twice; allowed: each once")
    currency = table.text("currency", "an ISO 4217 code")
    if table.is_sound("currency") and currency not in MINOR_DIGITS:
        table.note("currency", "is no active currency; allowed: an ISO 4217 code")
    prices = _prices(table)
    options: Mapping[str, object] = table.plain_values("options") if table.may_hold("options") else {}
    for path in _secrets(options):
        table.note(
            f"options.{path}", "looks like a secret; allowed: none here, secrets come from the environment"
        )
    table.close()
    return SupplierRule(name, kind, channel, countries, currency, prices, MappingProxyType(dict(options)))


def _prices(table: Table) -> tuple[NetworkPrice, ...]:
    """The rows by network, in the order in which each first stands; a network's rows ascend from 0."""
    tiers: dict[str, list[PriceTier]] = {}
    for row in table.tables("prices"):
        network = row.text("network", _ANY_NETWORK)
        tier = PriceTier(row.integer("from_messages"), row.integer("price_micros"))
        row.close()
        if row.is_sound("network") and network != _ANYWHERE and not NETWORK.fullmatch(network):
            row.note("network", f"is no network; allowed: {_ANY_NETWORK}")
            continue
        held = tiers.setdefault(network, [])
        if row.is_sound("from_messages", "network"):
            if not held and tier.from_messages:
                row.note(
                    "from_messages", f"begins at {tier.from_messages}; allowed: 0 in a network's first row"
                )
            elif held and tier.from_messages <= held[-1].from_messages:
                row.note("from_messages", f"does not ascend; allowed: more than {held[-1].from_messages}")
        held.append(tier)
    return tuple(NetworkPrice(network, tuple(held)) for network, held in tiers.items())


def _secrets(options: Mapping[str, object]) -> Iterator[str]:
    """Paths of options that hold a secret by their name. A text with a placeholder takes it from elsewhere."""
    for key, value in options.items():
        if isinstance(value, dict):
            yield from (f"{key[:40]}.{path}" for path in _secrets(value))
        elif _SECRET.search(key.lower().replace("-", "_")) and not (isinstance(value, str) and "{" in value):
            yield key[:40]


def _routing(table: Table) -> RoutingRule:
    rule = RoutingRule(price_weight=table.integer("price_weight"))
    table.close()
    return rule


def _breaker(table: Table) -> BreakerRule:
    rule = BreakerRule(
        failures=table.integer("failures"),
        window=table.integer("window"),
        open_seconds=table.integer("open_seconds"),
    )
    table.close()
    if table.is_sound("failures", "window") and rule.failures > rule.window:
        table.note("failures", f"{rule.failures} is more than window; allowed: 1 to {rule.window}")
    return rule


def _exchange(table: Table) -> dict[str, int]:
    rates = {}
    for currency in table.keys:
        if currency in MINOR_DIGITS:
            rates[currency] = table.integer(currency, bound_key="*")
    table.close()
    return rates
