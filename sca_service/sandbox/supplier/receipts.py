"""What a sandbox supplier tells later: receipts, refusals and replies, signed by the worker's end of it."""

from sca_service.delivery.channels.context import Context
from sca_service.delivery.supplier import CallBack, CallBackAnswer, Message, Word, WordReader
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import Unauthorized
from sca_service.kernel.secret import Secret
from sca_service.sandbox.supplier.settings import receipt_key
from sca_service.sandbox.supplier.wire import SIGNATURE_HEADER, is_signed, read_word


class SandboxWords:
    """Reads one sandbox supplier's call-backs. A class because it holds the shared key."""

    def __init__(self, supplier: str, *, secret: Secret[bytes], clock: Clock) -> None:
        self._supplier = supplier
        self._secret = secret
        self._clock = clock

    def read(self, call: CallBack) -> Word:
        """What the supplier tells.

        Raises Unauthorized for a call that is forged, another supplier's or over five minutes old, InvalidInput for one
        that cannot be read.
        """
        header = call.headers.get(SIGNATURE_HEADER.lower(), "")
        now_ms = self._clock.now_ms()
        if not is_signed(self._secret, self._supplier, now_ms=now_ms, body=call.body, header=header):
            raise Unauthorized("the receipt is not signed by the sandbox")
        return read_word(self._supplier, call.body)

    def answer(self, word: Word, message: Message | None) -> CallBackAnswer:
        """An empty answer, whatever was told."""
        return CallBackAnswer()


def build(context: Context) -> WordReader | None:
    """The reader of a sandbox supplier's call-backs."""
    return SandboxWords(context.rule.name, secret=receipt_key(context.keyring), clock=context.clock)
