"""What is made for a new authenticator, and what of it leaves once."""

import base64
import os
from collections.abc import Sequence
from dataclasses import replace

from sca_service.authenticators import otp
from sca_service.authenticators.enrolment.model import Enrolled, Wish
from sca_service.authenticators.model import AuthenticatorState, AuthenticatorType, Element
from sca_service.authenticators.ocra import signing
from sca_service.authenticators.ocra.suite import OcraSuite
from sca_service.authenticators.passkey.registration import (
    FEWEST_CHALLENGE_BYTES,
    HANDLE_BYTES,
    MOST_NAME_BYTES,
    MOST_PASSKEYS,
    Passkey,
    RelyingParty,
    creation_options,
)
from sca_service.authenticators.pin.hashing import PinHasher
from sca_service.authenticators.postgres_store import AuthenticatorRow
from sca_service.authenticators.sealed import (
    Content,
    DeviceSealed,
    OcraSealed,
    OtpSealed,
    PasskeySealed,
    PhoneSealed,
    PinSealed,
    content_of,
    passkey_of,
)
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.secret import Secret
from sca_service.kernel.site import Site
from sca_service.policy.model import AuthenticatorPolicy

_CODE_BYTES = 15
"""Of an activation code: 120 bits, 24 characters."""
_CODE_GROUP = 6


class Contents:
    """Makes what is sealed of an authenticator. A class because it holds what it makes it by."""

    def __init__(
        self, *, policy: AuthenticatorPolicy, keyring: Keyring, pins: PinHasher, site: Site | None
    ) -> None:
        """`site` is None where the deployment takes no passkeys."""
        self._policy = policy
        self._keyring = keyring
        self._pins = pins
        self._site = site

    async def make(self, wish: Wish, authenticator_id: str, *, client: str) -> Content:
        """What is kept of it: a seed or a challenge of its own, an imported key, the hash of the PIN.

        Raises InvalidInput at `/type` for a passkey where there is no site, for a PIN Overloaded.
        """
        match wish.kind:
            case AuthenticatorType.PIN:
                assert wish.pin is not None  # noqa: S101 - a wish for a PIN has one
                return PinSealed(await self._pins.hash(wish.pin, authenticator_id, client=client), wish.label)
            case AuthenticatorType.OCRA:
                assert wish.suite is not None  # noqa: S101 - a wish for OCRA has one
                key = wish.key.reveal() if wish.key else os.urandom(wish.suite.hash.size_bytes)
                return OcraSealed(key, wish.suite.text, wish.label)
            case AuthenticatorType.TOTP | AuthenticatorType.HOTP:
                rule = self._policy.totp if wish.kind is AuthenticatorType.TOTP else self._policy.hotp
                return OtpSealed(os.urandom(otp.SEED_BYTES), rule.digits, rule.period_seconds, wish.label)
            case AuthenticatorType.PHONE:
                assert wish.phone is not None  # noqa: S101 - a wish for a phone line has one
                return PhoneSealed(wish.phone.e164, wish.locale, wish.label)
            case AuthenticatorType.DEVICE_KEY:
                return DeviceSealed(wish.label, wish.unlocked_by, code=_activation_code())
            case AuthenticatorType.PASSKEY:
                if self._site is None:
                    raise InvalidInput.at("/type", "this deployment has no domain for passkeys")
                return PasskeySealed(
                    wish.label,
                    wish.unlocked_by or Element.INHERENCE,
                    handle=os.urandom(HANDLE_BYTES),
                    for_payments=wish.for_payments,
                    challenge=os.urandom(max(FEWEST_CHALLENGE_BYTES, 32)),
                )

    def told(self, enrolled: Enrolled, content: Content, wish: Wish) -> Enrolled:
        """The same with what leaves once, for one that was enrolled just now."""
        match content:
            case OtpSealed():
                uri = otp.enrolment_uri(
                    content.shape, Secret(content.seed), issuer=self._policy.issuer_name, account=wish.label
                )
                return replace(enrolled, uri=uri)
            case OcraSealed() if wish.key is None:
                return replace(enrolled, key=signing.key_text(content.key))
            case DeviceSealed():
                return replace(enrolled, activation_code=Secret(content.code))
            case _:
                return enrolled

    def asked(
        self, enrolled: Enrolled, row: AuthenticatorRow, others: Sequence[AuthenticatorRow]
    ) -> Enrolled:
        """The same with what a pending one is asked: a question to one that signs, options to a browser.

        `others` are what the payer has: a passkey is not made twice in one place. Raises SealBroken.
        """
        if row.state is not AuthenticatorState.PENDING:
            return enrolled
        match content_of(self._keyring, row):
            case OcraSealed(suite=suite):
                return replace(enrolled, question=signing.question_for(OcraSuite.parse(suite), row.id))
            case PasskeySealed() as content if self._site:
                return replace(enrolled, options=self._options(content, self._site, others))
            case _:
                return enrolled

    def _options(self, content: PasskeySealed, site: Site, others: Sequence[AuthenticatorRow]) -> bytes:
        known: list[Passkey] = []
        for other in others:
            made = passkey_of(self._keyring, other).made if other.type is AuthenticatorType.PASSKEY else None
            if made is not None:
                known.append(made)
        return creation_options(
            RelyingParty(site.rp_id, self._policy.issuer_name),
            handle=content.handle,
            account_name=content.label.encode()[:MOST_NAME_BYTES].decode(errors="ignore"),
            challenge=content.challenge,
            known=known[:MOST_PASSKEYS],
            for_payments=content.for_payments,
        )


def code_read(text: str) -> str:
    """An activation code as it is compared: without the hyphens and spaces between its groups, in capitals."""
    return "".join(text.upper().split()).replace("-", "")


def _activation_code() -> str:
    text = base64.b32encode(os.urandom(_CODE_BYTES)).decode()
    return "-".join(text[at : at + _CODE_GROUP] for at in range(0, len(text), _CODE_GROUP))
