"""RTS Art. 5 in the texts: the payer sees amount and payee before the code, in every language and channel."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from sca_service.delivery.render import amount_text, message_shown, message_text
from sca_service.kernel.account import Account
from sca_service.kernel.money import Amount
from sca_service.kernel.secret import Secret
from sca_service.kernel.transaction import Payee, PayeeShare, Transaction
from sca_service.policy.load import PolicyError, load
from sca_service.policy.model import Autofill, Channel, Policy, Purpose

POLICIES = Path(__file__).resolve().parents[2] / "policies"
LANGUAGES = ("en", "de", "it", "hi")
CODE = "693554"

TOTAL = Amount("EUR", 4_999)
ACME = Payee("ACME GmbH", Account.parse(iban="DE89370400440532013000"))
CINEMA = Payee("Kino Köln")
PAYMENT = Transaction.payment(amount=TOTAL, payee=ACME)
PREAUTHORISATION = Transaction.preauthorisation(amount=TOTAL, payee=ACME)
BATCH = Transaction.batch(
    total=TOTAL, shares=[PayeeShare(ACME, Amount("EUR", 4_000)), PayeeShare(CINEMA, Amount("EUR", 999))]
)

every_language = pytest.mark.parametrize("language", LANGUAGES)
every_channel = pytest.mark.parametrize("channel", [channel for channel in Channel if channel.carries_codes])
every_rendering = pytest.mark.parametrize("channel", [Channel.SMS, Channel.VOICE, Channel.PUSH])


@pytest.fixture(scope="module")
def policy() -> Policy:
    """The policy that the service is shipped with."""
    return load(POLICIES)


def message(
    policy: Policy, channel: Channel, language: str, purpose: Purpose, transaction: Transaction | None
) -> str:
    """What reaches the payer; a spelled code is put together again."""
    text = message_text(
        policy.texts,
        purpose=purpose,
        channel=channel,
        locale=language,
        transaction=transaction,
        code=Secret(CODE),
        lifetime_minutes=5,
    )
    return text.reveal().replace(", ".join(CODE), CODE)


def test_5_1_a_every_language_that_is_shipped_is_tested_here(policy: Policy) -> None:
    """A language that is added is added to these tests."""
    assert tuple(texts.language for texts in policy.texts.languages) == LANGUAGES


@every_language
@every_channel
def test_5_1_a_every_payment_text_names_amount_and_payee(
    policy: Policy, language: str, channel: Channel
) -> None:
    """The payer is made aware of the amount of the payment and of the payee."""
    text = message(policy, channel, language, Purpose.PAYMENT, PAYMENT)
    assert amount_text(TOTAL, language) in text
    assert "ACME GmbH" in text
    assert "3000" in text.replace(", ", "")


@every_language
def test_5_1_a_the_summary_for_the_bank_names_amount_and_payee(policy: Policy, language: str) -> None:
    """What the bank's page shows, and the evidence keeps, is specific too."""
    shown = message_shown(policy.texts, Purpose.PAYMENT, language, PAYMENT)
    assert amount_text(TOTAL, language) in shown
    assert "ACME GmbH …3000" in shown


@every_language
@every_channel
@pytest.mark.parametrize("transaction", [PAYMENT, PREAUTHORISATION, BATCH], ids=lambda one: one.kind.value)
def test_5_1_a_amount_and_payee_come_before_the_code(
    policy: Policy, language: str, channel: Channel, transaction: Transaction
) -> None:
    """Nobody can use the code without having passed what it is for."""
    text = message(policy, channel, language, Purpose.PAYMENT, transaction)
    before, _, _ = text.partition(CODE)
    assert amount_text(TOTAL, language) in before
    assert "ACME GmbH" in before


@every_language
@every_channel
@pytest.mark.parametrize("purpose", [purpose for purpose in Purpose if purpose is not Purpose.PAYMENT])
def test_5_1_a_no_other_text_can_be_taken_for_a_payment(
    policy: Policy, language: str, channel: Channel, purpose: Purpose
) -> None:
    """Each of them says that it is no payment (OWASP Transaction Authorization Cheat Sheet 1.4)."""
    denial = {"en": "not a payment", "de": "keine Zahlung", "it": "non è un pagamento", "hi": "भुगतान नहीं"}
    text = message(policy, channel, language, purpose, None)
    shown = message_shown(policy.texts, purpose, language, None)
    assert denial[language].lower() in text.lower()
    assert denial[language].lower() in shown.lower()


@every_language
def test_5_1_a_the_amount_shown_is_exact(policy: Policy, language: str) -> None:
    """Not the rounded one that cash would have: 49.99 dinars are not 50."""
    transaction = Transaction.payment(amount=Amount("RSD", 4_999), payee=ACME)
    shown = message_shown(policy.texts, Purpose.PAYMENT, language, transaction)
    assert "4999" in "".join(filter(str.isdecimal, shown))


