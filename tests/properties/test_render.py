"""Rendering holds for any payee, amount and locale: all is there, in order, and filled in once."""

from functools import lru_cache
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from sca_service.delivery.render import (
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
from sca_service.policy.model import Channel, Purpose, Texts

CODE = "QJKWZV"
"""Letters that no text and no amount holds, so that the code's place is certain."""

STAND_IN = "Xylo"
LOCALES = ("en-GB", "de-DE", "it", "hi-IN", "fr-FR", "")

channels = st.sampled_from(Channel)
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


def rendered(transaction: Transaction, channel: Channel, locale: str) -> str:
    """The message for a payment, with the code as one word even when it is spelled."""
    message = message_text(
        texts(),
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
    assert name in text
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
    assert text == plain.replace(STAND_IN, name)


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
    assert name[: LONGEST_NAME - 10] in text
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
        assert payees[0][0] in text
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


def repeated(alphabet: str) -> st.SearchStrategy[str]:
    """Texts of these characters, often longer than one part of an SMS."""
    return st.builds(lambda text, times: text * times, st.text(alphabet, min_size=1), st.integers(1, 60))


@given(repeated("aé\n€{"))
def test_parts_of_a_gsm_text_are_full_but_for_a_pair_that_may_not_be_split(text: str) -> None:
    """Each part but the last holds 153 septets, or 152 before a pair."""
    septets = len(text) + text.count("€") + text.count("{")
    parts = sms_segments(text)
    assert (parts == 1) is (septets <= 160)
    assert parts == 1 or (parts - 1) * 152 < septets <= parts * 153


@given(repeated("aê\U0001f4a5"))
def test_parts_of_any_other_text_are_full_but_for_a_pair_that_may_not_be_split(text: str) -> None:
    """Each part but the last holds 67 UTF-16 units, or 66 before a surrogate pair."""
    other = "ê" + text
    units = len(other.encode("utf-16-le")) // 2
    parts = sms_segments(other)
    assert (parts == 1) is (units <= 70)
    assert parts == 1 or (parts - 1) * 66 < units <= parts * 67
