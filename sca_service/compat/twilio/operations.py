"""What Twilio Verify's calls do: start, send again, check, look up and cancel. No framework in here."""

from contextlib import suppress
from typing import Any

import msgspec
from babel.languages import get_official_languages

from sca_service.api.answer import HttpAnswer
from sca_service.api.call import Call
from sca_service.api.requests import locale_of
from sca_service.challenges.answer import Answer
from sca_service.challenges.code import parse_code
from sca_service.challenges.follow import Follower
from sca_service.challenges.issue import Issuer
from sca_service.challenges.model import ChallengeId, Outcome, Status
from sca_service.challenges.order import ChallengeOrder, WantedStep
from sca_service.challenges.postgres_store import ChallengeFilter
from sca_service.challenges.risk import REFUSED
from sca_service.challenges.verify import Verified, Verifier
from sca_service.challenges.view import ChallengeView
from sca_service.compat.form_body import Parameters
from sca_service.compat.payers import payer_of
from sca_service.compat.twilio.bodies import check_body, verification_body
from sca_service.compat.twilio.faults import Fault, told
from sca_service.compat.twilio.forms import (
    AmountAndPayeeRequired,
    ChannelDisabled,
    NotSupported,
    Start,
    line_of,
    start_of,
    transaction_of,
)
from sca_service.compat.twilio.sids import challenge_of, is_service, new_unique
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import InvalidInput, NotFound, NotPending, TooEarly
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import NumberKind, PhoneNumber
from sca_service.policy.model import Channel, LimitScope, Policy, Purpose
from sca_service.risk.facts import Marks

PURPOSE = Purpose.OTHER
"""Of a verification without amount and payee: so its code serves nothing else of this service."""
_LOOKED_AT = 20
_OF_THE_NUMBER = (LimitScope.PHONE, LimitScope.PAYER)
_ENDED = {
    Outcome.ALREADY_USED: "deleted",  # Twilio's word for what is no more; `approved` would be believed twice
    Outcome.EXPIRED: "expired",
    Outcome.CANCELLED: "canceled",
    Outcome.TRANSACTION_MISMATCH: "failed",
    Outcome.DECLINED: "failed",
    Outcome.UNDELIVERABLE: "failed",
    Outcome.REFUSED: "failed",
}


