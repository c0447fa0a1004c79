"""What a challenge asks of the payer's authenticators: who may answer, what is to be signed, and what that carries."""

import base64
import os
from typing import Protocol

import msgspec

from sca_service.authenticators.model import (
    ELEMENT_OF,
    Asked,
    AuthenticatorType,
    Element,
    KnownLine,
    SigningQuestion,
)
from sca_service.authenticators.passkey.assertion import challenge_for
from sca_service.authenticators.passkey.passkeys import PasskeyQuestion, ShownPayment
from sca_service.challenges.model import Fixed, Method, Private
from sca_service.challenges.order import ChallengeOrder
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.transaction import Transaction

_NONCE_BYTES = 16


class Question(msgspec.Struct, frozen=True):
    """What is asked, and which elements a right answer carries. `nonce` makes what a passkey signs new each time.

    `passkey_request` and `payment_request` are what the bank's page hands to the browser (JSON).
    """

    elements: tuple[Element, ...]
    signing: SigningQuestion | None = None
    asked: tuple[str, ...] = ()
    nonce: str = ""
    passkey_request: str | None = None
    payment_request: str | None = None


class Generators(Protocol):
    """Payers' generators, PINs and phone lines."""

    async def has_active(self, payer: str, kind: AuthenticatorType) -> bool:
        """Whether a payer (a pseudonym) could answer with this type now. Raises StoreUnavailable."""

    async def ask(self, payer: str, *, challenge: str, transaction_digest: str) -> SigningQuestion | None:
        """What a payer's generator that signs is asked, None when there is none. Raises StoreUnavailable."""

    async def line(self, payer: str) -> KnownLine | None:
        """The phone line that a payer has enrolled. Raises StoreUnavailable."""


class Devices(Protocol):
    """Payers' devices."""

    async def asked(self, payer: str) -> Asked | None:
        """Which of them a challenge asks, None when there is none. Raises StoreUnavailable."""


class Passkeys(Protocol):
    """Payers' passkeys."""

    async def ask(
        self, payer: str, *, challenge: bytes, payment: ShownPayment | None
    ) -> PasskeyQuestion | None:
        """What the payer's browser is asked to sign, None when there is none. Raises StoreUnavailable."""


class Asker:
    """Asks the payer's authenticators. A class because it holds who knows them."""

    def __init__(self, generators: Generators, devices: Devices, passkeys: Passkeys) -> None:
        self._generators = generators
        self._devices = devices
        self._passkeys = passkeys

    async def asks_pin(self, payer: str, order: ChallengeOrder) -> bool:
        """Whether the payer's PIN is asked beside a code: there is one, and the client answers for no other knowledge.

        Raises InvalidInput when the payer has nothing to answer with, StoreUnavailable.
        """
        kind = order.method.authenticator
        if kind and order.method.is_counted and not await self._generators.has_active(payer, kind):
            raise _nothing_to_answer_with()
        if order.proves_line or not order.method.is_typed or order.presents_knowledge:
            return False
        return await self._generators.has_active(payer, AuthenticatorType.PIN)

    async def line(self, payer: str, order: ChallengeOrder) -> KnownLine | None:
        """The payer's phone line: the one that the client vouches for, else the enrolled one and since when it is.

        Raises StoreUnavailable.
        """
        if order.phone is not None:
            return KnownLine(order.phone)
        if order.method.authenticator:
            return None
        return await self._generators.line(payer)

    async def question(
        self, payer: str, order: ChallengeOrder, challenge: str, *, asks_pin: bool
    ) -> Question:
        """What is asked for exactly this transaction (RTS Art. 5(1)(b)).

        Raises InvalidInput when the payer has nothing to answer with, StoreUnavailable.
        """
        match order.method:
            case Method.DEVICE_SIGNATURE:
                asked = await self._devices.asked(payer)
                if asked is None:
                    raise _nothing_to_answer_with()
                return Question(_carried(asked), asked=asked.authenticators)
            case Method.PASSKEY:
                return await self._passkey(payer, order, challenge)
        kind = order.method.authenticator
        own = (ELEMENT_OF[kind] if kind else Element.POSSESSION,)
        signing = None
        if order.method is Method.OCRA:
            signing = await self._generators.ask(payer, challenge=challenge, transaction_digest=order.digest)
            if signing is None:
                raise _nothing_to_answer_with()
        return Question((Element.KNOWLEDGE, *own) if asks_pin else own, signing)

    async def _passkey(self, payer: str, order: ChallengeOrder, challenge: str) -> Question:
        nonce = os.urandom(_NONCE_BYTES)
        question = await self._passkeys.ask(
            payer,
            challenge=challenge_for(order.digest, challenge, nonce),
            payment=_shown(order) if order.instrument else None,
        )
        if question is None:
            raise _nothing_to_answer_with()
        return Question(
            _carried(question.asked),
            asked=question.asked.authenticators,
            nonce=base64.b64encode(nonce).decode(),
            passkey_request=question.request.decode(),
            payment_request=question.payment_request.decode() if question.payment_request else None,
        )


def signed_challenge(fixed: Fixed, challenge: str, transaction_digest: str) -> bytes:
    """The bytes that a passkey signs for a challenge and the transaction that is presented with the answer."""
    return challenge_for(transaction_digest, challenge, base64.b64decode(fixed.nonce))


def shown_payment(private: Private) -> ShownPayment | None:
    """What the browser was asked to show of a challenge's payment, None where it was asked for none."""
    if private.instrument is None or private.transaction is None:
        return None
    transaction = Transaction.from_canonical(private.transaction.encode())
    return _payment(transaction, *private.instrument)


def _shown(order: ChallengeOrder) -> ShownPayment:
    assert order.instrument  # noqa: S101 - asked before
    if order.transaction is None or len(order.transaction.shares) != 1:
        raise InvalidInput.at("/instrument", "is for a payment to one payee")
    return _payment(order.transaction, order.instrument.name, order.instrument.icon)


def _payment(transaction: Transaction, name: str, icon: str) -> ShownPayment:
    return ShownPayment(transaction.total, transaction.shares[0].payee.name, name, icon)


def _carried(asked: Asked) -> tuple[Element, ...]:
    """RTS Art. 7, and 6 or 8 where the device asks for it before its key signs."""
    own = (Element.POSSESSION,)
    return own if asked.unlocked_by is None else (*own, asked.unlocked_by)


def _nothing_to_answer_with() -> InvalidInput:
    return InvalidInput.at("/method", "the payer has no active authenticator of this type")
