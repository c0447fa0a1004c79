"""HOTP (RFC 4226): the arithmetic, by pyotp."""

import hashlib
from enum import StrEnum

import pyotp


class OtpAlgorithm(StrEnum):
    """The hash within the MAC (RFC 6238, section 1.2), by the name that an `otpauth` URI gives it."""

    SHA1 = "SHA1"
    SHA256 = "SHA256"
    SHA512 = "SHA512"


_HASHES = {
    OtpAlgorithm.SHA1: hashlib.sha1,
    OtpAlgorithm.SHA256: hashlib.sha256,
    OtpAlgorithm.SHA512: hashlib.sha512,
}


class _KeyedHotp(pyotp.HOTP):
    """RFC 4226 over a key that is given as bytes: pyotp's own way through base32 costs as much as the MAC."""

    def __init__(self, key: bytes, digits: int, algorithm: OtpAlgorithm) -> None:
        self._key = key
        super().__init__("", digits=digits, digest=_HASHES[algorithm])

    def byte_secret(self) -> bytes:
        """The key of the MAC."""
        return self._key


def hotp(key: bytes, counter: int, *, digits: int, algorithm: OtpAlgorithm = OtpAlgorithm.SHA1) -> str:
    """The decimal code for a counter, with leading zeros (RFC 4226, section 5.3)."""
    return _KeyedHotp(key, digits, algorithm).at(counter)
