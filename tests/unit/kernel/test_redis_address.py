"""One URL says where Redis is: one server, a primary among its replicas, sentinels, a cluster."""

import pytest

from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.redis.address import Address, Arrangement, RedisAddress
from sca_service.kernel.redis.commands import Command, Script, slot_of


@pytest.mark.parametrize(
    ("url", "arrangement", "addresses", "first"),
    [
        (
            "unix:///run/valkey.sock",
            Arrangement.ONE,
            [("unix:///run/valkey.sock", 0)],
            "unix:///run/valkey.sock",
        ),
        ("redis://a", Arrangement.ONE, [("a", 6379)], "redis://a:6379"),
        ("rediss://sca:pw@a:7000/2?ssl_ca_certs=/ca", Arrangement.ONE, [("a", 7000)], None),
        ("redis://:pw@a,b:1/1", Arrangement.PRIMARY, [("a", 6379), ("b", 1)], "redis://:pw@a:6379/1"),
        ("redis+cluster://[::1]:1,b:2", Arrangement.CLUSTER, [("::1", 1), ("b", 2)], "redis://[::1]:1"),
        ("rediss+cluster://sca:pw@a:1?ssl_ca_certs=/ca", Arrangement.CLUSTER, [("a", 1)], None),
        ("redis+sentinel://s,t:1/main", Arrangement.SENTINEL, [("s", 26379), ("t", 1)], None),
    ],
)
def test_the_form_of_a_url_tells_the_arrangement(
    url: str, arrangement: Arrangement, addresses: list[tuple[str, int]], first: str | None
) -> None:
    """What is not named is the usual port; login, database and TLS files hold for each server."""
    parsed = RedisAddress.parse(url)
    assert parsed.arrangement is arrangement
    assert parsed.addresses == tuple(Address(*one) for one in addresses)
    if first is None:
        first = url.replace("+cluster", "").replace("+sentinel", "").replace("s,t:1/main", "s:26379")
    assert parsed.url_of(parsed.addresses[0]) == first
    assert "pw" not in repr(parsed)


@pytest.mark.parametrize(
    "url",
    ["", "http://a", "redis://", "redis://a:b", "redis://a,,b", "redis+sentinel://a", "redis://a b@c@d"],
)
def test_what_is_no_such_url_is_refused_and_not_quoted(url: str) -> None:
    """A URL may hold a password."""
    with pytest.raises(ConfigurationError) as refused:
        RedisAddress.parse(url)
    assert not url or url not in str(refused.value)


def test_a_sentinel_is_not_told_the_servers_password() -> None:
    """It is another server, reached in the same way."""
    parsed = RedisAddress.parse("rediss+sentinel://sca:pw@s,t/main?ssl_ca_certs=/ca")
    assert parsed.watched == "main"
    assert parsed.url_of_sentinel(parsed.addresses[1]) == "rediss://t:26379?ssl_ca_certs=/ca"
    assert parsed.url_of(Address("a", 1)) == "rediss://sca:pw@a:1?ssl_ca_certs=/ca"


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        ("123456789", 12739),
        ("{user1000}.following", 3443),
        ("foo{}{bar}", 8363),
        ("foo{{bar}}zap", 4015),
        (b"foo", 12182),
    ],
)
def test_a_key_has_the_slot_of_the_specification(key: str | bytes, slot: int) -> None:
    """The examples of the Redis Cluster specification, with the slots that a server computes for them."""
    assert slot_of(key) == slot


def test_a_command_lies_where_its_keys_lie() -> None:
    """A script's first key, a command's, the key that a question is about, or nowhere."""
    script = Script("one", "return 1", "0" * 40)
    assert Command.of(script, ("foo", "{foo}:2"), (1,)).slot == slot_of("foo")
    assert Command(("GET", "foo")).slot == slot_of("foo")
    assert Command(("TIME",), at="foo").slot == slot_of("foo")
    assert Command(("TIME",)).slot is None
