"""What a payer's device or passkey signed, kept as proof: the log commits to it, the vault holds it for the payer.

So an auditor need not believe that an answer was signed: the evidence of a challenge holds the signature and the public
key, and `sca audit check-evidence` verifies the one by the other. It is committed to and not told, since the
transaction's digest in it could be guessed at by whoever reads the log.
"""

import os
from collections.abc import Mapping

import msgspec

from sca_service.audit.private.commitments import SEED_BYTES, PrivateValues
from sca_service.challenges.model import ChallengeState
from sca_service.challenges.redis_store import Reply
from sca_service.challenges.script_input import UNSIGNED, KeptAnswer
from sca_service.kernel.keyring import Keyring


class SignedAnswer(msgspec.Struct, frozen=True):
    """A signed answer on its way to the record: what the vault will hold, and what the scripts keep meanwhile."""

    values: PrivateValues | None = None
    kept: KeptAnswer = UNSIGNED

    def of(self, reply: Reply) -> tuple[PrivateValues, ...]:
        """The values for the event that says what it came to; none where that event does not commit to them."""
        event = next((one for one in reply.events if '"commitments"' in one.body), None)
        return (
            (msgspec.structs.replace(self.values, event_id=event.head.id),) if self.values and event else ()
        )


NOT_SIGNED = SignedAnswer()
"""A code, which proves itself to nobody else."""


def signed_answer(keyring: Keyring, state: ChallengeState, values: Mapping[str, str]) -> SignedAnswer:
    """Of the values that prove it, by the names that the event commits to them under."""
    private = PrivateValues("", state.payer, os.urandom(SEED_BYTES), values)
    commitments = msgspec.json.encode({"commitments": private.commitments}, order="sorted")
    sealed = keyring.seal(private.pack(), _bound_to(state))
    return SignedAnswer(private, KeptAnswer(sealed, b"," + commitments[1:-1]))


def values_of(keyring: Keyring, state: ChallengeState, event_id: str) -> PrivateValues:
    """What a state keeps for an event that commits to it. Raises SealBroken, CommitmentBroken."""
    packed = keyring.open(state.signed, _bound_to(state))
    return PrivateValues.unpack(packed, event_id=event_id, psu=state.payer)


def _bound_to(state: ChallengeState) -> str:
    return f"signed answer {state.id}"
