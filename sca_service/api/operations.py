"""What the calls on challenges and payers do: forms in, answers out. No framework in here."""

import base64
import binascii
from datetime import datetime

import msgspec

from sca_service.api.answer import HttpAnswer
from sca_service.api.call import Call
from sca_service.api.forms import AnswerForm, CreateChallenge, UnblockForm
from sca_service.api.idempotency import Idempotency
from sca_service.api.limit_headers import limit_headers
from sca_service.api.requests import answer_of, order_of, psu_id_of
from sca_service.api.responses import ChallengeListBody, PayerBody, VerifyBody, challenge_body
from sca_service.challenges.authentication_code import LIFETIME_SECONDS, AuthenticationCodeSigner
from sca_service.challenges.device_answers import digits_of
from sca_service.challenges.follow import Follower
from sca_service.challenges.issue import Issuer
from sca_service.challenges.lockout import Lockout
from sca_service.challenges.model import ChallengeId, Method, Status
from sca_service.challenges.payers import Payers, Unblock
from sca_service.challenges.postgres_store import ChallengeFilter
from sca_service.challenges.verify import Verifier
from sca_service.challenges.view import ChallengeView
from sca_service.kernel.clock import Clock, timestamp
from sca_service.kernel.errors import InvalidInput, NotFound
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.text import clean_text
from sca_service.policy.model import Purpose

_encode = msgspec.json.Encoder().encode


class ChallengeOperations:
    """The operations of `/v1/challenges`. A class because it holds the use cases."""

    def __init__(
        self,
        *,
        issuer: Issuer,
        verifier: Verifier,
        follower: Follower,
        signer: AuthenticationCodeSigner,
        idempotency: Idempotency,
        keyring: Keyring,
        clock: Clock,
    ) -> None:
        self._signer = signer
        self._issuer = issuer
        self._verifier = verifier
        self._follower = follower
        self._idempotency = idempotency
        self._keyring = keyring
        self._clock = clock

    async def create(self, call: Call, form: CreateChallenge) -> HttpAnswer:
        """Issue a challenge: 201 with its place. Raises what `Issuer.issue` and `Idempotency.once` raise."""
        order = order_of(form)
        made: list[ChallengeView] = []

        async def issue(unique: str | None) -> HttpAnswer:
            view = await self._issuer.issue(call.caller, order, unique=unique)
            made.append(view)
            place = ("Location", f"/v1/challenges/{view.state.id}")
            return HttpAnswer(201, self._body(view), (place,))

        answer = await self._idempotency.once(
            call.caller, call.idempotency_key, call.path.encode() + b"\0" + call.body, issue
        )
        # How limits stood then is not kept for a repetition.
        return answer.with_headers(limit_headers(made[0].allowances)) if made else answer

    async def verify(self, call: Call, challenge_id: str, form: AnswerForm) -> HttpAnswer:
        """Answer a challenge: 200 with the outcome. Raises what `Verifier.verify` raises."""
        challenge = _parsed(challenge_id)
        answer = answer_of(form, key=call.idempotency_key or "")
        verified = await self._verifier.verify(call.caller, challenge, answer)
        body = VerifyBody(
            outcome=verified.outcome,
            attempts_left=verified.view.state.attempts_left,
            authentication_code=verified.authentication_code,
            challenge=challenge_body(verified.view, self._clock.now_ms()),
        )
        return HttpAnswer(200, _encode(body), limit_headers(verified.allowances))

    async def get(self, call: Call, challenge_id: str) -> HttpAnswer:
        """Read a challenge. Raises NotFound, StoreUnavailable."""
        view = await self._follower.get(call.client.id, _parsed(challenge_id))
        return HttpAnswer(200, self._body(view, approved=self._approval(view)))

    async def step(self, call: Call, challenge_id: str) -> HttpAnswer:
        """Send over the next channel. Raises what `Follower.step` raises."""
        return HttpAnswer(200, self._body(await self._follower.step(call.caller, _parsed(challenge_id))))

    async def cancel(self, call: Call, challenge_id: str) -> HttpAnswer:
        """Cancel a challenge. Raises NotFound, StoreUnavailable."""
        return HttpAnswer(200, self._body(await self._follower.cancel(call.caller, _parsed(challenge_id))))

    async def page(
        self,
        call: Call,
        *,
        psu: str | None,
        status: Status | None,
        purpose: Purpose | None,
        created_after: datetime | None,
        limit: int,
        cursor: str | None,
    ) -> HttpAnswer:
        """List challenges, the newest first. Raises InvalidInput for a cursor that is not ours, StoreUnavailable."""
        client = call.client.id
        wanted = ChallengeFilter(
            client=client,
            payer=self._keyring.pseudonym("payer", client, psu_id_of(psu, "/psu"))
            if psu is not None
            else None,
            status=status,
            purpose=purpose,
            created_after=created_after,
            after=_place(cursor) if cursor is not None else None,
        )
        views = await self._follower.page(wanted, most=limit + 1)
        now_ms = self._clock.now_ms()
        page = views[:limit]
        last = page[-1].state if len(views) > limit else None
        body = ChallengeListBody(
            data=tuple(challenge_body(view, now_ms, matching_digits=self._digits(view)) for view in page),
            next_cursor=_cursor(f"{last.created_at} {last.id}") if last else None,
        )
        return HttpAnswer(200, _encode(body))

    def _body(self, view: ChallengeView, *, approved: str | None = None) -> bytes:
        return _encode(
            challenge_body(
                view,
                self._clock.now_ms(),
                matching_digits=self._digits(view),
                authentication_code=approved,
            )
        )

    def _digits(self, view: ChallengeView) -> str | None:
        """What the bank's page shows for a challenge that a device answers."""
        if view.fixed.method is not Method.DEVICE_SIGNATURE:
            return None
        return digits_of(self._keyring, view.state.id).reveal()

    def _approval(self, view: ChallengeView) -> str | None:
        """The authentication code of what a device approved, for as long as it may be used: no verify tells it."""
        if view.fixed.method is not Method.DEVICE_SIGNATURE or view.state.status is not Status.APPROVED:
            return None
        if self._clock.now_ms() >= view.state.settled_at + LIFETIME_SECONDS * 1000:
            return None
        return self._signer.sign(view.state, view.fixed, view.private)


