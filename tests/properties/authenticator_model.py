"""Authenticators in a few lines of Python: what has to be true of them, by the RFCs and the articles, one at a time.

The codes are pyotp's, from the URI that the payer was shown; nothing here asks the service for one.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

import pyotp

from sca_service.authenticators.model import AuthenticatorState, AuthenticatorType

MOST_OF_A_PAYER = 3
MOST_TRIES = 5
PENDING_SECONDS = 600
AUTHORISATION_SECONDS = 300
PERIOD_SECONDS = 30
LOOK_BACK = 1
LOOK_AHEAD = 2
RESYNCHRONISING = 100

PENDING, ACTIVE, SUSPENDED, REVOKED = AuthenticatorState
TOTP, HOTP, PIN = AuthenticatorType.TOTP, AuthenticatorType.HOTP, AuthenticatorType.PIN
DEVICE, PHONE = AuthenticatorType.DEVICE_KEY, AuthenticatorType.PHONE

ONE_OF_A_KIND = (PIN, PHONE)
"""A payer knows one PIN and is called on one line."""


class ProofKind(StrEnum):
    """How somebody proves an authenticator."""

    CODE = "code"
    PIN = "pin"
    KEY = "key"
    LINE = "line"


PROOF_OF = {
    TOTP: ProofKind.CODE,
    HOTP: ProofKind.CODE,
    PIN: ProofKind.PIN,
    DEVICE: ProofKind.KEY,
    PHONE: ProofKind.LINE,
}


@dataclass(frozen=True, slots=True)
class Shown:
    """What somebody shows: a code, a PIN, an activation code with one of three keys, or the challenge of a line."""

    kind: ProofKind
    text: str
    key: int = 0


@dataclass(slots=True)
class Kept:
    """One authenticator as it must be, and what its payer holds: a generator, a PIN, a device, a line."""

    id: str
    payer: str
    kind: AuthenticatorType
    authorised_by: str | None
    otp: pyotp.TOTP | pyotp.HOTP | None = None
    secret: str = ""
    """The PIN, a device's activation code, the challenge that was sent to a line."""
    line: str = ""
    state: AuthenticatorState = PENDING
    age_seconds: int = 0
    tries: int = 0
    last_step: int = -1
    last_challenge: str | None = None
    is_used: bool = False
    was_active: bool = False
    withdrawn_for_seconds: int | None = None
    """Since it was last revoked or suspended, also when it was resumed since."""

    def code(self, step: int) -> str:
        """What the generator shows at a step."""
        assert self.otp is not None
        return str(self.otp.generate_otp(step))

    def step_of(self, code: str, now_ms: int, after: int) -> int | None:
        """The first step with this code, of those that would be taken (RFC 4226 section 7.4, RFC 6238 section 5.2)."""
        steps = range(after + 1, after + 2 + LOOK_AHEAD)
        if self.kind is TOTP:
            current = now_ms // 1000 // PERIOD_SECONDS
            steps = range(max(after + 1, current - LOOK_BACK), current + 1)
        return next((step for step in steps if self.code(step) == code), None)

    def proven(self, shown: Shown, now_ms: int) -> int | None:
        """The step that a proof of possession or knowledge uses up; None for a wrong one."""
        if shown.kind is not PROOF_OF[self.kind]:
            return None
        if shown.kind is ProofKind.CODE:
            return self.step_of(shown.text, now_ms, self.last_step)
        return 0 if shown.text == self.secret else None


