"""Enrol, activate, list, suspend and revoke authenticators: the one place with the control flow (RTS Art. 24 to 27)."""

import re
from collections.abc import Mapping, Sequence

from sca_service.authenticators import otp, sealed
from sca_service.authenticators.enrolment.contents import Contents
from sca_service.authenticators.enrolment.model import (
    Activation,
    Enrolled,
    HeldKey,
    Proof,
    Whose,
    Wish,
    Withdrawal,
    WithdrawnLine,
)
from sca_service.authenticators.enrolment.postgres_store import (
    EnrolmentStore,
    NewRow,
    Occurrence,
    Refusal,
)
from sca_service.authenticators.enrolment.proofs import Proofs
from sca_service.authenticators.model import (
    ActivationOutcome,
    Authenticator,
    AuthenticatorState,
    AuthenticatorType,
    ResyncOutcome,
    Withdrawn,
)
from sca_service.authenticators.postgres_store import AuthenticatorRow, AuthenticatorStore
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import (
    AuthorisationRequired,
    InvalidInput,
    KeyAlreadyEnrolled,
    NotFound,
    Overloaded,
)
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.secret import Secret
from sca_service.policy.model import AuthenticatorPolicy

_ID = re.compile(r"aut_[0-9a-f]{32}", re.ASCII)
_HELD = (AuthenticatorState.ACTIVE, AuthenticatorState.SUSPENDED)
MOST_TRIES = 5
"""RTS Art. 4(3)(b), for activation too: so many wrong codes, and the enrolment starts anew."""


