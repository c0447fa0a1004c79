"""What the payer is shown of a challenge: the policy's text, or the client's own. Pure."""

from sca_service.challenges.order import ChallengeOrder
from sca_service.delivery.render import message_shown
from sca_service.kernel.errors import InvalidInput
from sca_service.policy.model import Policy


def text_shown(policy: Policy, order: ChallengeOrder) -> str:
    """What the payer reads, without the code (RTS Art. 5(2)).

    Raises InvalidInput for a text of the client's own that takes more parts of an SMS than the policy sends.
    """
    if order.text is None:
        shown = message_shown(policy.texts, order.purpose, order.locale, order.transaction)
        return f"{shown}: {order.binding}" if order.binding else shown
    parts, most = order.text.segments(policy.code.digits), policy.texts.most_sms_segments
    if parts > most:
        raise InvalidInput.at("/text", f"takes {parts} parts as an SMS, and {most} are sent at most")
    return order.text.shown
