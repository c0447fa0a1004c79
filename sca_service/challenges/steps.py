"""The ladder of one challenge: the policy's, or what the client wants of it. Pure."""

from collections.abc import Sequence

from sca_service.challenges.model import Method
from sca_service.challenges.order import ChallengeOrder, WantedStep
from sca_service.kernel.errors import InvalidInput, Mistake
from sca_service.kernel.phone import NumberKind, PhoneNumber
from sca_service.policy.model import Channel, Ladder, LadderStep, Purpose

_TIMEOUT_SECONDS = 45
"""For a channel that is last in the policy's ladder, so has no time-out there, and not last in the client's."""


def steps_of(order: ChallengeOrder, ladder: Ladder, line: PhoneNumber | None) -> tuple[LadderStep, ...]:
    """The channels of a challenge in turn; none when nothing is sent. `line` is the payer's, enrolled or vouched for.

    Raises InvalidInput with what does not fit the policy, the method or the line.
    """
    if order.purpose is Purpose.PAYMENT and not order.method.links_transaction:
        raise InvalidInput.at(
            "/method", "its codes are not specific to amount and payee, as a payment needs (RTS Art. 5(1)(b))"
        )
    if order.method is Method.DEVICE_SIGNATURE:
        return _wake_up(order, ladder)
    if order.method.authenticator:
        if order.channels:
            raise InvalidInput.at("/channels", "this method sends nothing")
        return ()
    steps = _wanted_steps(ladder, order.channels) if order.channels else ladder.steps
    if order.phone and not ladder.phone_vouched_by_client and not order.proves_line:
        raise InvalidInput.at(
            "/psu/phone", "the policy does not take a number from the client for this purpose"
        )
    if order.text is not None:
        _fits_text(order, steps)
    if line is None and any(step.channel.needs_phone for step in steps):
        raise InvalidInput.at("/psu/phone", "is needed for these channels: no phone line is enrolled")
    if (
        line is not None
        and line.kind is NumberKind.LANDLINE
        and any(step.channel is Channel.SMS for step in steps)
    ):
        raise InvalidInput.at("/psu/phone", "cannot receive text messages; use voice only")
    return steps


def _fits_text(order: ChallengeOrder, steps: Sequence[LadderStep]) -> None:
    """Raises InvalidInput where the policy's text is what has to be shown, or said."""
    if order.purpose is Purpose.PAYMENT:
        raise InvalidInput.at(
            "/text", "a payment's text says amount and payee (RTS Art. 5(1)(a)): the policy's"
        )
    if any(step.channel is not Channel.SMS for step in steps):
        raise InvalidInput.at("/channels", "a text of your own is sent by SMS only")


def _wake_up(order: ChallengeOrder, ladder: Ladder) -> tuple[LadderStep, ...]:
    """A push wakes the app, where the policy has it; the app fetches what is to be signed, woken or not."""
    for at, wanted in enumerate(order.channels):
        if wanted.channel is not Channel.PUSH:
            raise InvalidInput.at(f"/channels/{at}/channel", "only a push wakes the app that signs")
    if order.channels:
        return _wanted_steps(ladder, order.channels)
    step = ladder.step(Channel.PUSH)
    return (LadderStep(step.channel, None, step.until),) if step else ()


def _wanted_steps(ladder: Ladder, wanted: Sequence[WantedStep]) -> tuple[LadderStep, ...]:
    """The client's choice, as far as the policy's ladder has it (OWASP: no downgrade by a client's parameter)."""
    mistakes: list[Mistake] = []
    steps: list[LadderStep] = []
    for at, choice in enumerate(wanted):
        step = ladder.step(choice.channel)
        if step is None:
            mistakes.append(
                Mistake(f"/channels/{at}/channel", "is not in the policy's ladder for this purpose")
            )
        elif any(choice.channel is earlier.channel for earlier in steps):
            mistakes.append(Mistake(f"/channels/{at}/channel", "is named twice"))
        else:
            timeout_seconds = choice.timeout_seconds or step.timeout_seconds or _TIMEOUT_SECONDS
            steps.append(LadderStep(step.channel, timeout_seconds, step.until))
    if mistakes:
        raise InvalidInput(*mistakes)
    return tuple(steps)
