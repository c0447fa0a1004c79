"""Whether a proof is right for a pending authenticator, and what is kept of it then."""

import hmac
from dataclasses import replace

import msgspec

from sca_service.authenticators import otp
from sca_service.authenticators.enrolment.contents import code_read
from sca_service.authenticators.enrolment.model import (
    HeldKey,
    KnownPin,
    MadePasskey,
    Proof,
    ReachedLine,
    ShownCode,
)
from sca_service.authenticators.enrolment.postgres_store import Proven
from sca_service.authenticators.model import AuthenticatorType
from sca_service.authenticators.ocra import signing
from sca_service.authenticators.ocra.suite import OcraSuite
from sca_service.authenticators.passkey.registration import public_key_of, verify_registration
from sca_service.authenticators.pin.hashing import PinHasher
from sca_service.authenticators.postgres_store import AuthenticatorRow
from sca_service.authenticators.sealed import (
    DeviceSealed,
    OcraSealed,
    OtpSealed,
    PasskeySealed,
    PhoneSealed,
    PinSealed,
    content_of,
    sealed,
)
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.secret import Secret
from sca_service.kernel.site import Site
from sca_service.policy.model import AuthenticatorPolicy


class Proofs:
    """Judges proofs. A class because it holds what it judges by."""

    def __init__(
        self,
        *,
        policy: AuthenticatorPolicy,
        keyring: Keyring,
        pins: PinHasher,
        site: Site | None,
        clock: Clock,
    ) -> None:
        self._policy = policy
        self._keyring = keyring
        self._pins = pins
        self._site = site
        self._clock = clock

    async def judge(self, row: AuthenticatorRow, proof: Proof) -> Proven | None:
        """What a right proof tells; None for a wrong one, and for one of another kind.

        Raises SealBroken, for a PIN Overloaded.
        """
        match content_of(self._keyring, row), proof:
            case OtpSealed() as content, ShownCode(code):
                return self._shown(row, content, code)
            case OcraSealed() as content, ShownCode(code):
                return self._signed(row, content, code)
            case PinSealed() as content, KnownPin(pin):
                return (
                    Proven()
                    if (await self._pins.verify(content.hash, pin, row.id, client=row.client)).matches
                    else None
                )
            case DeviceSealed() as content, HeldKey() as held:
                return self._held(row, content, held)
            case PasskeySealed() as content, MadePasskey(response):
                return self._made(row, content, response)
            case PhoneSealed(), ReachedLine(challenge):
                return Proven() if challenge == row.last_challenge else None
            case _:
                return None

    def _shown(self, row: AuthenticatorRow, content: OtpSealed, code: Secret[str]) -> Proven | None:
        rule = self._policy.totp if row.type is AuthenticatorType.TOTP else self._policy.hotp
        steps = otp.steps_to_try(
            content.shape,
            last_step=row.last_step,
            now_ms=self._clock.now_ms(),
            look_back=rule.look_back_steps,
            look_ahead=rule.look_ahead_counters,
        )
        step = otp.matching_step(content.shape, Secret(content.seed), code, steps)
        return None if step is None else Proven(step)

    def _signed(self, row: AuthenticatorRow, content: OcraSealed, code: Secret[str]) -> Proven | None:
        suite = OcraSuite.parse(content.suite)
        step = signing.answered_step(
            suite,
            Secret(content.key),
            code,
            signing.question_for(suite, row.id),
            last_step=row.last_step,
            now_ms=self._clock.now_ms(),
            policy=self._policy.ocra,
        )
        return None if step is None else Proven(step)

    def _held(self, row: AuthenticatorRow, content: DeviceSealed, held: HeldKey) -> Proven | None:
        """The code came the bank's way, the key over the device's own: not the same channel (RTS Art. 25(2))."""
        told, shown = code_read(content.code).encode(), code_read(held.code.reveal()).encode()
        if not hmac.compare_digest(told, shown):
            return None
        kept = DeviceSealed(content.label, content.unlocked_by, jwk=held.key.to_json())
        name = self._keyring.pseudonym("key", held.key.thumbprint)
        return Proven(
            sealed=sealed(self._keyring, kept, row.id), key_name=name, thumbprint=held.key.thumbprint
        )

    def _made(self, row: AuthenticatorRow, content: PasskeySealed, response: bytes) -> Proven | None:
        if self._site is None:
            return None
        try:
            made = verify_registration(
                response,
                challenge=content.challenge,
                rp_id=self._site.rp_id,
                origins=self._site.origins,
            )
        except InvalidInput:
            return None
        kept = msgspec.structs.replace(content, challenge=b"", made=replace(made, sign_count=0))
        name = self._keyring.pseudonym("passkey", made.credential_id.hex())
        key = public_key_of(made).thumbprint
        return Proven(made.sign_count, sealed(self._keyring, kept, row.id), name, key)
