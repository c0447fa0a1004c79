"""What a browser's service worker tells back. The push service itself tells nothing that we ask for.

(RFC 8030 section 5.1 has receipts of its own; no push service offers them.)
"""

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.push.device_words import DeviceWords
from sca_service.delivery.supplier import WordReader


def build(context: Context) -> WordReader:
    """The reader of what service workers post."""
    return DeviceWords(context)
