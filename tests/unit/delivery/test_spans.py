"""What the trace of a challenge says of its messages; those of alerts are in no trace."""

from dataclasses import dataclass, field

from sca_service.delivery.model import DeliveryStatus, SettledDelivery, delivery_id
from sca_service.delivery.spans import note_receipt
from sca_service.kernel.tracing.model import Span, first_span
from sca_service.kernel.tracing.traces import Traces
from sca_service.policy.model import Channel

CHALLENGE = "chl_0020160123456789abcdef0123456789abcdef"
ALERT = f"dlv_alt{'0123456789abcdef' * 2}01"


@dataclass(slots=True)
class Kept:
    """A sink that keeps."""

    spans: list[Span] = field(default_factory=list)

    def take(self, span: Span) -> None:
        """Keep it."""
        self.spans.append(span)


def settled(delivery: str) -> SettledDelivery:
    """A delivery that arrived."""
    return SettledDelivery(
        delivery, DeliveryStatus.DELIVERED, is_news=True, channel=Channel.SMS, supplier="sandbox-sms"
    )


def test_a_deliverys_trace_is_its_challenges() -> None:
    """The delivery's id holds the challenge's: nothing has to be looked up."""
    kept = Kept()
    note_receipt(Traces(kept, ratio=1.0), 0, settled(delivery_id(CHALLENGE, 3)))
    (span,) = kept.spans
    assert span.parent == first_span(CHALLENGE)
    assert span.attributes["sca.challenge"] == CHALLENGE


def test_an_alerts_delivery_is_in_no_trace() -> None:
    """It belongs to no challenge."""
    kept = Kept()
    note_receipt(Traces(kept, ratio=1.0), 0, settled(ALERT))
    assert kept.spans == []
