"""Whether a code came from one of a payer's generators, and uses it up: each step is accepted once.

Of one that signs (OCRA), also what it is asked: only the one that was asked may answer.
"""

from datetime import UTC

from sca_service.authenticators import otp
from sca_service.authenticators.model import (
    AuthenticatorState,
    AuthenticatorType,
    KnownLine,
    SigningQuestion,
)
from sca_service.authenticators.ocra import signing
from sca_service.authenticators.ocra.suite import OcraSuite
from sca_service.authenticators.postgres_store import AuthenticatorStore
from sca_service.authenticators.sealed import generator_of, line_of, signer_of
from sca_service.kernel.clock import Clock
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.secret import Secret
from sca_service.policy.model import AuthenticatorPolicy


class Generators:
    """Evaluates codes of generators. A class because it holds the store and what it decides with."""

    def __init__(
        self, *, policy: AuthenticatorPolicy, keyring: Keyring, store: AuthenticatorStore, clock: Clock
    ) -> None:
        self._policy = policy
        self._keyring = keyring
        self._store = store
        self._clock = clock

    async def has_active(self, payer: str, kind: AuthenticatorType) -> bool:
        """Whether a payer (a pseudonym) could answer with this type now. Raises StoreUnavailable."""
        return bool(await self._store.active(payer, kind))

    async def line(self, payer: str) -> KnownLine | None:
        """The phone line that a payer has enrolled, None without one. Raises StoreUnavailable, SealBroken."""
        rows = await self._store.active(payer, AuthenticatorType.PHONE)
        if not rows:
            return None
        newest = rows[-1]
        since = newest.activated_at.astimezone(UTC).date() if newest.activated_at else None
        return KnownLine(PhoneNumber.parse(line_of(self._keyring, newest).number), since)

    async def accepts(
        self, payer: str, kind: AuthenticatorType, code: Secret[str], *, challenge: str
    ) -> bool:
        """Whether the code is one of the payer's, and not used yet; then it is used from now on.

        Of parallel answers with one code one is told yes (RFC 6238, section 5.2), also when they come to several
        processes. The same challenge is told yes again. Raises StoreUnavailable, SealBroken.
        """
        accepted = False
        rule = self._policy.totp if kind is AuthenticatorType.TOTP else self._policy.hotp
        for row in await self._store.active(payer, kind):
            content = generator_of(self._keyring, row)
            last_step = row.last_step - 1 if row.last_challenge == challenge else row.last_step
            steps = otp.steps_to_try(
                content.shape,
                last_step=last_step,
                now_ms=self._clock.now_ms(),
                look_back=rule.look_back_steps,
                look_ahead=rule.look_ahead_counters,
            )
            step = otp.matching_step(content.shape, Secret(content.seed), code, steps)
            if step is not None and not accepted:
                accepted = await self._store.claim(row, step, challenge)
        return accepted

    async def used(self, payer: str, *, challenge: str, pin: bool) -> None:
        """Note which of a payer's authenticators an approval rested on, by then and not before: it would tell which
        part of a wrong answer was right. Raises StoreUnavailable.
        """
        await self._store.used(payer, challenge, pin=pin)

    async def ask(self, payer: str, *, challenge: str, transaction_digest: str) -> SigningQuestion | None:
        """What the payer's newest generator that signs is asked for this transaction (`""` for none of it).

        None when the payer has no active one. Raises StoreUnavailable, SealBroken.
        """
        rows = await self._store.active(payer, AuthenticatorType.OCRA)
        if not rows:
            return None
        newest = rows[-1]
        suite = OcraSuite.parse(signer_of(self._keyring, newest).suite)
        return SigningQuestion(newest.id, signing.question_for(suite, challenge, transaction_digest))

    async def signed(
        self, payer: str, question: SigningQuestion, code: Secret[str], *, challenge: str
    ) -> bool:
        """Whether the code answers the question, by the generator that was asked; then its step is used from now on.

        As `accepts`, each step once and the same challenge again. Raises StoreUnavailable, SealBroken.
        """
        row = await self._store.get(question.authenticator, payer)
        if row is None or row.state is not AuthenticatorState.ACTIVE:
            return False
        content = signer_of(self._keyring, row)
        step = signing.answered_step(
            OcraSuite.parse(content.suite),
            Secret(content.key),
            code,
            question.text,
            last_step=row.last_step - 1 if row.last_challenge == challenge else row.last_step,
            now_ms=self._clock.now_ms(),
            policy=self._policy.ocra,
        )
        return step is not None and await self._store.claim(row, step, challenge)
