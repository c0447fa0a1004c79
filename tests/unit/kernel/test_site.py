"""Where passkeys are good: a domain and origins that browsers will accept for it, or no start at all."""

from typing import Any

import pytest

from sca_service.kernel.site import Site, read_site

RP_ID = "passkeys.rp_id: must be a domain, in lower case and without a port"
ORIGINS = "passkeys.origins: must be origins such as https://pay.bank.example, each of rp_id or below it"


@pytest.mark.parametrize(
    ("rp_id", "origins"),
    [
        ("bank.example", ["https://bank.example"]),
        ("bank.example", ["https://pay.bank.example", "https://a.b.bank.example:8443"]),
        ("xn--bnk-qla.example", ["https://xn--bnk-qla.example"]),
        ("localhost", ["http://localhost:8080", "https://localhost"]),
    ],
)
def test_a_site_is_read(rp_id: str, origins: list[str]) -> None:
    """The domain itself or below it, over HTTPS, or on this machine (WebAuthn section 5.1.3)."""
    mistakes: list[str] = []
    assert read_site({"rp_id": rp_id, "origins": origins}, mistakes) == Site(rp_id, tuple(origins))
    assert mistakes == []


def test_left_out_there_is_none() -> None:
    """Passkeys are not taken then, and nothing is wrong."""
    mistakes: list[str] = []
    assert read_site({}, mistakes) is None
    assert mistakes == []


@pytest.mark.parametrize(
    ("rp_id", "origins", "found"),
    [
        (None, ["https://bank.example"], [RP_ID, ORIGINS]),
        ("", ["https://bank.example"], [RP_ID, ORIGINS]),
        (7, ["https://bank.example"], [RP_ID, ORIGINS]),
        ("BANK.example", ["https://BANK.example"], [RP_ID, ORIGINS]),
        ("bank.example.", ["https://bank.example"], [RP_ID, ORIGINS]),
        ("-bank.example", ["https://-bank.example"], [RP_ID]),
        ("https://bank.example", ["https://bank.example"], [RP_ID, ORIGINS]),
        ("bank.example:443", ["https://bank.example"], [RP_ID, ORIGINS]),
        ("bank.example\n", ["https://bank.example"], [RP_ID, ORIGINS]),
        ("bank.example", None, [ORIGINS]),
        ("bank.example", [], [ORIGINS]),
        ("bank.example", "https://bank.example", [ORIGINS]),
        ("bank.example", [7], [ORIGINS]),
        ("bank.example", ["http://bank.example"], [ORIGINS]),
        ("bank.example", ["https://bank.example/"], [ORIGINS]),
        ("bank.example", ["https://bank.example/pay"], [ORIGINS]),
        ("bank.example", ["https://anna@bank.example"], [ORIGINS]),
        ("bank.example", ["https://bank.example\n"], [ORIGINS]),
        ("bank.example", ["https://Bank.example"], [ORIGINS]),
        ("bank.example", ["https://evilbank.example"], [ORIGINS]),
        ("bank.example", ["https://bank.example.evil"], [ORIGINS]),
        ("bank.example", ["https://example"], [ORIGINS]),
        ("bank.example", ["https://bank.example", "https://evil.example"], [ORIGINS]),
        ("localhost", ["http://127.0.0.1:8080"], [ORIGINS]),
    ],
)
def test_what_no_browser_would_take_is_told(rp_id: Any, origins: Any, found: list[str]) -> None:
    """At the start, and not by payers whose passkeys cannot be made."""
    mistakes: list[str] = []
    content = {"rp_id": rp_id, "origins": origins}
    read_site({name: value for name, value in content.items() if value is not None}, mistakes)
    assert mistakes == found
