"""Suppliers' receipts over HTTP: `/receipts/{supplier}`, authenticated as the supplier does it."""

from collections.abc import Mapping
from typing import Any, Protocol

from litestar import Request, Response, post

from sca_service.api.answer import HttpAnswer
from sca_service.api.routes import problems, respond
from sca_service.delivery.dispatch import Book
from sca_service.delivery.model import DeliveryStatus, Settlement
from sca_service.delivery.supplier import Receipt
from sca_service.kernel.errors import NotFound


class ReceiptReader(Protocol):
    """Reads one supplier's receipts."""

    def read(self, supplier: str, headers: Mapping[str, str], body: bytes) -> Receipt:
        """The receipt in a request. Raises Unauthorized for one that is not the supplier's, InvalidInput."""


class ReceiptOperations:
    """Takes receipts. A class because it holds the readers, by supplier, and the book they are put into."""

    def __init__(self, readers: Mapping[str, ReceiptReader], book: Book) -> None:
        self._readers = readers
        self._book = book

    async def take(self, supplier: str, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        """Settle the delivery that a receipt speaks of; a receipt that says nothing new changes nothing.

        Raises NotFound for an unknown supplier or delivery, Unauthorized, InvalidInput, StoreUnavailable.
        """
        reader = self._readers.get(supplier)
        if reader is None:
            raise NotFound
        receipt = reader.read(supplier, headers, body)
        settlement = Settlement(DeliveryStatus(receipt.status), supplier)
        if not await self._book.settle(receipt.delivery_id, settlement):
            raise NotFound
        return HttpAnswer(204, b"")


@post(
    "/receipts/{supplier:str}",
    tags=["receipts"],
    operation_id="take_receipt",
    summary="A supplier's delivery receipt",
    status_code=204,
    responses=problems(401, 404, 413, 422, keyed=False),
)
async def take_receipt(
    request: Request[Any, Any, Any], receipts: ReceiptOperations, supplier: str
) -> Response[None]:
    """Take a receipt."""
    body = await request.body()
    return respond(await receipts.take(supplier, {k.lower(): v for k, v in request.headers.items()}, body))


ROUTES = (take_receipt,)
