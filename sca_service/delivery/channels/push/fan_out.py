"""One message to every device of a payer at once; it is accepted when one of them took it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from sca_service.delivery.channels.push.model import A, Devices, Subscription
from sca_service.delivery.http_client import HttpAnswer, failure_of, unreadable
from sca_service.delivery.supplier import Accepted, FailureReason, Message, SupplierFailure
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import StoreUnavailable

HandOver = Callable[[A], Awaitable[str | None]]
"""Hands the message to one device: the push service's name for it, None when that device is gone for good."""


async def to_every_device(
    devices: Devices, message: Message, kind: type[A], hand_over: HandOver[A]
) -> Accepted:
    """Hand a message to all devices of one kind that a payer has (at most ten), and forget those that are gone.

    Raises SupplierFailure: `no_device` (transient, so that the next push supplier is tried) when there is none, else
    what stands in the way of a repetition most: a device that may have got it, then one that may get it later.
    """
    try:
        found = await devices.of(message.to.reveal(), kind)
    except StoreUnavailable as away:
        raise SupplierFailure(FailureReason.SUPPLIER_DOWN, transient=True) from away
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_outcome(hand_over, subscription.address)) for subscription in found]
    outcomes = [task.result() for task in tasks]
    with suppress(StoreUnavailable):  # noted, or forgotten, the next time
        for subscription, outcome in zip(found, outcomes, strict=True):
            if outcome is None:
                await devices.gone(subscription.id)
        await devices.used(_that_took_it(found, outcomes))
    for outcome in outcomes:
        if isinstance(outcome, str):
            return Accepted(outcome, 1, None)
    failures = [outcome for outcome in outcomes if isinstance(outcome, SupplierFailure)]
    if not failures:
        raise SupplierFailure(FailureReason.NO_DEVICE, transient=True)
    raise min(failures, key=_order)


def lifetime_seconds(message: Message, clock: Clock, *, otherwise: int) -> int:
    """How long the push service may keep the message, at least a second; `otherwise` for one that never expires.

    Raises SupplierFailure for a message that is of no more use.
    """
    if not message.expires_at_ms:
        return otherwise
    left_ms = message.expires_at_ms - clock.now_ms()
    if left_ms <= 0:
        raise SupplierFailure(FailureReason.REJECTED, transient=False)
    return max(left_ms // 1000, 1)


def refusal_of(answer: HttpAnswer) -> SupplierFailure:
    """What an answer means that is not the one hoped for.

    Unlike elsewhere 403 is about us (a signature, a certificate), not about the message: another supplier may take it.
    """
    if answer.status == 403:
        return SupplierFailure(FailureReason.SUPPLIER_DOWN, transient=True)
    return failure_of(answer) or unreadable()


async def _outcome(hand_over: HandOver[A], address: A) -> str | SupplierFailure | None:
    try:
        return await hand_over(address)
    except SupplierFailure as failure:
        return failure


def _that_took_it(
    found: Sequence[Subscription[A]], outcomes: Sequence[str | SupplierFailure | None]
) -> list[Subscription[A]]:
    return [
        subscription
        for subscription, outcome in zip(found, outcomes, strict=True)
        if isinstance(outcome, str)
    ]


def _order(failure: SupplierFailure) -> int:
    if failure.reason is FailureReason.TIMEOUT:
        return 0
    return 1 if failure.transient else 2
