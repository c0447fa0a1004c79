"""What a client asks for when it wants a challenge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from sca_service.challenges.elements import Presented
from sca_service.challenges.model import Element, Method
from sca_service.delivery.own_text import OwnText
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.transaction import Transaction
from sca_service.policy.model import Channel, Purpose
from sca_service.risk.facts import Marks


class WantedStep(msgspec.Struct, frozen=True):
    """A channel that the client asks for, with its own time-out in seconds or the policy's."""

    channel: Channel
    timeout_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Instrument:
    """What the payer pays with, as a browser shows it (SPC): its name, and the URL of its icon."""

    name: str = field(repr=False)
    icon: str = field(repr=False)


class ChallengeOrder(msgspec.Struct, frozen=True):
    """What a client asks for, parsed: every value is already right in itself.

    `proves_line` claims that the answer is to prove a phone line which is being enrolled: `phone` is that line, and
    nothing but its possession is established. `text` is the client's own, for a code that is for no payment. `binding`
    is shown on the payer's device as well as on the page that asked, so that the payer sees that both are one.
    `supersedes` claims that no older challenge of the payer stays pending beside it.
    """

    psu_id: str
    purpose: Purpose
    method: Method = Method.ONE_TIME_CODE
    transaction: Transaction | None = None
    phone: PhoneNumber | None = None
    locale: str = ""
    channels: Sequence[WantedStep] = ()
    elements_presented: Sequence[Presented] = ()
    signals: Mapping[str, str] | None = None
    lifetime_seconds: int | None = None
    reference: str | None = None
    metadata: Mapping[str, str] | None = None
    instrument: Instrument | None = None
    marks: Marks = msgspec.field(default_factory=Marks)
    proves_line: bool = False
    text: OwnText | None = None
    binding: str = ""
    supersedes: bool = False

    @property
    def digest(self) -> str:
        """Of its transaction, "" without one."""
        return self.transaction.digest() if self.transaction else ""

    @property
    def presents_knowledge(self) -> bool:
        """Whether the client answers for something that the payer knows."""
        return any(one.element is Element.KNOWLEDGE for one in self.elements_presented)
