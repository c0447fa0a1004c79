"""Card processors' challenges over HTTP: `POST /issuer/v1/webhooks/{id}/challenges`."""

from typing import Any, cast

from litestar import Request, Response, post

from sca_service.api.call import REQUEST_ID_KEY
from sca_service.api.routes import StrictRequest, check_media_type, respond
from sca_service.compat.issuer.hooks import IssuerHooks, Signed


@post("/issuer/v1/webhooks/{endpoint:str}/challenges", include_in_schema=False, status_code=200)
async def issuer_challenge(
    request: Request[Any, Any, Any], endpoint: str, issuer_hooks: IssuerHooks
) -> Response[Any]:
    """Ask a cardholder's app."""
    body = await cast("StrictRequest", request).raw_body()
    check_media_type(request.headers.get("content-type"), body)
    client = request.scope["client"]
    signed = Signed(
        message=request.headers.get("webhook-id", ""),
        sent_at=request.headers.get("webhook-timestamp", ""),
        signature=request.headers.get("webhook-signature", ""),
        body=body,
        peer=client[0] if client else "",
        forwarded=request.headers.getall("x-forwarded-for", []),
    )
    request_id = str(cast("dict[str, Any]", request.scope)[REQUEST_ID_KEY])
    return respond(await issuer_hooks.challenge(endpoint, signed, request_id))


ROUTES = (issuer_challenge,)
