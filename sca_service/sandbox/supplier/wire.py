"""What a sandbox supplier tells, as JSON, and the signature over it: supplier, time and body, good for five minutes.

POST /receipts/sandbox-sms
Sandbox-Signature: t=1763806500123,sha256=<HMAC-SHA256 of "sandbox-sms\\n1763806500123\\n<body>" in hexadecimal>

{"delivery": "dlv_…", "status": "delivered", "at": "2026-11-22T10:15:00.123Z"}
"""

import hmac
import re
from datetime import datetime

import msgspec

from sca_service.delivery.supplier import Receipt, ReceiptStatus, Reply, Word
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.secret import Secret

SIGNATURE_HEADER = "Sandbox-Signature"
FRESH_MS = 300_000
"""A signature is believed for so long before and after its time; a call-back replayed later is refused."""

_SIGNATURE = re.compile(r"t=([0-9]{1,15}),sha256=([0-9a-f]{64})", re.ASCII)


class ReplyBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"sender": "from"}):
    """What a payer sent back: `{"from": "+49…", "text": "NO"}`."""

    sender: str
    text: str


class ReceiptBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One call-back on the wire: `at` (RFC 3339), and a status, a refusal by the payer or a reply, or several of them.

    `declined` claims that the payer said no to `delivery`: 9 in a call, "no" on a device.
    """

    delivery: str = ""
    status: ReceiptStatus | None = None
    at: str = ""
    declined: bool = False
    reply: ReplyBody | None = None


def read_word(supplier: str, body: bytes) -> Word:
    """What a call-back of this supplier says. Raises InvalidInput for one that says nothing or cannot be read."""
    try:
        told = msgspec.json.decode(body, type=ReceiptBody)
        at_ms = int(datetime.fromisoformat(told.at).timestamp() * 1000)
    except (msgspec.DecodeError, ValueError, OverflowError) as error:
        raise InvalidInput.at("", "is not a sandbox receipt") from error
    if told.status is None and not told.declined and told.reply is None:
        raise InvalidInput.at("", "says nothing")
    return Word(
        receipts=(Receipt(supplier, told.delivery, told.status, at_ms),) if told.status else (),
        declined=(told.delivery,) if told.declined else (),
        replies=(Reply(Secret(told.reply.sender), Secret(told.reply.text)),) if told.reply else (),
    )


def signature(secret: Secret[bytes], supplier: str, *, at_ms: int, body: bytes) -> str:
    """The value of the header `Sandbox-Signature` for a call-back that is sent at `at_ms` (Unix time)."""
    return f"t={at_ms},sha256={_digest(secret, supplier, str(at_ms), body)}"


def is_signed(secret: Secret[bytes], supplier: str, *, now_ms: int, body: bytes, header: str) -> bool:
    """Whether the header signs these bytes for this supplier, five minutes ago at most.

    Constant in time over the digest; False for anything malformed.
    """
    found = _SIGNATURE.fullmatch(header)
    if found is None:
        return False
    genuine = hmac.compare_digest(_digest(secret, supplier, found[1], body), found[2])
    return genuine and abs(now_ms - int(found[1])) <= FRESH_MS


def _digest(secret: Secret[bytes], supplier: str, at_ms: str, body: bytes) -> str:
    signed = f"{supplier}\n{at_ms}\n".encode() + body  # a supplier's name holds no line break
    return hmac.digest(secret.reveal(), signed, "sha256").hex()
