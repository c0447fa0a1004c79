"""What payers, banks, workers and suppliers can do to challenges, done to the scripts and to the model side by side."""

import copy
from collections.abc import Callable, Sequence

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sca_service.audit.model import AuditEvent
from sca_service.challenges.attempt import AttemptRoute
from sca_service.challenges.model import ChallengeId, LadderState, Outcome
from sca_service.challenges.redis_store import Due
from sca_service.delivery.model import DeliveryStatus, Settlement, delivery_id
from sca_service.policy.model import Channel, ResendPolicy, StepReason
from tests.properties.challenge_model import LEASE_MS, NEVER, Challenge, Payer
from tests.properties.line import Line
from tests.storeroom import (
    CLIENT,
    DIGEST,
    HEAD,
    LOCKOUT,
    SMS_ONLY,
    THREE_STEPS,
    answered,
    new_challenge,
    new_payer,
    over,
)

RESEND = ResendPolicy(first_seconds=30, factor=2, most_seconds=120)
MOST_PENDING = 3
MOST_TRIES = 3
TWO_STEPS = (LadderState(Channel.PUSH, 20_000, "delivered"), LadderState(Channel.VOICE, 0, "delivered"))
LADDERS = (SMS_ONLY, TWO_STEPS, THREE_STEPS)
EVERY_REASON = tuple(StepReason)
STEP_ON = st.one_of(
    st.just(EVERY_REASON),
    st.lists(st.sampled_from(EVERY_REASON), unique=True).map(tuple),
    st.just(EVERY_REASON),
)
SETTLEMENTS = st.builds(
    Settlement,
    st.sampled_from(
        [
            DeliveryStatus.SENT,
            DeliveryStatus.DELIVERED,
            DeliveryStatus.UNDELIVERED,
            DeliveryStatus.FAILED,
            DeliveryStatus.ANSWERED,
            DeliveryStatus.NO_ANSWER,
        ]
    ),
    st.just("sandbox"),
    reason=st.sampled_from(["", "timeout", "no_device", "supplier_down", "rejected"]),
    transient=st.booleans(),
    retry_ms=st.sampled_from([0, 1_000, 8_000]),
)
PLACES = st.sampled_from([0, 0, 0, 1, 1, 2, 3])
SELDOM = st.sampled_from([True, *[False] * 5])
STRETCHES = st.sampled_from(
    [1_000, 25_000, 50_000] * 5 + [130_000] * 2 + [301_000, 901_000, 3_700_000, 90_000_000]
)

Move = Callable[[Payer, int], str]


