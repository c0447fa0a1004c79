"""Who calls, by what a request brings: an API key, and where a proxy passed one on, a certificate."""

from typing import Any

from sca_service.api.certificates.header import CertificateHeaders
from sca_service.api.clients import Client, ClientDirectory


class ClientDoor:
    """Lets clients in. A class because it holds who they are, and what has been read of their certificates."""

    def __init__(self, directory: ClientDirectory, certificates: CertificateHeaders) -> None:
        self.directory = directory
        self.certificates = certificates

    def admit(self, scope: Any, authorization: str | None) -> Client:
        """The client of an ASGI request with this `Authorization` header. Raises Unauthorized, StoreUnavailable."""
        return self.directory.authenticate(authorization, self.certificates.of(scope))
