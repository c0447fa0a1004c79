"""Whether a payer knows the PIN: the same work and the same answer, whether there is one or not."""

from sca_service.authenticators.model import AuthenticatorType
from sca_service.authenticators.pin.hashing import PinHasher
from sca_service.authenticators.postgres_store import AuthenticatorRow, AuthenticatorStore
from sca_service.authenticators.sealed import PinSealed, pin_of, sealed
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.secret import Secret


class Pins:
    """Checks PINs. A class because it holds the store and the hasher."""

    def __init__(self, *, keyring: Keyring, store: AuthenticatorStore, hasher: PinHasher) -> None:
        self._keyring = keyring
        self._store = store
        self._hasher = hasher

    async def accepts(self, payer: str, pin: Secret[str], *, client: str = "") -> bool:
        """Whether this is the payer's PIN; never for a payer without one, at the same cost.

        A PIN that was kept with other parameters is kept with today's from then on. Raises Overloaded when too many
        wait, in all or of this client's, StoreUnavailable, SealBroken.
        """
        rows = await self._store.active(payer, AuthenticatorType.PIN)
        if not rows:
            return (await self._hasher.verify(None, pin, payer, client=client)).matches
        row = rows[0]
        kept = pin_of(self._keyring, row)
        check = await self._hasher.verify(kept.hash, pin, row.id, client=client)
        if check.rehashed:
            await self._keep(row, kept, check.rehashed)
        return check.matches

    async def _keep(self, row: AuthenticatorRow, kept: PinSealed, rehashed: str) -> None:
        content = PinSealed(rehashed, kept.label)
        await self._store.reseal(row, sealed(self._keyring, content, row.id))
