"""What the payer reads or hears: amount, payee and code in the payer's language, over each channel."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.numbers import get_currency_symbol, get_decimal_symbol, get_group_symbol
from babel.units import format_unit

from sca_service.delivery.gsm import is_gsm, segments
from sca_service.delivery.own_text import OwnText
from sca_service.kernel.money import Amount
from sca_service.kernel.secret import Secret
from sca_service.kernel.transaction import Payee, Transaction
from sca_service.policy.model import Autofill, Channel, LanguageTexts, Occasion, OccasionTexts, Purpose, Texts
from sca_service.policy.template import Placeholder, Template

LONGEST_NAME = 70
"""Characters of a payee's name that are shown where there is room: as many as a SEPA payment has for it."""

LEAST_NAME = 20
"""Characters of a name that are shown in any case: fewer would not tell one payee from another."""

LONGEST_LIST = 210
"""Characters that the payees of a batch may take together; at least one is shown, and how many there are."""

_TAG_PART = re.compile(r"[A-Za-z0-9]{1,8}", re.ASCII)
_PLAIN = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u200e": None, "\u200f": None, "\u061c": None})
_CUT, _CUT_IN_GSM = "…", "..."


def amount_text(amount: Amount, locale: str) -> str:
    """The amount with all its minor digits and its currency, as CLDR writes it for the locale: `49,99 €`.

    Spaces are plain and there are no invisible direction marks. An unknown locale is written like its
    language, and an unknown language like English. Never raises for a locale.
    """
    style = _money_style(locale, amount.currency)
    whole, _, fraction = amount.text.partition(".")
    number = _grouped(whole, style) + (style.decimal + fraction if fraction else "")
    return f"{style.before}{number}{style.after}"


def payee_text(transaction: Transaction) -> str:
    """Who is paid: `ACME GmbH …3000`, or the name alone without an account.

    What is too long ends visibly with `…`: a name, or the list of a batch's payees, which has at least one.
    """
    return _payees(transaction, _CUT)


def message_shown(texts: Texts, purpose: Purpose, locale: str, transaction: Transaction | None) -> str:
    """The summary for the bank's page and the evidence, without the code: `49,99 € an ACME GmbH …3000`.

    Raises ValueError for a payment without a transaction.
    """
    template = _texts_for(texts.language_for(locale), purpose, transaction).shown
    return template.fill(_values(transaction, locale, _CUT))


def message_text(
    texts: Texts,
    *,
    purpose: Purpose,
    channel: Channel,
    locale: str,
    transaction: Transaction | None,
    code: Secret[str],
    lifetime_minutes: int,
) -> Secret[str]:
    """The message with the code, for one channel.

    A call says code and account digit by digit. An SMS writes `...` instead of `…` where that is all that
    keeps it from the GSM alphabet, which holds more than twice as much in one part; payees that would take it
    beyond the policy's parts are shortened, and lines for autofill follow. Raises ValueError for a payment
    without a transaction.
    """
    language = texts.language_for(locale)
    template = _texts_for(language, purpose, transaction).over(channel)
    values = {
        Placeholder.CODE: code.reveal(),
        Placeholder.LIFETIME: _lifetime(language.language, lifetime_minutes),
    }
    if channel is Channel.VOICE:
        values[Placeholder.CODE] = _spelled(code.reveal())
        return Secret(template.fill(values | _values(transaction, locale, _CUT, language.payee_spoken)))
    if channel is Channel.SMS:
        return Secret(_sms(texts, template, values, transaction, locale))
    return Secret(template.fill(values | _values(transaction, locale, _CUT)))


def own_message(text: OwnText, code: Secret[str]) -> Secret[str]:
    """The client's own text with the code in its place; what is filled in is not looked at again."""
    return Secret(text.template.replace(OwnText.PLACE, code.reveal()))


def message_values(
    transaction: Transaction | None, *, locale: str, code: Secret[str], language: str, lifetime_minutes: int
) -> dict[Placeholder, Secret[str]]:
    """What a message says, one by one, for suppliers with templates of their own; the code as it is typed."""
    values = _values(transaction, locale, _CUT) | {
        Placeholder.LIFETIME: _lifetime(language, lifetime_minutes)
    }
    return {Placeholder.CODE: code} | {placeholder: Secret(text) for placeholder, text in values.items()}


def sms_segments(text: str) -> int:
    """How many parts an SMS is sent and charged in; at least one."""
    return segments(text)


def _sms(
    texts: Texts,
    template: Template,
    values: dict[Placeholder, str],
    transaction: Transaction | None,
    locale: str,
) -> str:
    """The text in as few parts as the policy wants, with what a handset needs to fill the code in."""
    code = values[Placeholder.CODE]
    ending = f"\n@{texts.autofill.domain} #{code}" if texts.autofill.domain else ""

    def written(room: int) -> str:
        text = template.fill(values | _values(transaction, locale, _CUT_IN_GSM, room=room)) + ending
        if is_gsm(text):
            return text
        return template.fill(values | _values(transaction, locale, _CUT, room=room)) + ending

    text = written(LONGEST_LIST)
    if transaction is not None and segments(text) > texts.most_sms_segments:
        fits, too_much = LEAST_NAME, LONGEST_LIST
        while too_much - fits > 1:
            middle = (fits + too_much) // 2
            if segments(written(middle)) > texts.most_sms_segments:
                too_much = middle
            else:
                fits = middle
        text = written(fits)
    return _for_android(texts.autofill, text) if texts.autofill.android_hash else text


