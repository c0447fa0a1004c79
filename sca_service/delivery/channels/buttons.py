"""The button under a message that says: this was not me."""

from collections.abc import Mapping
from typing import Final

DECLINE_PREFIX: Final = "not-me "
"""What a pressed button sends back: this and the delivery's id."""

_LABELS: Final[Mapping[str, str]] = {
    "en": "This was not me",
    "de": "Das war ich nicht",
    "fr": "Ce n'était pas moi",
    "it": "Non sono stato io",
    "es": "No he sido yo",
    "hi": "यह मैं नहीं था",
}


def decline_label(locale: str) -> str:
    """What the button says, in at most 25 characters; English for a language that is not here."""
    return _LABELS.get(locale.replace("_", "-").partition("-")[0].lower(), _LABELS["en"])


def declined_delivery(sent_back: str) -> str:
    """The delivery that a pressed button declines, nothing for any other button."""
    return sent_back.removeprefix(DECLINE_PREFIX) if sent_back.startswith(DECLINE_PREFIX) else ""
