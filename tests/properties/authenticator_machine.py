"""What payers and banks can do to authenticators, done to PostgreSQL and to the model side by side.

`created_at` is PostgreSQL's clock, so a long time goes by when it is moved into the past; the generators' time is a
clock that the test moves.
"""

import secrets
import time
from collections import defaultdict
from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sca_service.authenticators.enrolment.model import HeldKey, Whose, Wish
from sca_service.authenticators.model import AuthenticatorState, AuthenticatorType, Authorisation, Element
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.secret import Secret
from tests.harness import wrong
from tests.properties.authenticator_checks import check_log, check_rows, check_sight
from tests.properties.authenticator_desk import START_MS, Desk
from tests.properties.authenticator_model import (
    ACTIVE,
    DEVICE,
    HOTP,
    LOOK_AHEAD,
    ONE_OF_A_KIND,
    PENDING,
    PERIOD_SECONDS,
    PHONE,
    PIN,
    PROOF_OF,
    RESYNCHRONISING,
    SUSPENDED,
    TOTP,
    Book,
    Kept,
    Shown,
)
from tests.properties.authenticator_proofs import (
    kept_of,
    line_before,
    mistaken,
    new_key,
    proof_from,
    spoiled,
    withdrawal_of,
)

STRETCH_SECONDS = 250
"""Two are less than what is pending lives and three more, whatever the real clock adds; an authorisation lives one."""
KINDS = st.sampled_from([TOTP, HOTP, PIN, DEVICE, PHONE])
GENERATOR_KINDS = st.sampled_from([TOTP, HOTP])
AUTHORISED = st.sampled_from(["fresh", "fresh", "old", "none", "used"])
"""Given just now, or before whatever was revoked since time went by last; not given; used before."""
OLD_SECONDS = 100
"""Less than a stretch, and more than the test takes by the real clock, by which PostgreSQL notes a revocation."""
KEYS = st.sampled_from([0, 0, 1, 2])  # which of three keys a device shows: they meet
THEN = st.sampled_from(["", "old", "none", "again", "resume"])
PINS = st.sampled_from(["493817", "271828"])
PLACES = st.sampled_from([0, 0, 0, 0, 1, 1, 2, 3])
SELDOM = st.sampled_from([*[False] * 5, True])
SHOWN = st.sampled_from([0, 0, 0, 0, 1, LOOK_AHEAD, LOOK_AHEAD + 1, -1, -1, -2, None, None])
"""Which code is shown: so many steps from the next (or present) one, or None, the one that was accepted last."""
CHALLENGES = st.sampled_from(["chl_one", "chl_two", "chl_three"])
GAPS = st.sampled_from([0, 0, 3, 30, RESYNCHRONISING - 1, RESYNCHRONISING])