@pytest.mark.parametrize("placeholder", ["{amount}", "{payee}"])
@every_rendering
def test_5_1_a_a_payment_text_without_amount_or_payee_is_refused_at_start(
    tmp_path: Path, channel: Channel, placeholder: str
) -> None:
    """No bank can configure the awareness away."""
    folder = Path(shutil.copytree(POLICIES, tmp_path / "policies"))
    lines = (folder / "texts.toml").read_text(encoding="utf-8").split("\n")
    at = next(
        at for at in range(lines.index("[it.payment]"), len(lines)) if lines[at].startswith(f"{channel} =")
    )
    lines[at] = lines[at].replace(placeholder, "…")
    (folder / "texts.toml").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(PolicyError) as caught:
        load(folder)
    assert len(caught.value.mistakes) == 1
    assert caught.value.mistakes[0].startswith(
        f"texts.toml:it.payment.{channel}: needs {placeholder} (RTS Art. 5(1)(a)"
    )


@every_language
@pytest.mark.parametrize("transaction", [PAYMENT, PREAUTHORISATION, BATCH], ids=lambda one: one.kind.value)
@pytest.mark.parametrize("name", ["A" * 140, "Ł" * 140])
def test_5_1_a_no_length_of_a_name_costs_the_amount_or_the_payee(
    policy: Policy, language: str, transaction: Transaction, name: str
) -> None:
    """In an SMS that may have one part only: the name is cut visibly, the rest is whole and in its order."""
    shares = (PayeeShare(Payee(name, ACME.account), transaction.total), *transaction.shares[1:])
    long = structs.replace(transaction, shares=shares)
    narrow = replace(policy, texts=replace(policy.texts, most_sms_segments=1))
    text = message(narrow, Channel.SMS, language, Purpose.PAYMENT, long)
    before, _, after = text.partition(CODE)
    assert amount_text(TOTAL, language) in before
    assert name[:10] in before
    assert "…3000" in before or "...3000" in before
    assert "… " in before or "... " in before
    assert after


@every_language
def test_5_1_a_what_fills_in_the_code_stands_behind_amount_and_payee(policy: Policy, language: str) -> None:
    """A handset may offer the code at once; its lines are still the last that is read."""
    autofill = Autofill(domain="bank.example")
    filled = replace(policy, texts=replace(policy.texts, autofill=autofill))
    text = message(filled, Channel.SMS, language, Purpose.PAYMENT, PAYMENT)
    before, _, _ = text.partition(CODE)
    assert amount_text(TOTAL, language) in before
    assert "ACME GmbH" in before
    assert text.endswith(f"\n@bank.example #{CODE}")


@every_channel
def test_5_1_a_no_code_is_rendered_without_the_transaction(policy: Policy, channel: Channel) -> None:
    """A payment whose amount and payee are unknown has no message."""
    with pytest.raises(ValueError, match="transaction"):
        message(policy, channel, "en", Purpose.PAYMENT, None)


def test_5_2_every_change_of_a_text_is_another_policy(policy: Policy, tmp_path: Path) -> None:
    """The integrity of what is displayed: the digest in each decision covers the texts."""
    folder = Path(shutil.copytree(POLICIES, tmp_path / "policies"))
    path = folder / "texts.toml"
    path.write_text(
        path.read_text(encoding="utf-8").replace("{amount} an {payee}", "{amount} für {payee}"),
        encoding="utf-8",
    )
    assert load(folder).digest != policy.digest


@every_language
@every_channel
def test_5_3_a_a_preauthorisation_says_that_the_amount_is_the_most(
    policy: Policy, language: str, channel: Channel
) -> None:
    """The code is specific to the amount that the payer agreed to have blocked."""
    most = {"en": "up to", "de": "bis zu", "it": "fino a", "hi": "अधिकतम"}
    text = message(policy, channel, language, Purpose.PAYMENT, PREAUTHORISATION)
    assert f"{most[language]} {amount_text(TOTAL, language)}" in text
    shown = message_shown(policy.texts, Purpose.PAYMENT, language, PREAUTHORISATION)
    assert f"{most[language]} {amount_text(TOTAL, language)}" in shown


@every_language
@every_channel
def test_5_3_b_a_batch_names_the_total_and_the_payees(
    policy: Policy, language: str, channel: Channel
) -> None:
    """The code is specific to the total amount and to the specified payees."""
    counted = {"en": "2 payees", "de": "2 Empfänger", "it": "2 beneficiari", "hi": "2 प्राप्तकर्ताओं"}
    text = message(policy, channel, language, Purpose.PAYMENT, BATCH)
    assert amount_text(TOTAL, language) in text
    assert counted[language] in text
    assert text.index("ACME GmbH") < text.index("Kino Köln")


@every_language
@every_channel
def test_22_1_every_message_warns_against_sharing_the_code(
    policy: Policy, language: str, channel: Channel
) -> None:
    """The confidentiality of the code is in the payer's hands too."""
    warnings = {"en": "Never share this code", "de": "niemandem", "it": "a nessuno", "hi": "किसी को न बताएँ"}
    for purpose in Purpose:
        transaction = PAYMENT if purpose is Purpose.PAYMENT else None
        assert warnings[language] in message(policy, channel, language, purpose, transaction)
