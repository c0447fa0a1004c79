"""What the section of a WhatsApp business number holds in `suppliers.toml`.

Its secrets are `SCA_SUPPLIER_<NAME>_ACCESS_TOKEN`, a system user's; `…_APP_SECRET`, which signs the call-backs; and
`…_VERIFY_TOKEN`, any text that is also entered where the webhook is set up.
"""

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from sca_service.delivery.http_client import check_base_url
from sca_service.policy.model import Occasion
from sca_service.policy.template import Placeholder

PAYMENTS: Final = frozenset({Occasion.PAYMENT, Occasion.PREAUTHORISATION, Occasion.BATCH})
_PAYEES: Final = frozenset({Placeholder.PAYEE, Placeholder.PAYEES})
_OF_PAYMENTS: Final = frozenset({Placeholder.AMOUNT, Placeholder.COUNT}) | _PAYEES
_ALLOWED: Final = _OF_PAYMENTS | {Placeholder.CODE, Placeholder.LIFETIME}


class Button(StrEnum):
    """The button below a template's text, as Meta has approved it."""

    NONE = "none"
    COPY_CODE = "copy_code"  # of an authentication template, which shows nothing but the code
    DECLINE = "decline"  # a quick reply "this was not me", which declines what is asked for


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One approved template: what its `{{1}}`, `{{2}}`, … stand for, in their order."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_]{1,512}$")]
    """Meta's name of it."""

    parameters: Annotated[tuple[Placeholder, ...], msgspec.Meta(min_length=1, max_length=10)] = (
        Placeholder.CODE,
    )
    """Of `amount`, `payee`, `payees`, `count`, `code` and `lifetime`."""

    languages: Annotated[
        tuple[Annotated[str, msgspec.Meta(pattern=r"^[a-z]{2,3}(_[A-Z]{2})?$")], ...],
        msgspec.Meta(min_length=1),
    ] = ("en",)
    """The languages it is approved in, as Meta writes them (`de`, `en_US`); the first serves all other payers."""

    button: Button = Button.NONE

    def language_for(self, locale: str) -> str:
        """The approved language nearest to a locale: its own, its language's, or the first."""
        wanted = locale.replace("-", "_").lower()
        for candidate in (wanted, wanted.partition("_")[0]):
            for language in self.languages:
                if candidate in (language.lower(), language.partition("_")[0]):
                    return language
        return self.languages[0]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options of kind `whatsapp-cloud`. Raises ValueError for a template that must not be used."""

    phone_number_id: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{5,20}$")]
    """Meta's id of the number that sends: the verified sender."""

    templates: Annotated[dict[Occasion, Template], msgspec.Meta(min_length=1)]
    """One for each occasion that is to travel over WhatsApp; without one, the ladder goes on to its next channel."""

    version: Annotated[str, msgspec.Meta(pattern=r"^v[0-9]{1,3}\.[0-9]$")] = "v23.0"
    """The version of Meta's Graph API."""

    base_url: str = "https://graph.facebook.com"
    """Where the API is."""

    def __post_init__(self) -> None:
        check_base_url(self.base_url)
        for occasion, template in self.templates.items():
            if mistake := _mistake(occasion, template):
                raise ValueError(f"templates.{occasion}: {mistake}")


def _mistake(occasion: Occasion, template: Template) -> str:
    parameters = template.parameters
    before_code = (
        frozenset(parameters[: parameters.index(Placeholder.CODE)])
        if Placeholder.CODE in parameters
        else None
    )
    if before_code is None:
        return "its parameters lack `code`"
    if not _ALLOWED.issuperset(parameters):
        return "its parameters may be amount, payee, payees, count, code and lifetime"
    if occasion in PAYMENTS:
        # RTS Art. 5(1)(a): the payer is made aware of amount and payee
        if Placeholder.AMOUNT not in before_code or not before_code & _PAYEES:
            return "a payment's parameters need `amount` and `payee` before `code`"
        if template.button is Button.COPY_CODE:
            return (
                "an authentication template, which has the `copy_code` button, shows neither amount nor payee"
            )
    elif _OF_PAYMENTS.intersection(parameters):
        return "only a payment has an amount and a payee"
    if template.button is Button.COPY_CODE and parameters != (Placeholder.CODE,):
        return "an authentication template, which has the `copy_code` button, has the one parameter `code`"
    return ""
