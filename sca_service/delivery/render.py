"""What the payer reads or hears: amount, payee and code in the payer's language; and how many SMS that is."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.numbers import get_currency_symbol, get_decimal_symbol, get_group_symbol
from babel.units import format_unit

from sca_service.kernel.money import Amount
from sca_service.kernel.secret import Secret
from sca_service.kernel.transaction import Payee, Transaction
from sca_service.policy.model import Channel, LanguageTexts, Occasion, OccasionTexts, Purpose, Texts
from sca_service.policy.template import Placeholder, Template

LONGEST_NAME = 70
"""Characters of a payee's name that are always shown: as many as a SEPA payment has for it."""

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
    keeps it from the GSM alphabet, which holds more than twice as much in one part. Raises ValueError for a
    payment without a transaction.
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
        text = template.fill(values | _values(transaction, locale, _CUT_IN_GSM))
        if _is_gsm(text):
            return Secret(text)
    return Secret(template.fill(values | _values(transaction, locale, _CUT)))


def sms_segments(text: str) -> int:
    """How many parts an SMS is sent and charged in (3GPP TS 23.038 and 23.040); at least one.

    In the GSM alphabet 160 septets make one part, or 153 each of several; in UCS-2 70 units, or 67. A
    character of two septets or two units is never split between parts.
    """
    if _is_gsm(text):
        return _parts(
            (2 if character in _GSM_EXTENSION else 1 for character in text), single=160, several=153
        )
    return _parts((2 if character > "\uffff" else 1 for character in text), single=70, several=67)


def _texts_for(language: LanguageTexts, purpose: Purpose, transaction: Transaction | None) -> OccasionTexts:
    occasion = Occasion.of(purpose, transaction.kind if transaction else None)
    if occasion is Occasion.BATCH and transaction and len(transaction.shares) == 1:
        occasion = Occasion.PAYMENT  # a batch of one reads like the payment it is
    return language.about(occasion)


def _values(
    transaction: Transaction | None, locale: str, cut: str, spoken: Template | None = None
) -> dict[Placeholder, str]:
    if transaction is None:
        return {}
    payees = _payees(transaction, cut, spoken)
    return {
        Placeholder.AMOUNT: amount_text(transaction.total, locale),
        Placeholder.PAYEE: payees,
        Placeholder.PAYEES: payees,
        Placeholder.COUNT: str(len(transaction.shares)),
    }


def _payees(transaction: Transaction, cut: str, spoken: Template | None = None) -> str:
    shown: list[str] = []
    room = LONGEST_LIST
    for share in transaction.shares:
        payee = _payee(share.payee, cut, spoken)
        room -= len(payee)
        if shown and room < 0:
            return ", ".join([*shown, cut])
        shown.append(payee)
    return ", ".join(shown)


def _payee(payee: Payee, cut: str, spoken: Template | None) -> str:
    name = _shortened(payee.name, cut)
    if payee.account is None:
        return name
    if spoken is None:
        return f"{name} {cut}{payee.account.tail}"
    return spoken.fill({Placeholder.NAME: name, Placeholder.TAIL: _spelled(payee.account.tail)})


def _shortened(name: str, cut: str) -> str:
    if len(name) <= LONGEST_NAME:
        return name
    most = LONGEST_NAME - len(cut)
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


_GSM_BASIC = frozenset(
    "@£$¥èéùìòç\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""The default alphabet of 3GPP TS 23.038, one septet each; 0x09 is the small ç, as in Unicode's table."""

_GSM_EXTENSION = frozenset("\f^{}\\[~]|€")
"""Its extension table: an escape and a septet each."""

_GSM = _GSM_BASIC | _GSM_EXTENSION


def _is_gsm(text: str) -> bool:
    return _GSM.issuperset(text)


def _parts(sizes: Iterable[int], *, single: int, several: int) -> int:
    total, parts, held = 0, 1, 0
    for size in sizes:
        total += size
        held += size
        if held > several:
            parts, held = parts + 1, size
    return 1 if total <= single else parts
