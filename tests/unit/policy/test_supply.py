"""Suppliers, senders and networks: what a bank writes is understood, or told where it stands."""

from collections.abc import Callable
from pathlib import Path

import phonenumbers
import pytest

from sca_service.policy.load import load, mistakes
from sca_service.policy.supply import (
    Lookup,
    NetworkPrice,
    PriceTier,
    SenderKind,
    SupplierRule,
    SupplyPolicy,
)
from sca_service.policy.words import Channel, Occasion, Purpose
from sca_service.routing.choose import choose_route
from sca_service.routing.countries import COUNTRY_CODES
from sca_service.routing.model import Destination, RouteRequest
from sca_service.routing.scorecard import Scorecard

Edit = Callable[[str, str, str], list[str]]

AGGREGATOR = """
[my-aggregator]
kind = "smpp"
channel = "sms"
countries = ["DE", "AT"]
currency = "EUR"
prices = [
    { network = "*", from_messages = 0, price_micros = 80_000 },
    { network = "262", from_messages = 0, price_micros = 65_000 },
    { network = "262", from_messages = 100_000, price_micros = 60_000 },
    { network = "262-01", from_messages = 0, price_micros = 63_000 },
]

[my-aggregator.options]
host = "smsc.example"
port = 2775
window = 10
tls = true
weights = [0.5, 1]
password_file = "/run/secrets/smpp"

[my-aggregator.options.headers]
X-Api-Key = "{secret.api_key}"
"""
FIRST_PRICE = '{ network = "262", from_messages = 0, price_micros = 65_000 },'


@pytest.fixture
def supplied(folder: Path) -> Path:
    """The shipped policy with one more supplier."""
    path = folder / "suppliers.toml"
    path.write_text(AGGREGATOR + path.read_text("utf-8"), "utf-8")
    return folder


def held(folder: Path) -> SupplyPolicy:
    """What the files say about suppliers."""
    return load(folder).supply


def test_the_shipped_suppliers_are_the_sandboxs(shipped: Path) -> None:
    """One for each channel, everywhere, at the prices that the sandbox always had."""
    supply = held(shipped)
    assert [(rule.name, rule.kind, rule.channel) for rule in supply.suppliers] == [
        (f"sandbox-{channel}", "sandbox", channel) for channel in Channel
    ]
    prices = {rule.channel: rule.prices[0].tiers[0].price_micros for rule in supply.suppliers}
    assert (prices[Channel.SMS], prices[Channel.VOICE], prices[Channel.PUSH]) == (70_000, 120_000, 10_000)
    assert {rule.currency for rule in supply.suppliers} == {"EUR"}
    assert supply.portability.lookup is Lookup.NONE
    assert supply.routing[Purpose.PAYMENT].price_weight < supply.alert_routing.price_weight


@pytest.mark.parametrize("channel", Channel)
def test_the_sandbox_sends_to_every_country(shipped: Path, channel: Channel) -> None:
    """Also to those that want a registration, for every occasion: examples stand for it."""
    supply = held(shipped)
    unreached = [
        (country, occasion)
        for country, codes in COUNTRY_CODES.items()
        for occasion in Occasion
        if choose_route(
            RouteRequest(channel, Destination(country, codes[0]), Purpose.PAYMENT, occasion),
            supply,
            Scorecard(),
            volumes={},
        ).route
        is None
    ]
    assert unreached == []


def test_the_examples_count_for_the_sandbox_alone(shipped: Path) -> None:
    """No real supplier takes them for registrations."""
    supply = held(shipped)
    assert {sender.suppliers for sender in supply.senders if sender.country != "*"} == {("sandbox-sms",)}
    registered = {sender.country for sender in supply.senders}
    assert supply.must_register <= registered
    assert supply.must_register <= set(phonenumbers.SUPPORTED_REGIONS)


