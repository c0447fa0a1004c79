"""HOTP as RFC 4226 has it: the values of its appendix D, and the algorithm written from its text."""

import hmac

RFC_4226_KEY = b"12345678901234567890"
RFC_4226_VALUES = [
    "755224",
    "287082",
    "359152",
    "969429",
    "338314",
    "254676",
    "287922",
    "162583",
    "399871",
    "520489",
]


def hotp(key: bytes, counter: int, digits: int) -> str:
    """RFC 4226, section 5.3, written from its text."""
    mac = hmac.digest(key, counter.to_bytes(8, "big"), "sha1")
    at = mac[19] & 0xF
    number = int.from_bytes(mac[at : at + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**digits:0{digits}d}"
