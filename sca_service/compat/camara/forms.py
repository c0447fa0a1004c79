"""What CAMARA's two calls are sent and answer, named as its document names it (`one-time-password-sms.yaml`, 1.1)."""

from typing import Annotated

import msgspec

_LONGEST_CODE = 10


class SendCodeBody(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=False):
    """Send a code: the number in E.164, and the text with `{{code}}`. Members that are not known are passed over."""

    phone_number: Annotated[str, msgspec.Meta(pattern=r"^\+[1-9][0-9]{4,14}\Z")]
    message: Annotated[str, msgspec.Meta(max_length=160)]


class SendCodeResponse(msgspec.Struct, frozen=True, rename="camel"):
    """What names the code that was sent."""

    authentication_id: str


class ValidateCodeBody(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=False):
    """Validate a code. Its `repr` shows none."""

    authentication_id: Annotated[str, msgspec.Meta(max_length=36)]
    code: Annotated[str, msgspec.Meta(max_length=_LONGEST_CODE)]

    def __repr__(self) -> str:
        return f"ValidateCodeBody({self.authentication_id!r})"


class FaultBody(msgspec.Struct, frozen=True):
    """CAMARA's body of an error, its `ErrorInfo`."""

    status: int
    code: str
    message: str
