"""Enrol, activate, list and revoke authenticators: the one place with the control flow (RTS Art. 24 to 27)."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sca_service.authenticators import otp, sealed
from sca_service.authenticators.model import (
    ActivationOutcome,
    Authenticator,
    AuthenticatorState,
    AuthenticatorType,
    Authorisation,
    ResyncOutcome,
    Revoked,
)
from sca_service.authenticators.ocra import signing
from sca_service.authenticators.ocra.suite import OcraSuite
from sca_service.authenticators.pin.hashing import PinHasher
from sca_service.authenticators.postgres_store import (
    AuthenticatorRow,
    AuthenticatorStore,
    NewRow,
    Occurrence,
    Refusal,
)
from sca_service.authenticators.sealed import Content, OcraSealed, OtpSealed, PinSealed
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import (
    AuthorisationRequired,
    InvalidInput,
    NotFound,
    Overloaded,
)
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.secret import Secret
from sca_service.policy.model import AuthenticatorPolicy, GeneratorPolicy

_ID = re.compile(r"aut_[0-9a-f]{32}", re.ASCII)
MOST_TRIES = 5
"""RTS Art. 4(3)(b), for activation too: so many wrong codes, and the enrolment starts anew."""


@dataclass(frozen=True, slots=True)
class Whose:
    """A client's payer, and what the events say of the request that speaks of them."""

    client: str
    psu_id: str
    origin: Mapping[str, object]