def test_a_supplier_is_read_with_its_tiers_and_options(supplied: Path) -> None:
    """Prices by network in the order of the file; options as they stand."""
    rule = held(supplied).suppliers[0]
    assert (rule.name, rule.kind, rule.channel, rule.countries) == (
        "my-aggregator",
        "smpp",
        "sms",
        ("DE", "AT"),
    )
    assert rule.prices == (
        NetworkPrice("*", (PriceTier(0, 80_000),)),
        NetworkPrice("262", (PriceTier(0, 65_000), PriceTier(100_000, 60_000))),
        NetworkPrice("262-01", (PriceTier(0, 63_000),)),
    )
    assert rule.options["port"] == 2775
    assert rule.options["weights"] == [0.5, 1]
    assert rule.options["headers"] == {"X-Api-Key": "{secret.api_key}"}


def test_a_supplier_serves_its_countries() -> None:
    """None named is everywhere; a channel that knows no countries is served by all."""
    rule = SupplierRule("one", "sandbox", Channel.SMS, ("DE",), "EUR", (), {})
    assert [rule.serves(country) for country in ("DE", "FR", "")] == [True, False, True]


def test_options_are_part_of_the_digest(supplied: Path, edit: Edit) -> None:
    """A decision tells by which suppliers it was taken, to the last option."""
    before = load(supplied).digest
    assert edit("suppliers.toml", "window = 10", "window = 11") == []
    assert load(supplied).digest != before


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('kind = "smpp"', 'kind = "smpp 3.4"', "my-aggregator.kind: is no name of an adapter"),
        ('"DE", "AT"]', '"DE", "EU"]', 'my-aggregator.countries: "EU" is no country'),
        ('"DE", "AT"]', '"DE", "DE"]', "my-aggregator.countries: names a country twice"),
        ('"DE", "AT"]', '"DE", 49]', "my-aggregator.countries[2]: is a whole number; allowed: a string"),
        ('network = "262-01"', 'network = "26201"', "my-aggregator.prices[4].network: is no network"),
        ('network = "262-01"', 'network = "901-01"', "my-aggregator.prices[4].network: is no network"),
        (
            FIRST_PRICE,
            FIRST_PRICE.replace("from_messages = 0", "from_messages = 5"),
            "my-aggregator.prices[2].from_messages: begins at 5; allowed: 0 in a network's first row",
        ),
        (
            "from_messages = 100_000",
            "from_messages = 0",
            "my-aggregator.prices[3].from_messages: does not ascend; allowed: more than 0",
        ),
        (
            "price_micros = 63_000",
            "price_micros = -1",
            "my-aggregator.prices[4].price_micros: -1 is too little; allowed: 0 to 1000000000",
        ),
        ("port = 2775", "port = 2026-11-22", "my-aggregator.options.port: is a date or time; allowed:"),
        ("weights = [0.5, 1]", "weights = [inf]", "my-aggregator.options.weights[1]: is a fraction"),
    ],
)
def test_a_supplier_that_is_not_one_is_a_mistake(
    supplied: Path, edit: Edit, old: str, new: str, expected: str
) -> None:
    """Each told where it stands."""
    found = edit("suppliers.toml", old, new)
    assert len(found) == 1
    assert found[0].startswith(f"suppliers.toml:{expected}")


@pytest.mark.parametrize(
    "name", ["My_Aggregator", "my_aggregator", "-my", "1st", "a" * 41, '"my aggregator"']
)
def test_a_section_that_is_no_name_is_a_mistake(supplied: Path, name: str) -> None:
    """The name stands in URLs, in metrics and in the names of variables."""
    path = supplied / "suppliers.toml"
    path.write_text(path.read_text("utf-8").replace("[my-aggregator", f"[{name}"), "utf-8")
    (found,) = mistakes(supplied)
    assert found.startswith(f"suppliers.toml:{name.strip(chr(34))[:41]}: unknown key; allowed: ")


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "smpp-password",
        "secret",
        "client_secret",
        "api_key",
        "apikey",
        "X-Auth-Token",
        "private_key",
        "credentials",
        "Bearer",
        "passphrase",
        "account_key",
    ],
)
@pytest.mark.parametrize("value", ['"hunter2"', "1234", '["x"]'])
def test_a_secret_among_the_options_is_a_mistake(supplied: Path, edit: Edit, key: str, value: str) -> None:
    """It would stand in the policy's folder, and its digest in the log; the value is not quoted."""
    found = edit("suppliers.toml", "window = 10", f"{key} = {value}")
    assert found == [
        f"suppliers.toml:my-aggregator.options.{key}: looks like a secret; "
        "allowed: none here, secrets come from the environment"
    ]


