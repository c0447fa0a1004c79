"""Replies to texts: who said what about which text, and what comes of it."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sca_service.audit.model import AuditEvent
from sca_service.delivery.inbox import Inbox, SentText
from sca_service.delivery.model import DeclinedBy
from sca_service.delivery.supplier import Reply
from sca_service.kernel.keyring import Keyring, create_keyring_text
from sca_service.kernel.secret import Secret
from sca_service.policy.load import load
from sca_service.policy.model import Policy
from sca_service.policy.words import Occasion

POLICIES = Path(__file__).resolve().parents[3] / "policies"
NUMBER = "+4915112345678"
DELIVERY = "dlv_" + "0" * 40
PAYMENT = SentText(DELIVERY, "bank", Occasion.PAYMENT)
ALERT = SentText(DELIVERY, "issuer", None)


class Noon:
    """A clock that stands still."""

    def now_ms(self) -> int:
        """Some noon."""
        return 1_763_812_800_000


@dataclass
class Desk:
    """Fakes of everything an inbox puts things into."""

    keyring: Keyring
    policy: Policy
    sent: dict[str, SentText] = field(default_factory=dict)
    declined: list[tuple[str, DeclinedBy | None]] = field(default_factory=list)
    opted_out: set[tuple[str, str]] = field(default_factory=set)
    events: list[AuditEvent] = field(default_factory=list)

    @property
    def phone(self) -> str:
        """The pseudonym of the number."""
        return self.keyring.pseudonym("phone", NUMBER)

    async def newest(self, phone: str) -> SentText | None:
        """The newest text to a number."""
        return self.sent.get(phone)

    async def decline(self, delivery: str, how: DeclinedBy | None = None) -> bool:
        """Take a no."""
        self.declined.append((delivery, how))
        return True

    async def opt_out(self, phone: str, client: str, event: AuditEvent, topic: str = "") -> bool:
        """Take a STOP."""
        self.opted_out.add((phone, client))
        self.events.append(event)
        return True

    async def opt_in(self, phone: str, client: str, event: AuditEvent, topic: str = "") -> bool:
        """Take a START."""
        self.opted_out.discard((phone, client))
        self.events.append(event)
        return True

    async def hear(self, text: str, sender: str = NUMBER) -> None:
        """A reply comes in."""
        inbox = Inbox(
            policy=self.policy,
            sent=self,
            opt_outs=self,
            declines=self,
            keyring=self.keyring,
            clock=Noon(),
        )
        await inbox.hear("smsc-1", Reply(Secret(sender), Secret(text)))

    @property
    def is_untouched(self) -> bool:
        """Whether nothing came of what was heard."""
        return not (self.declined or self.opted_out or self.events)


@pytest.fixture
def desk() -> Desk:
    """An inbox over fakes, with the shipped words; a payment text was sent to the number."""
    keyring = Keyring.parse(create_keyring_text())
    desk = Desk(keyring, load(POLICIES))
    desk.sent[desk.phone] = PAYMENT
    return desk


@pytest.mark.parametrize("occasion", [Occasion.PAYMENT, Occasion.PREAUTHORISATION, Occasion.BATCH])
@pytest.mark.parametrize("text", ["NO", "nein!", "Non", "नहीं"])
async def test_no_to_a_payment_declines_it(desk: Desk, occasion: Occasion, text: str) -> None:
    """In the payer's words."""
    desk.sent[desk.phone] = SentText(DELIVERY, "bank", occasion)
    await desk.hear(text)
    assert desk.declined == [(DELIVERY, DeclinedBy.REPLY)]
    assert not desk.events


@pytest.mark.parametrize(
    "occasion", [None, Occasion.LOGIN, Occasion.ACCOUNT_ACCESS, Occasion.ENROLMENT, Occasion.OTHER]
)
async def test_no_to_anything_else_changes_nothing(desk: Desk, occasion: Occasion | None) -> None:
    """There is no payment that could be meant."""
    desk.sent[desk.phone] = SentText(DELIVERY, "bank", occasion)
    await desk.hear("NO")
    assert desk.is_untouched


@pytest.mark.parametrize("sent", [PAYMENT, ALERT])
async def test_stop_ends_alerts_and_start_brings_them_back(desk: Desk, sent: SentText) -> None:
    """For the client whose text it answers; a payment is not declined by it."""
    desk.sent[desk.phone] = sent
    await desk.hear("STOP")
    assert desk.opted_out == {(desk.phone, sent.client)}
    await desk.hear("START")
    assert desk.opted_out == set()
    assert not desk.declined
    assert [event.head.type for event in desk.events] == ["opt_out.received", "opt_out.lifted"]
    assert [event.head.client for event in desk.events] == [sent.client] * 2


async def test_an_event_names_neither_number_nor_text(desk: Desk) -> None:
    """The number's pseudonym and who told of it are enough."""
    await desk.hear("Stopp!")
    (event,) = desk.events
    assert desk.phone in event.body
    assert '"actor":"supplier:smsc-1"' in event.body
    assert desk.policy.digest in event.body
    assert NUMBER[1:] not in event.body
    assert "topp" not in event.body


@pytest.mark.parametrize("text", ["HELP", "yes", "693554", "", "I did not order this, no!", "STOP it please"])
async def test_other_words_change_nothing(desk: Desk, text: str) -> None:
    """Nobody is opted out by a sentence."""
    await desk.hear(text)
    assert desk.is_untouched


@pytest.mark.parametrize("text", ["NO", "STOP", "START"])
@pytest.mark.parametrize(
    "sender", ["+4915187654321", "+393331234567", "12345", "BANK", "", "+", "\x00", "9" * 300]
)
async def test_a_number_we_do_not_know_changes_nothing(desk: Desk, text: str, sender: str) -> None:
    """Nor does a short code, a name, or what is no number at all."""
    await desk.hear(text, sender)
    assert desk.is_untouched


@pytest.mark.parametrize(
    "sender", ["4915112345678", "004915112345678", "+49 151 12345678", "+49 (0)151 12345678"]
)
async def test_a_number_is_known_in_every_spelling(desk: Desk, sender: str) -> None:
    """SMS centres leave the plus away."""
    await desk.hear("NO", sender)
    assert desk.declined


async def test_nothing_is_logged(desk: Desk) -> None:
    """Neither numbers nor words."""
    with capture_logs() as logs:
        for text in ("NO", "STOP", "START", "HELP"):
            await desk.hear(text)
    assert logs == []
