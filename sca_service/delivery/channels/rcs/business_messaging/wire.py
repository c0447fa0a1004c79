"""A message as an agent message of RCS Business Messaging, and the events it is answered with. Pure.

Source: https://developers.google.com/business-communications/rcs-business-messaging/reference/rest.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlencode

import msgspec

from sca_service.delivery.channels.buttons import DECLINE_PREFIX, decline_label
from sca_service.delivery.supplier import ReceiptStatus
from sca_service.kernel.clock import timestamp

SCOPE: Final = "https://www.googleapis.com/auth/rcsbusinessmessaging"
SHORTEST_LIFE_MS: Final = 10_000
"""Google's advice: what expires sooner may be told as revoked and as delivered."""

_RECEIPTS: Final[Mapping[str, ReceiptStatus]] = {
    "DELIVERED": ReceiptStatus.DELIVERED,
    "READ": ReceiptStatus.DELIVERED,
    "TTL_EXPIRATION_REVOKED": ReceiptStatus.UNDELIVERED,
    "TTL_EXPIRATION_REVOKE_FAILED": ReceiptStatus.UNDELIVERED,  # nobody knows: another channel is wiser
}


class _Reply(msgspec.Struct, frozen=True):
    text: str
    postback: str = msgspec.field(name="postbackData")


class _Suggestion(msgspec.Struct, frozen=True):
    reply: _Reply


class _Content(msgspec.Struct, frozen=True, omit_defaults=True):
    text: str
    suggestions: tuple[_Suggestion, ...] = ()


class _AgentMessage(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    content_message: _Content
    message_traffic_type: str
    expire_time: str = ""


class Problem(msgspec.Struct, frozen=True):
    """An error in an answer."""

    code: int = 0


class Created(msgspec.Struct, frozen=True):
    """Google's answer to a message: its name, or an error."""

    name: str = ""
    error: Problem | None = None


class Envelope(msgspec.Struct, frozen=True):
    """A call-back: `message` holds what is told; `clientToken` and `secret` ask whether the webhook is ours."""

    message: "Published | None" = None
    client: str = msgspec.field(name="clientToken", default="")
    secret: str = ""


class Published(msgspec.Struct, frozen=True):
    """What Google wraps an event in: `content` is its JSON in base64, which the signature is over."""

    content: str = msgspec.field(name="data", default="")


class Suggested(msgspec.Struct, frozen=True):
    """A button that was pressed."""

    postback: str = msgspec.field(name="postbackData", default="")
    text: str = ""


class Event(msgspec.Struct, frozen=True, rename="camel"):
    """An event, or what a payer wrote."""

    agent_id: str = ""
    event_type: str = ""
    message_id: str = ""
    send_time: str = ""
    sender_phone_number: str = ""
    text: str = ""
    suggestion_response: Suggested | None = None

    @property
    def receipt_status(self) -> ReceiptStatus | None:
        """What the event means for the message it names; None for others, such as `IS_TYPING`."""
        return _RECEIPTS.get(self.event_type)


def url(base_url: str, *, to: str, agent_id: str, message_id: str) -> str:
    """Where a message is posted. A message id that the agent used before is not sent again."""
    query = urlencode({"messageId": message_id, "agentId": agent_id})
    return f"{base_url.rstrip('/')}/v1/phones/{quote(to, safe='+')}/agentMessages?{query}"


def body(text: str, *, asks: bool, expires_at_ms: int, decline: str = "", locale: str = "") -> bytes:
    """The message; `asks` claims that it carries a code, `decline` is the delivery that its button declines, if any.

    `expires_at_ms` (Unix time) is when it is taken back, 0 for never.
    """
    button = _Suggestion(_Reply(decline_label(locale), f"{DECLINE_PREFIX}{decline}"))
    return msgspec.json.encode(
        _AgentMessage(
            content_message=_Content(text, suggestions=(button,) if decline else ()),
            message_traffic_type="AUTHENTICATION" if asks else "TRANSACTION",
            expire_time=timestamp(expires_at_ms) if expires_at_ms else "",
        )
    )
