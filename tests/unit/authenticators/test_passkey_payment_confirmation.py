"""Confirming a payment in the browser's own window: what is shown is what is compared, to the cent and the letter."""

import dataclasses
import json
from typing import Any

import pytest

from sca_service.authenticators.passkey.assertion import BadAssertion, ClonedPasskey, verify_assertion
from sca_service.authenticators.passkey.payment_confirmation import (
    ExpectedPayment,
    confirmation_request,
    verify_payment,
)
from sca_service.authenticators.passkey.registration import Passkey, verify_registration
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.money import Amount
from tests.soft_passkey import (
    CHALLENGE,
    CREDENTIAL_ID,
    ORIGIN,
    RP_ID,
    UP,
    UV,
    SoftPasskey,
    base64url,
    client_json,
    response,
)

SHOP = "https://shop.example"
SOFT = SoftPasskey()
PASSKEY = verify_registration(SOFT.registered(), challenge=CHALLENGE, rp_id=RP_ID, origins=[ORIGIN])
EXPECTED = ExpectedPayment(
    top_origin=SHOP,
    total=Amount("EUR", 4999),
    instrument_name="Current account ··34",
    instrument_icon="https://bank.example/card.png",
    payee_name="Müller Shoes",
    payee_origin=SHOP,
)
SHOWN: dict[str, Any] = {
    "rpId": RP_ID,
    "topOrigin": SHOP,
    "payeeName": "Müller Shoes",
    "payeeOrigin": SHOP,
    "total": {"currency": "EUR", "value": "49.99"},
    "instrument": {"displayName": "Current account ··34", "icon": "https://bank.example/card.png"},
}


def confirmed(client: dict[str, Any] | None = None, **changed: Any) -> bytes:
    """A signed payment of which members were changed; None leaves one out."""
    shown = {name: value for name, value in (SHOWN | changed).items() if value is not None}
    said = {"origin": SHOP, "payment": shown} | (client or {})
    return SOFT.signed(client=client_json("payment.get", **said))


def verified(
    response_json: bytes, *, expected: ExpectedPayment = EXPECTED, passkey: Passkey = PASSKEY
) -> bool:
    """Whether the payer agreed to the payment of these tests."""
    return verify_payment(
        response_json,
        passkey=passkey,
        challenge=CHALLENGE,
        rp_id=RP_ID,
        origins=[SHOP],
        expected=expected,
    ).payer_verified


def refused(response_json: bytes, **changed: Any) -> bool:
    """Whether it is refused, in the only words there are."""
    with pytest.raises(BadAssertion) as caught:
        verified(response_json, **changed)
    assert str(caught.value) == "the assertion does not authenticate the payer for this challenge"
    assert caught.value.__cause__ is None
    return True


def test_a_payment_is_confirmed_as_it_was_shown() -> None:
    """The caller's page, the page around it, payee, total, instrument."""
    assert verified(confirmed())


@pytest.mark.parametrize("value", ["49.99", "049.99"])
def test_the_total_is_money_and_no_text(value: str) -> None:
    """Another spelling is the same amount."""
    assert verified(confirmed(total={"currency": "EUR", "value": value}))


@pytest.mark.parametrize("value", ["5", "5.0", "5.00"])
def test_minor_digits_may_be_left_out(value: str) -> None:
    """Whole euros, as browsers pass on what the page wrote."""
    whole = dataclasses.replace(EXPECTED, total=Amount("EUR", 500))
    assert verified(confirmed(total={"currency": "EUR", "value": value}), expected=whole)


@pytest.mark.parametrize(
    "total",
    [
        {"currency": "EUR", "value": "50.00"},
        {"currency": "EUR", "value": "49.98"},
        {"currency": "EUR", "value": "4999"},
        {"currency": "EUR", "value": "49.990"},
        {"currency": "EUR", "value": "-49.99"},
        {"currency": "EUR", "value": "49,99"},
        {"currency": "EUR", "value": " 49.99"},
        {"currency": "EUR", "value": "４９.９９"},
        {"currency": "EUR", "value": ""},
        {"currency": "EUR", "value": 49.99},
        {"currency": "USD", "value": "49.99"},
        {"currency": "eur", "value": "49.99"},
        {"currency": "XXX", "value": "49.99"},
        {"value": "49.99"},
        None,
        "49.99 EUR",
    ],
)
def test_another_total_is_refused(total: Any) -> None:
    """One cent more or less, another currency, and what is no amount."""
    assert refused(confirmed(total=total))


@pytest.mark.parametrize(
    "changed",
    [
        {"payeeName": "Muller Shoes"},
        {"payeeName": "Müller Shoes "},
        {"payeeName": "Mu\u0308ller Shoes"},
        {"payeeName": None},
        {"payeeName": ""},
        {"payeeName": 1},
        {"payeeOrigin": "https://shop.example.net"},
        {"payeeOrigin": SHOP + "/"},
        {"payeeOrigin": None},
        {"topOrigin": ORIGIN},
        {"topOrigin": None},
        {"instrument": {"displayName": "Current account ··35", "icon": "https://bank.example/card.png"}},
        {"instrument": {"displayName": "Current account ··34", "icon": ""}},
        {"instrument": {"displayName": "Current account ··34"}},
        {"instrument": SHOWN["instrument"] | {"details": "No fee"}},
        {"instrument": None},
        {"paymentEntitiesLogos": [{"url": "https://evil.example/logo.png", "label": "Evil"}]},
        {"rpId": "bank.example.net"},
        {"rpId": None},
        {"rp": "bank.example.net"},
    ],
)
def test_anything_else_that_was_shown_differently_is_refused(changed: dict[str, Any]) -> None:
    """Payee, origins, instrument, domain: to the letter."""
    assert refused(confirmed(**changed))


