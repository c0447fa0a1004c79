"""A payer's list of trusted beneficiaries: created and changed with authentication only (RTS Art. 13)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from sca_service.exemptions.beneficiaries.postgres_store import BeneficiaryRow, BeneficiaryStore, Refused
from sca_service.exemptions.desk import Whose
from sca_service.exemptions.payee import payee_name
from sca_service.exemptions.rows import Occurrence
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import AuthorisationRequired, InvalidInput, NotFound
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.transaction import Payee

MOST_OF_A_PAYER = 200
_ID = re.compile(r"ben_[0-9a-f]{32}", re.ASCII)


class BeneficiaryAuthorisationRequired(AuthorisationRequired):
    """A list of trusted beneficiaries changes with strong customer authentication only (RTS Art. 13)."""

    code = "beneficiary-authorisation-required"
    title = "An approved challenge is required to change the list"
    meaning = (
        "A payer's list of trusted beneficiaries is created and changed with strong customer authentication only (RTS "
        "Art. 13). Issue a challenge for the purpose `other`, and send its `authentication_code` as `authorisation`."
    )


@dataclass(frozen=True, slots=True)
class Beneficiary:
    """A trusted payee as the payer's bank sees it; the account by its end. `added_at_ms` is since the epoch."""

    id: str
    name: str = field(repr=False)
    account_end: str = field(repr=False)
    added_at_ms: int = 0


class _Sealed(msgspec.Struct, frozen=True):
    name: str
    account_end: str


class TrustedBeneficiaries:
    """Keeps the lists. A class because it holds the store and the keys."""

    def __init__(self, *, store: BeneficiaryStore, keyring: Keyring, clock: Clock) -> None:
        self._store = store
        self._keyring = keyring
        self._clock = clock

    async def add(
        self, whose: Whose, payee: Payee, approval: str | None, *, unique: str | None = None
    ) -> Beneficiary:
        """Trust a payee, known by the account. One that is on the list already stays as it is.

        `approval` is the event of the authentication, `unique` names a repeated request. Raises InvalidInput,
        BeneficiaryAuthorisationRequired, StoreUnavailable.
        """
        psu = self._psu(whose)
        name = payee_name(self._keyring, psu, payee.account)
        if name is None or payee.account is None:
            raise InvalidInput.at("/payee/account", "is required: a name alone may belong to anybody")
        if approval is None:
            raise BeneficiaryAuthorisationRequired
        beneficiary_id = f"ben_{unique}" if unique else new_id("ben")
        content = msgspec.json.encode(_Sealed(payee.name, payee.account.tail))
        row = BeneficiaryRow(
            beneficiary_id, whose.client, psu, name, self._keyring.seal(content, beneficiary_id)
        )
        added = await self._store.add(row, approval, most=MOST_OF_A_PAYER, occurrence=self._occurrence(whose))
        if isinstance(added, Refused):
            raise _refused(added)
        return self._seen(added)

    async def remove(self, whose: Whose, beneficiary_id: str, approval: str | None) -> None:
        """Trust a payee no more; again is as once.

        Raises NotFound, BeneficiaryAuthorisationRequired, InvalidInput, StoreUnavailable.
        """
        psu = self._psu(whose)
        row = await self._store.get(beneficiary_id, psu) if _ID.fullmatch(beneficiary_id) else None
        if row is None:
            raise NotFound
        if row.is_removed:
            return
        if approval is None:
            raise BeneficiaryAuthorisationRequired
        removed = await self._store.remove(beneficiary_id, psu, approval, self._occurrence(whose))
        if isinstance(removed, Refused):
            raise _refused(removed)

    async def all_of(self, whose: Whose) -> Sequence[Beneficiary]:
        """The list of a payer, the oldest first. Raises StoreUnavailable."""
        return [self._seen(row) for row in await self._store.of(self._psu(whose))]

    def _seen(self, row: BeneficiaryRow) -> Beneficiary:
        if row.is_removed:  # a repeated request to add one that was removed meanwhile
            raise NotFound
        content = msgspec.json.decode(self._keyring.open(row.sealed, row.id), type=_Sealed)
        added_at_ms = int(row.added_at.timestamp() * 1000) if row.added_at else 0
        return Beneficiary(row.id, content.name, content.account_end, added_at_ms)

    def _psu(self, whose: Whose) -> str:
        return self._keyring.pseudonym("payer", whose.client, whose.psu_id)

    def _occurrence(self, whose: Whose) -> Occurrence:
        return Occurrence(self._clock.now_ms(), whose.origin)


def _refused(refused: Refused) -> InvalidInput:
    if refused.authorisation_is_used:
        return InvalidInput.at("/authorisation", "was used for another change")
    return InvalidInput.at("", f"this payer trusts {MOST_OF_A_PAYER} payees already; remove one first")
