"""A request for access, taken apart strictly (RFC 6749, sections 2.3.1 and 4.4.2); nothing of it is believed yet."""

import base64
import binascii
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote_plus

from sca_service.api.oauth.assertion import ASSERTION_TYPE, client_named_in
from sca_service.api.oauth.model import OAuthFault, invalid_client
from sca_service.kernel.secret import Secret

MOST_BYTES = 16_384
_MOST_FIELDS = 16
_FORM = "application/x-www-form-urlencoded"
_OTHER_WAYS = ("client_secret",)


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """Who claims to ask, by which proof, and for which scopes; None for all that the client has.

    Without secret and assertion the proof is the certificate of the connection.
    """

    client: str
    scopes: tuple[str, ...] | None
    secret: Secret[str] | None = None
    assertion: str | None = field(default=None, repr=False)


def read_request(content_type: str | None, authorization: str | None, body: bytes) -> AccessRequest:
    """What a request says. Raises OAuthFault."""
    fields = _fields(content_type, body)
    if fields.get("grant_type") != "client_credentials":
        error = "unsupported_grant_type" if fields.get("grant_type") else "invalid_request"
        raise OAuthFault(error, "grant_type must be client_credentials")
    asked = fields.get("scope")
    scopes = None if asked is None else tuple(dict.fromkeys(asked.split(" ")))
    assertion = fields.get("client_assertion")
    if any(name in fields for name in _OTHER_WAYS) or (authorization is not None and assertion is not None):
        raise OAuthFault(
            "invalid_request", "a client authenticates in one way, and never by a secret in the body"
        )
    if authorization is not None:
        client, secret = _basic(authorization)
        request = AccessRequest(client, scopes, secret=Secret(secret))
    elif assertion is not None:
        if fields.get("client_assertion_type") != ASSERTION_TYPE:
            raise OAuthFault("invalid_request", f"client_assertion_type must be {ASSERTION_TYPE}")
        request = AccessRequest(client_named_in(assertion), scopes, assertion=assertion)
    else:
        request = AccessRequest(fields.get("client_id", ""), scopes)
    if not request.client or fields.get("client_id", request.client) != request.client:
        raise invalid_client()
    return request


def _fields(content_type: str | None, body: bytes) -> dict[str, str]:
    if (content_type or "").partition(";")[0].strip().lower() != _FORM or len(body) > MOST_BYTES:
        raise OAuthFault("invalid_request", f"the body must be {_FORM}, of at most {MOST_BYTES} bytes")
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=_MOST_FIELDS
        )
    except ValueError as error:
        raise OAuthFault("invalid_request", "the body cannot be read") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise OAuthFault("invalid_request", "a parameter is given twice")
    return {name: value for name, value in fields.items() if value}  # an empty one is none (section 3.2)


def _basic(authorization: str) -> tuple[str, str]:
    """Client and secret of HTTP Basic, each form-encoded before (section 2.3.1). Raises OAuthFault."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        client, colon, secret = base64.b64decode(encoded, validate=True).decode("ascii").partition(":")
    except (binascii.Error, ValueError) as error:
        raise invalid_client() from error
    if scheme.lower() != "basic" or not colon:
        raise invalid_client()
    return unquote_plus(client), unquote_plus(secret)
