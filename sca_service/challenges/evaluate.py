"""Whether an answer is right: a code, a PIN beside it, or what a passkey signed. What is right is used up by it."""

from typing import NamedTuple, Protocol

from sca_service.authenticators.device_key.jwk import DeviceKey
from sca_service.authenticators.model import AuthenticatorType, SigningQuestion
from sca_service.authenticators.passkey.passkeys import ShownPayment
from sca_service.challenges import code
from sca_service.challenges.answer import Answer
from sca_service.challenges.ask import shown_payment, signed_challenge
from sca_service.challenges.model import ChallengeId, ChallengeState, Method, Status
from sca_service.challenges.redis_store import ChallengeStore
from sca_service.challenges.signed import NOT_SIGNED, SignedAnswer, signed_answer
from sca_service.challenges.view import ChallengeView
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.secret import Secret


class Generators(Protocol):
    """Evaluates the codes of payers' generators."""

    async def accepts(
        self, payer: str, kind: AuthenticatorType, code: Secret[str], *, challenge: str
    ) -> bool:
        """Whether the code is one of the payer's and not used yet; then it is used. Raises StoreUnavailable."""

    async def signed(
        self, payer: str, question: SigningQuestion, code: Secret[str], *, challenge: str
    ) -> bool:
        """Whether the code answers the question and was not used yet; then it is used. Raises StoreUnavailable."""


class Pins(Protocol):
    """Checks payers' PINs."""

    async def accepts(self, payer: str, pin: Secret[str], *, client: str) -> bool:
        """Whether this is the payer's PIN; `client` asks. Raises Overloaded, StoreUnavailable."""


class Passkeys(Protocol):
    """Evaluates what passkeys sign."""

    async def accepts(
        self,
        payer: str,
        response: bytes,
        *,
        asked: tuple[str, ...],
        challenge: tuple[str, bytes],
        payment: ShownPayment | None,
    ) -> DeviceKey | None:
        """The key of the one of those asked that signed this, else None; its counter is kept.

        Raises StoreUnavailable.
        """


class Evaluation(NamedTuple):
    """Whether an answer is right, and what proves it to others."""

    is_right: bool
    signed: SignedAnswer = NOT_SIGNED


class Evaluator:
    """Evaluates answers. A class because it holds what it evaluates with."""

    def __init__(
        self,
        *,
        keyring: Keyring,
        store: ChallengeStore,
        generators: Generators,
        pins: Pins,
        passkeys: Passkeys,
    ) -> None:
        self._keyring = keyring
        self._store = store
        self._generators = generators
        self._pins = pins
        self._passkeys = passkeys

    async def evaluate(
        self, client: str, challenge: ChallengeId, digest: str, answer: Answer, key: str
    ) -> Evaluation:
        """Whether the answer is right: the code derived for the challenge, or what an authenticator of the payer says.

        What is right is used from now on. Raises InvalidInput for an answer of a kind that the challenge does not ask
        for, Overloaded, StoreUnavailable, SealBroken.
        """
        if challenge.digits and not challenge.asks_pin:
            return Evaluation(code.matches(self._keyring, challenge, digest, _code(answer)))
        state = await self._store.get(challenge)
        if state is None or state.client != client:
            return Evaluation(is_right=False)
        if state.status is Status.APPROVED:
            # The same answer once more is told by its key, and not evaluated anew.
            return Evaluation(bool(key) and key == state.answer_key)
        if state.status is not Status.PENDING or (await self._store.lockout(state.payer)).blocked_until:
            return Evaluation(is_right=False)  # it would use up a code, or try a PIN, for nothing
        if state.details.method is Method.PASSKEY:
            return await self._signed_by_passkey(state, digest, answer)
        return Evaluation(await self._shown(state, challenge, digest, answer))

    async def _shown(
        self, state: ChallengeState, challenge: ChallengeId, digest: str, answer: Answer
    ) -> bool:
        fixed = state.details
        if fixed.method is Method.DEVICE_SIGNATURE:
            raise InvalidInput.at(
                "", "this challenge is answered in the payer's app: read it to see what became of it"
            )
        shown = _code(answer)
        # The PIN first, and the code whatever came of it: neither the answer nor its time tells which was wrong.
        knows = answer.pin is None or await self._pins.accepts(state.payer, answer.pin, client=state.client)
        kind, question = fixed.method.authenticator, fixed.question
        if kind is None:
            return code.matches(self._keyring, challenge, digest, shown) and knows
        if question is not None:
            signed = await self._generators.signed(state.payer, question, shown, challenge=challenge.text)
            return signed and knows
        return await self._generators.accepts(state.payer, kind, shown, challenge=challenge.text) and knows

    async def _signed_by_passkey(self, state: ChallengeState, digest: str, answer: Answer) -> Evaluation:
        if answer.passkey is None:
            raise InvalidInput.at("/passkey", "is required: what the browser returned for `passkey_request`")
        view = ChallengeView.open(state, self._keyring)
        key = await self._passkeys.accepts(
            state.payer,
            answer.passkey,
            asked=view.fixed.asked,
            challenge=(state.id, signed_challenge(view.fixed, state.id, digest)),
            payment=shown_payment(view.private),
        )
        if key is None:
            return Evaluation(is_right=False)
        proof = {
            "passkey_answer": answer.passkey.decode(),
            "passkey_key": key.canonical.decode(),
            "passkey_nonce": view.fixed.nonce,
        }
        return Evaluation(True, signed_answer(self._keyring, state, proof))


def _code(answer: Answer) -> Secret[str]:
    if answer.code is None:
        raise InvalidInput.at("/code", "is required: this challenge is answered by a code")
    return answer.code
