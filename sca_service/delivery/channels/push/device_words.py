"""What a device tells us back: that the message is there, or that the payer says no.

An app or service worker posts it to the address that came with the message (`Content-Type` does not matter, so that a
page may do it without a preflight request)::

    {"delivery": "dlv_…", "mac": "…"}
    {"delivery": "dlv_…", "mac": "…", "decision": "declined"}

The MAC is ours and came with the message: who has it has seen the message, or carried it. It allows to say that this
one delivery arrived or was declined, never to approve anything.
"""

import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Literal

import msgspec

from sca_service.delivery.channels.context import Context
from sca_service.delivery.supplier import CallBack, CallBackAnswer, Message, Receipt, ReceiptStatus, Word
from sca_service.kernel.errors import InvalidInput, Unauthorized


class _Confirmation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    delivery: str
    mac: str
    decision: Literal["declined"] | None = None


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """Where a device confirms one delivery, and the proof that it may."""

    url: str
    mac: str


class DeviceWords:
    """Makes the proofs of one supplier's deliveries, and reads what devices send with them (a WordReader).

    A class because it holds the key.
    """

    def __init__(self, context: Context) -> None:
        self._supplier = context.rule.name
        self._url = f"{context.public_url}/receipts/{context.rule.name}"
        self._key = context.keyring.channel_key(f"receipts {context.rule.name}")

    def reply_to(self, delivery_id: str) -> ReplyTo:
        """What goes out with a message, so that its device can answer."""
        return ReplyTo(self._url, self._mac(delivery_id))

    def read(self, call: CallBack) -> Word:
        """A confirmation. Raises Unauthorized for a MAC that is not this delivery's, InvalidInput for another shape."""
        try:
            said = msgspec.json.decode(call.body, type=_Confirmation)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidInput.at("", "is not a device's confirmation") from error
        if not hmac.compare_digest(
            self._mac(said.delivery).encode(), said.mac.encode(errors="surrogatepass")
        ):
            raise Unauthorized("the confirmation does not carry this delivery's MAC")
        declined = (said.delivery,) if said.decision else ()
        # A device does not say when; whoever declines a message has received it.
        return Word((Receipt(self._supplier, said.delivery, ReceiptStatus.DELIVERED, 0),), declined=declined)

    def answer(self, _word: Word, _message: Message | None) -> CallBackAnswer:
        """Nothing needs to be said to a device."""
        return CallBackAnswer()

    def _mac(self, delivery_id: str) -> str:
        digest = hmac.digest(self._key, delivery_id.encode(errors="surrogatepass"), "sha256")
        return urlsafe_b64encode(digest).rstrip(b"=").decode()
