"""`/oauth/token`, and what is to be known of it (RFC 8414): both only where the configuration has OAuth on."""

from typing import Any, cast

import msgspec
from litestar import Request, Response, get, post

from sca_service.api.answer import HttpAnswer
from sca_service.api.call import REQUEST_ID_KEY
from sca_service.api.certificates.header import CertificateHeaders
from sca_service.api.clients import Scope
from sca_service.api.oauth.assertion import ALGORITHMS
from sca_service.api.oauth.grants import Grants
from sca_service.api.oauth.model import OAuthFault, invalid_client
from sca_service.api.oauth.request import read_request
from sca_service.api.routes import StrictRequest, respond
from sca_service.kernel.addresses import Proxies
from sca_service.kernel.errors import InvalidInput, Unauthorized
from sca_service.kernel.telemetry import REQUESTS_FAILED

PATH = "/oauth/token"
_NO_STORE = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))


class AccessBody(msgspec.Struct, frozen=True):
    """What is given (RFC 6749, section 5.1)."""

    access_jwt: str = msgspec.field(name="access_token")
    kind: str = msgspec.field(name="token_type")
    seconds: int = msgspec.field(name="expires_in")
    scope: str


class FaultBody(msgspec.Struct, frozen=True):
    """Why nothing is given (RFC 6749, section 5.2)."""

    error: str
    detail: str = msgspec.field(name="error_description")


class OAuthOperations:
    """Answers requests for access. A class because it holds what gives it, and who is in front."""

    def __init__(
        self,
        grants: Grants,
        certificates: CertificateHeaders,
        proxies: Proxies,
        *,
        issuer: str,
        public_url: str,
    ) -> None:
        self._grants = grants
        self._certificates = certificates
        self._proxies = proxies
        self.metadata = _metadata(issuer, public_url)

    async def take(self, request: StrictRequest) -> HttpAnswer:
        """Give access, or say why not. Raises TooEarly, Overloaded, StoreUnavailable."""
        try:
            if request.scope["query_string"]:
                raise OAuthFault("invalid_request", "parameters stand in the body")
            asked = read_request(
                request.headers.get("content-type"),
                request.headers.get("authorization"),
                await request.raw_body(),
            )
            given = await self._grants.give(
                asked,
                self._certificate_of(request),
                address=self._address_of(request),
                request_id=cast("dict[str, str]", request.scope)[REQUEST_ID_KEY],
            )
        except OAuthFault as fault:
            return _refused(fault)
        body = AccessBody(given.access_jwt.reveal(), "Bearer", given.seconds, " ".join(given.scopes))
        return HttpAnswer(200, msgspec.json.encode(body), _NO_STORE)

    def _certificate_of(self, request: Request[Any, Any, Any]) -> Any:
        try:
            return self._certificates.of(request.scope)
        except Unauthorized as error:
            raise invalid_client() from error

    def _address_of(self, request: Request[Any, Any, Any]) -> str:
        peer = request.client.host if request.client else ""
        return self._proxies.sender_behind(peer, request.headers.getall("x-forwarded-for", []))


@post(PATH, include_in_schema=False)
async def give_access(request: StrictRequest, oauth: OAuthOperations) -> Response[Any]:
    """Access for a client that proves itself: an access JWT of five minutes."""
    return respond(await oauth.take(request))


@get("/.well-known/oauth-authorization-server", include_in_schema=False, sync_to_thread=False)
def metadata(request: Request[Any, Any, Any], oauth: OAuthOperations) -> Response[dict[str, object]]:
    """Where and how access is given (RFC 8414)."""
    if request.scope["query_string"]:
        raise InvalidInput.at("", "has no parameters")
    return Response(oauth.metadata, headers={"Cache-Control": "public, max-age=300"})


ROUTES = (give_access, metadata)


def _refused(fault: OAuthFault) -> HttpAnswer:
    REQUESTS_FAILED.labels(f"oauth-{fault.error.replace('_', '-')}").inc()
    body = msgspec.json.encode(FaultBody(fault.error, fault.detail))
    if fault.error == "invalid_client":
        return HttpAnswer(401, body, (*_NO_STORE, ("WWW-Authenticate", 'Basic realm="sca"')))
    return HttpAnswer(400, body, _NO_STORE)


def _metadata(issuer: str, public_url: str) -> dict[str, object]:
    return {
        "issuer": issuer,
        "token_endpoint": f"{public_url}{PATH}",
        "jwks_uri": f"{public_url}/.well-known/jwks.json",
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "scopes_supported": [scope.value for scope in Scope],
        "token_endpoint_auth_methods_supported": [
            "client_secret_basic",
            "private_key_jwt",
            "tls_client_auth",
        ],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "tls_client_certificate_bound_access_tokens": True,
    }
