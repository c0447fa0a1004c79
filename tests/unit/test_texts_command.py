"""`sca texts preview`: what a bank sees of its texts before its payers do."""

import shutil
from pathlib import Path

import pytest

from sca_service.kernel.errors import InvalidInput
from sca_service.policy.model import Channel, Occasion
from sca_service.texts_command import ExamplePayment, preview

POLICIES = Path(__file__).resolve().parents[2] / "policies"


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, on one line and without the frame."""
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_every_text_of_every_language_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Each occasion over each channel that has a text of its own."""
    preview()
    printed = capsys.readouterr().out
    for language in ("en · English", "de · German", "it · Italian", "hi · Hindi"):
        assert printed.count(f"{language} ─") == 1
    for occasion in Occasion:
        for channel in (Channel.SMS, Channel.VOICE, Channel.PUSH):
            assert printed.count(f"╭─ {occasion} · {channel} ─") == 4
    assert "The code 123456 is an example, and nothing was sent." in printed


def test_the_page_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """80 columns, where letters have one column each."""
    preview(language=["en", "de", "it"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_a_text_is_shown_as_it_would_be_sent(capsys: pytest.CaptureFixture[str]) -> None:
    """With what it costs."""
    preview(language=["de-AT"], purpose=[Occasion.PAYMENT], channel=[Channel.SMS])
    printed = told(capsys)
    assert "de-AT · German (Austria) · texts of de" in printed
    assert "Zahlung: € 49,99 an ACME GmbH ...3000. Code: 123456, gültig 5 Minuten." in printed
    assert "GSM alphabet · 130 characters · 1 part" in printed


def test_the_payment_is_of_ones_choice(capsys: pytest.CaptureFixture[str]) -> None:
    """A name outside the GSM alphabet shows what it does to the parts."""
    preview(
        language=["en"],
        purpose=[Occasion.PAYMENT],
        channel=[Channel.SMS],
        payment=ExamplePayment(amount="1234", currency="JPY", payee="Łódź", iban=""),
    )
    printed = told(capsys)
    assert "Payment: ¥1,234 to Łódź. Code:" in printed
    assert "UCS-2 · 115 characters · 2 parts (67 + 48)" in printed


def test_a_payee_that_is_shortened_is_pointed_out(capsys: pytest.CaptureFixture[str]) -> None:
    """And parts beyond those of the policy."""
    payment = ExamplePayment(payee="Ł" * 140)
    preview(language=["en"], purpose=[Occasion.PAYMENT], channel=[Channel.SMS], payment=payment)
    assert "payee shortened · 3 parts" in told(capsys)


def test_parts_beyond_the_policys_are_pointed_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Where only the bank can do something about it: the text is too long by itself."""
    folder = Path(shutil.copytree(POLICIES, tmp_path / "policies"))
    path = folder / "texts.toml"
    content = path.read_text("utf-8").replace("most_sms_segments = 3", "most_sms_segments = 1")
    path.write_text(content, "utf-8")
    preview(language=["hi"], purpose=[Occasion.LOGIN], channel=[Channel.SMS], policies=folder)
    assert "2 parts (67 + 42), the policy wants 1" in told(capsys)


def test_autofill_is_shown_and_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Where it fits: the hash stands in an SMS of one part only."""
    folder = Path(shutil.copytree(POLICIES, tmp_path / "policies"))
    path = folder / "texts.toml"
    autofill = '[autofill]\ndomain = "bank.example"\nandroid_hash = "FA+9qCX9VSu"\n'
    content = path.read_text("utf-8").replace("\n[en]\n", f"\n{autofill}\n[en]\n")
    path.write_text(content, "utf-8")
    preview(language=["en", "hi"], purpose=[Occasion.LOGIN], channel=[Channel.SMS], policies=folder)
    printed = told(capsys)
    assert printed.count("@bank.example #123456") == 2
    assert printed.count("#123456 FA+9qCX9VSu") == 1
    assert "the last line of an SMS binds its code to bank.example" in printed


@pytest.mark.parametrize(
    ("payment", "pointer"),
    [
        (ExamplePayment(amount="1,50"), "/amount"),
        (ExamplePayment(currency="XXX"), "/currency"),
        (ExamplePayment(payee=""), "/payee"),
        (ExamplePayment(iban="DE00"), "/iban"),
    ],
)
def test_what_is_no_payment_is_told(payment: ExamplePayment, pointer: str) -> None:
    """By the name of the option."""
    with pytest.raises(InvalidInput) as caught:
        preview(payment=payment)
    assert [mistake.pointer for mistake in caught.value.mistakes] == [pointer]


def test_no_text_is_shown_for_e_mail() -> None:
    """No code travels that way (NIST SP 800-63B-4 section 3.1.3.1)."""
    with pytest.raises(InvalidInput):
        preview(channel=[Channel.EMAIL])
