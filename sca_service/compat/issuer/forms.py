"""What a card processor sends when an issuer's cardholder has to be asked out of band, and what it is told at once."""

from typing import Annotated

import msgspec

from sca_service.api.forms import AmountForm, PayeeForm, TransactionForm
from sca_service.api.requests import Mistakes, locale_of, psu_id_of, transaction_of
from sca_service.challenges.model import Method
from sca_service.challenges.order import ChallengeOrder
from sca_service.kernel.text import clean_text
from sca_service.policy.model import Purpose


class ChallengeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A payment by card that waits for its cardholder. `reference` is the processor's own id of it."""

    reference: Annotated[str, msgspec.Meta(min_length=1, max_length=140)]
    cardholder: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    amount: AmountForm
    merchant: PayeeForm
    locale: str | None = None
    expires_in_s: int | None = None


class ChallengeAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the processor is told at once: `pending`, or `refused` with a reason, so that it asks in another way."""

    reference: str
    status: str
    challenge: str | None = None
    reason: str | None = None
    expires_at: str | None = None
    matching_digits: str | None = None


def order_of(form: ChallengeRequest) -> ChallengeOrder:
    """The order that a request stands for: the cardholder's app is asked. Raises InvalidInput with every mistake."""
    mistakes = Mistakes()
    transaction = mistakes.read(
        "", lambda: transaction_of(TransactionForm(amount=form.amount, payee=form.merchant))
    )
    locale = mistakes.read("/locale", lambda: locale_of(form.locale))
    order = ChallengeOrder(
        psu_id=mistakes.read("/cardholder", lambda: psu_id_of(form.cardholder)) or "",
        purpose=Purpose.PAYMENT,
        method=Method.DEVICE_SIGNATURE,
        transaction=transaction,
        locale=locale or "",
        lifetime_seconds=form.expires_in_s,
        reference=mistakes.read("/reference", lambda: clean_text(form.reference, pointer="", most=140)),
    )
    mistakes.refuse()
    return order
