"""What the trace of a challenge says of its messages: who carried them where, and what came of it."""

from sca_service.delivery.model import DeliveryStatus, SettledDelivery, Settlement, owner_of
from sca_service.delivery.supplier import Message
from sca_service.kernel.tracing.model import Attribute, SpanName
from sca_service.kernel.tracing.traces import Traces


def note_attempt(
    traces: Traces, began_ns: int, message: Message, country: str, settlement: Settlement
) -> None:
    """A message was handed over to a supplier, or was to be. `country` is an ISO 3166 code, empty for none."""
    said: dict[str, Attribute] = {
        "sca.supplier": settlement.supplier,
        "sca.channel": message.channel.value,
        "sca.attempt": message.attempt,
        "sca.outcome": settlement.status.value,
    }
    if country:
        said["sca.country"] = country
    if settlement.reason:
        said["sca.reason"] = str(settlement.reason)
    has_failed = settlement.status is DeliveryStatus.FAILED
    _note(traces, SpanName.ATTEMPT, began_ns, message.delivery_id, said, has_failed=has_failed)


def note_receipt(traces: Traces, began_ns: int, settled: SettledDelivery) -> None:
    """A supplier's word on a message was put down."""
    said: dict[str, Attribute] = {
        "sca.supplier": settled.supplier,
        "sca.channel": settled.channel.value if settled.channel else "",
        "sca.outcome": settled.status.value,
    }
    _note(traces, SpanName.RECEIPT, began_ns, settled.id, said)


def _note(
    traces: Traces,
    name: SpanName,
    began_ns: int,
    delivery: str,
    said: dict[str, Attribute],
    *,
    has_failed: bool = False,
) -> None:
    challenge = owner_of(delivery)
    if challenge:  # alerts belong to no challenge
        traces.note(name, challenge, began_ns, {"sca.delivery": delivery, **said}, has_failed=has_failed)
