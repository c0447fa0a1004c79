"""Whether a code came from one of a payer's generators, and uses it up: each step is accepted once."""

from sca_service.authenticators import otp
from sca_service.authenticators.model import AuthenticatorType
from sca_service.authenticators.postgres_store import AuthenticatorStore
from sca_service.authenticators.sealed import generator_of
from sca_service.kernel.clock import Clock
from sca_service.kernel.keyring import Keyring
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