class TwilioOperations:
    """The operations of `/v2/Services`. A class because it holds the use cases."""

    def __init__(  # noqa: PLR0913 - it holds all that it calls
        self,
        *,
        policy: Policy,
        keyring: Keyring,
        issuer: Issuer,
        verifier: Verifier,
        follower: Follower,
        clock: Clock,
        url: str,
        forgets: bool,
    ) -> None:
        """`url` is where the service is reached; `forgets` claims that what is over is 404, as Twilio has it."""
        self._policy = policy
        self._keyring = keyring
        self._issuer = issuer
        self._verifier = verifier
        self._follower = follower
        self._clock = clock
        self._url = url
        self._forgets = forgets
        self._of_the_number = frozenset(
            {"", *(rule.name for rule in policy.limits if rule.scope in _OF_THE_NUMBER)}
        )

    async def start(self, call: Call, service: str, sent: Parameters) -> HttpAnswer:
        """Start a verification, or send the code of the one that is pending again: 201.

        Raises InvalidInput, NotFound, TooEarly, NoMoreChannels, NotPending, StoreUnavailable.
        """
        _known(service)
        try:
            start = start_of(sent)
            if start.line.kind is NumberKind.LANDLINE and start.channel is not Channel.VOICE:
                return told(Fault.LANDLINE)
            view = await self._started(call, service, start)
        except InvalidInput as error:
            return _refusal(error)
        except TooEarly as early:
            if early.limit in self._of_the_number and type(early) is TooEarly:
                return told(Fault.MAX_SEND_ATTEMPTS, retry_after_seconds=max(early.retry_after_seconds, 1))
            raise
        if view.state.status is Status.REFUSED:
            return self._refused(view)
        return HttpAnswer(201, self._body(view))

    async def check(self, call: Call, service: str, sent: Parameters) -> HttpAnswer:
        """Check a code: 201 with a status. Raises InvalidInput, NotFound, TooEarly, StoreUnavailable."""
        _known(service)
        try:
            transaction = transaction_of(sent)
            named = sent.get("VerificationSid") or sent.get("To")
            if named is None:
                raise InvalidInput.at("/To", "or VerificationSid is required")
            view = await self._found(call, service, named, digest=transaction.digest() if transaction else "")
            challenge = _id_of(view)
            if challenge.purpose is Purpose.PAYMENT and transaction is None:
                raise AmountAndPayeeRequired.at(
                    "/Amount", "and Payee are compared with those it was started for"
                )
            code = parse_code(sent.get("Code", ""))
        except InvalidInput as error:
            return _refusal(error)
        key = call.idempotency_key or ""
        verified = await self._verifier.verify(call.caller, challenge, Answer(code, transaction, key))
        return self._checked(verified)

    async def fetch(self, call: Call, service: str, named: str) -> HttpAnswer:
        """Look a verification up, by its sid or its number. Raises NotFound, StoreUnavailable."""
        _known(service)
        view = await self._found(call, service, named)
        if self._forgets and view.state.status_at(self._clock.now_ms()) is not Status.PENDING:
            raise NotFound
        return HttpAnswer(200, self._body(view))

    async def update(self, call: Call, service: str, named: str, sent: Parameters) -> HttpAnswer:
        """Cancel a verification. Nobody but the payer approves one. Raises NotFound, StoreUnavailable."""
        _known(service)
        status = sent.get("Status")
        if status == "approved":
            return told(Fault.NOT_SUPPORTED, why="only the payer's code approves")
        if status != "canceled":
            return told(Fault.INVALID_PARAMETER, why="Status must be canceled")
        view = await self._found(call, service, named)
        if self._forgets and view.state.status_at(self._clock.now_ms()) is not Status.PENDING:
            raise NotFound
        return HttpAnswer(200, self._body(await self._follower.cancel(call.caller, _id_of(view))))

    async def _started(self, call: Call, service: str, start: Start) -> ChallengeView:
        digest = start.transaction.digest() if start.transaction else ""
        payer = payer_of(self._keyring, call.client.id, start.line)
        pending = [
            view
            for view in await self._follower.pending(call.client.id, payer)
            if _belongs(view, service)
            and view.state.digest == digest
            and not view.state.status_at(self._clock.now_ms()).is_final
        ]
        for view in pending[:1]:
            if start.channel in (None, *(step.channel for step in view.state.ladder)):
                with suppress(NotPending):  # over in this moment
                    return await self._follower.step(call.caller, _id_of(view), over=start.channel)
            else:  # risk has a say in it, so it is another challenge, with another code
                await self._follower.cancel(call.caller, _id_of(view))
        order = ChallengeOrder(
            psu_id=payer,
            purpose=Purpose.PAYMENT if start.transaction else PURPOSE,
            transaction=start.transaction,
            phone=start.line,
            locale=locale_of(start.locale or None) or _spoken_in(start.line),
            channels=(WantedStep(start.channel),) if start.channel else (),
            signals={"ip": start.ip} if start.ip else None,
            marks=Marks(ip=start.ip),
            reference=service,
        )
        return await self._issuer.issue(call.caller, order, unique=new_unique())

    async def _found(self, call: Call, service: str, named: str, *, digest: str = "") -> ChallengeView:
        """The service's verification of that sid; or of that number the newest pending one, best for this transaction,
        else the newest. Raises NotFound, InvalidInput for a number that is none, StoreUnavailable.
        """
        client = call.client.id
        if not named.startswith("VE"):
            return await self._of_number(client, service, line_of(named), digest)
        challenge = challenge_of(named)
        view = await self._follower.get(client, challenge) if challenge else None
        if view is None or view.private.reference != service:
            raise NotFound
        return view

    async def _of_number(self, client: str, service: str, line: PhoneNumber, digest: str) -> ChallengeView:
        payer = payer_of(self._keyring, client, line)
        views = await self._follower.pending(client, payer)
        own = [view for view in views if _belongs(view, service)]
        if not own:
            wanted = ChallengeFilter(client=client, payer=self._keyring.pseudonym("payer", client, payer))
            own = [v for v in await self._follower.page(wanted, most=_LOOKED_AT) if _belongs(v, service)]
        if not own:
            raise NotFound
        return next((view for view in own if view.state.digest == digest), own[0])

    def _checked(self, verified: Verified) -> HttpAnswer:
        match verified.outcome:
            case Outcome.APPROVED:
                status = "approved"
            case Outcome.INCORRECT:
                status = "pending" if verified.view.state.attempts_left else "max_attempts_reached"
            case Outcome.BLOCKED:
                return told(Fault.MAX_CHECK_ATTEMPTS)
            case _ if self._forgets:
                raise NotFound
            case outcome:
                status = _ENDED[outcome]
        body = check_body(
            verified.view, self._keyring, status=status, authentication_code=verified.authentication_code
        )
        return HttpAnswer(201, msgspec.json.encode(body))

    def _refused(self, view: ChallengeView) -> HttpAnswer:
        """A payer who answered wrongly too often waits; what risk or the guard against pumping say is final."""
        state = view.state
        if state.blocked_until:
            wait_ms = state.blocked_until - self._clock.now_ms()
            return told(Fault.MAX_CHECK_ATTEMPTS, retry_after_seconds=max(-(-wait_ms // 1000), 1))
        return told(
            Fault.DELIVERY_BLOCKED, why="" if state.why == REFUSED else "the number's range is blocked"
        )

    def _body(self, view: ChallengeView) -> bytes:
        body: Any = verification_body(view, self._keyring, now_ms=self._clock.now_ms(), url=self._url)
        return msgspec.json.encode(body)


def _known(service: str) -> None:
    """Raises NotFound for what no service is called."""
    if not is_service(service):
        raise NotFound


def _belongs(view: ChallengeView, service: str) -> bool:
    return view.private.reference == service


def _id_of(view: ChallengeView) -> ChallengeId:
    challenge = ChallengeId.parse(view.state.id)
    assert challenge is not None  # noqa: S101 - it was issued
    return challenge


def _refusal(error: InvalidInput) -> HttpAnswer:
    """What Twilio calls input that cannot be right."""
    why = "; ".join(f"{one.pointer[1:] or 'Code'} {one.detail}" for one in error.mistakes)
    match error:
        case NotSupported():
            return told(Fault.NOT_SUPPORTED, why=why)
        case AmountAndPayeeRequired():
            return told(Fault.AMOUNT_AND_PAYEE)
        case ChannelDisabled():
            return told(Fault.CHANNEL_DISABLED, why=why)
    if any(one.pointer.startswith("/channel") for one in error.mistakes):  # not in the policy's ladder
        return told(Fault.CHANNEL_DISABLED, why=why)
    return told(Fault.INVALID_PARAMETER, why=why)


def _spoken_in(line: PhoneNumber) -> str:
    """The first official language of the number's country, as Twilio chooses when none is named."""
    languages = get_official_languages(line.country, de_facto=True)
    return languages[0].replace("_", "-") if languages else ""
