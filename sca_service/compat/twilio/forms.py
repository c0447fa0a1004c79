"""What Twilio's clients send: `application/x-www-form-urlencoded`, and what of it becomes an order or an answer."""

import ipaddress
from dataclasses import dataclass

from sca_service.compat.form_body import Parameters
from sca_service.compat.twilio.money import amount_of
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.text import clean_text
from sca_service.kernel.transaction import Payee, Transaction
from sca_service.policy.model import Channel

_LONGEST_PAYEE = 140
_CHANNELS = {"sms": Channel.SMS, "call": Channel.VOICE, "whatsapp": Channel.WHATSAPP, "auto": None}
_CHANGES_THE_CODE = ("CustomCode", "CustomMessage", "SendDigits", "TemplateSid", "Templates")
"""Parameters that cannot be passed over: what the payer reads, or what is accepted, would not be what was asked for."""


class NotSupported(InvalidInput):
    """Something that this service never does."""


class ChannelDisabled(InvalidInput):
    """A channel that no code travels by."""


class AmountAndPayeeRequired(InvalidInput):
    """One of the two without the other."""


@dataclass(frozen=True, slots=True)
class Start:
    """A verification to start; `channel` is None where the policy's ladder is wanted."""

    line: PhoneNumber
    channel: Channel | None
    transaction: Transaction | None
    locale: str
    ip: str | None


def start_of(sent: Parameters) -> Start:
    """What is to be started. Raises InvalidInput."""
    refused = next((name for name in _CHANGES_THE_CODE if name in sent), None)
    if refused:
        raise NotSupported.at(f"/{refused}", "the service derives codes, and sends the policy's texts")
    channel = sent.get("Channel", "")
    if channel not in _CHANNELS:
        raise ChannelDisabled.at("/Channel", f"must be one of {', '.join(_CHANNELS)}")
    line = line_of(sent.get("To", ""))
    return Start(line, _CHANNELS[channel], transaction_of(sent), sent.get("Locale", ""), _ip(sent))


def line_of(text: str) -> PhoneNumber:
    """The number in `To`. Raises InvalidInput."""
    try:
        return PhoneNumber.parse(text)
    except InvalidInput as error:
        raise InvalidInput.at("/To", error.mistakes[0].detail) from None


def transaction_of(sent: Parameters) -> Transaction | None:
    """What is paid to whom, None where neither is said. Raises InvalidInput."""
    amount, payee = sent.get("Amount"), sent.get("Payee")
    if amount is None and payee is None:
        return None
    if amount is None or payee is None:
        raise AmountAndPayeeRequired.at("/Amount", "and Payee are given together")
    try:
        read = amount_of(amount)
    except InvalidInput as error:
        raise InvalidInput.at("/Amount", error.mistakes[0].detail) from None
    name = clean_text(payee, pointer="/Payee", most=_LONGEST_PAYEE)
    return Transaction.payment(amount=read, payee=Payee(name))


def _ip(sent: Parameters) -> str | None:
    text = sent.get("DeviceIp")
    if text is None:
        return None
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise InvalidInput.at("/DeviceIp", "must be an IP address") from None
