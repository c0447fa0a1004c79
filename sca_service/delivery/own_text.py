"""A text that a client writes itself, for a code that is for no payment."""

from dataclasses import dataclass, field
from typing import ClassVar

from sca_service.delivery.gsm import segments
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.text import clean_text

_LONGEST = 160
"""Characters before the code is filled in (CAMARA one-time-password-sms 1.1, `Message`)."""


@dataclass(frozen=True, slots=True)
class OwnText:
    """A text with one or more places for the code, written `{{code}}`."""

    template: str = field(repr=False)
    PLACE: ClassVar[str] = "{{code}}"

    @classmethod
    def parse(cls, text: str) -> "OwnText":
        """A text of 1 to 160 characters on one line. Raises InvalidInput (pointer `""`) for any other."""
        template = clean_text(text, pointer="", most=_LONGEST)
        if cls.PLACE not in template:
            raise InvalidInput.at("", f"must say where the code stands: {cls.PLACE}")
        return cls(template)

    @property
    def shown(self) -> str:
        """What the payer reads, with `…` for the code: for the evidence."""
        return self.template.replace(self.PLACE, "…")

    def segments(self, digits: int) -> int:
        """How many parts an SMS with a code of so many digits has, in the GSM alphabet or in UCS-2."""
        return segments(self.template.replace(self.PLACE, "0" * digits))
