"""Follow a link of an alert: from its 20 characters to where its client's URL leads."""

from collections.abc import Mapping

from sca_service.alerts.links.model import is_link_id, is_person
from sca_service.alerts.links.postgres_store import LinkStore
from sca_service.kernel.errors import NotFound
from sca_service.kernel.keyring import Keyring


class LinkFollower:
    """Opens links. A class because it holds the store and the keys."""

    def __init__(self, keyring: Keyring, store: LinkStore) -> None:
        self._keyring = keyring
        self._store = store

    async def follow(self, link: str, method: str, headers: Mapping[str, str]) -> str:
        """The URL that a link leads to; counted where a person seems to have asked.

        Raises NotFound for one that we did not make or that is over, StoreUnavailable.
        """
        if not is_link_id(self._keyring, link):
            raise NotFound
        led = await self._store.follow(link, counts=is_person(method, headers))
        if led is None:
            raise NotFound
        return self._keyring.open(led.url, link).decode()
