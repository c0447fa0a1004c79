"""What a challenge was for: the transaction that its code is linked to, told to those who hold another against it."""

from sca_service.challenges.model import ChallengeId
from sca_service.challenges.postgres_store import ChallengeArchive
from sca_service.challenges.redis_store import ChallengeStore


class LinkedTransactions:
    """Tells the digest of a challenge's transaction. A class because it holds the stores."""

    def __init__(self, store: ChallengeStore, archive: ChallengeArchive) -> None:
        self._store = store
        self._archive = archive

    async def digest_of(self, client: str, challenge: str) -> str | None:
        """The digest, which never changes; empty for a challenge without transaction or of an erased payer.

        None when the client has no such challenge. Raises StoreUnavailable.
        """
        known = ChallengeId.parse(challenge)
        if known is None:
            return None
        state = await self._store.get(known)
        if state is None or state.client != client:
            state = await self._archive.get(known.text, client)
        return state.digest if state else None
