"""Rendering: what the payer reads or hears, in every language and over every channel."""

from dataclasses import replace
from pathlib import Path

import pytest
from babel.localedata import locale_identifiers

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
from sca_service.kernel.money import Amount
from sca_service.kernel.secret import Secret
from sca_service.kernel.transaction import Payee, PayeeShare, Transaction
from sca_service.policy.load import load
from sca_service.policy.model import Autofill, Channel, Purpose, Texts

REPOSITORY = Path(__file__).resolve().parents[3]
CODE_CHANNELS = [channel for channel in Channel if channel.carries_codes]

ACME = Payee("ACME GmbH", Account.parse(iban="DE89370400440532013000"))
PAYMENT = Transaction.payment(amount=Amount("EUR", 4_999), payee=ACME)


@pytest.fixture(scope="module")
def texts() -> Texts:
    """The texts that the service is shipped with."""
    return load(REPOSITORY / "policies").texts


def rendered(
    texts: Texts,
    channel: Channel,
    locale: str,
    *,
    purpose: Purpose = Purpose.PAYMENT,
    transaction: Transaction | None = PAYMENT,
    minutes: int = 5,
) -> str:
    """A message as the supplier gets it, with the code 693554."""
    message = message_text(
        texts,
        purpose=purpose,
        channel=channel,
        locale=locale,
        transaction=transaction,
        code=Secret("693554"),
        lifetime_minutes=minutes,
    )
    return message.reveal()


@pytest.mark.parametrize(
    ("currency", "minor", "locale", "expected"),
    [
        ("EUR", 4_999, "de-DE", "49,99 €"),
        ("EUR", 4_999, "de_DE", "49,99 €"),
        ("EUR", 4_999, "de-AT", "€ 49,99"),
        ("EUR", 4_999, "en-GB", "€49.99"),
        ("EUR", 123_456_789, "de", "1.234.567,89 €"),
        ("EUR", 123_456_789, "fr-FR", "1 234 567,89 €"),
        ("EUR", 123_456_789, "hi-IN", "€12,34,567.89"),
        ("INR", 10_000_000, "hi", "₹1,00,000.00"),
        ("CHF", 4_999, "en", "CHF 49.99"),
        ("CHF", 123_456, "de-CH", "CHF 1’234.56"),
        ("JPY", 4_999, "de", "4.999 ¥"),
        ("JPY", 4_999, "en", "¥4,999"),
        ("KWD", 1_234, "en", "KWD 1.234"),
        ("CLF", 12_345, "en", "CLF 1.2345"),
        ("EUR", 1, "it", "0,01 €"),
        ("EUR", 4_999, "ar-EG", "49.99 €"),
        ("EUR", 10**20, "en", "€1,000,000,000,000,000,000.00"),
    ],
)
def test_an_amount_is_written_the_way_the_locale_does(
    currency: str, minor: int, locale: str, expected: str
) -> None:
    """Digits, separators and currency stand where the payer is used to them."""
    assert amount_text(Amount(currency, minor), locale) == expected


def test_an_amount_is_never_rounded_to_what_cash_has() -> None:
    """CLDR gives dinars no minor digits, but 49.99 RSD is not 50 RSD (RTS Art. 5(1)(a))."""
    assert amount_text(Amount("RSD", 4_999), "de") == "49,99 RSD"


