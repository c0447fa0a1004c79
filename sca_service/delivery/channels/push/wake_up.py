"""What goes to an app by way of others: enough to wake it and to confirm, nothing of the message itself.

Firebase and Apple read what they carry. So amount, payee, text and code are not in it: the woken app fetches them from
its bank, which knows the payer.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sca_service.delivery.channels.push.device_words import ReplyTo
from sca_service.delivery.channels.titles import OwnTitles, titles_for
from sca_service.delivery.supplier import Message
from sca_service.kernel.clock import timestamp


@dataclass(frozen=True, slots=True)
class WakeUp:
    """`lifetime_seconds` is how long it is of use, `is_urgent` whether somebody waits for it (an approval)."""

    delivery_id: str
    title: str
    expires: str
    expires_at_seconds: int
    lifetime_seconds: int
    is_urgent: bool
    reply_to: ReplyTo

    @classmethod
    def of(
        cls, message: Message, *, lifetime_seconds: int, reply_to: ReplyTo, own: Mapping[str, OwnTitles]
    ) -> "WakeUp":
        """The wake-up for a message."""
        titles = titles_for(message.locale, own)
        return cls(
            delivery_id=message.delivery_id,
            title=titles.approval if message.occasion else titles.notice,
            expires=timestamp(message.expires_at_ms) if message.expires_at_ms else "",
            expires_at_seconds=message.expires_at_ms // 1000,
            lifetime_seconds=lifetime_seconds,
            is_urgent=message.occasion is not None,
            reply_to=reply_to,
        )

    @property
    def members(self) -> dict[str, str]:
        """What the app reads; every value is text, as Firebase wants it."""
        members = {
            "delivery": self.delivery_id,
            "title": self.title,
            "receipt_url": self.reply_to.url,
            "receipt_mac": self.reply_to.mac,
        }
        return {**members, "expires": self.expires} if self.expires else members