class ChallengeMachine(RuleBasedStateMachine):
    """One payer's challenges on the real scripts, beside the model."""

    line: Line

    def __init__(self) -> None:
        super().__init__()
        self.line.command("FLUSHDB")
        self.payer_name = new_payer()
        self.payer = Payer(LOCKOUT, RESEND, MOST_PENDING)
        self.ids: dict[str, ChallengeId] = {}
        self.approvals: dict[str, int] = {}
        self.sends: dict[str, int] = {}
        self.revisions: dict[str, int] = {}
        self.events: list[str] = []

    def follow(self, word: str, events: Sequence[AuditEvent], began_ms: int, move: Move) -> None:
        """The model makes the same move, at the moment that the events tell, and it comes to the same word."""
        self.events += [event.body for event in events]
        moments = [events[0].head.at_ms] if events else range(began_ms, self.line.now_ms() + 1)
        words = []
        for now_ms in moments:
            told = copy.deepcopy(self.payer)
            told.at(now_ms)
            words.append(move(told, now_ms))
            if words[-1] == word:
                self.payer = told
                return
        raise AssertionError(f"the script said {word}, the model {words}")

    def some_challenge(self, at: int) -> str:
        """Any challenge there has been, also one that is long gone; the pending first, then the younger."""
        pending = {one.id for one in self.payer.challenges.values() if one.is_pending}
        names = list(self.ids)
        names.reverse()
        names.sort(key=lambda name: name not in pending)
        return names[at % len(names)]

    @initialize(ladders=st.lists(st.sampled_from(LADDERS), min_size=1, max_size=3))
    def begin(self, ladders: Sequence[Sequence[LadderState]]) -> None:
        """A payer with something to answer."""
        for ladder in ladders:
            self.issue(ladder, 300_000, is_recorded=True)

    @rule(
        ladder=st.sampled_from(LADDERS),
        lifetime_ms=st.sampled_from([60_000, 300_000]),
        is_recorded=st.booleans(),
        step_on=STEP_ON,
    )
    def issue(
        self,
        ladder: Sequence[LadderState],
        lifetime_ms: int,
        is_recorded: bool,
        step_on: Sequence[StepReason] = EVERY_REASON,
    ) -> None:
        """A bank issues one more."""
        began_ms = self.line.now_ms()
        challenge, new = new_challenge(
            self.payer_name,
            ladder=ladder,
            lifetime_ms=lifetime_ms,
            most_pending=MOST_PENDING,
            step_on=step_on,
        )
        reply = self.line.run(self.line.store.add(challenge, new, HEAD))
        self.ids[challenge.text] = challenge

        def move(payer: Payer, now_ms: int) -> str:
            new = Challenge(challenge.text, ladder, now_ms + lifetime_ms, 0, step_on=step_on)
            return payer.issue(new, now_ms)

        self.follow(reply.word, reply.events, began_ms, move)
        assert reply.state is not None
        assert self.line.run(self.line.store.add(challenge, new, HEAD)).state == reply.state
        if is_recorded and reply.word == "issued":
            self.release(challenge.text)

    def release(self, challenge: str) -> None:
        """The decision that queued its newest delivery is on record."""
        state = self.line.state(self.ids[challenge].partition, challenge)
        assert state is not None

        async def go() -> bool:
            return bool(await self.line.store.release(state))

        assert self.line.run(go()) == self.payer.release(self.payer.challenges[challenge])

    @precondition(lambda self: self.ids)
    @rule(at=PLACES, key=st.sampled_from(["", "one", "two"]), another=SELDOM)
    def the_right_answer(self, at: int, key: str, another: bool) -> None:
        """A payer types the code, and the bank names the same transaction or, seldom, another."""
        self.answer(at, right=True, same=not another, key=key)

    @precondition(lambda self: self.ids)
    @rule(at=PLACES, times=st.sampled_from([1, 1, 2, 4, 5]), another=SELDOM)
    def wrong_answers(self, at: int, times: int, another: bool) -> None:
        """Somebody guesses, once or more often."""
        for _ in range(times):
            self.answer(at, right=False, same=not another, key="")

    def answer(self, at: int, *, right: bool, same: bool, key: str) -> None:
        """One answer."""
        began_ms = self.line.now_ms()
        name = self.some_challenge(at)
        digest = DIGEST if same else "sha256:another"
        reply = self.line.run(answered(self.line.store, self.ids[name], right=right, digest=digest, key=key))

        def move(payer: Payer, now_ms: int) -> str:
            one = payer.challenges.get(name)
            return payer.answer(one, now_ms, right=right, same=same, key=key) if one else "not_found"

        self.follow(reply.word, reply.events, began_ms, move)
        if reply.word == Outcome.APPROVED and reply.events:
            self.approvals[name] = self.approvals.get(name, 0) + 1
        assert self.approvals.get(name, 0) <= 1

    @precondition(lambda self: self.ids)
    @rule(at=PLACES, right=st.booleans())
    def another_client_answers(self, at: int, right: bool) -> None:
        """An id alone opens nothing and counts nothing."""
        challenge = self.ids[self.some_challenge(at)]
        reply = self.line.run(answered(self.line.store, challenge, right=right, client="other-bank"))
        assert (reply.word, reply.events) == ("not_found", ())

    @precondition(lambda self: self.ids)
    @rule(at=PLACES, is_recorded=st.booleans())
    def ask_next(self, at: int, is_recorded: bool) -> None:
        """A payer asks for the next message."""
        began_ms = self.line.now_ms()
        name = self.some_challenge(at)
        reply = self.line.run(
            self.line.store.step(self.ids[name], HEAD, client=CLIENT, resend=RESEND, limits=())
        )

        def move(payer: Payer, now_ms: int) -> str:
            one = payer.challenges.get(name)
            return payer.ask_next(one, now_ms) if one else "not_found"

        self.follow(reply.word, reply.events, began_ms, move)
        if is_recorded and reply.word == "stepped":
            self.release(name)

    @precondition(lambda self: self.ids)
    @rule(at=PLACES, wanted=SELDOM)
    def cancel(self, at: int, wanted: bool) -> None:
        """A bank cancels, now and then."""
        if not wanted:
            return
        began_ms = self.line.now_ms()
        name = self.some_challenge(at)
        reply = self.line.run(self.line.store.cancel(self.ids[name], HEAD, client=CLIENT))

        def move(payer: Payer, now_ms: int) -> str:
            one = payer.challenges.get(name)
            return payer.cancel(one, now_ms) if one else "not_found"

        self.follow(reply.word, reply.events, began_ms, move)

    @precondition(lambda self: self.ids)
    @rule(dies=SELDOM, backwards=st.booleans(), has_route=st.sampled_from([True, True, True, False]))
    def work(self, dies: bool, backwards: bool, has_route: bool = True) -> None:
        """A worker leases what is due, and either takes it up, with a route or without, or dies."""
        partition = next(iter(self.ids.values())).partition
        began_ms = self.line.now_ms()
        leased = self.line.run(self.line.store.claim(partition, most=100))
        claimed = {due.challenge: due for due in leased}
        ended_ms = self.line.now_ms()
        self.payer.at(began_ms)
        for one in self.payer.challenges.values():
            if one.due_at == NEVER or one.due_at > ended_ms:
                assert one.id not in claimed
            elif one.due_at <= began_ms:
                assert one.id in claimed
            if one.id in claimed:
                one.due_at = self.due_at(one.id)
                assert began_ms <= one.due_at - LEASE_MS <= ended_ms
        if not dies:
            for name in sorted(claimed, key=list(self.ids).index, reverse=backwards):
                self.advance(name, claimed[name], has_route)

    def advance(self, name: str, due: Due, has_route: bool) -> None:
        """What the worker is told to do about one challenge, for which it chose a route when it was leased."""
        channel = due.state.channel_due(due.now_ms, most_tries=MOST_TRIES) if due.state else None
        route = over(channel or "") if has_route else AttemptRoute(channel or "", reason="supplier_down")
        began_ms = self.line.now_ms()
        reply = self.line.run(
            self.line.store.advance(self.ids[name], HEAD, route, leased_until=due.leased_until)
        )

        def move(payer: Payer, now_ms: int) -> str:
            one = payer.challenges.get(name)
            if one is None:
                return "idle"
            return payer.advance(one, now_ms, channel=channel or "", has_route=has_route)

        self.follow(reply.word, reply.events, began_ms, move)
        if reply.word == "send":
            assert reply.state is not None
            sent = reply.state.deliveries[-1].id
            self.sends[sent] = self.sends.get(sent, 0) + 1
            assert self.sends[sent] <= MOST_TRIES
            assert channel == reply.state.deliveries[-1].channel

    @rule(at=PLACES, word=SETTLEMENTS)
    def settle(self, at: int, word: Settlement) -> None:
        """A supplier says what became of a message: in time, late, twice, or something else than before."""
        began_ms = self.line.now_ms()
        if not self.sends:
            return
        delivery = list(self.sends)[-1 - at % len(self.sends)]
        name, number = f"chl_{delivery[4:-2]}", int(delivery[-2:], 16)
        assert delivery == delivery_id(name, number)
        reply = self.line.run(self.line.store.settle(self.ids[name], HEAD, delivery, word))

        def move(payer: Payer, now_ms: int) -> str:
            one = payer.challenges.get(name)
            return payer.settle(one, one.deliveries[number - 1], word, now_ms) if one else "not_found"

        self.follow(reply.word, reply.events, began_ms, move)

    @rule(at=PLACES, attempt=st.sampled_from([1, 1, 2, 3]))
    def postpone(self, at: int, attempt: int) -> None:
        """A worker could not put its attempt on record, and gives it back."""
        began_ms = self.line.now_ms()
        if not self.sends:
            return
        delivery = list(self.sends)[-1 - at % len(self.sends)]
        name, number = f"chl_{delivery[4:-2]}", int(delivery[-2:], 16)
        reply = self.line.run(
            self.line.store.postpone(self.ids[name], HEAD, delivery, attempt=attempt, wait_ms=1_000)
        )

        def move(payer: Payer, now_ms: int) -> str:
            one = payer.challenges.get(name)
            return (
                payer.postpone(one, one.deliveries[number - 1], attempt, 1_000, now_ms) if one else "ignored"
            )

        self.follow(reply.word, reply.events, began_ms, move)
        if reply.word == "changed":
            self.sends[delivery] -= 1

    @rule(at=PLACES, wanted=SELDOM)
    def decline(self, at: int, wanted: bool) -> None:
        """A payer says no to a message, now and then."""
        began_ms = self.line.now_ms()
        if not self.sends or not wanted:
            return
        delivery = list(self.sends)[-1 - at % len(self.sends)]
        name, number = f"chl_{delivery[4:-2]}", int(delivery[-2:], 16)
        reply = self.line.run(self.line.store.decline(self.ids[name], HEAD, delivery, ""))

        def move(payer: Payer, now_ms: int) -> str:
            one = payer.challenges.get(name)
            return payer.decline(one, one.deliveries[number - 1], now_ms) if one else "not_found"

        self.follow(reply.word, reply.events, began_ms, move)

    @rule(wanted=SELDOM)
    def unblock(self, wanted: bool) -> None:
        """An operator lifts the block, or forgets the failures counted, now and then."""
        if not wanted:
            return
        reply = self.line.run(self.line.store.unblock(self.payer_name, b'"actor":"client:operator"'))
        self.events += [event.body for event in reply.events]
        self.payer.clear()

    @rule(ms=STRETCHES)
    def time_passes(self, ms: int) -> None:
        """Nobody does anything for a while."""
        self.line.let_pass(ms)
        self.payer.age(ms)

    @rule()
    def time_passes_until_something_is_due(self) -> None:
        """Until a worker has to look at something, to the millisecond."""
        due = [one.due_at for one in self.payer.challenges.values() if one.due_at != NEVER]
        if due and min(due) > self.line.now_ms():
            self.time_passes(min(due) - self.line.now_ms())

    def due_at(self, challenge: str) -> int:
        """When a worker has to look at a challenge, as Redis has it."""
        score = self.line.command("ZSCORE", f"{{p{self.ids[challenge].partition:02d}}}:due", challenge)
        return int(score) if score is not None else NEVER

    @invariant()
    def every_challenge_stands_where_the_model_says(self) -> None:
        """Status, attempts, deliveries and every moment, to the millisecond."""
        for one in self.payer.challenges.values():
            state = self.line.state(self.ids[one.id].partition, one.id)
            if state is None:
                assert self.line.now_ms() > one.gone_at
                continue
            assert (state.status, state.attempts_left) == (one.status, one.attempts_left)
            assert [(each.status, each.tries, each.queued_at) for each in state.deliveries] == [
                (each.status, each.tries, each.queued_at) for each in one.deliveries
            ]
            assert (state.expires_at, state.next_at, state.resend_at) == (
                one.expires_at,
                one.next_at,
                one.resend_at,
            )
            assert self.due_at(one.id) == one.due_at
            assert state.revision >= self.revisions.get(one.id, 0)
            self.revisions[one.id] = state.revision

    @invariant()
    def no_pending_challenge_is_stuck(self) -> None:
        """A worker will look at it, and by then at the latest it expires."""
        for one in self.payer.challenges.values():
            assert not one.is_pending or one.due_at != NEVER

    @invariant()
    def the_payer_stands_where_the_model_says(self) -> None:
        """Failures in a row, blocks so far, and until when blocked."""
        partition = int(self.payer_name[:2], 16) % 64
        key = f"{{p{partition:02d}}}:lockout:{self.payer_name}"
        found = self.line.command("HMGET", key, "failures", "blocks", "blocked_until")
        self.payer.at(self.line.now_ms())
        if self.payer.forgotten_at != NEVER:
            assert [int(one or 0) for one in found] == [
                self.payer.failures,
                self.payer.blocks,
                self.payer.blocked_until,
            ]
        assert self.payer.failures < LOCKOUT.most_failures  # RTS Art. 4(3)(b): the fifth one blocks

    @invariant()
    def everything_that_was_decided_is_in_the_outbox(self) -> None:
        """Every event, once, in the order in which it happened."""
        partition = int(self.payer_name[:2], 16) % 64
        entries = self.line.command("XRANGE", f"{{p{partition:02d}}}:outbox", "-", "+")
        assert [AuditEvent.parse(text).body for _, (_, text) in entries] == self.events