@pytest.mark.parametrize(
    "key", ["password_file", "key_id", "token_url", "max_tokens", "public_key", "secretary"]
)
def test_what_only_names_a_secret_is_none(supplied: Path, edit: Edit, key: str) -> None:
    """A path to a file, a public key, the name of a key."""
    assert edit("suppliers.toml", 'password_file = "/run', f'{key} = "/run') == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("failures = 10 ", "failures = 21 ", "breaker.failures: 21 is more than window; allowed: 1 to 20"),
        (
            "open_seconds = 30 ",
            "open_seconds = 0 ",
            "breaker.open_seconds: 0 is too little; allowed: 1 to 3600",
        ),
        (
            "[routing.alert]\nprice_weight = 90",
            "[routing.alert]\nprice_weight = 101",
            "routing.alert.price_weight: 101 is too much; allowed: 0 to 100",
        ),
        ("[routing.alert]", "[routing.alerts]", "routing.alert: missing; allowed: a table"),
        ("EUR = 1_000_000", "USD = 1_000_000", "sandbox-sms.currency: EUR has no rate"),
        ("EUR = 1_000_000", "EUR = 1_000_000\nEURO = 1", "exchange.EURO: unknown key"),
    ],
)
def test_rules_for_all_suppliers_are_checked_too(edit: Edit, old: str, new: str, expected: str) -> None:
    """Breaker, weights and rates."""
    assert edit("suppliers.toml", old, new)[0].startswith(f"suppliers.toml:{expected}")


def test_a_policy_without_a_supplier_is_a_mistake(folder: Path) -> None:
    """Nothing could be sent."""
    path = folder / "suppliers.toml"
    text = path.read_text("utf-8")
    path.write_text(text[text.index("[routing.login]") :], "utf-8")
    found = mistakes(folder)
    assert found[0].startswith("suppliers.toml: has no supplier; allowed: at least one section")


