"""A message as a mail (RFC 5322): one recipient, plain text in UTF-8, every header made of what cannot hold a line."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from sca_service.delivery.channels.email.smtp.settings import Settings
from sca_service.delivery.channels.titles import titles_for
from sca_service.delivery.supplier import Message

DELIVERY_HEADER = "X-SCA-Delivery"

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL_PART = re.compile(rf"{_ATOM}(?:\.{_ATOM})*", re.ASCII)
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}", re.ASCII)
_DELIVERY = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_LANGUAGE = re.compile(r"[A-Za-z0-9]{1,8}(?:-[A-Za-z0-9]{1,8}){0,4}", re.ASCII)


@dataclass(frozen=True, slots=True, repr=False)
class Mail:
    """One mail: the envelope's recipient, and all that is sent as `DATA`."""

    recipient: str
    content: bytes


def mail_of(message: Message, settings: Settings, now_ms: int) -> Mail:
    """The mail for a message. A repeated message has the same `Message-ID`, by which mail programs know it again.

    Raises ValueError for an address that is none, without quoting it.
    """
    recipient = _recipient(message.to.reveal())
    if not _DELIVERY.fullmatch(message.delivery_id):
        raise ValueError("the delivery cannot stand in a header")
    mail = EmailMessage(policy=SMTP)
    # First, because it takes every header away that begins with `Content-`.
    mail.set_content(message.text.reveal(), charset="utf-8", cte="quoted-printable")
    mail["From"] = _address(settings.sender_name, settings.sender)
    mail["To"] = _address("", recipient)
    if settings.reply_to:
        mail["Reply-To"] = _address("", settings.reply_to)
    mail["Subject"] = titles_for(message.locale, settings.titles).notice
    mail["Date"] = format_datetime(datetime.fromtimestamp(now_ms / 1000, UTC))
    mail["Message-ID"] = f"<{message.delivery_id}@{settings.sender.rpartition('@')[2]}>"
    mail[DELIVERY_HEADER] = message.delivery_id
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence answers it
    if _LANGUAGE.fullmatch(message.locale):
        mail["Content-Language"] = message.locale
    if settings.unsubscribe_url:
        # RFC 8058 section 3.1; whoever signs the mail (DKIM) has to cover both.
        mail["List-Unsubscribe"] = f"<{settings.unsubscribe_url}?delivery={message.delivery_id}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return Mail(recipient, mail.as_bytes())


def _recipient(address: str) -> str:
    """One address in ASCII, its domain as IDNA writes it; names, lists and quoted local parts are none."""
    local_part, _, domain = address.rpartition("@")
    try:
        domain = domain.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise ValueError("the address is none") from error
    whole = f"{local_part}@{domain}"
    if (
        len(local_part) > 64
        or len(whole) > 254
        or not _LOCAL_PART.fullmatch(local_part)
        or not _DOMAIN.fullmatch(domain)
    ):
        raise ValueError("the address is none")
    return whole


def _address(name: str, address: str) -> Address:
    return Address(display_name=name, addr_spec=address)
