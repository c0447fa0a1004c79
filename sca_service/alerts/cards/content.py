"""What is sealed of a card and of its charges, and what its holder is told, in the holder's language."""

from datetime import date

import msgspec
from babel import Locale, UnknownLocaleError
from babel.dates import format_skeleton

from sca_service.alerts.cards.model import Card, Warn
from sca_service.alerts.content import Content, addressed, channels_to, rendered
from sca_service.delivery.render import amount_text
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.money import Amount
from sca_service.kernel.phone import PhoneNumber
from sca_service.policy.model import Channel, Policy


class Holder(msgspec.Struct, frozen=True, array_like=True):
    """Who holds a card, in clear, so only ever inside a sealed text: the client's reference, E.164, a locale or ""."""

    psu_id: str
    number: str
    locale: str = ""

    def __repr__(self) -> str:
        return "Holder()"


_decode = msgspec.msgpack.Decoder(Holder).decode
_encode = msgspec.msgpack.Encoder().encode


def sealed_holder(keyring: Keyring, holder: Holder, card: str) -> str:
    """The holder as it is stored for this card (its pseudonym)."""
    return keyring.seal(_encode(holder), f"card {card}")


def holder_of(keyring: Keyring, text: str, card: str) -> Holder:
    """What is sealed of a card. Raises SealBroken when it was altered or its key is gone."""
    return _decode(keyring.open(text, f"card {card}"))


def sealed_merchant(keyring: Keyring, name: str, charge_id: str) -> str:
    """A merchant's name as it is stored for this charge."""
    return keyring.seal(name.encode(), charge_id)


def merchant_of(keyring: Keyring, text: str, charge_id: str) -> str:
    """The merchant of a charge. Raises SealBroken when it was altered or its key is gone."""
    return keyring.open(text, charge_id).decode()


def written(
    policy: Policy, warn: Warn, card: Card, *, holder: Holder, merchant: str
) -> tuple[Content, tuple[Channel, ...]] | None:
    """What a card's holder is told, and over which channels; None for a number that its numbering plan has no more.

    `merchant` is that of the charge, "" where it is about the balance.
    """
    try:
        number = PhoneNumber.parse(holder.number)
    except InvalidInput:
        return None
    channels = channels_to(number)
    values = values_of(policy, warn, card, locale=holder.locale, merchant=merchant)
    content = rendered(policy, warn.kind, locale=holder.locale, channels=channels, values=values)
    return msgspec.structs.replace(addressed(content, number), psu_id=holder.psu_id), channels


def values_of(policy: Policy, warn: Warn, card: Card, *, locale: str, merchant: str) -> dict[str, str]:
    """What the notice leaves open: amounts and days as the holder's language writes them."""
    language = policy.texts.language_for(locale).language
    tag = locale if _base(locale) == _base(language) else language
    if warn.charge is None:
        return {
            "balance": balance_text(card.currency, card.balance_minor, tag),
            "threshold": balance_text(card.currency, card.threshold_minor or 0, tag),
        }
    return {
        "merchant": merchant,
        "amount": balance_text(warn.charge.currency, warn.charge.amount_minor, tag),
        "date": _day_text(warn.charge.expected_on, tag),
    }


def balance_text(currency: str, minor: int, locale: str) -> str:
    """An amount that may be zero or less, as CLDR writes it for the locale."""
    text = amount_text(Amount(currency, abs(minor)), locale)
    return f"-{text}" if minor < 0 else text


def _day_text(day: date, tag: str) -> str:
    """Day and month in words: `1. Dez.`, `Dec 1`."""
    try:
        locale = Locale.parse(tag.replace("-", "_"))
    except (ValueError, UnknownLocaleError):
        locale = Locale("en")
    return format_skeleton("MMMd", day, locale=locale)


def _base(tag: str) -> str:
    return tag.replace("_", "-").lower().split("-")[0]
