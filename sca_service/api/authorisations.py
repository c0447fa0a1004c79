"""What a payer allows with an authentication code: the approval that it states, for one purpose, payer and client."""

from collections.abc import Mapping
from types import MappingProxyType

from sca_service.api.call import Call
from sca_service.authenticators.model import Authorisation
from sca_service.challenges.authentication_code import AuthenticationCodeReader
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import InvalidInput
from sca_service.policy.model import Purpose

_MUST_BE: Mapping[Purpose, str] = MappingProxyType(
    {
        Purpose.ENROLMENT: "must be the authentication code of an enrolment challenge that this payer approved, not "
        "expired",
        Purpose.OTHER: "must be the authentication code of a challenge for the purpose other that this payer approved "
        "with two elements, not expired",
    }
)


class Authorisations:
    """Reads the member `authorisation` of a request. A class because it holds the reader and the clock."""

    def __init__(self, reader: AuthenticationCodeReader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock

    def read(
        self, call: Call, psu: str, authorisation: str | None, *, purpose: Purpose
    ) -> Authorisation | None:
        """The approval, None where nothing was sent. Raises InvalidInput for anything else than such a code."""
        if authorisation is None:
            return None
        approval = self._reader.approval_of(
            authorisation,
            client=call.client.id,
            psu_id=psu,
            purpose=purpose,
            now_s=self._clock.now_ms() // 1000,
        )
        if approval is None:
            raise InvalidInput.at("", _MUST_BE[purpose])
        return approval
