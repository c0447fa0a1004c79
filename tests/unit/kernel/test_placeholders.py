"""Secrets that keep nothing secret are told from real ones."""

import base64
import secrets

import pytest

from sca_service.kernel.placeholders import is_placeholder, placeholders

NO_SECRETS = (
    *(
        "",
        " ",
        "aaaaaaaa",
        "--------",
        "abababab",
        "password",
        "PASSWORD",
        " secret ",
        "pass-word",
        "1234",
        "0000",
    ),
    *(
        "changeme",
        "change-me",
        "Change_Me_Please",
        "replace me",
        "an-example-key",
        "my-dummy-key",
        "your-secret",
    ),
    *(
        "<the key>",
        "${SUPPLIER_KEY}",
        "{{ vault.key }}",
        "…",
        "sk_live_...",
        "xxxxxxxx",
        "placeholder-2",
        "none",
    ),
)


@pytest.mark.parametrize("text", NO_SECRETS)
def test_a_default_an_empty_one_and_an_example_are_none(text: str) -> None:
    """However they are written."""
    assert is_placeholder(text)


@pytest.mark.parametrize(
    "text", ["kolibri8", "correct horse battery staple", "7391", "a1b2c3", "-----BEGIN KEY-----"]
)
def test_what_somebody_gave_out_is_one(text: str) -> None:
    """Also when it is short: a supplier gives out what it gives out."""
    assert not is_placeholder(text)


def test_what_is_drawn_by_chance_is_one() -> None:
    """Hex, base64url and base64, by the thousand."""
    for _ in range(1_000):
        drawn = secrets.token_bytes(24)
        assert not is_placeholder(drawn.hex())
        assert not is_placeholder(base64.b64encode(drawn).decode())


@pytest.mark.parametrize(
    "url",
    [
        "redis://:changeme@redis.bank:6379/0",
        "postgresql://sca:postgres@db.bank/sca",
        "postgresql://sca:post%67res@one.bank:5432,two.bank:5432/sca",
        "postgresql://sca:@db.bank/sca",
        "postgresql://db.bank/sca?user=sca&password=secret",
    ],
)
def test_a_password_in_a_url_is_looked_at(url: str) -> None:
    """Wherever the URL holds it."""
    assert list(placeholders({}, {"url": url})) == ["url"]


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis.example:6379",
        "unix:///run/redis.sock",
        "postgresql://sca@db.example/sca",
        "",
        "http://[",
    ],
)
def test_a_url_without_a_password_is_none_of_ours(url: str) -> None:
    """Certificates or the network may say who calls; the names of hosts are no secrets."""
    assert list(placeholders({}, {"url": url})) == []
