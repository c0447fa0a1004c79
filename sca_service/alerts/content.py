"""What is sealed of an alert: to whom it goes and what it says, rendered when it is queued.

So a text is that of the policy which the event `alert.queued` names, whatever the policy says when it is sent. What is
over keeps neither number nor text.
"""

from collections.abc import Mapping

import msgspec

from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import NumberKind, PhoneNumber
from sca_service.policy.model import Channel, Policy
from sca_service.policy.notices import BANK


class Content(msgspec.Struct, frozen=True):
    """In clear, so only ever inside a sealed text.

    `number` is E.164, "" where no channel needs one; `country`, `kind` and `calling_code` are what its range tells,
    kept because telling takes long. `texts` are by channel; `locale` is one that the texts are in.
    `psu_id` is the client's own reference of the payer, "" where it is not known.
    """

    template: str
    locale: str
    psu_id: str = ""
    dedupe_key: str = ""
    number: str = ""
    masked: str = ""
    texts: dict[Channel, str] = {}
    country: str = ""
    kind: str = ""
    calling_code: str = ""

    def __repr__(self) -> str:
        return "Content()"

    @property
    def line(self) -> PhoneNumber | None:
        """The number, None where there is none. Raises InvalidInput for one that no plan has any more."""
        if not self.number:
            return None
        if not self.kind:  # sealed before a range was kept
            return PhoneNumber.parse(self.number)
        return PhoneNumber(self.number, self.country, NumberKind(self.kind), self.calling_code)

    @property
    def bare(self) -> "Content":
        """What is kept of an alert that is over."""
        return msgspec.structs.replace(self, number="", texts={}, country="", kind="", calling_code="")


def rendered(
    policy: Policy, template: str, *, locale: str, channels: tuple[Channel, ...], values: Mapping[str, str]
) -> Content:
    """The texts of a notice over these channels, in the payer's language or the default one.

    Raises KeyError for a notice that the policy does not have, and for a variable without a value.
    """
    language = policy.texts.language_for(locale)
    notice = language.notices[template]
    filled = {**values, BANK: policy.authenticators.issuer_name}
    texts = {channel: notice.over(channel).fill(filled) for channel in channels}
    is_spoken = locale.replace("_", "-").lower().split("-")[0] == language.language.lower().split("-")[0]
    return Content(template, locale if is_spoken else language.language, texts=texts)


def addressed(content: Content, number: PhoneNumber) -> Content:
    """The same for this number."""
    return msgspec.structs.replace(
        content,
        number=number.e164,
        masked=number.masked,
        country=number.country,
        kind=number.kind,
        calling_code=number.calling_code,
    )


def channels_to(number: PhoneNumber) -> tuple[Channel, ...]:
    """How a number is reached when nobody says how: by a text and then a call, or by a call alone."""
    return (Channel.SMS, Channel.VOICE) if number.can_receive_text else (Channel.VOICE,)


def sealed(keyring: Keyring, content: Content, alert_id: str) -> str:
    """The content as it is stored for this alert."""
    return keyring.seal(msgspec.msgpack.encode(content), alert_id)


def opened(keyring: Keyring, text: str, alert_id: str) -> Content:
    """What is sealed of an alert. Raises SealBroken when it was altered or its key is gone."""
    return msgspec.msgpack.decode(keyring.open(text, alert_id), type=Content)
