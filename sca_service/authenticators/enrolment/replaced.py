"""Who hears of a phone line that another one replaces, in the transaction that does so."""

from collections.abc import Mapping
from typing import Protocol

from sca_service.audit.postgres_store import Connection
from sca_service.authenticators.postgres_store import AuthenticatorRow


class Replaced(Protocol):
    """Tells the line that is replaced, whose number is gone when the transaction is over."""

    async def replaced(
        self,
        connection: Connection,
        before: AuthenticatorRow,
        after: AuthenticatorRow,
        origin: Mapping[str, object],
    ) -> None:
        """The line `before`, as it was, gives way to `after`; what this stores is committed with that."""