@dataclass(frozen=True, slots=True, eq=False)
class Wish:
    """What is to be enrolled. `authorisation` is the approval of an enrolment challenge (RTS Art. 24).

    Only a payer's first authenticator does without. `pin` is there for a PIN, and only then. `unique` (32 hexadecimal
    digits) names a repeated request. `suite` is there for OCRA, and only then, with the `key` of a device that has one
    already.
    """

    kind: AuthenticatorType
    label: str
    authorisation: Authorisation | None = None
    pin: Secret[str] | None = None
    unique: str | None = None
    suite: OcraSuite | None = None
    key: Secret[bytes] | None = None


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A pending authenticator; `uri` holds the seed, and is there only when it was enrolled just now.

    Of one that signs, `key` is the key in base32, there only when it was made just now, and `question` what has to be
    answered to activate it.
    """

    authenticator: Authenticator
    uri: Secret[str] | None = None
    key: Secret[str] | None = None
    question: str | None = None


@dataclass(frozen=True, slots=True)
class Activation:
    """What a try to activate came to, and how many are left."""

    outcome: ActivationOutcome
    tries_left: int
    authenticator: Authenticator


class Enrolment:
    """Keeps what payers have enrolled. A class because it holds the store and what it decides with."""

    def __init__(
        self,
        *,
        policy: AuthenticatorPolicy,
        keyring: Keyring,
        store: AuthenticatorStore,
        pins: PinHasher,
        clock: Clock,
    ) -> None:
        self._policy = policy
        self._keyring = keyring
        self._store = store
        self._pins = pins
        self._clock = clock

    async def enrol(self, whose: Whose, wish: Wish) -> Enrolled:
        """Enrol as pending: a generator with a seed of its own or an imported key, or the PIN that the payer chose.

        Raises AuthorisationRequired, InvalidInput, StoreUnavailable, for a PIN Overloaded.
        """
        authenticator_id = f"aut_{wish.unique}" if wish.unique else new_id("aut")
        if known := wish.unique and await self._store.get(authenticator_id, self._psu(whose)):
            return Enrolled(self._seen(known), question=self._question(known))
        if wish.pin is not None and wish.authorisation is None and await self._has_active(whose):
            raise AuthorisationRequired  # before the PIN is hashed: that costs others their place
        content = await self._content(wish, authenticator_id)
        stored = await self._store.enrol(
            NewRow(
                id=authenticator_id,
                client=whose.client,
                psu=self._psu(whose),
                type=wish.kind,
                sealed=sealed.sealed(self._keyring, content, authenticator_id),
                authorisation=wish.authorisation,
            ),
            most=self._policy.most_of_a_payer,
            pending_seconds=self._policy.pending_seconds,
            occurrence=self._occurrence(whose),
        )
        if isinstance(stored, Refusal):
            raise _refused(stored)
        row, is_new = stored
        enrolled = Enrolled(self._seen(row), question=self._question(row))
        if is_new and isinstance(content, OtpSealed):
            uri = otp.enrolment_uri(
                content.shape, Secret(content.seed), issuer=self._policy.issuer_name, account=wish.label
            )
            return replace(enrolled, uri=uri)
        if is_new and isinstance(content, OcraSealed) and wish.key is None:
            return replace(enrolled, key=signing.key_text(content.key))
        return enrolled

    async def _content(self, wish: Wish, authenticator_id: str) -> Content:
        if wish.pin is not None:
            return PinSealed(await self._pins.hash(wish.pin, authenticator_id), wish.label)
        if wish.suite is not None:
            key = wish.key.reveal() if wish.key else os.urandom(wish.suite.hash.size_bytes)
            return OcraSealed(key, wish.suite.text, wish.label)
        rule = self._rule(wish.kind)
        return OtpSealed(os.urandom(otp.SEED_BYTES), rule.digits, rule.period_seconds, wish.label)

    def _question(self, row: AuthenticatorRow) -> str | None:
        """What is asked to activate one that signs; None for all others."""
        if row.type is not AuthenticatorType.OCRA or row.state is not AuthenticatorState.PENDING:
            return None
        content = sealed.signer_of(self._keyring, row)
        return signing.question_for(OcraSuite.parse(content.suite), row.id)

    async def activate(
        self, whose: Whose, authenticator_id: str, proof: Secret[str], *, is_pin: bool
    ) -> Activation:
        """Prove it: possession by a code of the generator, knowledge by the PIN once more (RTS Art. 24(2)(b)).

        A proof of the other kind is a wrong one. Raises NotFound for an unknown or another payer's,
        AuthorisationRequired when it would be a later one that nothing authorised, StoreUnavailable, and for a PIN
        Overloaded.
        """
        psu = self._psu(whose)
        row = await self._store.try_to_activate(
            _checked(authenticator_id),
            psu,
            most_tries=MOST_TRIES,
            pending_seconds=self._policy.pending_seconds,
        )
        if row is None:
            return self._not_tried(await self._known(authenticator_id, psu))
        left = MOST_TRIES - row.tries
        try:
            step = await self._step(row, proof) if is_pin is (row.type is AuthenticatorType.PIN) else None
        except Overloaded:  # it was not looked at
            await self._store.give_back(row)
            raise
        if step is None:
            failed = await self._failed(row, whose)
            return Activation(ActivationOutcome.INCORRECT, left, self._seen(failed))
        active = await self._store.activate(row, step, self._occurrence(whose))
        if active is None:
            known = await self._known(authenticator_id, psu)
            if known.state is AuthenticatorState.PENDING:
                raise AuthorisationRequired
            return self._not_tried(known)
        return Activation(ActivationOutcome.ACTIVATED, left, self._seen(active))

    async def resynchronise(
        self, whose: Whose, authenticator_id: str, codes: tuple[Secret[str], Secret[str]]
    ) -> tuple[ResyncOutcome, int, Authenticator]:
        """Find the counter of a generator that was pressed too often, by two codes in a row; neither is taken again.

        After as many wrong tries as at an activation it is revoked. Returns the outcome, the tries left, and the
        authenticator. Raises NotFound, also for one that does not count; StoreUnavailable.
        """
        psu = self._psu(whose)
        row = await self._store.try_to_resynchronise(
            _checked(authenticator_id), psu, AuthenticatorType.HOTP, most_tries=MOST_TRIES
        )
        if row is None:
            known = await self._known(authenticator_id, psu)
            if known.type is not AuthenticatorType.HOTP:
                raise NotFound
            if known.state is AuthenticatorState.ACTIVE:  # nobody came to revoke it after the last try
                known = await self._failed(known, whose)
            return ResyncOutcome.NOT_ACTIVE, 0, self._seen(known)
        left = MOST_TRIES - row.tries
        content = sealed.generator_of(self._keyring, row)
        step = otp.matching_pair(content.shape, Secret(content.seed), codes, row.last_step)
        found = await self._store.resynchronise(row, step, self._occurrence(whose)) if step else None
        if found is None:
            return ResyncOutcome.INCORRECT, left, self._seen(await self._failed(row, whose))
        return ResyncOutcome.RESYNCHRONISED, MOST_TRIES, self._seen(found)

    async def all_of(self, whose: Whose) -> Sequence[Authenticator]:
        """All that a payer has, the oldest first, without the revoked. Raises StoreUnavailable."""
        return [self._seen(row) for row in await self._store.of(self._psu(whose))]

    async def revoke(self, whose: Whose, authenticator_id: str) -> Revoked:
        """Revoke: it never answers again, on any replica (RTS Art. 27); again is as once.

        Raises NotFound, StoreUnavailable.
        """
        psu = self._psu(whose)
        row = await self._store.revoke(_checked(authenticator_id), psu, self._occurrence(whose))
        if row is None:
            raise NotFound
        return Revoked(row.id, row.type, is_last=not await self._store.active(psu, row.type))

    async def _has_active(self, whose: Whose) -> bool:
        return any(row.state is AuthenticatorState.ACTIVE for row in await self._store.of(self._psu(whose)))

    async def _failed(self, row: AuthenticatorRow, whose: Whose) -> AuthenticatorRow:
        return await self._store.failed(row, most_tries=MOST_TRIES, occurrence=self._occurrence(whose))

    async def _step(self, row: AuthenticatorRow, proof: Secret[str]) -> int | None:
        """The step that the proof uses up, 0 for a PIN, None when it is wrong."""
        if row.type is AuthenticatorType.PIN:
            kept = sealed.pin_of(self._keyring, row)
            return 0 if (await self._pins.verify(kept.hash, proof, row.id)).matches else None
        if row.type is AuthenticatorType.OCRA:
            return self._signed_step(row, proof)
        content = sealed.generator_of(self._keyring, row)
        rule = self._rule(row.type)
        steps = otp.steps_to_try(
            content.shape,
            last_step=row.last_step,
            now_ms=self._clock.now_ms(),
            look_back=rule.look_back_steps,
            look_ahead=rule.look_ahead_counters,
        )
        return otp.matching_step(content.shape, Secret(content.seed), proof, steps)

    def _signed_step(self, row: AuthenticatorRow, proof: Secret[str]) -> int | None:
        content = sealed.signer_of(self._keyring, row)
        suite = OcraSuite.parse(content.suite)
        return signing.answered_step(
            suite,
            Secret(content.key),
            proof,
            signing.question_for(suite, row.id),
            last_step=row.last_step,
            now_ms=self._clock.now_ms(),
            policy=self._policy.ocra,
        )

    def _rule(self, kind: AuthenticatorType) -> GeneratorPolicy:
        return self._policy.totp if kind is AuthenticatorType.TOTP else self._policy.hotp

    async def _known(self, authenticator_id: str, psu: str) -> AuthenticatorRow:
        row = await self._store.get(authenticator_id, psu)
        if row is None:
            raise NotFound
        return row

    def _not_tried(self, row: AuthenticatorRow) -> Activation:
        is_pending = row.state is AuthenticatorState.PENDING
        outcome = ActivationOutcome.EXPIRED if is_pending else ActivationOutcome.NOT_PENDING
        return Activation(outcome, 0, self._seen(row))

    def _seen(self, row: AuthenticatorRow) -> Authenticator:
        return Authenticator(
            id=row.id,
            type=row.type,
            state=row.state,
            label=sealed.label_of(self._keyring, row),
            created_at_ms=int(row.created_at.timestamp() * 1000),
            activated_at_ms=int(row.activated_at.timestamp() * 1000) if row.activated_at else 0,
            used_at_ms=int(row.used_at.timestamp() * 1000) if row.used_at else 0,
        )

    def _psu(self, whose: Whose) -> str:
        return self._keyring.pseudonym("payer", whose.client, whose.psu_id)

    def _occurrence(self, whose: Whose) -> Occurrence:
        return Occurrence(self._clock.now_ms(), whose.origin)


def _checked(authenticator_id: str) -> str:
    """An id that an authenticator can have. Raises NotFound."""
    if not _ID.fullmatch(authenticator_id):
        raise NotFound
    return authenticator_id


def _refused(refusal: Refusal) -> Exception:
    if refusal.needs_authorisation:
        return AuthorisationRequired()
    if refusal.authorisation_is_void:
        detail = "was used for another authenticator, or one was revoked since"
        return InvalidInput.at("/authorisation", detail)
    return InvalidInput.at("", "this payer has as many authenticators as the policy allows; revoke one first")