@dataclass(slots=True)
class Book:
    """What all payers have, the oldest first; which authorisations enrolled one; each one's events."""

    kept: list[Kept] = field(default_factory=list)
    authorisations: dict[str, int] = field(default_factory=dict)
    """Those that were used, and how many seconds ago they were given."""
    lives: defaultdict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    """Of each authenticator the types of its events, and the reasons."""
    keys: set[int] = field(default_factory=set)
    """Those that ever were a device's."""

    def of(
        self, payer: str, *states: AuthenticatorState, kind: AuthenticatorType | None = None
    ) -> list[Kept]:
        """A payer's, in some states, of one type if it is named."""
        return [
            one
            for one in self.kept
            if one.payer == payer and one.state in states and kind in (None, one.kind)
        ]

    def find(self, payer: str, name: str) -> Kept | None:
        """A payer's own one with this id."""
        return next((one for one in self.kept if (one.payer, one.id) == (payer, name)), None)

    def why_not(self, payer: str, authorised_by: str | None, *, is_old: bool) -> str:
        """Why this payer may not enrol one more (RTS Art. 24); empty when they may. Forgets what nobody activated.

        An old authorisation was given before whatever was revoked or suspended without much time having passed since.
        """
        late = [one.id for one in self.of(payer, PENDING) if one.age_seconds > PENDING_SECONDS]
        self.kept = [one for one in self.kept if one.id not in late]
        everything = self.of(payer, *AuthenticatorState)
        lost = [one for one in everything if one.was_active and one.withdrawn_for_seconds == 0]
        if authorised_by in self.authorisations or (authorised_by is not None and is_old and lost):
            return "/authorisation"
        if authorised_by is None and self.of(payer, ACTIVE, SUSPENDED):
            return "authorisation-required"
        return "too many" if len(self.of(payer, PENDING, ACTIVE, SUSPENDED)) >= MOST_OF_A_PAYER else ""

    def add(self, one: Kept) -> None:
        """One more, pending."""
        self.kept.append(one)
        if one.authorised_by is not None:
            self.authorisations[one.authorised_by] = 0
        self.tell("enrolled", one)

    def activate(self, payer: str, name: str, shown: Shown, *, now_ms: int) -> tuple[str, int] | str:
        """The outcome and the tries left, or the problem."""
        one = self.find(payer, name)
        if one is None:
            return "not-found"
        if one.state is not PENDING:
            return "not_pending", 0
        if one.age_seconds > PENDING_SECONDS or one.tries == MOST_TRIES:
            return "expired", 0
        one.tries += 1
        step = one.proven(shown, now_ms)
        if step is None:
            return self._failed("not_activated", one)
        if one.authorised_by is None and self.of(payer, ACTIVE, SUSPENDED):
            return "authorisation-required"
        if one.kind is DEVICE:
            if shown.key in self.keys:
                self._failed("not_activated", one, "key_already_enrolled")
                return "key-already-enrolled"
            self.keys.add(shown.key)
        left = MOST_TRIES - one.tries
        one.state, one.last_step, one.tries, one.was_active = ACTIVE, step, 0, True
        self.tell("activated", one)
        for other in self.of(payer, ACTIVE, SUSPENDED, kind=one.kind):
            if one.kind in ONE_OF_A_KIND and other is not one:
                self._end(other, "replaced")
        return "activated", left

    def use(self, payer: str, kind: AuthenticatorType, code: str, challenge: str, now_ms: int) -> Kept | None:
        """The one whose code it was; its step is used up then, but for the same challenge."""
        for one in self.of(payer, ACTIVE, kind=kind):
            after = one.last_step - (one.last_challenge == challenge)
            step = one.step_of(code, now_ms, after)
            if step is not None:
                one.last_step, one.last_challenge = step, challenge
                return one
        return None

    def resynchronise(self, payer: str, name: str, codes: tuple[str, str]) -> tuple[str, int] | str:
        """The outcome and the tries left, or the problem (RFC 4226 section 7.4)."""
        one = self.find(payer, name)
        if one is None or one.kind is not HOTP:
            return "not-found"
        if one.state is not ACTIVE:
            return "not_active", 0
        one.tries += 1
        for step in range(one.last_step + 1, one.last_step + 1 + RESYNCHRONISING):
            if one.code(step) == codes[0] and one.code(step + 1) == codes[1]:
                one.last_step, one.last_challenge, one.tries = step + 1, None, 0
                self.tell("resynchronised", one)
                return "resynchronised", MOST_TRIES
        return self._failed("not_resynchronised", one)

    def knows(self, payer: str, pin: str) -> bool:
        """Whether it is the payer's PIN; there is one at most."""
        return pin in [one.secret for one in self.of(payer, ACTIVE, kind=PIN)]

    def note_use(self, payer: str, challenge: str, *, pin: bool) -> None:
        """An approval rested on what answered the challenge, and on the PIN if it was asked."""
        for one in self.of(payer, ACTIVE):
            one.is_used |= one.last_challenge == challenge or (pin and one.kind is PIN)

    def revoke(self, payer: str, name: str, reason: str = "") -> Kept | None:
        """What is gone for good now, if it was not before; with one that was active goes what is pending."""
        one = self.find(payer, name)
        if one is not None and one.state is not REVOKED:
            self._end(one, reason)
            if one.was_active:
                self._end_pending(payer)
        return one

    def suspend(self, payer: str, name: str) -> Kept | None:
        """What answers nothing from now on, if it was active; what is pending goes then."""
        one = self.find(payer, name)
        if one is not None and one.state is ACTIVE:
            one.state, one.withdrawn_for_seconds = SUSPENDED, 0
            self.tell("suspended", one, "client_request")
            self._end_pending(payer)
        return one

    def resume(self, payer: str, name: str) -> Kept | None:
        """What answers again, if it was suspended."""
        one = self.find(payer, name)
        if one is not None and one.state is SUSPENDED:
            one.state = ACTIVE
            self.tell("resumed", one)
        return one

    def sign(self, payer: str, name: str, challenge: str) -> bool:
        """Whether a device may sign for a challenge; then it was used now."""
        one = self.find(payer, name)
        if one is None or one.state is not ACTIVE:
            return False
        one.last_challenge, one.is_used = challenge, True
        return True

    def age(self, seconds: int) -> None:
        """Time goes by for what is pending, revoked or suspended, and for authorisations."""
        for one in self.kept:
            one.age_seconds += seconds
            if one.withdrawn_for_seconds is not None:
                one.withdrawn_for_seconds += seconds
        for text in self.authorisations:
            self.authorisations[text] += seconds

    def living_authorisations(self) -> Iterator[str]:
        """Those that were used and that a bank could still send again: they live five minutes (RTS Art. 4(3)(d))."""
        return (text for text, age in self.authorisations.items() if age < AUTHORISATION_SECONDS)

    def tell(self, kind: str, one: Kept, reason: str = "") -> None:
        """Put it on record."""
        self.lives[one.id].append((f"authenticator.{kind}", reason))

    def _end_pending(self, payer: str) -> None:
        for pending in self.of(payer, PENDING):
            self._end(pending, "not_activated")

    def _end(self, one: Kept, reason: str) -> None:
        one.state, one.withdrawn_for_seconds = REVOKED, 0
        self.tell("revoked", one, reason)

    def _failed(self, kind: str, one: Kept, reason: str = "incorrect") -> tuple[str, int]:
        self.tell(kind, one, reason)
        if one.tries == MOST_TRIES:
            self.revoke(one.payer, one.id, "tries_used_up")
        return "incorrect", MOST_TRIES - one.tries
