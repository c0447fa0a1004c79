"""What a woken app tells back. Firebase itself calls nobody back (its delivery figures go to BigQuery)."""

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.push.device_words import DeviceWords
from sca_service.delivery.supplier import WordReader


def build(context: Context) -> WordReader:
    """The reader of what apps post."""
    return DeviceWords(context)