@pytest.mark.parametrize("currency", ["EUR", "JPY", "KWD", "RSD", "XAF"])
def test_every_locale_keeps_every_digit(currency: str) -> None:
    """Whatever CLDR's pattern looks like, the digits are the amount's, and nothing is invisible."""
    amount = Amount(currency, 123_456_789)
    for locale in locale_identifiers():
        if locale.count("_") > 0 and not locale.endswith(("_CH", "_IN", "_Latn")):
            continue
        text = amount_text(amount, locale)
        assert "".join(character for character in text if character in "0123456789") == "123456789", locale
        assert text.isprintable(), locale
        assert "¤" not in text, locale


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        ("de-XX", "49,99 €"),
        ("de-DE-u-co-phonebk", "49,99 €"),
        ("de_DE.UTF-8", "49,99 €"),
        ("xx-YY", "€49.99"),
        ("", "€49.99"),
        ("-", "€49.99"),
        ("../../etc/passwd", "€49.99"),
        ("\x00", "€49.99"),
        ("\U0001f4a5", "€49.99"),
        ("q" * 10_000, "€49.99"),
    ],
)
def test_an_unknown_locale_falls_back_and_never_fails(locale: str, expected: str) -> None:
    """A message is not lost over a locale that nobody knows."""
    assert amount_text(Amount("EUR", 4_999), locale) == expected


def test_a_payee_is_shown_by_name_and_end_of_account() -> None:
    """Enough to recognise the payee, not the whole account."""
    assert payee_text(PAYMENT) == "ACME GmbH …3000"


def test_a_payee_without_account_is_shown_by_name() -> None:
    """A shop that is paid by card has no account to show."""
    assert payee_text(Transaction.payment(amount=Amount("EUR", 1), payee=Payee("ACME GmbH"))) == "ACME GmbH"


def test_a_long_name_is_shortened_visibly() -> None:
    """The end of the account stays, and the payer sees that something is left out."""
    payee = Payee("A" * 140, ACME.account)
    text = payee_text(Transaction.payment(amount=Amount("EUR", 1), payee=payee))
    assert text == "A" * (LONGEST_NAME - 1) + "… …3000"


def test_a_name_as_long_as_allowed_is_shown_whole() -> None:
    """Every name of a SEPA payment is."""
    payee = Payee("A" * LONGEST_NAME)
    assert payee_text(Transaction.payment(amount=Amount("EUR", 1), payee=payee)) == "A" * LONGEST_NAME


def test_a_shortened_name_keeps_its_letters_whole() -> None:
    """A Devanagari letter without its vowel sign would be another letter."""
    name = "क" * (LONGEST_NAME - 2) + "की" + "क" * 10
    text = payee_text(Transaction.payment(amount=Amount("EUR", 1), payee=Payee(name)))
    assert text == "क" * (LONGEST_NAME - 2) + "…"


def test_a_name_of_marks_is_shortened_all_the_same() -> None:
    """A heap of combining marks is no writing, and may not push everything else out."""
    text = payee_text(Transaction.payment(amount=Amount("EUR", 1), payee=Payee("e" + "\u0301" * 139)))
    assert text == "e" + "\u0301" * (LONGEST_NAME - 2) + "…"


def batch(count: int, name: str = "Payee") -> Transaction:
    """A batch of so many payees, one euro each."""
    shares = [PayeeShare(Payee(f"{name} {at}"), Amount("EUR", 100)) for at in range(count)]
    return Transaction.batch(total=Amount("EUR", 100 * count), shares=shares)


def test_a_batch_shows_every_payee_where_they_fit() -> None:
    """RTS Art. 5(3)(b): the payees, in their order."""
    assert payee_text(batch(3)) == "Payee 0, Payee 1, Payee 2"


def test_a_large_batch_is_shortened_visibly_and_counted(texts: Texts) -> None:
    """A thousand payees do not fit, but the payer sees that there are a thousand, and the total."""
    text = payee_text(batch(1_000))
    assert text.startswith("Payee 0, Payee 1, ")
    assert text.endswith(", …")
    assert len(text) < 300
    shown = message_shown(texts, Purpose.PAYMENT, "de", batch(1_000))
    assert shown == f"1.000,00 € an 1000 Empfänger: {text}"


def test_a_batch_shows_at_least_one_payee() -> None:
    """However long its name is."""
    text = payee_text(batch(4, "A" * 400))
    assert text.startswith("A" * (LONGEST_NAME - 1) + "…, ")


