"""Rendering holds for any payee, amount and locale: all is there, in order, and filled in once."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from sca_service.delivery.render import (
    LEAST_NAME,
    LONGEST_NAME,
    amount_text,
    message_shown,
    message_text,
    payee_text,
    sms_segments,
)
from sca_service.kernel.account import Account
from sca_service.kernel.money import MINOR_DIGITS, Amount
from sca_service.kernel.secret import Secret
from sca_service.kernel.transaction import Payee, PayeeShare, Transaction
from sca_service.policy.load import load
from sca_service.policy.model import Autofill, Channel, Purpose, Texts

CODE = "QJKWZV"
"""Letters that no text and no amount holds, so that the code's place is certain."""

STAND_IN = "Xylo"
LOCALES = ("en-GB", "de-DE", "it", "hi-IN", "fr-FR", "")

CUT_AND_MARKS = len("...") + 7
"""By how much a name may be shorter than it has to be: it ends visibly, and with a whole letter."""

channels = st.sampled_from([channel for channel in Channel if channel.carries_codes])
locales = st.sampled_from(LOCALES)
visible = st.characters(exclude_categories=["Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"])
names = st.text(visible, min_size=1, max_size=LONGEST_NAME)
long_names = st.text(visible, min_size=LONGEST_NAME + 1, max_size=140)
accounts = st.none() | st.from_regex(r"[A-Za-z0-9]{5,30}", fullmatch=True).map(
    lambda bban: Account(bban=bban)
)
amounts = st.builds(Amount, st.sampled_from(sorted(MINOR_DIGITS)), st.integers(1, 10**22))


@lru_cache(maxsize=1)
def texts() -> Texts:
    """The texts that the service is shipped with."""
    return load(Path(__file__).resolve().parents[2] / "policies").texts


def rendered(transaction: Transaction, channel: Channel, locale: str, held: Texts | None = None) -> str:
    """The message for a payment, with the code as one word even when it is spelled."""
    message = message_text(
        held or texts(),
        purpose=Purpose.PAYMENT,
        channel=channel,
        locale=locale,
        transaction=transaction,
        code=Secret(CODE),
        lifetime_minutes=5,
    )
    return message.reveal().replace(", ".join(CODE), CODE)


@given(names, accounts, amounts, channels, locales)
@example("{code}", None, Amount("EUR", 4_999), Channel.SMS, "en")
@example("{amount}{payee}{warning}", None, Amount("EUR", 4_999), Channel.VOICE, "de")
@example("%s %(code)s {{7*7}} \\1 ${code}", None, Amount("EUR", 4_999), Channel.PUSH, "it")
def test_amount_payee_and_code_stand_in_every_message(
    name: str, account: Account | None, amount: Amount, channel: Channel, locale: str
) -> None:
    """Whatever the payee is called, nothing of the three is lost."""
    text = rendered(Transaction.payment(amount=amount, payee=Payee(name, account)), channel, locale)
    assert amount_text(amount, locale) in text
    assert (name if channel is not Channel.SMS else name[: LEAST_NAME - CUT_AND_MARKS]) in text
    assert CODE in text
    if account:
        tail = ", ".join(account.tail) if channel is Channel.VOICE else account.tail
        assert tail in text


@given(names, amounts, channels, locales)
@example("{code}", Amount("EUR", 4_999), Channel.SMS, "en")
@example("{payee}", Amount("EUR", 4_999), Channel.VOICE, "hi")
def test_a_name_is_filled_in_and_never_looked_at_again(
    name: str, amount: Amount, channel: Channel, locale: str
) -> None:
    """A message differs from that of another payee in the name only."""
    plain = rendered(Transaction.payment(amount=amount, payee=Payee(STAND_IN)), channel, locale)
    assert plain.count(STAND_IN) == 1
    text = rendered(Transaction.payment(amount=amount, payee=Payee(name)), channel, locale)
    whole = plain.replace(STAND_IN, name)
    if channel is Channel.SMS and sms_segments(whole) > texts().most_sms_segments:
        before, after = plain.split(STAND_IN)
        assert text.startswith(before)
        assert text.endswith(after)
    else:
        assert text == whole


@given(amounts, channels, locales)
def test_the_code_stands_behind_amount_and_payee(amount: Amount, channel: Channel, locale: str) -> None:
    """Who reads or listens up to the code knows what it is for (RTS Art. 5(1)(a))."""
    text = rendered(Transaction.payment(amount=amount, payee=Payee(STAND_IN)), channel, locale)
    first_code = text.index(CODE)
    assert text.index(amount_text(amount, locale)) < first_code
    assert text.index(STAND_IN) < first_code


