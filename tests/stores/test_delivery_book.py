"""The worker's book over both stores: what is counted, what is planned, and what stands on record of it."""

from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY

from sca_service.challenges.delivery_book import ChallengeBook
from sca_service.challenges.issue import Caller, Issuer
from sca_service.challenges.model import ChallengeId, ChallengeState, Status
from sca_service.challenges.order import ChallengeOrder, WantedStep
from sca_service.challenges.redis_store import Due
from sca_service.core import Core, open_core
from sca_service.delivery.dispatch import Outbound
from sca_service.delivery.model import DeliveryStatus, Settlement
from sca_service.kernel.money import Amount
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.transaction import Payee, Transaction
from sca_service.limits.redis_store import LimitStore
from sca_service.policy.model import Channel, Purpose
from sca_service.routing.model import Route, RouteChoice, RouteReason
from sca_service.settings import read_settings
from tests.harness import Deployment, unique_psu
from tests.storeroom import events_of

SMS = (WantedStep(Channel.SMS),)
SMS_THEN_VOICE = (WantedStep(Channel.SMS), WantedStep(Channel.VOICE))
NOBODY_REGISTERED = RouteChoice(None, (("a", RouteReason.SENDER_UNREGISTERED),))
LEFT_ALONE = RouteChoice(None, (("a", RouteReason.SENDER_UNREGISTERED), ("b", RouteReason.BREAKER_OPEN)))


@pytest.fixture
async def core(quiet_stores: Deployment) -> AsyncIterator[Core]:
    """What every role is made of, over stores that no worker works on."""
    async with open_core(read_settings(quiet_stores.config(1))) as core:
        yield core


async def issued(core: Core, steps: tuple[WantedStep, ...] = SMS) -> ChallengeId:
    """A payment's challenge, on record."""
    issuer = Issuer(
        policy=core.policy,
        keyring=core.settings.keyring,
        store=core.store,
        limits=LimitStore(core.redis),
        recorder=core.recorder,
        asker=core.asker(),
        assessor=core.assessor(),
    )
    psu = unique_psu()
    order = ChallengeOrder(
        psu_id=psu["id"],
        purpose=Purpose.PAYMENT,
        transaction=Transaction.payment(amount=Amount("EUR", 4_999), payee=Payee("ACME GmbH")),
        phone=PhoneNumber.parse(psu["phone"]),
        channels=steps,
    )
    view = await issuer.issue(Caller("bank", "req_book"), order)
    challenge = ChallengeId.parse(view.state.id)
    assert challenge is not None
    return challenge


async def leased(core: Core, challenge: ChallengeId) -> Due:
    """The challenge as a worker leases it now."""
    due = f"{{p{challenge.partition:02d}}}:due"
    await core.redis.command("ZADD", due, 1, challenge.text)
    found = await core.store.claim(challenge.partition, most=1_000)
    return next(one for one in found if one.challenge == challenge.text)


async def sent(
    core: Core, book: ChallengeBook, challenge: ChallengeId, choice: RouteChoice
) -> Outbound | None:
    """What a worker is given to send when it takes the challenge up with this choice."""
    due = await leased(core, challenge)
    return await book.advance(due, book.plan(due), choice)


async def state_of(core: Core, challenge: ChallengeId) -> ChallengeState:
    """Where it stands."""
    state = await core.store.get(challenge)
    assert state is not None
    return state


def over(supplier: str, channel: Channel = Channel.SMS) -> RouteChoice:
    """A choice of this supplier."""
    return RouteChoice(Route(supplier, channel, "262-01", None, None, (RouteReason.ONLY_ROUTE,)))


def counted(status: str) -> float:
    """How many text messages are counted as having come to this."""
    labels = {"channel": "sms", "status": status}
    return REGISTRY.get_sample_value("sca_deliveries_settled_total", labels) or 0.0


async def test_a_delivery_is_counted_when_it_is_settled(core: Core) -> None:
    """Not when it is tried again, and also when no supplier may carry it."""
    book = core.book("worker")
    failed, taken = counted("failed"), counted("sent")
    tried = await issued(core)
    outbound = await sent(core, book, tried, over("a"))
    assert outbound is not None
    again = Settlement(DeliveryStatus.FAILED, "a", reason="supplier_down", transient=True, attempt=1)
    await book.settle(outbound.message.delivery_id, again)
    assert counted("failed") == failed
    outbound = await sent(core, book, tried, over("b"))
    assert outbound is not None
    await book.settle(outbound.message.delivery_id, Settlement(DeliveryStatus.SENT, "b"))
    assert (counted("failed"), counted("sent")) == (failed, taken + 1)
    assert await sent(core, book, await issued(core), NOBODY_REGISTERED) is None
    assert counted("failed") == failed + 1


async def test_a_receipt_before_the_answer_is_counted_once(core: Core) -> None:
    """The answer to the submit comes second: it says nothing new."""
    book = core.book("worker")
    delivered, taken = counted("delivered"), counted("sent")
    outbound = await sent(core, book, await issued(core), over("a"))
    assert outbound is not None
    for status in (DeliveryStatus.DELIVERED, DeliveryStatus.SENT):
        await book.settle(outbound.message.delivery_id, Settlement(status, "a"))
    assert (counted("delivered"), counted("sent")) == (delivered + 1, taken)


async def test_who_may_have_it_is_asked_first_and_who_surely_has_not_is_asked_last(core: Core) -> None:
    """A dead worker's supplier knows the reference; one that did not take it is no better than any other."""
    book = core.book("worker")
    challenge = await issued(core)
    assert await sent(core, book, challenge, over("a")) is not None
    plan = book.plan(await leased(core, challenge))
    assert plan is not None
    assert (plan.began_with, plan.tried) == ("a", ())
    delivery = (await state_of(core, challenge)).deliveries[0].id
    again = Settlement(DeliveryStatus.FAILED, "a", reason="supplier_down", transient=True, attempt=1)
    await book.settle(delivery, again)
    plan = book.plan(await leased(core, challenge))
    assert plan is not None
    assert (plan.began_with, plan.tried) == ("", ("a",))


async def test_a_sole_channel_whose_suppliers_are_left_alone_waits(core: Core) -> None:
    """An outage of seconds ends no challenge; a sender that nobody registered does."""
    book = core.book("worker")
    waiting, ended = await issued(core), await issued(core)
    assert await sent(core, book, waiting, LEFT_ALONE) is None
    assert (await state_of(core, waiting)).status is Status.PENDING
    assert await sent(core, book, waiting, over("b")) is not None
    assert await sent(core, book, ended, NOBODY_REGISTERED) is None
    state = await state_of(core, ended)
    assert (state.status, state.deliveries[0].reason) == (Status.UNDELIVERABLE, "sender_unregistered")


async def test_the_next_channel_follows_suppliers_that_are_left_alone(core: Core) -> None:
    """A call now is better than a text in half a minute; why is on record."""
    book = core.book("worker")
    challenge = await issued(core, SMS_THEN_VOICE)
    assert await sent(core, book, challenge, LEFT_ALONE) is None
    outbound = await sent(core, book, challenge, over("c", Channel.VOICE))
    assert outbound is not None
    assert outbound.message.channel is Channel.VOICE
    kinds = [event.head.type for event in await events_of(core.postgres, challenge.text)]
    assert kinds == ["challenge.issued", "delivery.settled", "delivery.attempted"]