def test_a_batch_of_one_reads_like_a_payment(texts: Texts) -> None:
    """Nobody reads of 1 payees."""
    one = Transaction.batch(total=Amount("EUR", 4_999), shares=[PayeeShare(ACME, Amount("EUR", 4_999))])
    assert message_shown(texts, Purpose.PAYMENT, "en", one) == "€49.99 to ACME GmbH …3000"


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        ("de-DE", "49,99 € an ACME GmbH …3000"),
        ("en-IE", "€49.99 to ACME GmbH …3000"),
        ("it-IT", "49,99 € a ACME GmbH …3000"),
        ("hi-IN", "ACME GmbH …3000 को €49.99"),
        ("fr-FR", "49,99 € to ACME GmbH …3000"),
        ("tlh", "€49.99 to ACME GmbH …3000"),
    ],
)
def test_what_is_shown_of_a_payment(texts: Texts, locale: str, expected: str) -> None:
    """Text in the payer's language or the default, the amount as the payer's locale writes it."""
    assert message_shown(texts, Purpose.PAYMENT, locale, PAYMENT) == expected


def test_what_is_shown_of_a_preauthorisation_is_an_upper_bound(texts: Texts) -> None:
    """RTS Art. 5(3)(a): the amount to block is the most that may be paid."""
    transaction = Transaction.preauthorisation(amount=Amount("EUR", 4_999), payee=ACME)
    shown = [
        message_shown(texts, Purpose.PAYMENT, locale, transaction) for locale in ("en", "de", "it", "hi")
    ]
    assert shown == [
        "up to €49.99 to ACME GmbH …3000",
        "bis zu 49,99 € an ACME GmbH …3000",
        "fino a 49,99 € a ACME GmbH …3000",
        "ACME GmbH …3000 को अधिकतम €49.99",
    ]


def test_what_is_shown_of_a_login_is_a_fixed_sentence(texts: Texts) -> None:
    """It says what it is, and what it is not."""
    shown = message_shown(texts, Purpose.LOGIN, "en-GB", None)
    assert shown == "Login to your bank. This is not a payment."


def test_an_sms_has_amount_payee_code_lifetime_and_warning(texts: Texts) -> None:
    """The whole text, once, so that a change of it is a decision."""
    assert rendered(texts, Channel.SMS, "en-IE") == (
        "Payment: €49.99 to ACME GmbH ...3000. Code: 693554, valid for 5 minutes. "
        "Never share this code with anyone, not even bank staff."
    )


def test_a_call_spells_code_and_account(texts: Texts) -> None:
    """Amount and payee first; then the code digit by digit, twice."""
    assert rendered(texts, Channel.VOICE, "de") == (
        "Sie zahlen 49,99 € an ACME GmbH, Konto mit den Endziffern 3, 0, 0, 0. Nur wenn das stimmt: "
        "Ihr Code ist: 6, 9, 3, 5, 5, 4. Noch einmal, Ihr Code ist: 6, 9, 3, 5, 5, 4. Er gilt 5 Minuten. "
        "Nennen Sie den Code niemandem, auch nicht Bankmitarbeitern."
    )


def test_a_call_names_a_payee_without_account(texts: Texts) -> None:
    """There is nothing to spell then."""
    transaction = Transaction.payment(amount=Amount("EUR", 4_999), payee=Payee("Kino"))
    assert "49,99 € a Kino." in rendered(texts, Channel.VOICE, "it", transaction=transaction)


@pytest.mark.parametrize(
    ("locale", "minutes", "expected"),
    [
        ("en", 1, "1 minute."),
        ("de", 1, "1 Minute."),
        ("it", 10, "10 minuti."),
        ("hi", 5, "5 मिनट"),
        ("fr", 5, "5 minutes"),
    ],
)
def test_the_lifetime_is_in_the_language_of_the_text(
    texts: Texts, locale: str, minutes: int, expected: str
) -> None:
    """With the plural that the language has."""
    assert expected in rendered(texts, Channel.SMS, locale, minutes=minutes)


