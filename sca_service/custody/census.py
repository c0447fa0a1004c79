"""Counts what lies under each root, wherever that is: what an operator looks at before a root is taken out."""

from dataclasses import dataclass

from sca_service.custody.model import TABLES, Place, Uses
from sca_service.custody.postgres_store import SealedStore
from sca_service.custody.redis_store import HotStore


@dataclass(frozen=True, slots=True)
class Census:
    """Asks the stores that hold what the keyring sealed."""

    sealed: SealedStore
    hot: HotStore

    async def take(self) -> Uses:
        """How many records lie under each version, place by place. Raises StoreUnavailable."""
        # Redis first: what leaves it meanwhile is in PostgreSQL by then, where it is counted.
        hot = {
            Place.HOT_CHALLENGES: await self.hot.challenges(),
            Place.STORED_ANSWERS: await self.hot.answers(),
        }
        return {place: await self.sealed.uses(place) for place in TABLES} | hot
