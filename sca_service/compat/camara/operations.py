"""What CAMARA's two calls do: a challenge for whoever has the number, and one answer to it. No framework in here."""

import msgspec

from sca_service.api.answer import HttpAnswer
from sca_service.api.call import Call
from sca_service.challenges.answer import Answer
from sca_service.challenges.code import parse_code
from sca_service.challenges.issue import Issuer
from sca_service.challenges.model import ChallengeId, Outcome, Status
from sca_service.challenges.order import ChallengeOrder, WantedStep
from sca_service.challenges.risk import REFUSED
from sca_service.challenges.verify import Verifier
from sca_service.challenges.view import ChallengeView
from sca_service.compat.camara.faults import Fault, told
from sca_service.compat.camara.forms import SendCodeBody, SendCodeResponse, ValidateCodeBody
from sca_service.compat.payers import payer_of
from sca_service.compat.short_id import lengthened, shortened
from sca_service.delivery.own_text import OwnText
from sca_service.kernel.errors import InvalidInput, NotFound, TooEarly
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import NumberKind, PhoneNumber, ServiceNumber
from sca_service.policy.model import Channel, LimitScope, Policy, Purpose

PURPOSE = Purpose.OTHER
"""What a code is for is not said: so it serves nothing else of this service."""
_OF_THE_NUMBER = (LimitScope.PHONE, LimitScope.PAYER)


class CamaraOperations:
    """The operations of `/one-time-password-sms/v1`. A class because it holds the use cases."""

    def __init__(self, *, policy: Policy, keyring: Keyring, issuer: Issuer, verifier: Verifier) -> None:
        self._keyring = keyring
        self._issuer = issuer
        self._verifier = verifier
        self._of_the_number = frozenset(
            {"", *(rule.name for rule in policy.limits if rule.scope in _OF_THE_NUMBER)}
        )

    async def send_code(self, call: Call, body: SendCodeBody) -> HttpAnswer:
        """Send a code, and void the one before it. Raises InvalidInput, TooEarly, StoreUnavailable."""
        text = _text(body.message)
        try:
            line = PhoneNumber.parse(body.phone_number)
        except ServiceNumber:
            return told(Fault.PHONE_NUMBER_NOT_ALLOWED)
        except InvalidInput:  # in no country's plan: no operator has it
            return told(Fault.NOT_FOUND)
        if line.kind is NumberKind.LANDLINE:
            return told(Fault.PHONE_NUMBER_NOT_ALLOWED)
        order = ChallengeOrder(
            psu_id=payer_of(self._keyring, call.client.id, line),
            purpose=PURPOSE,
            phone=line,
            channels=(WantedStep(Channel.SMS),),
            text=text,
            supersedes=True,
        )
        try:
            view = await self._issuer.issue(call.caller, order)
        except TooEarly as early:
            if early.limit in self._of_the_number:
                wait = ("Retry-After", str(max(early.retry_after_seconds, 1)))
                return told(Fault.MAX_OTP_CODES_EXCEEDED).with_headers((wait,))
            raise
        if view.state.status is Status.REFUSED:
            return told(_why_refused(view))
        response = SendCodeResponse(shortened(view.state.id))
        return HttpAnswer(200, msgspec.json.encode(response))

    async def validate_code(self, call: Call, body: ValidateCodeBody) -> HttpAnswer:
        """Answer a challenge: 204 once. Raises NotFound, TooEarly, StoreUnavailable."""
        challenge = lengthened(body.authentication_id)
        if challenge is None or not _is_ours(challenge):
            raise NotFound
        try:
            code = parse_code(body.code)
        except InvalidInput:  # no code looks like this; no attempt is spent
            return told(Fault.INVALID_OTP)
        verified = await self._verifier.verify(call.caller, challenge, Answer(code))
        match verified.outcome:
            case Outcome.APPROVED:
                return HttpAnswer(204, b"")
            case Outcome.INCORRECT if verified.view.state.attempts_left:
                return told(Fault.INVALID_OTP)
            case Outcome.INCORRECT | Outcome.BLOCKED:
                return told(Fault.VERIFICATION_FAILED)
        return told(Fault.VERIFICATION_EXPIRED)


def _text(message: str) -> OwnText:
    try:
        return OwnText.parse(message)
    except InvalidInput as error:
        raise InvalidInput(*(mistake.below("/message") for mistake in error.mistakes)) from None


def _why_refused(view: ChallengeView) -> Fault:
    """Risk has its reasons; a number that answered wrongly too often, or lies in a pumped range, is blocked."""
    return Fault.PHONE_NUMBER_NOT_ALLOWED if view.state.why == REFUSED else Fault.PHONE_NUMBER_BLOCKED


def _is_ours(challenge: ChallengeId) -> bool:
    """Whether this facade may have issued it: with a code, and for nothing that asks for more."""
    return challenge.purpose is PURPOSE and challenge.digits > 0 and not challenge.asks_pin
