"""A challenge's channels: the policy's, or as much of them as the client wants, and what cannot be sent is refused."""

from collections.abc import Sequence

import pytest

from sca_service.challenges.model import Method
from sca_service.challenges.order import ChallengeOrder, WantedStep
from sca_service.challenges.steps import steps_of
from sca_service.delivery.own_text import OwnText
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.phone import PhoneNumber
from sca_service.policy.model import Channel, Ladder, LadderStep, Purpose, Until

PUSH = LadderStep(Channel.PUSH, 20, Until.DELIVERED)
SMS = LadderStep(Channel.SMS, 30, Until.SENT)
VOICE = LadderStep(Channel.VOICE, None, Until.DELIVERED)
LADDER = Ladder(Purpose.LOGIN, (PUSH, SMS, VOICE), phone_vouched_by_client=False)
VOUCHED = Ladder(Purpose.LOGIN, (SMS, VOICE), phone_vouched_by_client=True)
MOBILE, LANDLINE = PhoneNumber.parse("+4915112345678"), PhoneNumber.parse("+49301234567")
TEXT = OwnText.parse("Your code is {{code}}")


def order(
    *channels: Channel | WantedStep,
    purpose: Purpose = Purpose.LOGIN,
    method: Method = Method.ONE_TIME_CODE,
    phone: PhoneNumber | None = None,
    text: OwnText | None = None,
    proves_line: bool = False,
) -> ChallengeOrder:
    """What a client asks for, with these channels."""
    wanted = [one if isinstance(one, WantedStep) else WantedStep(one) for one in channels]
    return ChallengeOrder(
        "p", purpose, method=method, channels=wanted, phone=phone, text=text, proves_line=proves_line
    )


def refused(
    order: ChallengeOrder, ladder: Ladder = LADDER, line: PhoneNumber | None = MOBILE
) -> Sequence[str]:
    """Where the mistakes are."""
    with pytest.raises(InvalidInput) as found:
        steps_of(order, ladder, line)
    return [one.pointer for one in found.value.mistakes]


def test_the_policys_ladder_is_taken_as_it_is() -> None:
    """Where the client wants nothing else."""
    assert steps_of(order(), LADDER, MOBILE) == (PUSH, SMS, VOICE)


def test_the_client_chooses_among_the_policys_channels() -> None:
    """In its order; a time-out is the client's, else the policy's, else three quarters of a minute."""
    wanted = order(Channel.VOICE, WantedStep(Channel.SMS, 90), Channel.PUSH)
    assert steps_of(wanted, LADDER, MOBILE) == (
        LadderStep(Channel.VOICE, 45, Until.DELIVERED),
        LadderStep(Channel.SMS, 90, Until.SENT),
        PUSH,
    )


def test_every_channel_that_cannot_be_is_told() -> None:
    """One that the policy has not, and one that is named twice, each where it stands."""
    wanted = order(Channel.SMS, Channel.EMAIL, Channel.SMS, Channel.VOICE)
    assert refused(wanted) == ["/channels/1/channel", "/channels/2/channel"]


@pytest.mark.parametrize("method", [Method.TOTP, Method.HOTP])
def test_a_payment_is_not_answered_by_a_code_for_everything(method: Method) -> None:
    """RTS Art. 5(1)(b): the code is specific to amount and payee."""
    assert refused(order(purpose=Purpose.PAYMENT, method=method)) == ["/method"]
    assert steps_of(order(method=method), LADDER, None) == ()
    assert steps_of(order(purpose=Purpose.PAYMENT, method=Method.OCRA), LADDER, None) == ()


@pytest.mark.parametrize("method", [Method.TOTP, Method.OCRA, Method.PASSKEY])
def test_what_an_authenticator_answers_is_not_sent(method: Method) -> None:
    """So no channels may be named."""
    assert refused(order(Channel.SMS, method=method)) == ["/channels"]
    assert steps_of(order(method=method), LADDER, None) == ()


def test_an_app_is_woken_by_a_push_and_by_nothing_else() -> None:
    """Where the policy has one; the payer needs no line."""
    signs = Method.DEVICE_SIGNATURE
    assert steps_of(order(method=signs), LADDER, None) == (LadderStep(Channel.PUSH, None, Until.DELIVERED),)
    assert steps_of(order(method=signs), VOUCHED, None) == ()
    assert steps_of(order(Channel.PUSH, method=signs), LADDER, None) == (PUSH,)
    assert refused(order(Channel.PUSH, Channel.SMS, method=signs)) == ["/channels/1/channel"]


def test_a_number_is_the_clients_word_only_where_the_policy_takes_it() -> None:
    """Or where the challenge is to prove that very line."""
    assert refused(order(phone=MOBILE)) == ["/psu/phone"]
    assert steps_of(order(phone=MOBILE), VOUCHED, MOBILE) == (SMS, VOICE)
    assert steps_of(order(phone=MOBILE, proves_line=True), LADDER, MOBILE) == (PUSH, SMS, VOICE)


def test_without_a_line_only_what_needs_none_is_sent() -> None:
    """And a landline is called, not texted."""
    assert refused(order(), line=None) == ["/psu/phone"]
    assert steps_of(order(Channel.PUSH), LADDER, None) == (PUSH,)
    assert refused(order(), line=LANDLINE) == ["/psu/phone"]
    assert steps_of(order(Channel.VOICE), LADDER, LANDLINE) == (
        LadderStep(Channel.VOICE, 45, Until.DELIVERED),
    )


def test_a_text_of_the_clients_own_goes_by_sms_and_pays_nothing() -> None:
    """RTS Art. 5(1)(a): what a payment shows, the policy says."""
    assert steps_of(order(Channel.SMS, text=TEXT), LADDER, MOBILE) == (SMS,)
    assert refused(order(Channel.SMS, purpose=Purpose.PAYMENT, text=TEXT)) == ["/text"]
    assert refused(order(Channel.SMS, Channel.VOICE, text=TEXT)) == ["/channels"]