@given(long_names, accounts, amounts, channels, locales)
def test_only_a_long_name_is_shortened_and_visibly(
    name: str, account: Account | None, amount: Amount, channel: Channel, locale: str
) -> None:
    """Amount, code and the end of the account stay whole."""
    transaction = Transaction.payment(amount=amount, payee=Payee(name, account))
    text = rendered(transaction, channel, locale)
    least = LEAST_NAME if channel is Channel.SMS else LONGEST_NAME
    assert name[: least - CUT_AND_MARKS] in text
    assert name not in text
    assert "…" in text or "..." in text
    assert amount_text(amount, locale) in text
    assert CODE in text
    assert len(payee_text(transaction)) <= LONGEST_NAME + len(" …3000")


@given(st.lists(st.tuples(names, accounts), min_size=2, max_size=40), locales, channels)
def test_a_batch_shows_total_count_and_first_payee(
    payees: list[tuple[str, Account | None]], locale: str, channel: Channel
) -> None:
    """However many payees there are and whatever they are called (RTS Art. 5(3)(b))."""
    shares = [PayeeShare(Payee(*payee), Amount("EUR", 100)) for payee in payees]
    transaction = Transaction.batch(total=Amount("EUR", 100 * len(shares)), shares=shares)
    for text in (
        rendered(transaction, channel, locale),
        message_shown(texts(), Purpose.PAYMENT, locale, transaction),
    ):
        assert amount_text(transaction.total, locale) in text
        assert str(len(shares)) in text
        assert payees[0][0][: LEAST_NAME - CUT_AND_MARKS] in text
    assert len(payee_text(transaction)) < 500


@given(
    amounts, st.text(max_size=40) | st.from_regex(r"[a-z]{2,3}([-_][A-Za-z0-9]{1,8}){0,4}", fullmatch=True)
)
def test_an_amount_keeps_its_digits_in_any_locale(amount: Amount, locale: str) -> None:
    """No locale, real or not, loses or rounds a digit, and none raises."""
    text = amount_text(amount, locale)
    assert "".join(filter(str.isdecimal, text)) == amount.text.replace(".", "")
    assert text == text.strip()
    assert text.isprintable()


@given(st.text())
def test_every_locale_has_texts(locale: str) -> None:
    """Nobody is without a message because of a locale."""
    assert texts().language_for(locale) in texts().languages


autofills = st.builds(
    Autofill,
    domain=st.sampled_from(["", "bank.example", "a-rather-long-name.of-a-bank.example"]),
    android_hash=st.sampled_from(["", "FA+9qCX9VSu"]),
    android_prefix=st.booleans(),
)


@given(names | long_names, accounts, amounts, locales, autofills, st.integers(1, 8))
def test_an_sms_keeps_to_its_parts_where_a_payee_can_be_shortened(
    name: str, account: Account | None, amount: Amount, locale: str, autofill: Autofill, most: int
) -> None:
    """A text beyond them has a name cut to its least; amount and code are whole, and what is cut is seen."""
    held = replace(texts(), most_sms_segments=most, autofill=autofill)
    text = rendered(Transaction.payment(amount=amount, payee=Payee(name, account)), Channel.SMS, locale, held)
    assert amount_text(amount, locale) in text
    assert text.count(CODE) == (2 if autofill.domain else 1)
    if sms_segments(text) > most and len(name) > LEAST_NAME:
        assert name[: LEAST_NAME + 1] not in text
    if name not in text:
        assert "…" in text or "..." in text


@given(names | long_names, accounts, amounts, locales, autofills, st.integers(1, 8))
def test_what_fills_in_the_code_stands_where_it_is_looked_for(
    name: str, account: Account | None, amount: Amount, locale: str, autofill: Autofill, most: int
) -> None:
    """An origin-bound code is the last line; an app's hash ends an SMS of one part, and no other has it."""
    held = replace(texts(), most_sms_segments=most, autofill=autofill)
    text = rendered(Transaction.payment(amount=amount, payee=Payee(name, account)), Channel.SMS, locale, held)
    if autofill.domain:
        assert text.split("\n")[-1].startswith(f"@{autofill.domain} #{CODE}")
    if autofill.android_hash and autofill.android_hash in text:
        assert text.endswith(autofill.android_hash)
        assert text.startswith("<#> ") is autofill.android_prefix
        assert sms_segments(text) == 1


@given(names, amounts, channels, locales, autofills)
def test_only_an_sms_has_lines_for_autofill(
    name: str, amount: Amount, channel: Channel, locale: str, autofill: Autofill
) -> None:
    """A call would read them out, and an app needs none."""
    transaction = Transaction.payment(amount=amount, payee=Payee(name))
    if channel is not Channel.SMS:
        held = replace(texts(), autofill=autofill)
        assert rendered(transaction, channel, locale, held) == rendered(transaction, channel, locale)
