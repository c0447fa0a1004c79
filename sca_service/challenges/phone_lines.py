"""Prove a phone line that is being enrolled: a code is sent to it, and comes back (RTS Art. 24(2)(b))."""

from sca_service.challenges.answer import Answer
from sca_service.challenges.issue import Caller, Issuer
from sca_service.challenges.model import ChallengeId
from sca_service.challenges.order import ChallengeOrder, WantedStep
from sca_service.challenges.verify import Verified, Verifier
from sca_service.kernel.errors import InvalidInput, Mistake
from sca_service.kernel.phone import NumberKind, PhoneNumber
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel, Purpose


class PhoneLines:
    """Sends and checks such codes. A class because it holds the use cases."""

    def __init__(self, issuer: Issuer, verifier: Verifier) -> None:
        self._issuer = issuer
        self._verifier = verifier

    async def send(
        self, caller: Caller, psu_id: str, phone: PhoneNumber, *, locale: str, unique: str | None
    ) -> str:
        """Send a code to this line; the challenge that its answer completes.

        A text, or a call where no text can be received: the line itself, and no other way to the payer. Of a payer who
        is blocked the challenge is refused, and nothing is sent. Raises what `Issuer.issue` raises, InvalidInput at
        `/phone`.
        """
        channel = Channel.VOICE if phone.kind is NumberKind.LANDLINE else Channel.SMS
        order = ChallengeOrder(
            psu_id=psu_id,
            purpose=Purpose.ENROLMENT,
            phone=phone,
            locale=locale,
            channels=(WantedStep(channel),),
            proves_line=True,
        )
        try:
            view = await self._issuer.issue(caller, order, unique=unique)
        except InvalidInput as error:  # it speaks of the members of a challenge
            raise InvalidInput(*(Mistake("/phone", one.detail) for one in error.mistakes)) from None
        return view.state.id

    async def check(self, caller: Caller, challenge: ChallengeId, code: Secret[str]) -> Verified:
        """What the code comes to; the same right code again hears the same. Raises what `Verifier.verify` raises."""
        return await self._verifier.verify(caller, challenge, Answer(code, key=f"line {challenge.text}"))
