"""The values of a policy and what follows from them."""

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from sca_service.kernel.transaction import TransactionKind
from sca_service.policy.load import load
from sca_service.policy.model import (
    Channel,
    CodePolicy,
    Ladder,
    LadderStep,
    LimitedAction,
    LockoutPolicy,
    Occasion,
    Policy,
    Purpose,
    ResendPolicy,
    Until,
)

POLICIES = Path(__file__).resolve().parents[3] / "policies"


@pytest.fixture(scope="module")
def policy() -> Policy:
    """The policy that the service is shipped with."""
    return load(POLICIES)


def test_purposes_keep_their_position() -> None:
    """Challenge ids carry the position: an old id must never come to mean another purpose."""
    assert list(Purpose) == ["login", "account_access", "payment", "enrolment", "other"]


def test_no_channel_for_codes_is_email() -> None:
    """NIST SP 800-63B-4 section 3.1.3.1: e-mail is no out-of-band channel."""
    assert {channel for channel in Channel if channel.carries_codes} == set(Channel) - {"email"}


def test_a_policy_cannot_be_changed(policy: Policy) -> None:
    """What was validated is what decides."""
    with pytest.raises(FrozenInstanceError):
        policy.code.digits = 4  # type: ignore[misc]


@pytest.mark.parametrize(("seconds", "allowed"), [(59, False), (60, True), (300, True), (301, False)])
def test_a_client_may_ask_for_a_lifetime_within_the_policy(seconds: int, allowed: bool) -> None:
    """Both ends are allowed."""
    code = CodePolicy(6, 300, shortest_lifetime_seconds=60, longest_lifetime_seconds=300)
    assert code.allows_lifetime(seconds) is allowed


def test_blocks_grow_and_the_last_repeats() -> None:
    """RTS Art. 4(4): whoever goes on guessing waits longer."""
    lockout = LockoutPolicy(5, 86_400, (900, 3_600, 14_400))
    assert [lockout.block_after(earlier) for earlier in (0, 1, 2, 3, 50)] == [
        900,
        3_600,
        14_400,
        14_400,
        14_400,
    ]


def test_each_wait_for_another_message_is_longer_up_to_a_bound() -> None:
    """30 s, then twice as long each time, never over two minutes."""
    resend = ResendPolicy(first_seconds=30, factor=2, most_seconds=120)
    assert [resend.wait_seconds(sent) for sent in (1, 2, 3, 4, 1_000_000)] == [30, 60, 120, 120, 120]


def test_a_wait_that_does_not_grow_stays() -> None:
    """A factor of one is a constant wait."""
    assert ResendPolicy(30, 1, 120).wait_seconds(1_000_000_000) == 30


def test_a_ladder_knows_its_channels() -> None:
    """A client may choose among them; others are not there to be chosen."""
    step = LadderStep(Channel.SMS, 45, Until.DELIVERED)
    ladder = Ladder(Purpose.LOGIN, (step, LadderStep(Channel.VOICE, None, Until.DELIVERED)), True)
    assert ladder.step(Channel.SMS) is step
    assert ladder.step(Channel.PUSH) is None


def test_every_purpose_has_its_ladder(policy: Policy) -> None:
    """A challenge of any purpose can be delivered."""
    assert [policy.ladder(purpose).purpose for purpose in Purpose] == list(Purpose)


def test_limits_are_found_by_what_they_count(policy: Policy) -> None:
    """No limit is missed and none counts what it should not."""
    issue = [limit.name for limit in policy.limits_on(LimitedAction.ISSUE)]
    resend = [limit.name for limit in policy.limits_on(LimitedAction.RESEND)]
    assert issue == ["issue-per-payer", "issue-per-phone"]
    assert resend == ["resend-per-payer"]


@pytest.mark.parametrize("kind", list(TransactionKind))
def test_a_payments_kind_is_its_occasion(kind: TransactionKind) -> None:
    """A batch and a preauthorisation have texts of their own."""
    assert Occasion.of(Purpose.PAYMENT, kind).value == kind.value


@pytest.mark.parametrize("purpose", [purpose for purpose in Purpose if purpose is not Purpose.PAYMENT])
def test_any_other_purpose_is_its_own_occasion(purpose: Purpose) -> None:
    """Every purpose but payment has one set of texts."""
    assert Occasion.of(purpose, None).value == purpose.value


def test_a_payment_without_a_transaction_has_no_text() -> None:
    """Nothing is ever sent for a payment whose amount and payee are not known."""
    with pytest.raises(ValueError, match="transaction"):
        Occasion.of(Purpose.PAYMENT, None)


@pytest.mark.parametrize(
    ("locale", "language"),
    [
        ("de", "de"),
        ("de-DE", "de"),
        ("de_AT", "de"),
        ("DE-de", "de"),
        ("it-CH-x-private", "it"),
        ("hi-Deva-IN", "hi"),
        ("en-GB", "en"),
        ("fr-FR", "en"),
        ("den", "en"),
        ("", "en"),
        ("-", "en"),
        ("\U0001f4a5", "en"),
    ],
)
def test_a_locale_falls_back_to_its_language_and_then_to_the_default(
    policy: Policy, locale: str, language: str
) -> None:
    """Everybody gets a message, in their own language where there is one."""
    assert policy.texts.language_for(locale).language == language


def test_every_channel_has_a_text_of_its_own(policy: Policy) -> None:
    """A call is not an SMS read out."""
    texts = policy.texts.language_for("en").about(Occasion.PAYMENT)
    spoken = [texts.over(channel) for channel in (Channel.SMS, Channel.VOICE, Channel.PUSH)]
    assert spoken == [texts.sms, texts.voice, texts.push]
    assert len({texts.shown, *spoken}) == 4


@pytest.mark.parametrize("channel", [Channel.RCS, Channel.WHATSAPP])
def test_rcs_and_whatsapp_read_like_an_sms(policy: Policy, channel: Channel) -> None:
    """They are read on the same handset, and fall back to it."""
    texts = policy.texts.language_for("en").about(Occasion.PAYMENT)
    assert texts.over(channel) is texts.sms


def test_an_e_mail_has_no_text_with_a_code(policy: Policy) -> None:
    """NIST SP 800-63B-4 section 3.1.3.1."""
    with pytest.raises(ValueError, match="e-mail"):
        policy.texts.language_for("en").about(Occasion.PAYMENT).over(Channel.EMAIL)
