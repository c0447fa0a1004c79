"""A payer's passkeys as challenges meet them: what a browser is asked, and whether its answer is right."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from sca_service.authenticators.asked import asked_of
from sca_service.authenticators.device_key.jwk import DeviceKey
from sca_service.authenticators.model import Asked, AuthenticatorType
from sca_service.authenticators.passkey.assertion import (
    Assertion,
    BadAssertion,
    ClonedPasskey,
    request_options,
    verify_assertion,
)
from sca_service.authenticators.passkey.payment_confirmation import (
    ExpectedPayment,
    confirmation_request,
    verify_payment,
)
from sca_service.authenticators.passkey.registration import MOST_PASSKEYS, Passkey, public_key_of
from sca_service.authenticators.passkey.response import raw, read_assertion, read_client
from sca_service.authenticators.postgres_store import AuthenticatorRow, AuthenticatorStore
from sca_service.authenticators.sealed import passkey_of
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.money import Amount
from sca_service.kernel.site import Site

_PAYMENT = "payment.get"


@dataclass(frozen=True, slots=True)
class ShownPayment:
    """What a browser shows of a payment (SPC). Its `repr` shows nothing of it."""

    total: Amount = field(repr=False)
    payee_name: str = field(repr=False)
    instrument_name: str = field(repr=False)
    instrument_icon: str = field(repr=False)

    def expected_on(self, origin: str) -> ExpectedPayment:
        """What has to be signed when a page of this origin asks."""
        return ExpectedPayment(
            top_origin=origin,
            total=self.total,
            instrument_name=self.instrument_name,
            instrument_icon=self.instrument_icon,
            payee_name=self.payee_name,
        )


@dataclass(frozen=True, slots=True)
class PasskeyQuestion:
    """Which passkeys are asked, and what the page hands to the browser: JSON; `payment_request` only with SPC."""

    asked: Asked
    request: bytes
    payment_request: bytes | None


class Suspends(Protocol):
    """Suspends a passkey that seems to be copied."""

    async def copied(self, row: AuthenticatorRow) -> None:
        """Suspend it, on record. Raises StoreUnavailable."""


class Passkeys:
    """Asks for passkeys and evaluates what they sign. A class because it holds the store and the site."""

    def __init__(
        self, *, keyring: Keyring, store: AuthenticatorStore, site: Site | None, suspends: Suspends
    ) -> None:
        """`site` is None where the deployment takes no passkeys."""
        self._keyring = keyring
        self._store = store
        self._site = site
        self._suspends = suspends

    async def ask(
        self, payer: str, *, challenge: bytes, payment: ShownPayment | None
    ) -> PasskeyQuestion | None:
        """What the payer's browser is asked to sign; None when the payer has no active passkey.

        Raises StoreUnavailable, SealBroken.
        """
        if self._site is None:
            return None
        rows = await self._store.active(payer, AuthenticatorType.PASSKEY)
        asked = asked_of([(row.id, passkey_of(self._keyring, row).unlocked_by) for row in rows])
        if asked is None:
            return None
        passkeys = list(self._passkeys(rows, asked.authenticators).values())[-MOST_PASSKEYS:]
        return PasskeyQuestion(
            asked,
            request=request_options(rp_id=self._site.rp_id, challenge=challenge, passkeys=passkeys),
            payment_request=confirmation_request(
                payment.expected_on(self._site.origins[0]),
                rp_id=self._site.rp_id,
                challenge=challenge,
                passkeys=passkeys,
            )
            if payment
            else None,
        )

    async def accepts(
        self,
        payer: str,
        response: bytes,
        *,
        asked: Collection[str],
        challenge: tuple[str, bytes],
        payment: ShownPayment | None,
    ) -> DeviceKey | None:
        """The key of the one of the passkeys asked that signed the challenge (its id and its bytes) and this payment.

        None when none did. Its counter is kept; a passkey whose counter went back is suspended (WebAuthn section
        6.1.1). Raises InvalidInput for what is no answer of a browser at all, StoreUnavailable, SealBroken.
        """
        credential = raw(read_assertion(response).raw_id)
        rows = await self._store.active(payer, AuthenticatorType.PASSKEY)
        found = self._passkeys(rows, asked)
        row = next(
            (row for row in rows if row.id in found and found[row.id].credential_id == credential), None
        )
        if row is None or self._site is None:
            return None
        challenge_id, wanted = challenge
        count = row.last_step - 1 if row.last_challenge == challenge_id else row.last_step
        passkey = replace(found[row.id], sign_count=max(count, 0))
        try:
            assertion = _assertion(response, passkey, wanted, self._site, payment)
        except ClonedPasskey:
            await self._suspends.copied(row)
            return None
        except BadAssertion:
            return None
        if await self._store.claim_count(row, assertion.sign_count, challenge_id):
            return public_key_of(passkey)
        # Another answer counted as far in the meantime, or it is not active any more.
        await self._suspends.copied(row)
        return None

    def _passkeys(self, rows: Sequence[AuthenticatorRow], ids: Collection[str]) -> Mapping[str, Passkey]:
        made = {row.id: passkey_of(self._keyring, row).made for row in rows if row.id in ids}
        return {one: passkey for one, passkey in made.items() if passkey is not None}


def _assertion(
    response: bytes, passkey: Passkey, challenge: bytes, site: Site, payment: ShownPayment | None
) -> Assertion:
    """What the passkey signed: the payment that the browser showed, or the challenge alone. Raises BadAssertion."""
    client = read_client(raw(read_assertion(response).response.client))
    if payment is None or client.type != _PAYMENT:
        return verify_assertion(
            response, passkey=passkey, challenge=challenge, rp_id=site.rp_id, origins=site.origins
        )
    for origin in site.origins:
        try:
            return verify_payment(
                response,
                passkey=passkey,
                challenge=challenge,
                rp_id=site.rp_id,
                origins=site.origins,
                expected=payment.expected_on(origin),
            )
        except ClonedPasskey:
            raise
        except BadAssertion:
            continue
    raise BadAssertion


def read_response(response: bytes) -> bytes:
    """The bytes, once they are seen to be a browser's answer, whatever it signs. Raises InvalidInput."""
    signed = read_assertion(response).response
    read_client(raw(signed.client))
    raw(signed.authenticator)
    raw(signed.signature)
    return response
