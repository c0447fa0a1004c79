"""What a payer sends back to a text: NO declines the payment it asks about, STOP ends alerts, START brings them back.

Words of the policy do the same for the notices about one topic.
A reply names no delivery, only the number it comes from. It is taken to speak of the newest text sent to that number.
"""

from dataclasses import dataclass
from typing import Protocol

from sca_service.audit.model import AuditEvent
from sca_service.delivery.model import DeclinedBy
from sca_service.delivery.supplier import Reply
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import PhoneNumber
from sca_service.policy.model import Policy
from sca_service.policy.replies import Meaning
from sca_service.policy.words import Occasion

PAYMENTS = (Occasion.PAYMENT, Occasion.PREAUTHORISATION, Occasion.BATCH)
"""What a payer can say no to by text; a login that nobody answers simply ends."""


@dataclass(frozen=True, slots=True)
class SentText:
    """The newest text sent to a number: which delivery, for which client; `occasion` is None for an alert."""

    delivery_id: str
    client: str
    occasion: Occasion | None


class SentTexts(Protocol):
    """Remembers the newest text to each number, by the number's pseudonym."""

    async def newest(self, phone: str) -> SentText | None:
        """The newest text, or None when there was none lately. Raises StoreUnavailable."""


class OptOuts(Protocol):
    """Numbers that want no alerts, by their pseudonyms; each change is on record with its event."""

    async def opt_out(self, phone: str, client: str, event: AuditEvent, topic: str = "") -> bool:
        """No more alerts of a client to a number, of one topic or of all; False when it was so before.

        Raises StoreUnavailable.
        """

    async def opt_in(self, phone: str, client: str, event: AuditEvent, topic: str = "") -> bool:
        """Alerts again; False when there was no opt-out. Raises StoreUnavailable."""


class Declines(Protocol):
    """Takes a payer's no."""

    async def decline(self, delivery: str, how: DeclinedBy | None = None) -> bool:
        """End the challenge of a delivery; False for an unknown one. Raises StoreUnavailable."""


class Inbox:
    """Hears replies. A class because it holds the stores."""

    def __init__(
        self,
        *,
        policy: Policy,
        sent: SentTexts,
        opt_outs: OptOuts,
        declines: Declines,
        keyring: Keyring,
        clock: Clock,
    ) -> None:
        self._policy = policy
        self._sent = sent
        self._opt_outs = opt_outs
        self._declines = declines
        self._keyring = keyring
        self._clock = clock

    async def hear(self, supplier: str, reply: Reply) -> None:
        """Take in what a payer sent back; durable when this returns. The same again changes nothing.

        Nothing happens for a number that was sent nothing lately, and for anything but one of the policy's words.
        Raises StoreUnavailable.
        """
        text = reply.text.reveal()
        meaning, topic = self._policy.texts.replies.meaning(text), ""
        wish = None if meaning else self._policy.alerts.notices.wish(text)
        if wish:
            meaning, topic = wish.meaning, wish.topic
        phone = self._phone(reply)
        if meaning is None or phone is None:
            return
        newest = await self._sent.newest(phone)
        if newest is None:
            return
        match meaning:
            case Meaning.DECLINE:
                if newest.occasion in PAYMENTS:
                    await self._declines.decline(newest.delivery_id, DeclinedBy.REPLY)
            case Meaning.OPT_OUT:
                event = self._event("opt_out.received", supplier, phone, newest.client, topic)
                await self._opt_outs.opt_out(phone, newest.client, event, topic)
            case Meaning.OPT_IN:
                event = self._event("opt_out.lifted", supplier, phone, newest.client, topic)
                await self._opt_outs.opt_in(phone, newest.client, event, topic)

    def _phone(self, reply: Reply) -> str | None:
        """The sender's pseudonym; None for a short code, a name or anything else that is no payer's number."""
        sender = reply.sender.reveal().strip()
        international = f"+{sender}" if sender[:1].isdigit() and not sender.startswith("0") else sender
        try:
            number = PhoneNumber.parse(international)
        except InvalidInput:
            return None
        return self._keyring.pseudonym("phone", number.e164)

    def _event(self, kind: str, supplier: str, phone: str, client: str, topic: str) -> AuditEvent:
        members = {
            "client": client,
            "actor": f"supplier:{supplier}",
            "policy": self._policy.digest,
            "phone": phone,
            **({"topic": topic} if topic else {}),
        }
        return AuditEvent.create(
            event_id=new_id("evt"), kind=kind, at_ms=self._clock.now_ms(), members=members
        )
