"""Who calls a facade by HTTP Basic: the client's id, and its API key as the secret (RFC 7617)."""

import base64
import binascii
from typing import Any, cast

from litestar.connection import ASGIConnection

from sca_service.api.client_door import ClientDoor
from sca_service.api.clients import Client
from sca_service.kernel.errors import Unauthorized


def client_by_basic(connection: ASGIConnection[Any, Any, Any, Any]) -> Client:
    """The client whose id and key the request has. Raises Unauthorized, StoreUnavailable."""
    name, key = _credentials(connection.headers.get("authorization", ""))
    client = cast("ClientDoor", connection.app.state.clients).admit(connection.scope, f"Bearer {key}")
    if client.id != name:
        raise Unauthorized("the name is not the key's")
    return client


def client_by_either(connection: ASGIConnection[Any, Any, Any, Any]) -> Client:
    """The same, or a client that sends what `/v1` takes. Raises Unauthorized, StoreUnavailable."""
    authorization = connection.headers.get("authorization", "")
    if authorization.partition(" ")[0].lower() == "basic":
        return client_by_basic(connection)
    return cast("ClientDoor", connection.app.state.clients).admit(connection.scope, authorization)


def _credentials(authorization: str) -> tuple[str, str]:
    """Name and secret of an `Authorization: Basic` header. Raises Unauthorized."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        name, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        name = colon = secret = ""
    if scheme.lower() != "basic" or not colon:
        raise Unauthorized("the Authorization header has no name and key")
    return name, secret
