"""What CIBA's two calls do: have a payer's device asked, and tell what the payer decided. No framework in here."""

import secrets

import msgspec

from sca_service.api.answer import HttpAnswer
from sca_service.api.call import Call
from sca_service.api.requests import psu_id_of
from sca_service.challenges.authentication_code import LIFETIME_SECONDS, AuthenticationCodeSigner
from sca_service.challenges.device_answers import digits_of
from sca_service.challenges.follow import Follower
from sca_service.challenges.issue import Issuer
from sca_service.challenges.model import Method, Status
from sca_service.challenges.order import ChallengeOrder
from sca_service.challenges.view import ChallengeView
from sca_service.compat.ciba.faults import NO_STORE, Fault, told
from sca_service.compat.form_body import Parameters
from sca_service.compat.short_id import lengthened, shortened
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import InvalidInput, NotFound, TooEarly
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.text import clean_text
from sca_service.limits.model import Limit
from sca_service.limits.redis_store import LimitStore
from sca_service.policy.model import Purpose

GRANT = "urn:openid:params:grant-type:ciba"
INTERVAL_SECONDS = 5
_MOST_BINDING = 64
_HINTS = ("login_hint", "login_hint_token", "id_token_hint")
_REFERENCE = "ciba"


class Acknowledgement(msgspec.Struct, frozen=True):
    """What a request to authenticate is answered (section 7.3). `matching_digits` are ours: the payer repeats them."""

    auth_req_id: str
    expires_in: int
    interval: int
    matching_digits: str


class Result(msgspec.Struct, frozen=True):
    """The authentication code as what it is: a JWT, no ID token, and no access to anything (RFC 8693, 2.2.1)."""

    authentication_code: str = msgspec.field(name="access_token")
    kind: str = msgspec.field(name="issued_token_type", default="urn:ietf:params:oauth:token-type:jwt")
    used_as: str = msgspec.field(name="token_type", default="N_A")
    seconds: int = msgspec.field(name="expires_in", default=LIFETIME_SECONDS)


class CibaOperations:
    """The operations of CIBA. A class because it holds the use cases."""

    def __init__(
        self,
        *,
        keyring: Keyring,
        issuer: Issuer,
        follower: Follower,
        signer: AuthenticationCodeSigner,
        limits: LimitStore,
        clock: Clock,
    ) -> None:
        self._keyring = keyring
        self._issuer = issuer
        self._follower = follower
        self._signer = signer
        self._limits = limits
        self._clock = clock

    async def authorize(self, call: Call, sent: Parameters) -> HttpAnswer:
        """Have the payer's device asked. Raises InvalidInput, TooEarly, StoreUnavailable."""
        if "openid" not in sent.get("scope", "").split(" "):
            return told(Fault.INVALID_SCOPE, "scope must have openid")
        if len([name for name in _HINTS if name in sent]) != 1 or "login_hint" not in sent:
            return told(Fault.INVALID_REQUEST, "login_hint is required, and no other hint is taken")
        if "request" in sent:
            return told(Fault.INVALID_REQUEST, "signed requests are not taken")
        try:
            binding = (
                clean_text(sent["binding_message"], pointer="", most=_MOST_BINDING)
                if "binding_message" in sent
                else ""
            )
        except InvalidInput as error:
            return told(Fault.INVALID_BINDING_MESSAGE, error.mistakes[0].detail)
        order = ChallengeOrder(
            psu_id=psu_id_of(sent["login_hint"], "/login_hint"),
            purpose=Purpose.LOGIN,
            method=Method.DEVICE_SIGNATURE,
            lifetime_seconds=_seconds(sent.get("requested_expiry")),
            reference=_REFERENCE,
            binding=binding,
        )
        try:
            # An auth_req_id has 128 random bits (CIBA Core 1.0, section 7.3), so none of the id is its time.
            view = await self._issuer.issue(call.caller, order, unique=secrets.token_hex(16))
        except InvalidInput as error:
            if any(one.pointer == "/method" for one in error.mistakes):
                return told(Fault.UNKNOWN_PAYER, "no device of such a payer can be asked")
            raise
        if view.state.status is not Status.PENDING:
            return told(Fault.REFUSED, "this payer is not asked now")
        acknowledged = Acknowledgement(
            shortened(view.state.id),
            (view.state.expires_at - view.state.created_at) // 1000,
            INTERVAL_SECONDS,
            digits_of(self._keyring, view.state.id).reveal(),
        )
        return HttpAnswer(200, msgspec.json.encode(acknowledged), NO_STORE)

    async def result(self, call: Call, sent: Parameters) -> HttpAnswer:
        """What the payer decided; an approval is told once. Raises NotFound, StoreUnavailable."""
        if sent.get("grant_type") != GRANT:
            return told(Fault.UNSUPPORTED_GRANT_TYPE, f"grant_type must be {GRANT}")
        challenge = lengthened(sent.get("auth_req_id", ""))
        if challenge is None:
            raise NotFound("auth_req_id names nothing")
        view = await self._follower.get(call.client.id, challenge)
        if view.private.reference != _REFERENCE or view.fixed.method is not Method.DEVICE_SIGNATURE:
            raise NotFound("auth_req_id names nothing")
        try:
            await self._limits.spend([self._limit(view, "ciba_poll", INTERVAL_SECONDS * 900, burst=2)])
        except TooEarly:
            return told(Fault.SLOW_DOWN, f"ask every {INTERVAL_SECONDS} seconds")
        now_ms = self._clock.now_ms()
        match view.state.status_at(now_ms):
            case Status.PENDING:
                return told(Fault.PENDING, "the payer has not answered yet")
            case Status.APPROVED if now_ms < view.state.settled_at + LIFETIME_SECONDS * 1000:
                return await self._approved(view)
            case Status.APPROVED | Status.EXPIRED:
                return told(Fault.EXPIRED, "its time is over")
        return told(Fault.DENIED, "the payer did not approve")

    async def _approved(self, view: ChallengeView) -> HttpAnswer:
        try:  # once within the time that it may be told at all
            await self._limits.spend([self._limit(view, "ciba_told", 2 * LIFETIME_SECONDS * 1000, burst=1)])
        except TooEarly:
            return told(Fault.INVALID_GRANT, "it was told before")
        code = self._signer.sign(view.state, view.fixed, view.private)
        return HttpAnswer(200, msgspec.json.encode(Result(code)), NO_STORE)

    def _limit(self, view: ChallengeView, name: str, interval_ms: int, *, burst: int) -> Limit:
        return Limit(name, self._keyring.pseudonym("ciba", view.state.id), interval_ms, burst)


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        raise InvalidInput.at("/requested_expiry", "must be a positive number of seconds")
    return int(text)
