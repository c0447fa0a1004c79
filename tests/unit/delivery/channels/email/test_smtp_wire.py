"""A message as a mail: what its headers are made of, and what can never get into them."""

import email
import email.policy
from dataclasses import replace
from email.message import EmailMessage

import pytest

from sca_service.delivery.channels.email.smtp.settings import Settings
from sca_service.delivery.channels.email.smtp.wire import mail_of
from sca_service.delivery.supplier import Message
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel
from tests.devices import DELIVERY, NOW_MS

SETTINGS = Settings(host="mail.bank.example", sender="alerts@bank.example", sender_name="Bänk & Co, Wien")
TEXT = "Ihr Kontostand ist niedrig: 12,34 €.\nनमस्ते\n.\nFrom here on\n"


def notice(*, to: str = "payer@example.org", text: str = TEXT, locale: str = "de-AT") -> Message:
    """An alert by mail."""
    return Message(DELIVERY, Channel.EMAIL, Secret(to), Secret(text), locale)


def parsed(message: Message, settings: Settings = SETTINGS) -> EmailMessage:
    """The mail as a mail program reads it."""
    content = mail_of(message, settings, NOW_MS).content
    return email.message_from_bytes(content, policy=email.policy.SMTP)


def test_what_a_mail_program_sees() -> None:
    """Subject in the payer's language, text in UTF-8, the delivery in `Message-ID` and in a header of its own."""
    mail = parsed(notice())
    assert mail["Subject"] == "Nachricht von Ihrer Bank"
    assert mail["From"] == '"Bänk & Co, Wien" <alerts@bank.example>'
    assert mail["To"] == "payer@example.org"
    assert mail["Message-ID"] == f"<{DELIVERY}@bank.example>"
    assert mail["X-SCA-Delivery"] == DELIVERY
    assert mail["Date"] == "Tue, 14 Nov 2023 22:13:20 +0000"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Content-Language"] == "de-AT"
    assert mail["List-Unsubscribe"] is None
    assert mail.get_content().splitlines() == TEXT.splitlines()
    assert mail.get_content_type() == "text/plain"


def test_what_goes_over_the_wire_is_ascii_in_short_lines() -> None:
    """No server needs an extension to carry it (RFC 5322 section 2.1.1)."""
    content = mail_of(notice(text=TEXT * 50), SETTINGS, NOW_MS).content
    assert content.isascii()
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert b"\n" not in content.replace(b"\r\n", b"")


def test_a_repetition_is_the_same_mail() -> None:
    """Byte for byte, so a mail program may see that it has it already."""
    assert mail_of(notice(), SETTINGS, NOW_MS).content == mail_of(notice(), SETTINGS, NOW_MS).content


def test_one_click_to_unsubscribe() -> None:
    """RFC 8058: both headers, and a URL that names nobody."""
    settings = Settings(
        host="mail.bank.example", sender="alerts@bank.example", unsubscribe_url="https://bank.example/stop"
    )
    mail = parsed(notice(), settings)
    assert mail["List-Unsubscribe"] == f"<https://bank.example/stop?delivery={DELIVERY}>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "payer" not in mail["List-Unsubscribe"]


def test_answers_go_where_the_bank_wants() -> None:
    """To an address of their own, if there is one."""
    settings = Settings(host="m", sender="alerts@bank.example", reply_to="help@bank.example")
    assert parsed(notice(), settings)["Reply-To"] == "help@bank.example"


@pytest.mark.parametrize(
    "to",
    [
        "",
        "payer",
        "@example.org",
        "payer@",
        "payer@localhost",
        "payer@example.org\r\nBcc: other@example.org",
        "payer@example.org\nSubject: other",
        "payer@example.org, other@example.org",
        "payer@example.org>,<other@example.org",
        "Payer <payer@example.org>",
        '"pay er"@example.org',
        "pay er@example.org",
        ".payer@example.org",
        "pay..er@example.org",
        "päyer@example.org",
        "payer@example.org\0",
        "payer@-example.org",
        "payer@[127.0.0.1]",
        "a" * 65 + "@example.org",
        "payer@" + "a" * 64 + ".org",
        "payer@" + ".".join(["abcdefghij"] * 30),
        "\udcff@example.org",
    ],
)
def test_an_address_that_is_none(to: str) -> None:
    """One recipient and nothing else, so that no header and no command can be smuggled in; the error is silent."""
    with pytest.raises(ValueError, match="the address is none"):
        mail_of(notice(to=to), SETTINGS, NOW_MS)


def test_a_domain_in_another_script() -> None:
    """As IDNA writes it."""
    mail = mail_of(notice(to="payer@bücher.example"), SETTINGS, NOW_MS)
    assert mail.recipient == "payer@xn--bcher-kva.example"


@pytest.mark.parametrize("locale", ["de\r\nBcc: other@example.org", "", "x" * 100, "de_DE"])
def test_a_locale_that_is_none(locale: str) -> None:
    """It is left out, and leaves no trace."""
    mail = parsed(notice(locale=locale))
    assert mail["Content-Language"] is None
    assert mail["Bcc"] is None


def test_a_delivery_that_is_none() -> None:
    """It would stand in two headers."""
    with pytest.raises(ValueError, match="header"):
        mail_of(replace(notice(), delivery_id="dlv\r\nBcc: x"), SETTINGS, NOW_MS)


@pytest.mark.parametrize("text", ["\r\n.\r\nMAIL FROM:<x@example.org>\r\n", ".\n", "a\rb", "\r\n\r\nTo: x"])
def test_a_text_stays_a_text(text: str) -> None:
    """Dots, bare carriage returns and what looks like a header or a command are part of it."""
    mail = parsed(notice(text=text))
    assert "".join(mail.get_content().split()) == "".join(text.split())
    assert mail.keys() == parsed(notice()).keys()