class PayerOperations:
    """The operations of `/v1/psus`. A class because it holds the use case."""

    def __init__(self, payers: Payers) -> None:
        self._payers = payers

    async def get(self, call: Call, psu_id: str) -> HttpAnswer:
        """Whether a payer of this client is blocked. Raises InvalidInput, StoreUnavailable."""
        psu = psu_id_of(psu_id, "/psu_id")
        return _payer(psu, await self._payers.lockout(call.client.id, psu))

    async def unblock(self, call: Call, psu_id: str, form: UnblockForm) -> HttpAnswer:
        """Lift a payer's block. Raises InvalidInput, StoreUnavailable."""
        psu = psu_id_of(psu_id, "/psu_id")
        reason = clean_text(form.reason, pointer="/reason", most=256)
        unblock = Unblock(form.client or call.client.id, psu, reason)
        return _payer(psu, await self._payers.unblock(call.caller, unblock))


def _payer(psu: str, lockout: Lockout) -> HttpAnswer:
    until = timestamp(lockout.blocked_until) if lockout.blocked_until else None
    return HttpAnswer(200, _encode(PayerBody(psu, until is not None, until, lockout.failures)))


def _parsed(challenge_id: str) -> ChallengeId:
    challenge = ChallengeId.parse(challenge_id)
    if challenge is None:
        raise NotFound
    return challenge


def _cursor(place: str) -> str:
    return base64.urlsafe_b64encode(place.encode()).rstrip(b"=").decode()


def _place(cursor: str) -> tuple[int, str]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        at_ms, challenge_id = base64.urlsafe_b64decode(padded.encode()).decode().split(" ")
        if not 0 <= int(at_ms) < 2**42 or ChallengeId.parse(challenge_id) is None:
            raise InvalidInput.at("/cursor", "is not a cursor of this list")
        return int(at_ms), challenge_id
    except (ValueError, binascii.Error) as error:
        raise InvalidInput.at("/cursor", "is not a cursor of this list") from error
