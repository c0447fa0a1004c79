"""The servers that a URL names, as libpq reads them."""

import pytest

from sca_service.kernel.primary import Address, addresses_of


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("postgresql:///sca", []),
        ("postgresql://sca@/sca", []),
        ("postgresql://sca:a%40b@db/sca", [Address("db", 5432)]),
        ("postgresql://sca@a:6000,b/sca?sslmode=require", [Address("a", 6000), Address("b", 5432)]),
        (
            "postgresql://sca@[::1]:6000,[2001:db8::1]/sca",
            [Address("::1", 6000), Address("2001:db8::1", 5432)],
        ),
        ("postgresql://sca@/sca?host=/run/a,/run/b", [Address("/run/a", 5432), Address("/run/b", 5432)]),
        ("postgresql://sca@/sca?host=a,b&port=6000,6001", [Address("a", 6000), Address("b", 6001)]),
        ("postgresql://sca@a,b/sca?port=6000", [Address("a", 6000), Address("b", 6000)]),
    ],
)
def test_hosts_and_ports(url: str, addresses: list[Address]) -> None:
    """Before the path or behind it, with a port for each, one for all, or the usual one."""
    assert list(addresses_of(url)) == addresses


def test_ports_that_do_not_fit() -> None:
    """Two hosts and three ports are a mistake."""
    with pytest.raises(ValueError, match="as many ports as hosts"):
        addresses_of("postgresql://sca@/sca?host=a,b&port=1,2,3")