@pytest.mark.parametrize("channel", CODE_CHANNELS)
@pytest.mark.parametrize(
    "name", ["{code}", "{amount}", "%s", "{{7*7}}", "%(code)s", "$code", "${code}", "\\g<0>"]
)
def test_a_payee_that_looks_like_a_placeholder_is_shown_as_it_is(
    texts: Texts, channel: Channel, name: str
) -> None:
    """Substitution is one pass: the code stands where the text has it and nowhere else."""
    transaction = Transaction.payment(amount=Amount("EUR", 4_999), payee=Payee(name))
    text = rendered(texts, channel, "en", transaction=transaction)
    assert name in text
    assert text.replace(", ", "").count("693554") == (2 if channel is Channel.VOICE else 1)


def test_the_message_is_a_secret(texts: Texts) -> None:
    """It holds the code, so it must not slip into a log."""
    message = message_text(
        texts,
        purpose=Purpose.LOGIN,
        channel=Channel.SMS,
        locale="en",
        transaction=None,
        code=Secret("693554"),
        lifetime_minutes=5,
    )
    assert "693554" not in f"{message} {message!r}"


@pytest.mark.parametrize("channel", CODE_CHANNELS)
def test_nothing_is_said_of_a_payment_without_its_transaction(texts: Texts, channel: Channel) -> None:
    """RTS Art. 5(1)(a): no code for a payment whose amount and payee the payer does not see."""
    with pytest.raises(ValueError, match="transaction"):
        rendered(texts, channel, "en", transaction=None)
    with pytest.raises(ValueError, match="transaction"):
        message_shown(texts, Purpose.PAYMENT, "en", None)


def test_an_sms_spells_the_ellipsis_only_to_stay_in_the_gsm_alphabet(texts: Texts) -> None:
    """Where the text is no GSM text anyway, the payee is written as on the bank's page."""
    assert "ACME GmbH ...3000" in rendered(texts, Channel.SMS, "de")
    assert "ACME GmbH …3000" in rendered(texts, Channel.SMS, "hi")
    polish = Transaction.payment(amount=Amount("EUR", 4_999), payee=Payee("Łódź", ACME.account))
    assert "Łódź …3000" in rendered(texts, Channel.SMS, "en", transaction=polish)


@pytest.mark.parametrize("locale", ["en", "de", "it"])
@pytest.mark.parametrize("purpose", list(Purpose))
def test_an_ordinary_sms_is_one_part(texts: Texts, locale: str, purpose: Purpose) -> None:
    """Every further part costs the bank as much again."""
    transaction = PAYMENT if purpose is Purpose.PAYMENT else None
    assert sms_segments(rendered(texts, Channel.SMS, locale, purpose=purpose, transaction=transaction)) == 1


LONG_NAME = "Gesellschaft zur Pflege der ungewöhnlich langen Firmennamen in Wien mbH"


@pytest.mark.parametrize(
    ("most", "payee"),
    [
        (8, LONG_NAME[: LONGEST_NAME - 3] + "... ...3000"),
        (2, LONG_NAME[: LONGEST_NAME - 3] + "... ...3000"),
        (1, "Gesellschaft zur Pflege der ungewöh... ...3000"),
    ],
)
def test_a_name_is_shortened_until_the_sms_keeps_to_its_parts(texts: Texts, most: int, payee: str) -> None:
    """As little as is needed; everything else stays as it is."""
    transaction = Transaction.payment(amount=Amount("EUR", 4_999), payee=Payee(LONG_NAME, ACME.account))
    text = rendered(replace(texts, most_sms_segments=most), Channel.SMS, "de", transaction=transaction)
    assert text == (
        f"Zahlung: 49,99 € an {payee}. Code: 693554, gültig 5 Minuten. "
        "Nennen Sie den Code niemandem, auch nicht Bankmitarbeitern."
    )
    assert sms_segments(text) <= most


