"""What is personal about a challenge, as the log commits to it. Pure."""

import base64

from sca_service.audit.private.commitments import PrivateValues
from sca_service.challenges.model import Private

_SIGNALS = ("ip", "device_id", "user_agent", "session_id")


def personal_values(event_id: str, payer: str, private: Private) -> PrivateValues | None:
    """The values that the event of an issue commits to, by name; None for a challenge of before there were any."""
    if not private.seed:
        return None
    signals = private.signals or {}
    values = {
        "psu_id": private.psu_id,
        "phone": private.phone,
        "phone_masked": private.phone_masked,
        "message_shown": private.message_shown,
        "transaction": private.transaction,
        "reference": private.reference,
        **{name: signals.get(name) for name in _SIGNALS},
    }
    present = {name: value for name, value in values.items() if value}
    return PrivateValues(event_id, payer, base64.b64decode(private.seed), present)
