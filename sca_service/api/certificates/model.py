"""A client's certificate, and what binds a client to it: its thumbprint, or its subject and who issued it."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from sca_service.api.certificates.psd2 import Organisation, organisation_of

_REMEMBERED = 256
_REFUSED_MS = 60_000
"""For how long it is remembered that a certificate was not issued by an authority: each look costs signatures."""


class UnreadableCertificate(Exception):
    """Bytes that are no X.509 certificate which we can read."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that a client showed, with what lies between it and its authority. Times are ms since the epoch."""

    thumbprint: str
    subject: str
    valid_from_ms: int
    valid_until_ms: int
    organisation: Organisation | None
    parsed: x509.Certificate = field(repr=False, compare=False)
    chain: tuple[x509.Certificate, ...] = field(default=(), repr=False, compare=False)
    chain_thumbprint: str = ""

    @classmethod
    def parse(cls, der: bytes, chain: Sequence[bytes] = ()) -> "Certificate":
        """Read it and what was sent between it and its authority. Raises UnreadableCertificate."""
        try:
            parsed = x509.load_der_x509_certificate(der)
            return cls(
                thumbprint=thumbprint_of(der),
                subject=parsed.subject.rfc4514_string(),
                valid_from_ms=_ms(parsed.not_valid_before_utc),
                valid_until_ms=_ms(parsed.not_valid_after_utc),
                organisation=organisation_of(parsed),
                parsed=parsed,
                chain=tuple(x509.load_der_x509_certificate(one) for one in chain),
                chain_thumbprint=thumbprint_of(b"".join(chain)),
            )
        except (ValueError, UnsupportedAlgorithm, x509.UnsupportedGeneralNameType) as error:
            raise UnreadableCertificate from error

    def is_valid_at(self, now_ms: int) -> bool:
        """Whether its own times allow it."""
        return self.valid_from_ms <= now_ms <= self.valid_until_ms


class Authority:
    """A certificate authority. A class because it remembers what it issued: each look costs signatures."""

    def __init__(self, der: bytes) -> None:
        """Raises UnreadableCertificate."""
        try:
            self._store = Store([x509.load_der_x509_certificate(der)])
        except ValueError as error:
            raise UnreadableCertificate from error
        self._remembered: dict[tuple[str, str], tuple[bool, int]] = {}

    def issued(self, certificate: Certificate, now_ms: int) -> bool:
        """Whether a chain leads from it to the certificate, as RFC 5280 and the CA/Browser Forum ask, now."""
        place = certificate.thumbprint, certificate.chain_thumbprint
        found, until_ms = self._remembered.get(place, (False, 0))
        if now_ms < until_ms:
            return found
        found, until_ms = self._look(certificate, now_ms)
        if len(self._remembered) >= _REMEMBERED:
            self._remembered.clear()
        self._remembered[place] = found, until_ms
        return found

    def _look(self, certificate: Certificate, now_ms: int) -> tuple[bool, int]:
        """What a look comes to, and until when that holds."""
        now = datetime.fromtimestamp(now_ms / 1000, UTC).replace(tzinfo=None)
        verifier = PolicyBuilder().store(self._store).time(now).build_client_verifier()
        try:
            chain = verifier.verify(certificate.parsed, list(certificate.chain)).chain
        except VerificationError:
            return False, now_ms + _REFUSED_MS
        return True, min(_ms(one.not_valid_after_utc) for one in chain)


@dataclass(frozen=True, slots=True)
class Binding:
    """What a client is bound to: one certificate by `thumbprint`, or any of `subject` that the authority issued."""

    id: str
    thumbprint: str
    subject: str
    authority: Authority | None = None

    def admits(self, certificate: Certificate, now_ms: int) -> bool:
        """Whether a certificate is one that is meant, and valid."""
        if not certificate.is_valid_at(now_ms):
            return False
        if self.authority is None:
            return certificate.thumbprint == self.thumbprint
        return certificate.subject == self.subject and self.authority.issued(certificate, now_ms)


def thumbprint_of(der: bytes) -> str:
    """`x5t#S256` of RFC 8705, section 3.1: SHA-256 over the certificate, in base64url without padding."""
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