SENDER = """
[[sender]]
country = "DE"
channel = "sms"
id = "BANKDE"
kind = "alphanumeric"
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"DE"', '"EU"', "country: is no country"),
        ('"sms"', '"rcs"', "channel: rcs shows what its supplier has verified; allowed: sms, voice"),
        ('"BANKDE"', '"TWELVE LETTERS"', "id: is no sender of kind alphanumeric; allowed: 1 to 11 letters"),
        ('"BANKDE"', '"12345"', "id: is no sender of kind alphanumeric"),
        ('"alphanumeric"', '"short_code"', "id: is no sender of kind short_code; allowed: 3 to 8 digits"),
        ('"alphanumeric"', '"long_number"', "id: is no sender of kind long_number; allowed: + and 7"),
        ('"alphanumeric"', '"alphanumeric"\nentity = "1101"', "entity: does not fit kind alphanumeric"),
        ('"alphanumeric"', '"alphanumeric"\nbrand = "a b"', "brand: is no registration"),
        (
            '"alphanumeric"',
            '"alphanumeric"\nsuppliers = ["nobody"]',
            'suppliers: "nobody" is no supplier; allowed: sections of suppliers.toml',
        ),
        (
            '"alphanumeric"',
            '"alphanumeric"\nsuppliers = ["sandbox-voice"]',
            'suppliers: "sandbox-voice" carries voice; allowed: those of its channel',
        ),
        (
            '"alphanumeric"',
            '"alphanumeric"\ncolour = "red"',
            "colour: unknown key; allowed: country, channel",
        ),
    ],
)
def test_a_sender_that_cannot_be_shown_is_a_mistake(folder: Path, old: str, new: str, expected: str) -> None:
    """Each told by its position in the file."""
    path = folder / "senders.toml"
    text = path.read_text("utf-8")
    at = text.count("[[sender]]") + 1
    path.write_text(text + SENDER.replace(old, new), "utf-8")
    assert mistakes(folder)[0].startswith(f"senders.toml:sender[{at}].{expected}")


@pytest.mark.parametrize(
    ("kind", "sender_id", "wrong", "missing"),
    [
        (SenderKind.TEN_DLC, "+12025550123", "CA", ["brand", "campaign"]),
        (SenderKind.DLT, "SNDBOX", "LK", ["entity", "templates"]),
    ],
)
def test_a_national_registration_is_whole_and_at_home(
    folder: Path, kind: SenderKind, sender_id: str, wrong: str, missing: list[str]
) -> None:
    """10DLC needs brand and campaign, DLT entity and templates; neither counts in another country."""
    path = folder / "senders.toml"
    rows = SENDER.replace("BANKDE", sender_id).replace("alphanumeric", kind).replace('"DE"', f'"{wrong}"')
    path.write_text(path.read_text("utf-8") + rows, "utf-8")
    found = [line.partition("].")[2] for line in mistakes(folder)]
    assert [line.partition(":")[0] for line in found] == ["country", *missing]
    assert f"is a registration of {'US' if kind is SenderKind.TEN_DLC else 'IN'}" in found[0]


@pytest.mark.parametrize(
    ("portability", "expected"),
    [
        ('lookup = "enum"\nzone = "e164.arpa"', ""),
        ('lookup = "enum"\nzone = "e164.arpa"\nserver = "192.0.2.53"', ""),
        ('lookup = "enum"\nzone = "e164.arpa"\nserver = "[2001:db8::1]:5353"', ""),
        ('lookup = "enum"\nzone = "e164.arpa"\nserver = "dns.example"', "server: is no DNS server"),
        ('lookup = "enum"', "zone: is no DNS name"),
        (
            'lookup = "enum"\nzone = "e164.arpa"\nurl = "https://hlr.example"',
            'url: does not fit lookup = "enum"',
        ),
        ('lookup = "http"\nurl = "https://hlr.example/{number}"\npointer = "/mccmnc"', ""),
        (
            'lookup = "http"\nurl = "https://hlr.example"\nbody = \'{"n": "{number}"}\'\npointer = "/a/0"',
            "",
        ),
        ('lookup = "http"\nurl = "https://hlr.example"\npointer = "/a"', "url: needs {number} once"),
        ('lookup = "http"\nurl = "ftp://x/{number}"\npointer = "/a"', "url: is no URL"),
        ('lookup = "http"\nurl = "https://a:b@x/{number}"\npointer = "/a"', "url: is no URL"),
        ('lookup = "http"\nurl = "https://x/{number}"\npointer = "a"', "pointer: is no JSON pointer"),
        ('lookup = "none"\nserver = "192.0.2.53"', 'server: does not fit lookup = "none"'),
    ],
)
def test_a_look_up_is_whole_or_a_mistake(folder: Path, portability: str, expected: str) -> None:
    """What another kind of look-up needs does not stand beside it."""
    (folder / "networks.toml").write_text(
        f"[portability]\ntimeout_ms = 300\nremember_seconds = 60\nremember_unknown_seconds = 60\n{portability}\n",
        "utf-8",
    )
    found = mistakes(folder)
    assert [line.startswith(f"networks.toml:portability.{expected}") for line in found] == [True] * bool(
        expected
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('prefix = "49151"', 'prefix = "+49151"', "network[1].prefix: is no prefix"),
        ('prefix = "49151"', 'prefix = "49160"', 'network[2].prefix: "49160" stands twice'),
        (
            'prefix = "49151"\nnetwork = "262-01"',
            'prefix = "49151"\nnetwork = "26201"',
            "network[1].network: is",
        ),
    ],
)
def test_a_prefix_leads_to_one_network(edit: Edit, old: str, new: str, expected: str) -> None:
    """And is written without a plus."""
    found = edit("networks.toml", old, new)
    assert len(found) == 1
    assert found[0].startswith(f"networks.toml:{expected}")
