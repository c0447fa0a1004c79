"""What suppliers tell over HTTP: `/receipts/{supplier}`, authenticated as the supplier does it."""

from collections.abc import Mapping
from typing import Protocol

from litestar import Response, get, post

from sca_service.api.answer import HttpAnswer
from sca_service.api.routes import StrictRequest, problems, respond
from sca_service.delivery.receipts import Receipts
from sca_service.delivery.supplier import CallBack, Message, WordReader
from sca_service.kernel.errors import NotFound


class MessageSource(Protocol):
    """Tells what a delivery's message was."""

    async def message_of(self, delivery: str) -> Message | None:
        """The message, to be said once more; None when its challenge is over or unknown. Raises StoreUnavailable."""


class ReceiptOperations:
    """Takes suppliers' words. A class because it holds the readers, by supplier, and where words are put into."""

    def __init__(
        self, readers: Mapping[str, WordReader], receipts: Receipts, messages: MessageSource, public_url: str
    ) -> None:
        """`public_url` is where suppliers reach the api: some sign the address that they called."""
        self._readers = readers
        self._receipts = receipts
        self._messages = messages
        self._public_url = public_url

    async def take(self, supplier: str, call: CallBack) -> HttpAnswer:
        """Put down what a supplier tells; what says nothing new changes nothing.

        Raises NotFound for an unknown supplier, or when all it speaks of is unknown and it wants no answer of its own,
        Unauthorized, InvalidInput, StoreUnavailable.
        """
        reader = self._readers.get(supplier)
        if reader is None:
            raise NotFound
        word = reader.read(call)
        is_known = await self._receipts.apply(supplier, word)
        message = await self._messages.message_of(word.again) if word.again else None
        answer = reader.answer(word, message)
        if answer.body:  # a supplier that wants an answer would repeat what we do not know for days
            return HttpAnswer(200, answer.body, media_type=answer.content_type)
        if not is_known:
            raise NotFound
        return HttpAnswer(204, b"")

    def public_address(self, path: str, query: str) -> str:
        """The address as the supplier called it."""
        return f"{self._public_url}{path}?{query}" if query else f"{self._public_url}{path}"


@post(
    "/receipts/{supplier:str}",
    tags=["receipts"],
    operation_id="take_receipt",
    summary="What a supplier tells: a receipt, a key pressed in a call, a payer's reply",
    status_code=204,
    responses=problems(401, 404, 413, 422, keyed=False),
)
async def take_receipt(request: StrictRequest, receipts: ReceiptOperations, supplier: str) -> Response[None]:
    """Take what a supplier tells. Some are answered with 200 and instructions of their own format."""
    return await _take(request, receipts, supplier)


@get(
    "/receipts/{supplier:str}",
    tags=["receipts"],
    operation_id="take_receipt_by_query",
    summary="The same, of suppliers that tell it in the address",
    status_code=204,
    responses=problems(401, 404, 422, keyed=False),
)
async def take_receipt_by_query(
    request: StrictRequest, receipts: ReceiptOperations, supplier: str
) -> Response[None]:
    """Take what a supplier tells in the query of a GET."""
    return await _take(request, receipts, supplier)


async def _take(request: StrictRequest, receipts: ReceiptOperations, supplier: str) -> Response[None]:
    call = CallBack(
        method=request.method,
        url=receipts.public_address(request.url.path, request.url.query),
        query=dict(request.query_params.items()),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=await request.raw_body(),
    )
    return respond(await receipts.take(supplier, call))


ROUTES = (take_receipt, take_receipt_by_query)