def _for_android(autofill: Autofill, text: str) -> str:
    """The SMS as the SMS Retriever of Android finds it, where it still fits into the 140 octets of one part.

    Source: Google, Perform SMS verification on a server (1. Construct a verification message).
    The hash ends the message; behind an origin-bound code it stands on its line, where further text is ignored (WICG).
    Without it the payer types the code: that is better than a text without its payee.
    """
    found = f"{text}{' ' if autofill.domain else chr(10)}{autofill.android_hash}"
    if autofill.android_prefix:
        found = f"<#> {found}"
    return found if segments(found) == 1 else text


def _texts_for(language: LanguageTexts, purpose: Purpose, transaction: Transaction | None) -> OccasionTexts:
    occasion = Occasion.of(purpose, transaction.kind if transaction else None)
    if occasion is Occasion.BATCH and transaction and len(transaction.shares) == 1:
        occasion = Occasion.PAYMENT  # a batch of one reads like the payment it is
    return language.about(occasion)


def _values(
    transaction: Transaction | None,
    locale: str,
    cut: str,
    spoken: Template | None = None,
    *,
    room: int = LONGEST_LIST,
) -> dict[Placeholder, str]:
    if transaction is None:
        return {}
    payees = _payees(transaction, cut, spoken, room)
    return {
        Placeholder.AMOUNT: amount_text(transaction.total, locale),
        Placeholder.PAYEE: payees,
        Placeholder.PAYEES: payees,
        Placeholder.COUNT: str(len(transaction.shares)),
    }


def _payees(
    transaction: Transaction, cut: str, spoken: Template | None = None, room: int = LONGEST_LIST
) -> str:
    """The payees in so many characters; at least one of them, whose name may be as long as the room for all."""
    shown: list[str] = []
    longest_name = min(room, LONGEST_NAME)
    for share in transaction.shares:
        payee = _payee(share.payee, cut, spoken, longest_name)
        room -= len(payee)
        if shown and room < 0:
            return ", ".join([*shown, cut])
        shown.append(payee)
    return ", ".join(shown)


def _payee(payee: Payee, cut: str, spoken: Template | None, longest_name: int) -> str:
    name = _shortened(payee.name, cut, longest_name)
    if payee.account is None:
        return name
    if spoken is None:
        return f"{name} {cut}{payee.account.tail}"
    return spoken.fill({Placeholder.NAME: name, Placeholder.TAIL: _spelled(payee.account.tail)})


def _shortened(name: str, cut: str, longest: int) -> str:
    if len(name) <= longest:
        return name
    most = longest - len(cut)
    # A letter is not parted from its marks: it would be another letter then. More marks are no writing.
    ends = (end for end in range(most, most - 8, -1) if not _belongs_to_the_letter_before(name[end]))
    return name[: next(ends, most)] + cut


def _belongs_to_the_letter_before(character: str) -> bool:
    return character in "\u200c\u200d" or unicodedata.category(character).startswith("M")


def _spelled(characters: str) -> str:
    return ", ".join(characters)


@lru_cache(maxsize=256)
def _lifetime(language: str, minutes: int) -> str:
    return format_unit(minutes, "duration-minute", length="long", locale=_known_locale(language)).translate(
        _PLAIN
    )


@dataclass(frozen=True, slots=True)
class _MoneyStyle:
    """How one locale writes one currency.

    CLDR's patterns are taken apart once and filled by hand: Babel would round to the digits that cash has,
    and show 50 for 49.99 RSD (RTS Art. 5(1)(a) wants the amount).
    """

    before: str
    after: str
    decimal: str
    group: str
    first_group: int
    other_groups: int


@lru_cache(maxsize=1024)
def _money_style(locale: str, currency: str) -> _MoneyStyle:
    known = _known_locale(locale)
    pattern = known.currency_formats["standard"]
    symbol = get_currency_symbol(currency, locale=known).translate(_PLAIN)
    before, after = (
        text[0].translate(_PLAIN).replace("¤", symbol) for text in (pattern.prefix, pattern.suffix)
    )
    return _MoneyStyle(
        before=before + " " if before and before[-1].isalpha() else before,
        after=" " + after if after and after[0].isalpha() else after,
        decimal=get_decimal_symbol(locale=known).translate(_PLAIN),
        group=get_group_symbol(locale=known).translate(_PLAIN),
        first_group=pattern.grouping[0],
        other_groups=pattern.grouping[1],
    )


def _grouped(whole: str, style: _MoneyStyle) -> str:
    groups = [whole[-style.first_group :]]
    rest = whole[: -style.first_group]
    while rest:
        groups.append(rest[-style.other_groups :])
        rest = rest[: -style.other_groups]
    return style.group.join(reversed(groups))


def _known_locale(tag: str) -> Locale:
    """The locale that CLDR knows: the tag's own, else that of fewer and fewer of its parts, else English."""
    parts = _TAG_PART.findall(tag)[:4]
    while parts:
        try:
            return Locale.parse("_".join(parts))
        except (ValueError, UnknownLocaleError):
            parts.pop()
    return Locale.parse("en")