class Enrolment:
    """Keeps what payers have enrolled. A class because it holds the stores and what it decides with."""

    def __init__(
        self,
        *,
        policy: AuthenticatorPolicy,
        keyring: Keyring,
        authenticators: AuthenticatorStore,
        store: EnrolmentStore,
        contents: Contents,
        proofs: Proofs,
        clock: Clock,
    ) -> None:
        self._policy = policy
        self._keyring = keyring
        self._authenticators = authenticators
        self._store = store
        self._contents = contents
        self._proofs = proofs
        self._clock = clock

    async def enrol(self, whose: Whose, wish: Wish) -> Enrolled:
        """Enrol as pending, with what activates it.

        Raises AuthorisationRequired, InvalidInput, StoreUnavailable, for a PIN Overloaded.
        """
        authenticator_id, psu = f"aut_{wish.unique}" if wish.unique else new_id("aut"), self._psu(whose)
        others = await self._authenticators.of(psu)
        if known := wish.unique and await self._authenticators.get(authenticator_id, psu):
            return self._contents.asked(Enrolled(self._seen(known), is_new=False), known, others)
        if wish.pin is not None and wish.authorisation is None and any(one.state in _HELD for one in others):
            raise AuthorisationRequired  # before the PIN is hashed: that costs others their place
        content = await self._contents.make(wish, authenticator_id, client=whose.client)
        stored = await self._store.enrol(
            NewRow(
                id=authenticator_id,
                client=whose.client,
                psu=psu,
                type=wish.kind,
                sealed=sealed.sealed(self._keyring, content, authenticator_id),
                authorisation=wish.authorisation,
            ),
            most=self._policy.most_of_a_payer,
            pending_seconds=self._policy.pending_seconds,
            occurrence=self._occurrence(whose.origin),
        )
        if isinstance(stored, Refusal):
            raise _refused(stored)
        row, is_new = stored
        enrolled = self._contents.asked(Enrolled(self._seen(row), is_new), row, others)
        return self._contents.told(enrolled, content, wish) if is_new else enrolled

    async def activate(self, whose: Whose, authenticator_id: str, proof: Proof) -> Activation:
        """Prove it: possession by a code, a key or a passkey, knowledge by the PIN once more (RTS Art. 24(2)(b)).

        A proof of another kind is a wrong one. Raises NotFound for an unknown or another payer's, AuthorisationRequired
        when it would be a later one that nothing authorised, KeyAlreadyEnrolled, StoreUnavailable, and for a PIN
        Overloaded.
        """
        return await self._activate(
            _checked(authenticator_id), self._psu(whose), proof, self._occurrence(whose.origin)
        )

    async def activate_device(
        self, authenticator_id: str, held: HeldKey, origin: Mapping[str, object]
    ) -> Activation:
        """The same for a device, which says by its code alone whose it is. Raises as `activate` does."""
        row = await self._authenticators.of_anybody(_checked(authenticator_id))
        if row is None or row.type is not AuthenticatorType.DEVICE_KEY:
            raise NotFound
        return await self._activate(row.id, row.psu, held, self._occurrence(origin))

    async def _activate(
        self, authenticator_id: str, psu: str, proof: Proof, occurrence: Occurrence
    ) -> Activation:
        row = await self._store.try_to_activate(
            authenticator_id, psu, most_tries=MOST_TRIES, pending_seconds=self._policy.pending_seconds
        )
        if row is None:
            return self._not_tried(await self._known(authenticator_id, psu))
        left = MOST_TRIES - row.tries
        try:
            proven = await self._proofs.judge(row, proof)
        except Overloaded:  # it was not looked at
            await self._store.give_back(row)
            raise
        if proven is None:
            failed = await self._store.failed(row, most_tries=MOST_TRIES, occurrence=occurrence)
            return Activation(ActivationOutcome.INCORRECT, left, self._seen(failed))
        replaced = await self._line_before(row)
        try:
            active = await self._store.activate(row, proven, occurrence)
        except KeyAlreadyEnrolled:
            why = "key_already_enrolled"
            await self._store.failed(row, most_tries=MOST_TRIES, occurrence=occurrence, reason=why)
            raise
        if active is None:
            known = await self._known(authenticator_id, psu)
            if known.state is AuthenticatorState.PENDING:
                raise AuthorisationRequired
            return self._not_tried(known)
        return Activation(ActivationOutcome.ACTIVATED, left, self._seen(active), replaced)

    async def pending_line(self, whose: Whose, authenticator_id: str) -> str | None:
        """The challenge that asks for the code of a pending phone line; None for any other authenticator.

        Raises StoreUnavailable.
        """
        row = await self._authenticators.get(_checked(authenticator_id), self._psu(whose))
        if row is None or row.type is not AuthenticatorType.PHONE:
            return None
        return row.last_challenge if row.state is AuthenticatorState.PENDING else None

    async def one_of(self, whose: Whose, authenticator_id: str) -> Authenticator:
        """One of a payer's, as it stands. Raises NotFound, StoreUnavailable."""
        return self._seen(await self._known(_checked(authenticator_id), self._psu(whose)))

    async def forget(self, whose: Whose, authenticator_id: str) -> None:
        """Forget a pending one that nobody was told of: its authorisation is not used. Raises StoreUnavailable."""
        await self._store.forget(_checked(authenticator_id), self._psu(whose))

    async def sent_for(self, whose: Whose, authenticator_id: str, challenge: str) -> None:
        """Note which challenge asks for a phone line's code. Raises NotFound, StoreUnavailable."""
        row = await self._known(_checked(authenticator_id), self._psu(whose))
        await self._store.sent_for(row, challenge)

    async def resynchronise(
        self, whose: Whose, authenticator_id: str, codes: tuple[Secret[str], Secret[str]]
    ) -> tuple[ResyncOutcome, int, Authenticator]:
        """Find the counter of a generator that was pressed too often, by two codes in a row; neither is taken again.

        After as many wrong tries as at an activation it is revoked. Returns the outcome, the tries left, and the
        authenticator. Raises NotFound, also for one that does not count; StoreUnavailable.
        """
        psu, occurrence = self._psu(whose), self._occurrence(whose.origin)
        row = await self._store.try_to_resynchronise(
            _checked(authenticator_id), psu, AuthenticatorType.HOTP, most_tries=MOST_TRIES
        )
        if row is None:
            known = await self._known(authenticator_id, psu)
            if known.type is not AuthenticatorType.HOTP:
                raise NotFound
            if known.state is AuthenticatorState.ACTIVE:  # nobody came to revoke it after the last try
                known = await self._store.failed(known, most_tries=MOST_TRIES, occurrence=occurrence)
            return ResyncOutcome.NOT_ACTIVE, 0, self._seen(known)
        left = MOST_TRIES - row.tries
        content = sealed.generator_of(self._keyring, row)
        step = otp.matching_pair(content.shape, Secret(content.seed), codes, row.last_step)
        found = await self._store.resynchronise(row, step, occurrence) if step else None
        if found is None:
            failed = await self._store.failed(row, most_tries=MOST_TRIES, occurrence=occurrence)
            return ResyncOutcome.INCORRECT, left, self._seen(failed)
        return ResyncOutcome.RESYNCHRONISED, MOST_TRIES, self._seen(found)

    async def all_of(self, whose: Whose) -> Sequence[Authenticator]:
        """All that a payer has, the oldest first, without the revoked. Raises StoreUnavailable."""
        return [self._seen(row) for row in await self._authenticators.of(self._psu(whose))]

    async def suspend(self, whose: Whose, authenticator_id: str) -> tuple[Authenticator, Withdrawal]:
        """Suspend an active one: it answers nothing until it is resumed; again is as once.

        Raises NotFound, StoreUnavailable.
        """
        psu = self._psu(whose)
        row = await self._store.suspend(
            _checked(authenticator_id), psu, self._occurrence(whose.origin), reason="client_request"
        )
        if row is None:
            raise NotFound
        return self._seen(row), await self._withdrawal(row)

    async def copied(self, row: AuthenticatorRow) -> None:
        """Suspend a passkey whose counter went back: two may hold its key (WebAuthn section 6.1.1).

        Raises StoreUnavailable.
        """
        occurrence = self._occurrence({"actor": "api"})
        await self._store.suspend(row.id, row.psu, occurrence, reason="counter_went_back")

    async def resume(self, whose: Whose, authenticator_id: str) -> Authenticator:
        """Let a suspended one answer again; any other stays as it is. Raises NotFound, StoreUnavailable."""
        psu = self._psu(whose)
        row = await self._store.resume(_checked(authenticator_id), psu, self._occurrence(whose.origin))
        if row is None:
            raise NotFound
        return self._seen(row)

    async def revoke(self, whose: Whose, authenticator_id: str) -> Withdrawal:
        """Revoke: it never answers again, on any replica (RTS Art. 27); again is as once.

        Raises NotFound, StoreUnavailable.
        """
        psu = self._psu(whose)
        known = await self._known(_checked(authenticator_id), psu)  # what it held is gone afterwards
        if await self._store.revoke(known.id, psu, self._occurrence(whose.origin)) is None:
            raise NotFound
        return await self._withdrawal(known)

    async def _withdrawal(self, row: AuthenticatorRow) -> Withdrawal:
        if row.type is AuthenticatorType.PHONE:
            if row.revoked_at:  # by an earlier request
                return WithdrawnLine("", int(row.revoked_at.timestamp() * 1000))
            return WithdrawnLine(sealed.line_of(self._keyring, row).number)
        remaining = await self._authenticators.active(row.psu, row.type)
        return Withdrawn(row.id, row.type, frozenset(one.id for one in remaining))

    async def _line_before(self, row: AuthenticatorRow) -> WithdrawnLine | None:
        """The line that this one puts out when it is active, unless it is the same number once more."""
        if row.type is not AuthenticatorType.PHONE:
            return None
        number = sealed.line_of(self._keyring, row).number
        for other in await self._authenticators.of(row.psu):
            if other.type is row.type and other.state in _HELD:
                before = sealed.line_of(self._keyring, other).number
                return WithdrawnLine(before) if before != number else None
        return None

    async def _known(self, authenticator_id: str, psu: str) -> AuthenticatorRow:
        row = await self._authenticators.get(authenticator_id, psu)
        if row is None:
            raise NotFound
        return row

    def _not_tried(self, row: AuthenticatorRow) -> Activation:
        is_pending = row.state is AuthenticatorState.PENDING
        outcome = ActivationOutcome.EXPIRED if is_pending else ActivationOutcome.NOT_PENDING
        return Activation(outcome, 0, self._seen(row))

    def _seen(self, row: AuthenticatorRow) -> Authenticator:
        label, unlocked_by = sealed.shown_of(self._keyring, row)
        return Authenticator(
            id=row.id,
            type=row.type,
            state=row.state,
            label=label,
            created_at_ms=int(row.created_at.timestamp() * 1000),
            activated_at_ms=int(row.activated_at.timestamp() * 1000) if row.activated_at else 0,
            used_at_ms=int(row.used_at.timestamp() * 1000) if row.used_at else 0,
            unlocked_by=unlocked_by,
        )

    def _psu(self, whose: Whose) -> str:
        return self._keyring.pseudonym("payer", whose.client, whose.psu_id)

    def _occurrence(self, origin: Mapping[str, object]) -> Occurrence:
        return Occurrence(self._clock.now_ms(), origin)


def _checked(authenticator_id: str) -> str:
    """An id that an authenticator can have. Raises NotFound."""
    if not _ID.fullmatch(authenticator_id):
        raise NotFound
    return authenticator_id


def _refused(refusal: Refusal) -> Exception:
    if refusal.needs_authorisation:
        return AuthorisationRequired()
    if refusal.authorisation_is_void:
        detail = "was used for another authenticator, or one was revoked or suspended since"
        return InvalidInput.at("/authorisation", detail)
    return InvalidInput.at("", "this payer has as many authenticators as the policy allows; revoke one first")