@pytest.mark.parametrize(
    "changed", [{"rp": RP_ID}, {"rpId": None, "rp": RP_ID}, {"paymentEntitiesLogos": []}]
)
def test_how_browsers_differ(changed: dict[str, Any]) -> None:
    """Some name the domain `rp`, some both ways (SPC section 5.2); no logos are none."""
    assert verified(confirmed(**changed))


def test_a_browser_may_say_more_than_we_know() -> None:
    """Its own key, for one."""
    assert verified(confirmed(browserBoundPublicKey="pQ"))


def test_a_payee_may_be_shown_by_name_or_origin_only() -> None:
    """Then the other one must not have been shown."""
    name_only = dataclasses.replace(EXPECTED, payee_origin=None)
    assert verified(confirmed(payeeOrigin=None), expected=name_only)
    assert refused(confirmed(), expected=name_only)
    origin_only = dataclasses.replace(EXPECTED, payee_name=None)
    assert verified(confirmed(payeeName=None), expected=origin_only)
    assert refused(confirmed(), expected=origin_only)
    with pytest.raises(ValueError, match="payee"):
        dataclasses.replace(name_only, payee_name=None)


@pytest.mark.parametrize(
    "client",
    [
        {"type": "webauthn.get"},
        {"type": "payment.create"},
        {"challenge": base64url(CHALLENGE[::-1])},
        {"origin": ORIGIN},
        {"payment": None},
        {"payment": {}},
        {"payment": "shown"},
        {"crossOrigin": True, "topOrigin": ORIGIN},
    ],
)
def test_another_client_is_refused(client: dict[str, Any]) -> None:
    """A plain authentication confirms no payment, whatever it says of one."""
    assert refused(confirmed(client))


def test_a_frame_is_allowed_below_the_page_that_is_expected() -> None:
    """The page around it is compared in any case."""
    assert verified(confirmed({"crossOrigin": True, "topOrigin": SHOP}))
    assert verified(confirmed({"crossOrigin": True}))


def test_a_confirmed_payment_is_no_plain_authentication() -> None:
    """The other way round: it opens no session."""
    with pytest.raises(BadAssertion):
        verify_assertion(confirmed(), passkey=PASSKEY, challenge=CHALLENGE, rp_id=RP_ID, origins=[SHOP])


def test_the_signature_is_verified_as_for_any_assertion() -> None:
    """Another key, no verified payer, another domain, an old counter, another passkey."""
    client = client_json("payment.get", origin=SHOP, payment=SHOWN)
    assert refused(SoftPasskey().signed(client=client))
    assert refused(SOFT.signed(SOFT.authenticator(UP), client))
    assert refused(SOFT.signed(SOFT.authenticator(UV), client))
    assert refused(SoftPasskey(SOFT.key, rp_id=SHOP).signed(client=client))
    with pytest.raises(ClonedPasskey):
        verified(confirmed(), passkey=dataclasses.replace(PASSKEY, sign_count=1))
    assert refused(confirmed(), passkey=dataclasses.replace(PASSKEY, credential_id=b"other"))


def test_what_was_shown_is_what_was_signed() -> None:
    """A total that is right but was changed after the signature confirms nothing."""
    parts = json.loads(confirmed(total={"currency": "EUR", "value": "1.00"}))["response"]
    right = client_json("payment.get", origin=SHOP, payment=SHOWN)
    assert refused(response(parts | {"clientDataJSON": right}))


def test_what_is_no_response_is_another_error() -> None:
    """The request is at fault then."""
    with pytest.raises(InvalidInput):
        verified(SOFT.registered())


def test_what_the_page_asks_the_browser_for() -> None:
    """The arguments of `PaymentRequest`, from the value that is compared later."""
    asked = confirmation_request(EXPECTED, rp_id=RP_ID, challenge=CHALLENGE, passkeys=[PASSKEY])
    assert json.loads(asked) == {
        "methods": [
            {
                "supportedMethods": "secure-payment-confirmation",
                "data": {
                    "challenge": base64url(CHALLENGE),
                    "rpId": RP_ID,
                    "credentialIds": [base64url(CREDENTIAL_ID)],
                    "instrument": SHOWN["instrument"] | {"iconMustBeShown": True},
                    "payeeName": "Müller Shoes",
                    "payeeOrigin": SHOP,
                    "timeout": 300_000,
                },
            }
        ],
        "details": {"total": {"label": "Total", "amount": SHOWN["total"]}},
    }
    name_only = dataclasses.replace(EXPECTED, payee_origin=None)
    asked = confirmation_request(name_only, rp_id=RP_ID, challenge=CHALLENGE, passkeys=[PASSKEY])
    assert b"payeeOrigin" not in asked


@pytest.mark.parametrize(("count", "challenge"), [(0, CHALLENGE), (21, CHALLENGE), (1, bytes(15))])
def test_the_request_has_bounds(count: int, challenge: bytes) -> None:
    """As for request options."""
    with pytest.raises(ValueError, match="out of bounds"):
        confirmation_request(EXPECTED, rp_id=RP_ID, challenge=challenge, passkeys=[PASSKEY] * count)


def test_an_expected_payment_shows_nothing_in_its_repr() -> None:
    """It may stand in a log."""
    assert repr(EXPECTED) == "ExpectedPayment()"
