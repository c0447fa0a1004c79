"""A challenge as its client may see it: its state with what is personal opened."""

import msgspec

from sca_service.challenges.model import ChallengeState, Fixed, Private
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.quota import Allowance

_decode_private = msgspec.json.Decoder(Private).decode


class ChallengeView(msgspec.Struct, frozen=True):
    """State, what was fixed at issue, and what is personal. Never holds a code.

    `allowances` is what its client may be told of the limits that were spent for it just now.
    """

    state: ChallengeState
    fixed: Fixed
    private: Private
    allowances: tuple[Allowance, ...] = ()

    @classmethod
    def open(cls, state: ChallengeState, keyring: Keyring) -> "ChallengeView":
        """Unseal what belongs to the state. Raises SealBroken when it was altered or its key is gone."""
        fixed = state.details
        return cls(state, fixed, _decode_private(keyring.open(fixed.sealed, state.id)))

    def of(self, state: ChallengeState) -> "ChallengeView":
        """The same challenge in another state: what was fixed at issue stays."""
        return ChallengeView(state, self.fixed, self.private)
