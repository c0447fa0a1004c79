"""Limits on what goes out, on the real Redis: of a block of numbers, of a country, and of money."""

import secrets
from collections.abc import Sequence
from dataclasses import replace

import pytest

from sca_service.challenges.sending_limits import SendingLimits
from sca_service.delivery.dispatch import Plan
from sca_service.delivery.supplier import Message
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.money import Price
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.secret import Secret
from sca_service.limits.redis_store import LimitStore
from sca_service.policy.load import load
from sca_service.policy.model import AtLimit, Channel, LimitedAction, LimitRule, LimitScope
from sca_service.routing.model import Route
from sca_service.settings import shipped_policies

POLICY = load(shipped_policies())


def rule(scope: LimitScope, count: int, at_limit: AtLimit = AtLimit.NEXT_CHANNEL) -> LimitRule:
    """So many a day."""
    name = f"send-{secrets.token_hex(4)}"  # a limit of its own for each test, whatever numbers the others use
    return LimitRule(name, LimitedAction.SEND, scope, count, 86_400, burst=count, at_limit=at_limit)


class Office:
    """Sends to numbers. A class because it holds the limits."""

    def __init__(self, redis: RedisConnection, keyring: Keyring, rules: Sequence[LimitRule]) -> None:
        policy = replace(POLICY, limits=tuple(rules))
        supply = replace(POLICY.supply, exchange={"EUR": 1_000_000, "INR": 11_000})
        store = LimitStore(redis)
        self.limits = SendingLimits(policy=policy, supply=supply, keyring=keyring, limits=store)

    async def passes(self, phone: str, channel: Channel = Channel.SMS) -> bool:
        """Whether one more message to a number may be sent."""
        message = Message("", channel, Secret(phone), Secret(""), "en")
        number = PhoneNumber.parse(phone) if channel.needs_phone else None
        return await self.limits.take(Plan(message, number, None)) is not None

    async def pays(self, supplier: str, price: Price | None) -> bool:
        """Whether one more message of this price may be sent with a supplier."""
        route = Route(supplier, Channel.SMS, "", None, price, ())
        return await self.limits.take_money(route) is not None


async def test_hopping_through_a_block_of_numbers_does_not_help(
    redis: RedisConnection, keyring: Keyring
) -> None:
    """Each number is a new one, and all of a block are counted together; the next block is another one."""
    office = Office(redis, keyring, [rule(LimitScope.PREFIX, 5)])
    hops = [await office.passes(f"+491511234{at:04d}") for at in range(0, 9_000, 1_000)]
    assert hops == [True] * 5 + [False] * 4
    assert await office.passes("+4915112350000")


async def test_hopping_through_the_blocks_of_a_country_meets_its_limit(
    redis: RedisConnection, keyring: Keyring
) -> None:
    """Jamaica's numbers begin with +1, and neither spend what the United States may have nor hide among them."""
    office = Office(redis, keyring, [rule(LimitScope.COUNTRY, 4)])
    jamaica = [await office.passes(f"+1876555{at}123") for at in range(7)]
    assert jamaica == [True] * 4 + [False] * 3
    assert await office.passes("+12025550123")
    assert await office.passes("+18095550123"), "the Dominican Republic is a country of its own"


async def test_each_channel_has_a_limit_of_its_own(redis: RedisConnection, keyring: Keyring) -> None:
    """Or the ladder would go on to its next channel for nothing; a push goes to no number at all."""
    office = Office(redis, keyring, [rule(LimitScope.PHONE, 1)])
    phone = "+4915112345678"
    assert [await office.passes(phone) for _ in range(2)] == [True, False]
    assert [await office.passes(phone, Channel.VOICE) for _ in range(2)] == [True, False]
    assert [await office.passes(phone, Channel.PUSH) for _ in range(3)] == [True] * 3


async def test_a_suppliers_money_is_counted_in_the_banks_own_currency(
    redis: RedisConnection, keyring: Keyring
) -> None:
    """One euro a day: fourteen texts at 0.07, and no fifteenth; rupees at what a rupee is worth."""
    office = Office(redis, keyring, [rule(LimitScope.SUPPLIER, 1)])
    euros = [await office.pays("dear", Price("EUR", 70_000)) for _ in range(16)]
    assert euros == [True] * 14 + [False] * 2
    rupees = [await office.pays("far", Price("INR", 45_000_000)) for _ in range(4)]
    assert rupees == [True] * 2 + [False] * 2, "45 rupees are 0.495 euros"


@pytest.mark.parametrize("price", [None, Price("EUR", 0)])
async def test_what_costs_nothing_spends_nothing(
    redis: RedisConnection, keyring: Keyring, price: Price | None
) -> None:
    """A supplier without a price, or that is free."""
    office = Office(redis, keyring, [rule(LimitScope.SUPPLIER, 1)])
    assert [await office.pays("free", price) for _ in range(40)] == [True] * 40


async def test_a_limit_that_observes_keeps_nothing_back(redis: RedisConnection, keyring: Keyring) -> None:
    """How a limit on sending is tried out."""
    rules = [rule(scope, 1, AtLimit.OBSERVE) for scope in (LimitScope.PREFIX, LimitScope.SUPPLIER)]
    office = Office(redis, keyring, rules)
    assert [await office.passes("+4915112345678") for _ in range(3)] == [True] * 3
    assert [await office.pays("dear", Price("EUR", 900_000)) for _ in range(3)] == [True] * 3
