"""What a payer answered, and how one answer is told from another."""

import hashlib

import msgspec

from sca_service.kernel.keyring import Keyring
from sca_service.kernel.secret import Secret
from sca_service.kernel.transaction import Transaction


class Answer(msgspec.Struct, frozen=True, eq=False):
    """What the payer answered: the code, and for a payment the transaction that the client is about to execute.

    `pin` is the payer's PIN, for a challenge that asks for it; `passkey` what a browser returned (JSON), in place of a
    code.

    `key` names this answer among its repetitions (an Idempotency-Key), so that a client that heard nothing may ask
    again and hear the same.
    """

    code: Secret[str] | None
    transaction: Transaction | None = None
    key: str = ""
    pin: Secret[str] | None = None
    passkey: bytes | None = None

    def name(self, keyring: Keyring, client: str) -> str:
        """What names it among its repetitions, "" without a key: the same key with another code is another answer."""
        if not self.key:
            return ""
        typed = self.code.reveal() if self.code else ""
        pin = self.pin.reveal() if self.pin else ""
        signed = (hashlib.sha256(self.passkey).hexdigest(),) if self.passkey else ()
        return keyring.pseudonym("answer", client, self.key, typed, pin, *signed)
