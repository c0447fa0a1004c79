"""A payment that the browser itself shows and a passkey signs: Secure Payment Confirmation (W3C SPC).

The payer sees payee, amount and instrument in a window that no page can paint, and the signature covers what was
shown: dynamic linking (RTS Art. 5(1)) that does not rest on the page. No library knows `payment.get`; what it adds
to WebAuthn is compared here, and the signature is verified as for any assertion.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
from webauthn.helpers import bytes_to_base64url

from sca_service.authenticators.passkey.assertion import Assertion, BadAssertion, signed_by
from sca_service.authenticators.passkey.registration import (
    ANSWER_WITHIN_MS,
    FEWEST_CHALLENGE_BYTES,
    MOST_PASSKEYS,
    Passkey,
)
from sca_service.authenticators.passkey.response import Client, raw, read_assertion, read_client
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.money import Amount


@dataclass(frozen=True, slots=True)
class ExpectedPayment:
    """What the payer must have been shown. Its `repr` shows nothing of it."""

    top_origin: str = field(repr=False)
    """The origin of the page that asked, or of the page around its frame."""
    total: Amount = field(repr=False)
    instrument_name: str = field(repr=False)
    """What the payer pays with, as shown: `Current account ··34`."""
    instrument_icon: str = field(repr=False)
    """The icon's URL."""
    payee_name: str | None = field(default=None, repr=False)
    payee_origin: str | None = field(default=None, repr=False)
    """Name, origin or both, as shown; ValueError for neither (SPC section 4.8)."""

    def __post_init__(self) -> None:
        if self.payee_name is None and self.payee_origin is None:
            raise ValueError("a payment names its payee, the payee's origin or both")


class _Total(msgspec.Struct, frozen=True):
    currency: str
    value: str


class _Instrument(msgspec.Struct, frozen=True, rename="camel"):
    display_name: str
    icon: str
    details: str | None = None


class _Payment(msgspec.Struct, frozen=True, rename="camel"):
    top_origin: str
    total: _Total
    instrument: _Instrument
    rp_id: str | None = None
    rp: str | None = None
    payee_name: str | None = None
    payee_origin: str | None = None
    payment_entities_logos: tuple[msgspec.Raw, ...] = ()


_payments: Final = msgspec.json.Decoder(_Payment)


def confirmation_request(
    expected: ExpectedPayment, *, rp_id: str, challenge: bytes, passkeys: Sequence[Passkey]
) -> bytes:
    """JSON of the two arguments of `new PaymentRequest(methods, details)` (SPC section 4.4).

    The page has to turn `challenge` and `credentialIds` from base64url into bytes. What is shown comes from the same
    value that `verify_payment` compares. Raises ValueError for no passkey, more than 20, or a challenge under 16
    bytes.
    """
    if not 1 <= len(passkeys) <= MOST_PASSKEYS or len(challenge) < FEWEST_CHALLENGE_BYTES:
        raise ValueError("the challenge or the number of passkeys is out of bounds")
    payee = {"payeeName": expected.payee_name, "payeeOrigin": expected.payee_origin}
    shown = {
        "challenge": bytes_to_base64url(challenge),
        "rpId": rp_id,
        "credentialIds": [bytes_to_base64url(passkey.credential_id) for passkey in passkeys],
        "instrument": {
            "displayName": expected.instrument_name,
            "icon": expected.instrument_icon,
            "iconMustBeShown": True,  # or the browser may sign an empty icon in its place
        },
        "timeout": ANSWER_WITHIN_MS,
    } | {name: value for name, value in payee.items() if value is not None}
    total = {"currency": expected.total.currency, "value": expected.total.text}
    return msgspec.json.encode(
        {
            "methods": [{"supportedMethods": "secure-payment-confirmation", "data": shown}],
            "details": {"total": {"label": "Total", "amount": total}},
        }
    )


def verify_payment(
    response_json: bytes,
    *,
    passkey: Passkey,
    challenge: bytes,
    rp_id: str,
    origins: Sequence[str],
    expected: ExpectedPayment,
) -> Assertion:
    """That the browser showed the payer exactly this payment, and the payer was verified and agreed (SPC section 9.1).

    `origins` are those that may call SPC, the payee's perhaps; a frame needs no other leave, as the page around it
    is `expected.top_origin`. Raises InvalidInput, ClonedPasskey and BadAssertion as `verify_assertion` does,
    BadAssertion also for anything shown that differs: one cent, one letter.
    """
    answer = read_assertion(response_json)
    client = read_client(raw(answer.response.client))
    if not client.answers(kind="payment.get", challenge=challenge, origins=origins):
        raise BadAssertion
    if not _is_as_expected(client, expected, rp_id):
        raise BadAssertion
    return signed_by(passkey, answer, rp_id=rp_id)


def _is_as_expected(client: Client, expected: ExpectedPayment, rp_id: str) -> bool:
    """Whether what was shown is what should have been; logos and details of an instrument are never asked for."""
    try:
        shown = _payments.decode(client.payment)
        total = Amount.parse(currency=shown.total.currency, amount=shown.total.value)
    except (InvalidInput, ValueError):
        return False
    return (
        {shown.rp_id, shown.rp} - {None} == {rp_id}  # older browsers say `rp`, some both (SPC section 5.2)
        and shown.top_origin == expected.top_origin
        and client.top_origin in (None, expected.top_origin)
        and (shown.payee_name, shown.payee_origin) == (expected.payee_name, expected.payee_origin)
        and total == expected.total
        and shown.instrument == _Instrument(expected.instrument_name, expected.instrument_icon)
        and not shown.payment_entities_logos
    )