class AuthenticatorMachine(RuleBasedStateMachine):
    """Two payers' authenticators in PostgreSQL, beside the model."""

    desk: Desk

    def __init__(self) -> None:
        super().__init__()
        self.book = Book()
        self.payers: list[Whose] = []
        self.psus: list[str] = []
        self.keys = [new_key() for _ in range(3)]
        self.accepted: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self.desk.clock.at_ms = START_MS

    def teardown(self) -> None:
        """Leave nothing to other tests."""
        for table in ("authenticators", "audit_events"):
            self.desk.rows(f"DELETE FROM {table} WHERE psu = ANY($1)", self.psus)  # noqa: S608 - two names of ours

    def choose(self, at: int, *wanted: AuthenticatorState, kinds: Sequence[AuthenticatorType] = ()) -> Kept:
        """Any authenticator of anybody's; first those wanted, the younger before the older."""
        ranked = self.book.kept[::-1]
        ranked.sort(key=lambda one: (one.state not in wanted, bool(kinds) and one.kind not in kinds))
        return ranked[at % len(ranked)]

    def whose(self, one: Kept, another: bool) -> tuple[Whose, str]:
        """Its payer, or the other one, and the pseudonym."""
        at = self.psus.index(one.payer) ^ another
        return self.payers[at], self.psus[at]

    def shown(self, one: Kept, offset: int | None) -> tuple[int, str]:
        """A step, and what the generator shows there; a secret stands in for one that shows nothing."""
        if one.otp is None:
            return 0, one.secret
        current = self.now_ms // 1000 // PERIOD_SECONDS if one.kind is TOTP else one.last_step + 1
        step = max(0, one.last_step if offset is None else current + offset)
        return step, one.code(step)

    @property
    def now_ms(self) -> int:
        """The generators' time."""
        return self.desk.clock.at_ms

    def has(self, state: AuthenticatorState, *kinds: AuthenticatorType) -> bool:
        """Whether there is one in this state, of one of these types, or of any."""
        return any(one.state is state and (not kinds or one.kind in kinds) for one in self.book.kept)

    @initialize(
        same_id=st.booleans(), kinds=st.lists(KINDS, min_size=1, max_size=3), leaves_one=st.booleans()
    )
    def begin(self, same_id: bool, kinds: Sequence[AuthenticatorType], leaves_one: bool) -> None:
        """Two payers: of one client, or with one id at two. One has something, and may have left a first one."""
        name = f"anna-{secrets.token_hex(8)}"
        other = ("other-bank", name) if same_id else ("bank", f"not-{name}")
        self.payers = [Whose(*one, {"actor": f"client:{one[0]}"}) for one in (("bank", name), other)]
        self.psus = [self.desk.keyring.pseudonym("payer", one.client, one.psu_id) for one in self.payers]
        if leaves_one:
            self.enrol(False, HOTP, "none", "")
        for kind in kinds:
            self.enrol(False, kind, "fresh", "493817")
            self.activate(0, 0, another=False, is_wrong=False)

    @rule(other=st.booleans(), kind=KINDS, authorised=AUTHORISED, pin=PINS)
    def enrol(self, other: bool, kind: AuthenticatorType, authorised: str, pin: str) -> None:
        """A bank enrols one: without the word of an active one, with it, or with one that was used."""
        is_old = authorised == "old"
        word = None if authorised == "none" else f"evt_{secrets.token_hex(16)}"
        if authorised == "used":
            word = next(self.book.living_authorisations(), word)
        psu = self.psus[other]
        given_at = int(time.time()) + (-OLD_SECONDS if is_old else OLD_SECONDS)
        wish = Wish(
            kind,
            "Anna",
            Authorisation(word, given_at) if word else None,
            pin=Secret(pin) if kind is PIN else None,
            unlocked_by=Element.INHERENCE if kind is DEVICE else None,
            phone=PhoneNumber.parse(f"+49151{secrets.randbelow(10**8):08d}") if kind is PHONE else None,
            locale="de-DE",
        )
        enrolled = self.desk.tried(self.desk.enrolment.enrol(self.payers[other], wish))
        if kind is PIN and word is None and self.book.of(psu, ACTIVE, SUSPENDED):
            assert enrolled == "authorisation-required"  # at once, before anything is forgotten
            return
        why_not = self.book.why_not(psu, word, is_old=is_old)
        if isinstance(enrolled, str):
            assert enrolled == why_not
            return
        assert not why_not
        one = kept_of(enrolled, wish, psu)
        if one.last_challenge:
            sent = self.desk.enrolment.sent_for(self.payers[other], one.id, one.last_challenge)
            self.desk.run(sent)
        self.book.add(one)

    @rule(other=st.booleans(), kind=st.sampled_from([*ONE_OF_A_KIND, DEVICE]), pin=PINS, key=KEYS)
    def get_one_more(self, other: bool, kind: AuthenticatorType, pin: str, key: int) -> None:
        """A payer gets one as it should be, at once: in place of the one before, or with a known key."""
        self.enrol(other, kind, "fresh", pin)
        if self.has(PENDING):
            self.activate(0, 0, another=False, is_wrong=False, key=key)

    @precondition(lambda self: self.book.kept)
    @rule(at=PLACES)
    def enrol_the_same_again(self, at: int) -> None:
        """A repeated request hears of the same authenticator, and of no seed."""
        one = self.choose(at, PENDING)
        word = Authorisation(one.authorised_by, 0) if one.authorised_by else None
        pin = Secret("493817") if one.kind is PIN else None
        wish = Wish(one.kind, "Anna", word, unique=one.id[4:], pin=pin)
        again = self.desk.tried(self.desk.enrolment.enrol(self.whose(one, another=False)[0], wish))
        assert not isinstance(again, str)
        assert (again.authenticator.id, again.authenticator.state) == (one.id, one.state)
        assert (again.uri, again.activation_code) == (None, None)

    @precondition(lambda self: self.has(PENDING))
    @rule(
        at=PLACES,
        offset=SHOWN,
        another=SELDOM,
        is_wrong=SELDOM,
        code_of=st.none() | PLACES,
        is_mistaken=SELDOM,
        key=KEYS,
    )
    def activate(
        self,
        at: int,
        offset: int | None,
        another: bool,
        is_wrong: bool,
        code_of: int | None = None,
        is_mistaken: bool = False,
        key: int = 0,
    ) -> None:
        """Somebody proves one: rightly, with an old code, with another's, as another payer, in another way."""
        one = self.choose(at, PENDING)
        whose, psu = self.whose(one, another)
        shower = one if code_of is None else self.choose(code_of, PENDING, ACTIVE)
        (step, text), kind = self.shown(shower, offset), PROOF_OF[shower.kind]
        shown = Shown(mistaken(kind) if is_mistaken else kind, spoiled(text) if is_wrong else text, key)
        proof, desk = proof_from(shown, self.keys), self.desk.enrolment
        if isinstance(proof, HeldKey) and one.kind is DEVICE and not another:
            told = self.desk.tried(desk.activate_device(one.id, proof, whose.origin))
        else:
            told = self.desk.tried(desk.activate(whose, one.id, proof))
        replaced = line_before(one, self.book)
        expected = self.book.activate(psu, one.id, shown, now_ms=self.now_ms)
        assert (told if isinstance(told, str) else (told.outcome, told.tries_left)) == expected
        assert isinstance(told, str) or told.authenticator.state is one.state
        if not isinstance(told, str) and told.outcome == "activated":
            assert (shower is one or one.kind is PIN) and told.replaced == replaced
            self.take(one, psu, step, "activation")

    @precondition(lambda self: self.has(PENDING))
    @rule(at=PLACES, times=st.sampled_from([2, 4, 5, 6]))
    def guess_at_an_activation(self, at: int, times: int) -> None:
        """Somebody guesses, and the sixth is not looked at."""
        for _ in range(times):
            self.activate(at, 0, another=False, is_wrong=True)

    @precondition(lambda self: self.has(ACTIVE, TOTP, HOTP))
    @rule(
        at=PLACES,
        kinds=GENERATOR_KINDS,
        offset=SHOWN,
        challenge=CHALLENGES,
        another=SELDOM,
        is_wrong=SELDOM,
        waits=st.sampled_from([1, 0, 2]),
    )
    def use(
        self,
        at: int,
        kinds: AuthenticatorType,
        offset: int | None,
        challenge: str,
        another: bool,
        is_wrong: bool,
        waits: int,
    ) -> None:
        """Somebody answers a challenge with a code of one of them, of any state: their own or the other's."""
        one = self.choose(at, ACTIVE, kinds=[kinds])
        if one.otp is None:
            return
        self.periods_pass(waits)
        _, psu = self.whose(one, another)
        step, code = self.shown(one, offset)
        code = wrong(code) if is_wrong else code
        accepts = self.desk.generators.accepts(psu, one.kind, Secret(code), challenge=challenge)
        is_accepted = self.desk.run(accepts)
        assert is_accepted is (self.book.use(psu, one.kind, code, challenge, self.now_ms) is not None)
        if is_accepted:
            assert not is_wrong
            self.take(one, psu, step, challenge)

    def take(self, one: Kept, payer: str, step: int, by: str) -> None:
        """What is taken is the payer's own, active, once, and after all before (RFC 4226 7.2, RFC 6238 5.2)."""
        assert (one.payer, one.state) == (payer, ACTIVE)
        before = self.accepted[one.id]
        assert one.otp is None or all(step > was or (step, by) == (was, who) for was, who in before)
        before.append((step, by))

    @precondition(lambda self: self.has(ACTIVE, HOTP))
    @rule(at=PLACES, gap=GAPS, apart=st.sampled_from([1, 1, 1, 1, 0, 2, -1]), another=SELDOM)
    def resynchronise(self, at: int, gap: int, apart: int, another: bool) -> None:
        """A generator was pressed too often; two codes in a row, or not quite, tell where it stands."""
        one = self.choose(at, ACTIVE, kinds=[HOTP])
        whose, psu = self.whose(one, another)
        first = one.last_step + 1 + gap
        steps = first, max(0, first + apart)
        codes = ("12345678", "87654321") if one.otp is None else (one.code(steps[0]), one.code(steps[1]))
        told = self.desk.tried(
            self.desk.enrolment.resynchronise(whose, one.id, (Secret(codes[0]), Secret(codes[1])))
        )
        expected = self.book.resynchronise(psu, one.id, codes)
        assert (told if isinstance(told, str) else told[:2]) == expected
        assert isinstance(told, str) or told[2].state is one.state
        if not isinstance(told, str) and told[0] == "resynchronised":
            for step in steps:
                self.take(one, psu, step, "resynchronisation")

    @precondition(lambda self: self.has(ACTIVE, HOTP))
    @rule(at=PLACES, times=st.sampled_from([4, 5, 6]))
    def guess_at_a_counter(self, at: int, times: int) -> None:
        """Somebody guesses at two codes in a row, and is not heard a sixth time."""
        for _ in range(times):
            self.resynchronise(at, 0, 2, another=False)

    @precondition(lambda self: self.has(ACTIVE, PIN) or self.has(PENDING, PIN))
    @rule(other=st.booleans(), pin=st.sampled_from(["493817", "493817", "271828", "493818"]), hasher=PLACES)
    def give_a_pin(self, other: bool, pin: str, hasher: int) -> None:
        """Somebody gives a PIN, while the service hashes with these parameters or with those."""
        is_right = self.desk.run(self.desk.pins[hasher % 2].accepts(self.psus[other], Secret(pin)))
        assert is_right is self.book.knows(self.psus[other], pin)

    @precondition(lambda self: self.book.kept)
    @rule(at=PLACES, another=SELDOM, wanted=st.sampled_from([True, False, False]))
    def revoke(self, at: int, another: bool, wanted: bool) -> None:
        """A bank revokes one, now and then; its own payer's, or the id under the other payer."""
        if not wanted and not another:
            return
        one = self.choose(at, ACTIVE, PENDING)
        (whose, psu), was = self.whose(one, another), one.state
        told = self.desk.tried(self.desk.enrolment.revoke(whose, one.id))
        known = self.book.revoke(psu, one.id)
        assert told == (withdrawal_of(one, was, self.book) if known else "not-found")

    @precondition(lambda self: self.has(ACTIVE))
    @rule(at=PLACES, another=SELDOM, kinds=st.sampled_from([(), ONE_OF_A_KIND, [DEVICE]]), then=THEN)
    def suspend(
        self, at: int, another: bool, kinds: Sequence[AuthenticatorType] = (), then: str = ""
    ) -> None:
        """A bank suspends one, of any state, its own payer's or not; then perhaps another is enrolled."""
        one = self.choose(at, ACTIVE, kinds=kinds)
        whose, psu = self.whose(one, another)
        told = self.desk.tried(self.desk.enrolment.suspend(whose, one.id))
        known = self.book.suspend(psu, one.id)
        gone = (one.state, withdrawal_of(one, one.state, self.book)) if known else "not-found"
        assert (told if isinstance(told, str) else (told[0].state, told[1])) == gone
        is_other = one.payer == self.psus[1]
        if then in {"old", "none"}:
            self.enrol(is_other, TOTP, then, "")
        elif then == "again":
            self.get_one_more(is_other, one.kind if one.kind in ONE_OF_A_KIND else PIN, "271828", 0)
        elif then == "resume" and one.state is SUSPENDED:
            self.resume(0, another=False, is_word_sent=True)

    @precondition(lambda self: self.has(SUSPENDED))
    @rule(at=PLACES, another=SELDOM, is_word_sent=st.booleans())
    def resume(self, at: int, another: bool, is_word_sent: bool = False) -> None:
        """A bank resumes one, as it suspends one."""
        one = self.choose(at, SUSPENDED)
        whose, psu = self.whose(one, another)
        told = self.desk.tried(self.desk.enrolment.resume(whose, one.id))
        known = self.book.resume(psu, one.id)
        assert (told if isinstance(told, str) else told.state) == (one.state if known else "not-found")
        if is_word_sent:
            self.enrol(one.payer == self.psus[1], TOTP, "old", "")

    @precondition(lambda self: self.has(ACTIVE, DEVICE) or self.has(SUSPENDED, DEVICE))
    @rule(at=PLACES, challenge=CHALLENGES)
    def sign(self, at: int, challenge: str) -> None:
        """A device that signed for a challenge is asked whether it is active still."""
        one = self.choose(at, SUSPENDED, kinds=[DEVICE])
        row = self.desk.run(self.desk.store.of_anybody(one.id))
        if row is None or one.kind is not DEVICE:
            return
        is_kept = self.desk.run(self.desk.store.claim_key(row, challenge))
        assert is_kept is self.book.sign(one.payer, one.id, challenge)

    @rule(other=st.booleans(), challenge=CHALLENGES, pin=st.booleans())
    def note_use(self, other: bool, challenge: str, pin: bool) -> None:
        """A challenge is approved, with a PIN or without."""
        self.desk.run(self.desk.generators.used(self.psus[other], challenge=challenge, pin=pin))
        self.book.note_use(self.psus[other], challenge, pin=pin)

    @rule(periods=st.sampled_from([1, 1, 1, 2, -1]))
    def periods_pass(self, periods: int) -> None:
        """The generators' time goes on; seldom it is set back, as a clock is."""
        self.desk.clock.at_ms += periods * PERIOD_SECONDS * 1000

    @rule(stretches=st.sampled_from([1, 1, 3]))
    def minutes_pass(self, stretches: int) -> None:
        """Time goes by for what is pending, too."""
        seconds = stretches * STRETCH_SECONDS
        query = """
            UPDATE authenticators SET created_at = created_at - $2 * interval '1 second',
                revoked_at = revoked_at - $2 * interval '1 second',
                suspended_at = suspended_at - $2 * interval '1 second'
            WHERE psu = ANY($1)
        """
        self.desk.rows(query, self.psus, seconds)
        self.desk.clock.at_ms += seconds * 1000
        self.book.age(seconds)

    @invariant()
    def every_authenticator_stands_where_the_model_says(self) -> None:
        """State, tries and steps, also of what is revoked."""
        check_rows(self.desk, self.psus, self.book)

    @invariant()
    def each_payer_sees_what_the_model_has(self) -> None:
        """What is listed, what could answer, and never more than the policy allows."""
        for whose, psu in zip(self.payers, self.psus, strict=True):
            check_sight(self.desk, whose, psu, self.book)

    @invariant()
    def the_log_follows_each_life(self) -> None:
        """Every event, once, in order."""
        check_log(self.desk, self.psus, self.book)
