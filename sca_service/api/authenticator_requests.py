"""How what clients send about authenticators becomes values: every mistake is told at once, with its JSON pointer."""

from collections.abc import Mapping
from typing import Any

import msgspec

from sca_service.api.authenticator_forms import ActivationForm, AuthenticatorForm
from sca_service.api.requests import Mistakes, locale_of
from sca_service.authenticators.enrolment.model import KnownPin, MadePasskey, Proof, ShownCode, Wish
from sca_service.authenticators.model import AuthenticatorType, Authorisation, Element
from sca_service.authenticators.ocra.signing import parse_key, parse_suite
from sca_service.authenticators.passkey.response import read_attestation
from sca_service.authenticators.pin.rules import parse_pin, refuse_trivial
from sca_service.challenges import code
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.secret import Secret
from sca_service.kernel.text import clean_text

_LONGEST_LABEL = 64
_MEMBERS_OF: Mapping[AuthenticatorType, tuple[str, ...]] = {
    AuthenticatorType.PIN: ("pin",),
    AuthenticatorType.OCRA: ("suite", "key"),
    AuthenticatorType.DEVICE_KEY: ("unlocked_by",),
    AuthenticatorType.PASSKEY: ("unlocked_by", "for_payments"),
    AuthenticatorType.PHONE: ("phone", "locale"),
}
"""What a type has beside its label and authorisation."""

_REQUIRED = {"pin": AuthenticatorType.PIN, "suite": AuthenticatorType.OCRA, "phone": AuthenticatorType.PHONE}
_OWN_MEMBERS = tuple(dict.fromkeys(name for names in _MEMBERS_OF.values() for name in names))


def wish_of(
    form: AuthenticatorForm, authorisation: Authorisation | None, *, pin_shortest: int, mistakes: Mistakes
) -> Wish:
    """What a form wishes for, whatever is wrong with it noted: it is good only if nothing is.

    `pin_shortest` is how many digits the policy asks of a PIN.
    """
    own = _MEMBERS_OF.get(form.type, ())
    for name in _OWN_MEMBERS:
        if name not in own and getattr(form, name) is not None:
            mistakes.note(f"/{name}", f"is not a member of {form.type}")
        elif _REQUIRED.get(name) is form.type and getattr(form, name) is None:
            mistakes.note(f"/{name}", f"is required for {form.type}")
    locale = mistakes.read("/locale", lambda: locale_of(form.locale))
    suite, key, phone = form.suite, form.key, form.phone
    if form.unlocked_by is Element.POSSESSION:
        mistakes.note("/unlocked_by", "must be knowledge or inherence: the key itself is the possession")
    return Wish(
        kind=form.type,
        label=mistakes.read("/label", lambda: clean_text(form.label, pointer="", most=_LONGEST_LABEL)) or "",
        authorisation=authorisation,
        pin=mistakes.read("/pin", lambda: _chosen(form.pin, pin_shortest)) if "pin" in own else None,
        suite=mistakes.read("/suite", lambda: parse_suite(suite))
        if suite is not None and "suite" in own
        else None,
        key=mistakes.read("/key", lambda: parse_key(key)) if key is not None and "key" in own else None,
        unlocked_by=form.unlocked_by,
        for_payments=bool(form.for_payments),
        phone=mistakes.read("/phone", lambda: _line(phone)) if phone is not None and "phone" in own else None,
        locale=locale or "",
    )


def proof_of(form: ActivationForm, mistakes: Mistakes) -> Proof | None:
    """What a form proves an authenticator by; None when something is wrong with it, which is noted."""
    given = [name for name in ("code", "pin", "passkey") if getattr(form, name) is not None]
    if len(given) != 1:
        mistakes.note("/code", "either a code, a PIN or a passkey's answer is required")
        return None
    match form:
        case ActivationForm(code=str(shown)):
            read = mistakes.read("/code", lambda: code.parse_code(shown))
            return ShownCode(read) if read else None
        case ActivationForm(pin=str(known)):
            pin = mistakes.read("/pin", lambda: parse_pin(known))
            return KnownPin(pin) if pin else None
        case ActivationForm(passkey=dict(made)):
            response = mistakes.read("/passkey", lambda: _made(made))
            return MadePasskey(response) if response else None
    return None


def _chosen(text: str | None, shortest: int) -> Secret[str] | None:
    if text is None:
        return None
    pin = parse_pin(text, shortest=shortest)
    refuse_trivial(pin, "")
    return pin


def _line(text: str) -> PhoneNumber:
    return PhoneNumber.parse(text)


def _made(answer: dict[str, Any]) -> bytes:
    response = msgspec.json.encode(answer)
    read_attestation(response)
    return response
