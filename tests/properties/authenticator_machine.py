"""What payers and banks can do to authenticators, done to PostgreSQL and to the model side by side.

`created_at` is PostgreSQL's clock, so a long time goes by when it is moved into the past; the generators' time is a
clock that the test moves.
"""

import json
import secrets
import time
from collections import defaultdict
from collections.abc import Sequence

import pyotp
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from sca_service.authenticators.enrolment.model import KnownPin, ShownCode, Whose, Wish
from sca_service.authenticators.model import AuthenticatorState, AuthenticatorType, Authorisation, Withdrawn
from sca_service.kernel.secret import Secret
from tests.harness import wrong
from tests.properties.authenticator_desk import START_MS, Desk
from tests.properties.authenticator_model import (
    LOOK_AHEAD,
    MOST_OF_A_PAYER,
    PERIOD_SECONDS,
    RESYNCHRONISING,
    Book,
    Kept,
)

STRETCH_SECONDS = 250
"""Two are less than what is pending lives and three more, whatever the real clock adds; an authorisation lives one."""
PENDING, ACTIVE, SUSPENDED, REVOKED = AuthenticatorState
TOTP, HOTP, PIN = AuthenticatorType.TOTP, AuthenticatorType.HOTP, AuthenticatorType.PIN

KINDS = st.sampled_from([TOTP, HOTP, PIN])
GENERATOR_KINDS = st.sampled_from([TOTP, HOTP])
AUTHORISED = st.sampled_from(["fresh", "fresh", "old", "none", "used"])
"""Given just now, or before whatever was revoked since time went by last; not given; used before."""
OLD_SECONDS = 100
"""Less than a stretch, and more than the test takes by the real clock, by which PostgreSQL notes a revocation."""
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
        """A step, and what the generator shows there; a PIN stands in for one that shows nothing."""
        if one.kind is PIN:
            return 0, one.pin
        current = self.now_ms // 1000 // PERIOD_SECONDS if one.kind is TOTP else one.last_step + 1
        step = max(0, one.last_step if offset is None else current + offset)
        return step, one.code(step)

    @property
    def now_ms(self) -> int:
        """The generators' time."""
        return self.desk.clock.at_ms

    def has(self, state: AuthenticatorState, *kinds: AuthenticatorType) -> bool:
        """Whether there is one in this state, of one of these types."""
        return any(one.state is state and one.kind in kinds for one in self.book.kept)

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
        )
        enrolled = self.desk.tried(self.desk.enrolment.enrol(self.payers[other], wish))
        if kind is PIN and word is None and self.book.of(psu, ACTIVE):
            assert enrolled == "authorisation-required"  # at once, before anything is forgotten
            return
        why_not = self.book.why_not(psu, word, is_old=is_old)
        if isinstance(enrolled, str):
            assert enrolled == why_not
            return
        assert not why_not
        one = Kept(enrolled.authenticator.id, psu, kind, word)
        if kind is PIN:
            assert enrolled.uri is None
            one.pin = pin
        else:
            assert enrolled.uri is not None
            otp = pyotp.parse_uri(enrolled.uri.reveal())
            assert isinstance(otp, pyotp.TOTP | pyotp.HOTP)
            one.otp = otp
        self.book.add(one)

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
        assert (again.authenticator.id, again.authenticator.state, again.uri) == (one.id, one.state, None)

    @precondition(lambda self: self.has(PENDING, TOTP, HOTP, PIN))
    @rule(
        at=PLACES,
        offset=SHOWN,
        another=SELDOM,
        is_wrong=SELDOM,
        code_of=st.none() | PLACES,
        is_mistaken=SELDOM,
    )
    def activate(
        self,
        at: int,
        offset: int | None,
        another: bool,
        is_wrong: bool,
        code_of: int | None = None,
        is_mistaken: bool = False,
    ) -> None:
        """Somebody proves one: rightly, with an old code, with another's, as another payer, or a PIN as a code."""
        one = self.choose(at, PENDING)
        whose, psu = self.whose(one, another)
        shower = one if code_of is None else self.choose(code_of, PENDING, ACTIVE)
        step, proof = self.shown(shower, offset)
        proof, is_pin = wrong(proof) if is_wrong else proof, (shower.kind is PIN) is not is_mistaken
        kind = KnownPin if is_pin else ShownCode
        told = self.desk.tried(self.desk.enrolment.activate(whose, one.id, kind(Secret(proof))))
        expected = self.book.activate(psu, one.id, proof, is_pin=is_pin, now_ms=self.now_ms)
        assert (told if isinstance(told, str) else (told.outcome, told.tries_left)) == expected
        assert isinstance(told, str) or told.authenticator.state is one.state
        if not isinstance(told, str) and told.outcome == "activated":
            assert shower is one or one.kind is PIN
            self.take(one, psu, step, "activation")

    @precondition(lambda self: self.has(PENDING, TOTP, HOTP, PIN))
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
        if one.kind is PIN:
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
        assert one.kind is PIN or all(step > was or (step, by) == (was, who) for was, who in before)
        before.append((step, by))

    @precondition(lambda self: self.has(ACTIVE, HOTP))
    @rule(at=PLACES, gap=GAPS, apart=st.sampled_from([1, 1, 1, 1, 0, 2, -1]), another=SELDOM)
    def resynchronise(self, at: int, gap: int, apart: int, another: bool) -> None:
        """A generator was pressed too often; two codes in a row, or not quite, tell where it stands."""
        one = self.choose(at, ACTIVE, kinds=[HOTP])
        whose, psu = self.whose(one, another)
        first = one.last_step + 1 + gap
        steps = first, max(0, first + apart)
        codes = ("12345678", "87654321") if one.kind is PIN else (one.code(steps[0]), one.code(steps[1]))
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
        whose, psu = self.whose(one, another)
        told = self.desk.tried(self.desk.enrolment.revoke(whose, one.id))
        if self.book.revoke(psu, one.id) is None:
            assert told == "not-found"
        else:
            assert told == Withdrawn(
                one.id,
                one.kind,
                frozenset(other.id for other in self.book.of(psu, ACTIVE, kind=one.kind)),
            )

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
                revoked_at = revoked_at - $2 * interval '1 second'
            WHERE psu = ANY($1)
        """
        self.desk.rows(query, self.psus, seconds)
        self.desk.clock.at_ms += seconds * 1000
        self.book.age(seconds)

    @invariant()
    def every_authenticator_stands_where_the_model_says(self) -> None:
        """State, tries and steps, also of what is revoked; only that has lost its seed or hash (RTS Art. 27)."""
        query = "SELECT * FROM authenticators WHERE psu = ANY($1) ORDER BY created_at, id"
        rows = self.desk.rows(query, self.psus)
        assert [
            (row["id"], row["state"], row["tries"], row["last_step"], row["last_challenge"]) for row in rows
        ] == [(one.id, one.state, one.tries, one.last_step, one.last_challenge) for one in self.book.kept]
        for row in rows:
            assert (row["sealed"] == "") is (row["state"] == "revoked")
            assert row["tries"] <= 5  # RTS Art. 4(3)(b)

    @invariant()
    def each_payer_sees_what_the_model_has(self) -> None:
        """What is listed, what could answer, and never more than the policy allows."""
        for whose, psu in zip(self.payers, self.psus, strict=True):
            seen = self.desk.run(self.desk.enrolment.all_of(whose))
            assert [(one.id, one.type, one.state, one.label, one.used_at_ms > 0) for one in seen] == [
                (one.id, one.kind, one.state, "Anna", one.is_used)
                for one in self.book.of(psu, PENDING, ACTIVE)
            ]
            assert len(seen) <= MOST_OF_A_PAYER
            assert len(self.book.of(psu, ACTIVE, kind=PIN)) <= 1
            active = {one.kind for one in self.book.of(psu, ACTIVE)}
            for kind in (TOTP, HOTP, PIN):
                assert self.desk.run(self.desk.generators.has_active(psu, kind)) is (kind in active)

    @invariant()
    def the_log_follows_each_life(self) -> None:
        """Every event, once, in order; each was enrolled first, activated at most once, and nothing follows its end."""
        query = "SELECT body FROM audit_events WHERE psu = ANY($1) ORDER BY txid, position"
        events = [json.loads(row["body"]) for row in self.desk.rows(query, self.psus)]
        lives = defaultdict(list)
        for one in events:
            lives[one["authenticator"]].append((one["type"], one.get("reason", "")))
        assert lives == self.book.lives
        for life in lives.values():
            kinds = [kind.removeprefix("authenticator.") for kind, _ in life]
            assert (kinds[0], kinds.count("enrolled")) == ("enrolled", 1)
            assert kinds.count("activated") <= 1
            assert "revoked" not in kinds[:-1]
