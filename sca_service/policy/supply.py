"""What a bank decides about its suppliers: who carries what, where, at which price, and under which registered sender.

`suppliers.toml`, `senders.toml` and `networks.toml` hold these; `supply_reader.py` reads them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sca_service.policy.words import Channel, Occasion, Purpose


@dataclass(frozen=True, slots=True)
class PriceTier:
    """Once `from_messages` parts or calls went to the supplier in a calendar month (UTC), the next costs so much.

    `price_micros` are millionths of the supplier's currency.
    """

    from_messages: int
    price_micros: int


@dataclass(frozen=True, slots=True)
class NetworkPrice:
    """What messages to a network cost. `network` is `262-01` (MCC and MNC), `262` (a country's networks) or `*`.

    The tiers ascend, the first begins at 0.
    """

    network: str
    tiers: tuple[PriceTier, ...]


@dataclass(frozen=True, slots=True)
class SupplierRule:
    """One supplier as the policy knows it.

    `name` is its section; `kind` names the adapter (`smpp`, `kaleyra`, `sandbox`, …); `countries` are ISO 3166 codes,
    or empty for everywhere. `options` are the adapter's own, checked by the adapter; secrets are never among them: they
    come from the environment.
    """

    name: str
    kind: str
    channel: Channel
    countries: tuple[str, ...]
    currency: str
    prices: tuple[NetworkPrice, ...]
    options: Mapping[str, object]

    def serves(self, country: str) -> bool:
        """Whether it carries messages to a country (an empty one: where a channel knows no countries)."""
        return not self.countries or not country or country in self.countries


class SenderKind(StrEnum):
    """What a handset shows as the sender, by the kind of its registration."""

    ALPHANUMERIC = "alphanumeric"
    SHORT_CODE = "short_code"
    LONG_NUMBER = "long_number"
    TEN_DLC = "10dlc"  # USA: brand and campaign at The Campaign Registry
    DLT = "dlt"  # India: entity, header and content template (TRAI TCCCPR 2018)


@dataclass(frozen=True, slots=True)
class SenderRule:
    """One registered sender in one country (`*`: wherever no other is registered and none needs to be).

    `suppliers` are those it is registered with, empty for all. `templates` are the registered content templates by
    occasion (India DLT); `entity` is the DLT principal entity, `brand` and `campaign` those of 10DLC.
    """

    country: str
    channel: Channel
    id: str
    kind: SenderKind
    suppliers: tuple[str, ...] = ()
    entity: str = ""
    brand: str = ""
    campaign: str = ""
    templates: Mapping[Occasion, str] | None = None

    def template_for(self, occasion: Occasion) -> str:
        """The registered template of an occasion, or nothing."""
        return (self.templates or {}).get(occasion, "")


@dataclass(frozen=True, slots=True)
class NetworkPrefix:
    """Numbers that begin with these digits (country code first, no `+`) belong to this network, unless ported."""

    prefix: str
    network: str


@dataclass(frozen=True, slots=True)
class RoutingRule:
    """How routes are weighed for a purpose: 0 looks at quality alone, 100 at price alone."""

    price_weight: int


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """When a supplier is left alone: `failures` of the last `window` sends, for `open_seconds`; then one probe."""

    failures: int
    window: int
    open_seconds: int


class Lookup(StrEnum):
    """How a number's network is asked for, since numbers move from network to network."""

    NONE = "none"  # by the number's prefix alone
    ENUM = "enum"  # NAPTR records in the DNS (RFC 6116)
    HTTP = "http"  # an HLR look-up service over HTTP


@dataclass(frozen=True, slots=True)
class PortabilityRule:
    """How the network of a number is looked up (MNP look-up), and for how long an answer is believed.

    Without an answer within `timeout_ms` the prefix decides. `server` is the DNS server of ENUM as `192.0.2.53` or
    `192.0.2.53:5353`, empty for the machine's own; `zone` its suffix. `url` and `body` are those of the HTTP look-up,
    with `{number}` for the digits of the number (country code first, no `+`); with a body it is a POST. `pointer`
    (RFC 6901) tells where in its JSON answer MCC and MNC stand.
    """

    lookup: Lookup = Lookup.NONE
    timeout_ms: int = 300
    remember_seconds: int = 86_400
    remember_unknown_seconds: int = 3_600
    server: str = ""
    zone: str = ""
    url: str = ""
    body: str = ""
    pointer: str = ""


@dataclass(frozen=True, slots=True)
class SupplyPolicy:
    """Everything a bank decides about its suppliers, as one value.

    `must_register` are the countries that refuse an unregistered sender. `alert_routing` weighs alerts. `exchange`
    makes prices comparable: one unit of a currency is worth so many millionths of the bank's own.
    """

    suppliers: tuple[SupplierRule, ...]
    senders: tuple[SenderRule, ...]
    must_register: frozenset[str]
    networks: tuple[NetworkPrefix, ...]
    routing: Mapping[Purpose, RoutingRule]
    alert_routing: RoutingRule
    breaker: BreakerRule
    exchange: Mapping[str, int] = field(default_factory=dict)
    portability: PortabilityRule = PortabilityRule()
