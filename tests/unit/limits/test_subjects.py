"""Whose actions are counted together: what is the same subject, and what is another one."""

from pathlib import Path

import pytest

from sca_service.kernel.keyring import Keyring, create_keyring_text
from sca_service.kernel.phone import PhoneNumber
from sca_service.limits.subjects import Subjects, limits_on
from sca_service.policy.load import load
from sca_service.policy.model import LimitedAction, LimitScope

POLICIES = Path(__file__).resolve().parents[3] / "policies"
GERMAN = "+4915112345678"


@pytest.fixture(scope="module")
def keyring() -> Keyring:
    """Keys that pseudonyms are made with."""
    return Keyring.parse(create_keyring_text())


def subjects(**members: str) -> Subjects:
    """A payment from a bank's page."""
    known = {"client": "bank", "payer": "payer", "ip": "203.0.113.7", "device": "d-77"} | members
    line = PhoneNumber.parse(known.pop("phone", GERMAN))
    return Subjects(line=line, **({"address": "198.51.100.7"} | known))


ONE_ANOTHER = {
    "spelling": (LimitScope.PHONE, {"phone": "0049 (0)151 1234-5678"}),
    "full width": (LimitScope.PHONE, {"phone": "tel:＋４９ 151 12345678"}),
    "phone over clients": (LimitScope.PHONE, {"client": "other"}),
    "prefix": (LimitScope.PREFIX, {"phone": "+4915112340001"}),
    "prefix over clients": (LimitScope.PREFIX, {"client": "other"}),
    "country": (LimitScope.COUNTRY, {"phone": "+493012345678"}),
    "client": (LimitScope.CLIENT, {"payer": "another"}),
    "ip": (LimitScope.IP, {"payer": "another", "device": "another"}),
    "mapped ip": (LimitScope.IP, {"ip": "::ffff:203.0.113.7"}),
    "device": (LimitScope.DEVICE, {"payer": "another", "ip": "192.0.2.1"}),
    "address over clients": (LimitScope.ADDRESS, {"client": "other", "ip": "192.0.2.1"}),
    "mapped address": (LimitScope.ADDRESS, {"address": "::ffff:198.51.100.7"}),
}
APART = {
    "phone": (LimitScope.PHONE, {"phone": "+4915112345679"}),
    "prefix": (LimitScope.PREFIX, {"phone": "+4915112355678"}),
    "country": (LimitScope.COUNTRY, {"phone": "+436641234567"}),
    "client": (LimitScope.CLIENT, {"client": "other"}),
    "ip": (LimitScope.IP, {"ip": "203.0.113.8"}),
    "ip of clients": (LimitScope.IP, {"client": "other"}),
    "device": (LimitScope.DEVICE, {"device": "d-78"}),
    "device of clients": (LimitScope.DEVICE, {"client": "other"}),
    "payer": (LimitScope.PAYER, {"payer": "another"}),
    "address": (LimitScope.ADDRESS, {"address": "198.51.100.8"}),
}


@pytest.mark.parametrize("name", ONE_ANOTHER)
def test_these_are_counted_together(keyring: Keyring, name: str) -> None:
    """However a number is spelled, and whatever else is another one."""
    scope, other = ONE_ANOTHER[name]
    assert subjects().pseudonym(scope, keyring) == subjects(**other).pseudonym(scope, keyring)


@pytest.mark.parametrize("name", APART)
def test_these_are_counted_apart(keyring: Keyring, name: str) -> None:
    """What a bank says of devices and addresses counts for that bank only."""
    scope, other = APART[name]
    assert subjects().pseudonym(scope, keyring) != subjects(**other).pseudonym(scope, keyring)


def test_a_pseudonym_tells_nothing(keyring: Keyring) -> None:
    """No number, address or device stands in a key of Redis."""
    known = subjects()
    for scope in set(LimitScope) - {LimitScope.PAYER, LimitScope.SUPPLIER}:
        name = known.pseudonym(scope, keyring)
        assert name is not None
        assert len(name) == 32
        assert not any(part in name for part in ("4915112345678", "203.", "198.", "d-77", "bank"))


def test_addresses_of_one_ipv6_connection_are_counted_together(keyring: Keyring) -> None:
    """Whoever has a /64 has all its addresses; whoever has the next /64 is somebody else."""
    names = [
        subjects(ip=ip).pseudonym(LimitScope.IP, keyring)
        for ip in ("2001:db8:1:2::1", "2001:db8:1:2:aaaa:bbbb:cccc:dddd", "2001:db8:1:3::1")
    ]
    assert names[0] == names[1] != names[2]


def test_caribbean_numbers_are_no_american_ones(keyring: Keyring) -> None:
    """Jamaica and the Dominican Republic share +1 with the United States, and are what pumped traffic is sent to."""
    numbers = ("+12025550123", "+18765550123", "+18095550123")
    countries = [PhoneNumber.parse(number).country for number in numbers]
    names = {subjects(phone=number).pseudonym(LimitScope.COUNTRY, keyring) for number in numbers}
    assert countries == ["US", "JM", "DO"]
    assert len(names) == 3


@pytest.mark.parametrize("scope", [*LimitScope])
def test_what_is_not_known_is_not_counted(keyring: Keyring, scope: LimitScope) -> None:
    """A bank that names no device has no device limit; nothing unknown is thrown together."""
    assert Subjects().pseudonym(scope, keyring) is None


def test_the_shipped_limits_have_scopes_that_are_known() -> None:
    """Each shipped limit but those of money counts by something that an action has."""
    keyring = Keyring.parse(create_keyring_text())
    for rule in load(POLICIES).limits:
        assert subjects().pseudonym(rule.scope, keyring) is not None


def test_limits_on_answers_lie_together(keyring: Keyring) -> None:
    """All of them in one step, under the client; every other limit lies where its subject does."""
    policy = load(POLICIES)
    of_answers = limits_on(policy, keyring, LimitedAction.VERIFY, subjects())
    assert {limit.slot for limit in of_answers} == {keyring.pseudonym("client", "bank")}
    assert len({limit.subject for limit in of_answers}) == 2
    others = [
        limit
        for action in set(LimitedAction) - {LimitedAction.VERIFY}
        for limit in limits_on(policy, keyring, action, subjects())
    ]
    assert {limit.slot for limit in others} == {""}