def test_a_name_keeps_enough_to_be_known_by(texts: Texts) -> None:
    """However long the rest is: then the SMS has more parts, at the bank's cost and not at the payer's."""
    transaction = Transaction.payment(amount=Amount("EUR", 4_999), payee=Payee("Ł" * 70, ACME.account))
    text = rendered(replace(texts, most_sms_segments=1), Channel.SMS, "de", transaction=transaction)
    assert f" {'Ł' * (LEAST_NAME - 1)}… …3000." in text
    assert sms_segments(text) == 3


def test_a_batch_names_fewer_payees_before_it_takes_more_parts(texts: Texts) -> None:
    """The total and how many there are stand in it all the same (RTS Art. 5(3)(b))."""
    text = rendered(replace(texts, most_sms_segments=1), Channel.SMS, "en", transaction=batch(6))
    assert text.startswith("Batch payment: €6.00 to 6 payees: Payee 0, Payee 1, Payee 2, .... Code: 693554,")
    assert sms_segments(text) == 1


def test_only_an_sms_is_shortened_to_parts(texts: Texts) -> None:
    """Other channels have none."""
    transaction = Transaction.payment(amount=Amount("EUR", 4_999), payee=Payee("Ł" * 70, ACME.account))
    for channel in (Channel.PUSH, Channel.VOICE, Channel.RCS, Channel.WHATSAPP):
        narrow = replace(texts, most_sms_segments=1)
        assert "Ł" * 70 in rendered(narrow, channel, "de", transaction=transaction)


def autofilled(texts: Texts, domain: str = "", android_hash: str = "", *, prefix: bool = False) -> Texts:
    """The shipped texts of a bank that has set up autofill."""
    return replace(texts, autofill=Autofill(domain, android_hash, prefix))


def test_the_last_line_binds_the_code_to_the_banks_domain(texts: Texts) -> None:
    """A browser offers it there and nowhere else (WICG origin-bound one-time codes)."""
    text = rendered(autofilled(texts, domain="bank.example"), Channel.SMS, "en")
    assert text.endswith("not even bank staff.\n@bank.example #693554")


def test_an_android_apps_hash_ends_the_sms(texts: Texts) -> None:
    """SMS Retriever gives the message to the app whose hash it has."""
    held = autofilled(texts, android_hash="FA+9qCX9VSu", prefix=True)
    text = rendered(held, Channel.SMS, "de", purpose=Purpose.LOGIN, transaction=None)
    assert text.startswith("<#> Anmeldung bei Ihrer Bank")
    assert text.endswith("Bankmitarbeitern.\nFA+9qCX9VSu")
    assert sms_segments(text) == 1


def test_domain_and_hash_share_the_last_line(texts: Texts) -> None:
    """What follows an origin-bound code on its line is ignored, and so the hash may end the message."""
    held = autofilled(texts, domain="bank.example", android_hash="FA+9qCX9VSu")
    text = rendered(held, Channel.SMS, "en", purpose=Purpose.LOGIN, transaction=None)
    assert text.endswith("\n@bank.example #693554 FA+9qCX9VSu")


def test_a_hash_that_would_take_a_second_part_is_left_out(texts: Texts) -> None:
    """SMS Retriever reads 140 bytes, one part; the payee's name does not give way for it."""
    held = autofilled(texts, domain="bank.example", android_hash="FA+9qCX9VSu", prefix=True)
    text = rendered(held, Channel.SMS, "hi")
    assert text.startswith("भुगतान: ACME GmbH …3000")
    assert text.endswith("\n@bank.example #693554")


@pytest.mark.parametrize("channel", [one for one in CODE_CHANNELS if one is not Channel.SMS])
def test_no_other_channel_has_lines_for_autofill(texts: Texts, channel: Channel) -> None:
    """They are a format of text messages."""
    held = autofilled(texts, domain="bank.example", android_hash="FA+9qCX9VSu", prefix=True)
    assert rendered(held, channel, "en") == rendered(texts, channel, "en")
