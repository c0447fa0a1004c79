"""Who calls, by what a request brings: an API key or an access JWT, and where a proxy passed one on, a certificate."""

from typing import Any

import msgspec

from sca_service.api.certificates.header import CertificateHeaders
from sca_service.api.certificates.model import Certificate
from sca_service.api.clients import KEY_PREFIX, Client, ClientDirectory
from sca_service.api.oauth.access_jwt import AccessJwts
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import Unauthorized


class ClientDoor:
    """Lets clients in. A class because it holds who they are, and what has been read of their certificates and JWTs."""

    def __init__(
        self,
        directory: ClientDirectory,
        certificates: CertificateHeaders,
        clock: Clock,
        jwts: AccessJwts | None = None,
    ) -> None:
        """Without `jwts` API keys alone are taken."""
        self.directory = directory
        self.certificates = certificates
        self._clock = clock
        self._jwts = jwts

    def admit(self, scope: Any, authorization: str | None) -> Client:
        """The client of an ASGI request with this `Authorization` header. Raises Unauthorized, StoreUnavailable."""
        certificate = self.certificates.of(scope)
        if self._jwts and authorization:
            scheme, _, text = authorization.partition(" ")
            if scheme.lower() == "bearer" and not text.startswith(KEY_PREFIX):
                return self._client_of(self._jwts, text, certificate)
        return self.directory.authenticate(authorization, certificate)

    def _client_of(self, jwts: AccessJwts, text: str, certificate: Certificate | None) -> Client:
        """The client of an access JWT, with the scopes in it that it still has.

        What it was given for has to hold, and the certificate to be the one that it is bound to (RFC 8705, section 3).
        """
        claims = jwts.read(text, self._clock.now_ms() // 1000)
        if claims is None:
            raise Unauthorized("the access JWT is not valid, or is over")
        client = self.directory.client_by_credential(claims.credential, certificate)
        if client.id != claims.client_id:
            raise Unauthorized("the access JWT is not valid, or is over")
        if claims.thumbprint and client.certificate != claims.thumbprint:
            raise Unauthorized(
                "the access JWT is bound to a certificate, which the request did not come with"
            )
        return msgspec.structs.replace(client, scopes=client.scopes.intersection(claims.scope.split(" ")))
