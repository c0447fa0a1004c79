"""`sca texts preview`: every text of a policy as a handset would show it, and what it costs as an SMS."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from babel import Locale, UnknownLocaleError
from cyclopts import Parameter
from rich.box import Box
from rich.console import Console
from rich.panel import Panel
from rich.rule import Rule
from rich.text import Text

from sca_service.delivery.gsm import is_gsm, segments, split
from sca_service.delivery.render import message_text
from sca_service.kernel.account import Account
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.money import Amount
from sca_service.kernel.secret import Secret
from sca_service.kernel.text import clean_text
from sca_service.kernel.transaction import Payee, PayeeShare, Transaction
from sca_service.policy.load import load
from sca_service.policy.model import Channel, LanguageTexts, Occasion, Policy, Purpose
from sca_service.policy.notices import BANK, LINK
from sca_service.settings import shipped_policies

_CODE = "123456"
_LINK = "https://sca.bank.example/l/" + "x" * 20
_WIDTH = 76
_LONGEST_PAYEE = 140
_OTHER_PAYEE = Payee("Stadtwerke Beispielstadt")
_SHOWN_BY_ITSELF = (Channel.SMS, Channel.VOICE, Channel.PUSH)
_FRAME = Box("╭── \n│   \n├── \n│   \n├── \n├── \n│   \n╰── \n")
"""Open to the right: terminals do not agree on how wide Devanagari is."""


@dataclass(frozen=True, slots=True)
class ExamplePayment:
    """What the texts of a payment speak of."""

    amount: Annotated[str, Parameter(help="A decimal number with a point.")] = "49.99"
    currency: Annotated[str, Parameter(help="An ISO 4217 code.")] = "EUR"
    payee: Annotated[str, Parameter(help="The payee's name.")] = "ACME GmbH"
    iban: Annotated[str, Parameter(help="The payee's account; empty for none.")] = "DE89370400440532013000"


def preview(
    *,
    language: Annotated[list[str] | None, Parameter(consume_multiple=True, negative=())] = None,
    purpose: Annotated[list[Occasion] | None, Parameter(consume_multiple=True, negative=())] = None,
    channel: Annotated[list[Channel] | None, Parameter(consume_multiple=True, negative=())] = None,
    notice: Annotated[list[str] | None, Parameter(consume_multiple=True, negative=())] = None,
    payment: Annotated[ExamplePayment | None, Parameter(name="*")] = None,
    policies: Path | None = None,
) -> None:
    """Show every text as a handset would, and for an SMS its alphabet and parts. The code is an example.

    Parameters
    ----------
    language
        Languages or locales such as `de` or `de-AT`, by which amounts are written; every language when left out.
    purpose
        What the texts speak of: a purpose, or `preauthorisation` or `batch`; everything when left out.
    channel
        Channels; RCS and WhatsApp read like an SMS and are shown when asked for.
    notice
        Notices by their names; every one when this and `purpose` are left out.
    payment
        What the texts of a payment speak of.
    policies
        The folder of policies; those that come with the service when left out.
    """
    if not all(one.carries_codes for one in channel or ()):
        raise InvalidInput.at("/channel", "must be one that carries codes; e-mail never does")
    transactions = _transactions(payment or ExamplePayment())
    policy = load(policies or shipped_policies())
    locales = language or [texts.language for texts in policy.texts.languages]
    sheet = _Sheet(policy, Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH + 4))
    for locale in locales:
        sheet.heading(locale)
        for occasion in purpose or ([] if notice else list(Occasion)):
            for one in channel or _SHOWN_BY_ITSELF:
                sheet.text(locale, occasion, one, transactions.get(occasion))
        for name in notice or ([] if purpose else sheet.notices(locale)):
            for one in channel or _SHOWN_BY_ITSELF:
                sheet.notice(locale, name, one)
    sheet.footer()


@dataclass(frozen=True, slots=True, eq=False)
class _Sheet:
    """The printed page. A class because every line needs the policy and the console."""

    policy: Policy
    out: Console

    def heading(self, locale: str) -> None:
        """A language begins."""
        texts = self.policy.texts.language_for(locale)
        self.out.print()
        self.out.print(Rule(f"[bold]{_title(locale, texts)}[/]", style="cyan", align="left"), width=_WIDTH)

    def text(
        self, locale: str, occasion: Occasion, channel: Channel, transaction: Transaction | None
    ) -> None:
        """One text in its frame."""
        minutes = max(self.policy.code.lifetime_seconds // 60, 1)
        text = message_text(
            self.policy.texts,
            purpose=Purpose.PAYMENT if transaction else Purpose(occasion.value),
            channel=channel,
            locale=locale,
            transaction=transaction,
            code=Secret(_CODE),
            lifetime_minutes=minutes,
        ).reveal()
        shown = Text(text)
        shown.highlight_words([_CODE, ", ".join(_CODE)], "bold yellow")
        self._framed(
            shown,
            f"[bold]{occasion}[/] · {channel}",
            _measure(text, channel, transaction, self.policy.texts.most_sms_segments),
        )

    def notices(self, locale: str) -> list[str]:
        """The names of the notices there are."""
        return sorted(self.policy.texts.language_for(locale).notices)

    def notice(self, locale: str, name: str, channel: Channel) -> None:
        """One notice in its frame; what is left open stands in braces. Raises InvalidInput for an unknown one."""
        found = self.policy.texts.language_for(locale).notices.get(name)
        if found is None:
            allowed = ", ".join(self.notices(locale))
            raise InvalidInput.at("/notice", f"must be a notice of the policy: {allowed}")
        open_ones = {variable: f"{{{variable}}}" for variable in found.variables}
        values = {**open_ones, BANK: self.policy.authenticators.issuer_name, LINK: _LINK}
        text = found.over(channel).fill(values)
        shown = Text(text)
        shown.highlight_words([*open_ones.values(), _LINK], "bold yellow")
        measured = _measure(text, channel, None, self.policy.texts.most_sms_segments)
        self._framed(shown, f"[bold]notice {name}[/] · {channel}", measured)

    def _framed(self, shown: Text, title: str, subtitle: str) -> None:
        self.out.print(
            Panel(
                shown,
                title=title,
                title_align="left",
                subtitle=subtitle,
                subtitle_align="right",
                border_style="dim",
                box=_FRAME,
                padding=(0, 1),
                width=_WIDTH,
            )
        )

    def footer(self) -> None:
        """What is not real about all this."""
        texts = self.policy.texts
        ends = []
        if texts.autofill.domain:
            ends.append(f"the last line of an SMS binds its code to {texts.autofill.domain}")
        if texts.autofill.android_hash:
            ends.append(f"an SMS of one part ends with {texts.autofill.android_hash} for the Android app")
        self.out.print()
        self.out.print(f"  The code {_CODE} is an example, and nothing was sent.", style="dim")
        for end in ends:
            self.out.print(f"  Autofill: {end}.", style="dim")
        self.out.print()


def _title(locale: str, texts: LanguageTexts) -> str:
    try:
        name = Locale.parse(locale, sep="-").get_display_name("en") or ""
    except (ValueError, UnknownLocaleError):
        name = ""
    named = f"{locale} · {name}" if name else locale
    if texts.language.lower() == locale.replace("_", "-").lower():
        return named
    return f"{named} · texts of {texts.language}"


def _measure(text: str, channel: Channel, transaction: Transaction | None, most: int) -> str:
    """Length, and of an SMS the alphabet and the parts; more parts than the policy wants are red."""
    said = [f"{len(text)} characters"]
    if transaction and not all(share.payee.name in text for share in transaction.shares):
        said.append("payee shortened")
    if channel is not Channel.SMS:
        return " · ".join(said)
    parts = segments(text)
    alphabet = "GSM alphabet" if is_gsm(text) else "UCS-2"
    line = " · ".join([alphabet, *said, "1 part" if parts == 1 else _parts(text)])
    return f"[bold red]{line}, the policy wants {most}[/]" if parts > most else line


def _parts(text: str) -> str:
    lengths = [str(len(part)) for part in split(text)]
    return f"{len(lengths)} parts ({' + '.join(lengths)})"


def _transactions(example: ExamplePayment) -> dict[Occasion, Transaction]:
    """What the three kinds of payment speak of; the batch pays two. Raises InvalidInput."""
    amount = Amount.parse(currency=example.currency, amount=example.amount)
    name = clean_text(example.payee, pointer="/payee", most=_LONGEST_PAYEE)
    payee = Payee(name, Account.parse(iban=example.iban) if example.iban else None)
    shares: Sequence[PayeeShare] = (PayeeShare(payee, amount), PayeeShare(_OTHER_PAYEE, amount))
    total = Amount(amount.currency, 2 * amount.minor)
    return {
        Occasion.PAYMENT: Transaction.payment(amount=amount, payee=payee),
        Occasion.PREAUTHORISATION: Transaction.preauthorisation(amount=amount, payee=payee),
        Occasion.BATCH: Transaction.batch(total=total, shares=shares),
    }
