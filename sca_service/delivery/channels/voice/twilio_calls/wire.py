"""A message as TwiML, a call as Twilio's form, and what Twilio says of a call. Pure."""

import html
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urlencode

import msgspec

from sca_service.delivery.supplier import FailureReason, ReceiptStatus

HANG_UP: Final = b'<?xml version="1.0" encoding="UTF-8"?><Response><Hangup/></Response>'

_NOT_IN_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even as a reference (section 2.2)."""

_RECEIPTS: Final = {
    "busy": ReceiptStatus.NO_ANSWER,
    "no-answer": ReceiptStatus.NO_ANSWER,
    "failed": ReceiptStatus.UNDELIVERED,
    "canceled": ReceiptStatus.UNDELIVERED,
}
_REASONS: Final = {
    13224: FailureReason.NO_DEVICE,  # the number is none
    21211: FailureReason.NO_DEVICE,  # `To` is no number
    21214: FailureReason.NO_DEVICE,  # `To` cannot be reached
    21217: FailureReason.NO_DEVICE,  # the number seems to be none
    21210: FailureReason.SENDER_UNREGISTERED,  # `From` is not verified
    21212: FailureReason.SENDER_UNREGISTERED,  # `From` is not valid
}
"""What the code of an error says better than its status. Source: https://www.twilio.com/docs/api/errors."""


class AnsweredBy(StrEnum):
    """Who took the call, as far as it matters."""

    PERSON = "person"
    MACHINE = "machine"
    UNKNOWN = "unknown"

    @classmethod
    def parse(cls, text: str) -> "AnsweredBy":
        """Read Twilio's word: `human`, `machine_start`, `machine_end_beep`, …, `fax`, `unknown`, or none."""
        if text == "human":
            return cls.PERSON
        return cls.MACHINE if text.startswith("machine") or text == "fax" else cls.UNKNOWN


@dataclass(frozen=True, slots=True)
class Voice:
    """Who speaks: a language tag such as `de-DE`, and Twilio's name of a voice, or nothing for its usual one."""

    language: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A call to be made; numbers are E.164, times in seconds."""

    to: str
    caller: str
    taken_url: str
    status_url: str
    ring_seconds: int
    longest_call_seconds: int
    detection_seconds: int

    def form(self) -> bytes:
        """Twilio's form. What to say is asked for once the call was taken, and by whom is known.

        TwiML sent along would be said to a machine too, and would lie in the call's record.
        """
        fields = {
            "To": self.to,
            "From": self.caller,
            "Url": self.taken_url,
            "Method": "POST",
            "StatusCallback": self.status_url,
            "StatusCallbackMethod": "POST",
            "StatusCallbackEvent": "completed",
            "Timeout": str(self.ring_seconds),
            "TimeLimit": str(self.longest_call_seconds),
            "MachineDetection": "Enable",
            "MachineDetectionTimeout": str(self.detection_seconds),
        }
        return urlencode(fields).encode()


class Created(msgspec.Struct, frozen=True):
    """Twilio's answer to a call; a `code` in it is an error's."""

    sid: str = ""
    code: int | None = None


def twiml(text: str, *, voice: Voice, key_url: str, key_seconds: int) -> bytes:
    """TwiML that says a text and takes one key: meanwhile, or so many seconds afterwards; then it hangs up."""
    name = f' voice="{_escaped(voice.name)}"' if voice.name else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><Response>'
        f'<Gather input="dtmf" numDigits="1" timeout="{key_seconds}" method="POST" action="{_escaped(key_url)}">'
        f'<Say language="{_escaped(voice.language)}"{name}>{_escaped(text)}</Say></Gather><Hangup/></Response>'
    ).encode()


def receipt_status(call_status: str, answered_by: AnsweredBy) -> ReceiptStatus | None:
    """What a call's last state means; None for a state that is not the last.

    A call that a machine took, or nobody knows who, was not answered: an answer is known before, when the voice was
    asked for or a key was pressed.
    """
    if call_status == "completed":
        return ReceiptStatus.ANSWERED if answered_by is AnsweredBy.PERSON else ReceiptStatus.NO_ANSWER
    return _RECEIPTS.get(call_status)


def failure_reason(code: int | None) -> FailureReason:
    """Why Twilio refuses a call, by the code of its error."""
    return _REASONS.get(code or 0, FailureReason.REJECTED)


def _escaped(text: str) -> str:
    return html.escape(_NOT_IN_XML.sub(" ", text))
