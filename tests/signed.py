"""Receipts as the sandbox's suppliers sign them, and as a forger would."""

import time

import msgspec

from sca_service.kernel.secret import Secret
from sca_service.sandbox.supplier.wire import SIGNATURE_HEADER, signature
from tests.harness import Bank, Deployment

AT = "2026-11-22T10:15:00.123Z"
GENUINE = "sandbox receipts"


def now_ms() -> int:
    """What time it is, in Unix milliseconds."""
    return time.time_ns() // 1_000_000


def body_of(delivery: str, status: str = "undelivered") -> bytes:
    """A sandbox receipt's bytes."""
    return msgspec.json.encode({"delivery": delivery, "status": status, "at": AT})


def signed(
    service: Deployment,
    body: bytes,
    *,
    supplier: str = "sandbox-sms",
    at_ms: int | None = None,
    key: str = GENUINE,
) -> dict[str, str]:
    """The headers that a supplier puts on these bytes, now or at another time; with another `key`, a forger's."""
    secret = Secret(service.keyring.channel_key(key))
    signs = signature(secret, supplier, at_ms=now_ms() if at_ms is None else at_ms, body=body)
    return {SIGNATURE_HEADER: signs, "Content-Type": "application/json"}


async def post_receipt(
    bank: Bank,
    service: Deployment,
    body: bytes,
    *,
    supplier: str = "sandbox-sms",
    at_ms: int | None = None,
    key: str = GENUINE,
) -> int:
    """Post a receipt to its supplier's address; the status of the answer."""
    headers = signed(service, body, supplier=supplier, at_ms=at_ms, key=key)
    return (await bank.http.post(f"/receipts/{supplier}", content=body, headers=headers)).status_code
