"""Binds clients to certificates, and lets them go; every change is an audit event."""

from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sca_service.api.certificates.model import Authority, Certificate, UnreadableCertificate
from sca_service.api.certificates.postgres_store import BindingRow, BindingStore
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import InvalidInput, NotFound
from sca_service.kernel.ids import new_id


class BindingRegistry:
    """Changes what clients are bound to. A class because it holds the store."""

    def __init__(self, store: BindingStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def bind(
        self, client: str, certificate: bytes, *, authority: bytes | None, overlap_seconds: int | None
    ) -> str:
        """Bind a client to a certificate, or to its subject as an authority issues it; both in PEM. Returns the id.

        The certificate may be followed by those between it and the authority. Raises InvalidInput, NotFound for an
        unknown or revoked client.
        """
        shown = _certificate(certificate, "/certificate")
        if not shown.is_valid_at(self._clock.now_ms()):
            raise InvalidInput.at("/certificate", "is not valid today")
        root = _ders(authority, "/issued_by")[0] if authority is not None else None
        if root is not None and not Authority(root).issued(shown, self._clock.now_ms()):
            raise InvalidInput.at("/issued_by", "did not issue this certificate")
        organisation = shown.organisation
        new = BindingRow(
            id=new_id("bnd"),
            client=client,
            thumbprint=shown.thumbprint,
            subject=shown.subject,
            authority=root,
            organisation=organisation.identifier if organisation else "",
            roles=organisation.roles if organisation else (),
            expires_at=datetime.fromtimestamp(shown.valid_until_ms / 1000, UTC),
        )
        if not await self._store.bind(new, overlap_seconds=overlap_seconds):
            raise NotFound("there is no such client")
        return new.id

    async def unbind(self, client: str, binding: str) -> None:
        """End one binding. The client goes on needing a certificate. Raises NotFound."""
        if not await self._store.unbind(client, binding):
            raise NotFound("the client has no such binding")

    async def release(self, client: str) -> None:
        """End all of them: its keys ask for no certificate any more. Raises NotFound."""
        if not await self._store.release(client):
            raise NotFound("the client is not bound to a certificate")

    async def all(self) -> list[BindingRow]:
        """Every binding that holds. Raises StoreUnavailable."""
        return await self._store.valid()


def _certificate(pem: bytes, pointer: str) -> Certificate:
    first, *between = _ders(pem, pointer)
    try:
        return Certificate.parse(first, between)
    except UnreadableCertificate as error:
        raise InvalidInput.at(pointer, "is not a certificate that can be read") from error


def _ders(pem: bytes, pointer: str) -> Sequence[bytes]:
    try:
        return [one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(pem)]
    except ValueError as error:
        raise InvalidInput.at(pointer, "is not a certificate in PEM") from error
