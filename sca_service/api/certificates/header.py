"""The certificate that a proxy passes on: the headers `Client-Cert` and `Client-Cert-Chain` of RFC 9440.

Both are structured fields (RFC 8941): a byte sequence, `:MIIB…:`, and a list of them. They are believed when a proxy
sent them that the configuration names, and count for nothing from anybody else: whoever reaches the api otherwise could
write any certificate into them. No parameters are defined, so none are taken.
"""

import base64
import binascii
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from sca_service.api.certificates.model import Certificate, UnreadableCertificate
from sca_service.kernel.addresses import Network, Proxies
from sca_service.kernel.errors import Unauthorized

_CERTIFICATE, _CHAIN = b"client-cert", b"client-cert-chain"
_MOST_IN_CHAIN = 8
_REMEMBERED = 512


class CertificateHeaders:
    """Reads the headers of proxies. A class because it remembers what it has read: one look-up for most requests."""

    def __init__(self, proxies: Sequence[Network]) -> None:
        """`proxies` are those whose word counts; without any no header does."""
        self._is_on = bool(proxies)
        self._is_proxy = lru_cache(_REMEMBERED)(Proxies(proxies).include)
        self._read = lru_cache(_REMEMBERED)(read_headers)

    def of(self, scope: Any) -> Certificate | None:
        """The certificate of an ASGI request, None where no proxy of ours passed one on.

        Raises Unauthorized for a header of such a proxy that cannot be read, or comes twice: then it was not written by
        the proxy alone.
        """
        if not self._is_on or not self._is_proxy((scope["client"] or ("", 0))[0]):
            return None
        sent = _once(scope["headers"], _CERTIFICATE)
        return self._read(sent, _once(scope["headers"], _CHAIN)) if sent else None


def read_headers(sent: bytes, chain: bytes) -> Certificate | None:
    """The certificate in both headers; None for an empty sequence, which some proxies write where there is none.

    Raises Unauthorized.
    """
    try:
        der = _bytes_of(sent)
        between = [_bytes_of(one) for one in chain.split(b",")] if chain.strip() else []
        if len(between) > _MOST_IN_CHAIN:
            raise ValueError
        return Certificate.parse(der, between) if der else None
    except (ValueError, UnreadableCertificate) as error:
        raise Unauthorized("the certificate that the proxy passed on cannot be read") from error


def _once(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    found = [value for each, value in headers if each == name]
    if len(found) > 1:
        raise Unauthorized("a certificate's header came twice")
    return found[0] if found else b""


def _bytes_of(item: bytes) -> bytes:
    """A byte sequence (RFC 8941, section 4.2.7). Raises ValueError."""
    text = item.strip(b" \t")
    if len(text) < 2 or text[:1] != b":" or text[-1:] != b":":
        raise ValueError
    inner = text[1:-1]
    try:
        return base64.b64decode(inner + b"=" * (-len(inner) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError from error
