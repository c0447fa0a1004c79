"""What the log's leader keeps in order between two rounds: several parts, one after another."""

from sca_service.audit.log.postgres_store import Connection
from sca_service.audit.log.sequencer import Housekeeper


class Household:
    """Several housekeepers as one. A class because it holds them."""

    def __init__(self, *parts: Housekeeper) -> None:
        self._parts = parts

    async def tidy(self, connection: Connection) -> bool:
        """One bounded part of each. Returns whether one of them has more to do."""
        return any([await part.tidy(connection) for part in self._parts])
