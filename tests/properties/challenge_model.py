"""A payer and the challenges as they should be: a model in plain Python, to hold the scripts against.

Every call is given the moment at which it happens, in milliseconds; nothing here asks a clock. The model knows nothing
of keys, revisions or MessagePack, only of what a payer, a bank and a supplier can tell apart.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sca_service.challenges.model import OUTCOME_OF_FINAL, LadderState, Outcome, Status
from sca_service.challenges.redis_store import MOST_TRIES, RECORD_MS, SEND_LEASE_MS
from sca_service.delivery.model import DeliveryStatus, Settlement
from sca_service.policy.model import LockoutPolicy, ResendPolicy, StepReason

KEPT_MS = 3_600_000
SETTLED_MS = 30_000
LEASE_MS = 10_000
NEVER = 0
FAILED = {
    DeliveryStatus.FAILED,
    DeliveryStatus.UNDELIVERED,
    DeliveryStatus.NO_ANSWER,
    DeliveryStatus.SKIPPED,
}


@dataclass(slots=True)
class Sent:
    """One delivery."""

    channel: str
    queued_at: int
    status: DeliveryStatus = DeliveryStatus.QUEUED
    tries: int = 0
    was_sent: bool = False
    reason: str = ""
    not_taken: int = 0

    @property
    def is_in_hand(self) -> bool:
        """Whether a worker may be sending it: for all that is known the newest try was not refused."""
        return self.status is DeliveryStatus.QUEUED and self.tries > self.not_taken

    @property
    def is_uncertain(self) -> bool:
        """Whether nobody knows if it arrived."""
        return self.status is DeliveryStatus.FAILED and self.reason in ("timeout", "worker_lost")


def failure_of(sent: Sent) -> str:
    """Why the ladder would leave a delivery that failed."""
    words = {DeliveryStatus.UNDELIVERED: "undelivered", DeliveryStatus.NO_ANSWER: "no_answer"}
    reasons = {"timeout": "timeout", "no_device": "no_device"}
    return words.get(sent.status) or reasons.get(sent.reason) or "supplier_down"


@dataclass(slots=True)
class Challenge:
    """One challenge of the payer. `due_at` is when a worker has to look at it next, NEVER when it need not."""

    id: str
    ladder: Sequence[LadderState]
    expires_at: int
    attempts_left: int
    status: Status = Status.PENDING
    deliveries: list[Sent] = field(default_factory=list)
    next_at: int = NEVER
    due_at: int = NEVER
    resend_at: int = NEVER
    resends: int = 0
    gone_at: int = NEVER
    answer_key: str = ""
    step_on: Collection[str] = tuple(StepReason)

    @property
    def is_pending(self) -> bool:
        """Whether it can still be answered."""
        return self.status is Status.PENDING

    @property
    def current(self) -> Sent:
        """The delivery of the step it is on."""
        return self.deliveries[-1]

    @property
    def step(self) -> LadderState:
        """The step it is on."""
        return self.ladder[len(self.deliveries) - 1]

    @property
    def has_next(self) -> bool:
        """Whether there is a further channel."""
        return len(self.deliveries) < len(self.ladder)

    def keep(self, now_ms: int) -> None:
        """It was changed, and so is kept for a while longer."""
        self.gone_at = max(self.expires_at, now_ms) + KEPT_MS

    def queue(self, now_ms: int) -> None:
        """A delivery over the next channel, which waits to be on record."""
        self.deliveries.append(Sent(self.ladder[len(self.deliveries)].channel, now_ms))
        self.wait_for_step(now_ms)
        self.due_at = now_ms + RECORD_MS

    def wait_for_step(self, now_ms: int) -> None:
        """From now on the time of this step runs, where another follows."""
        self.next_at = now_ms + self.step.timeout_ms if self.goes_on_for("timeout") else NEVER

    def wait(self, at_ms: int) -> None:
        """A worker looks at the delivery then, or when its step or the challenge ends."""
        if self.next_at and self.current.tries:
            at_ms = min(at_ms, self.next_at)
        self.due_at = min(at_ms, self.expires_at)

    def end(self, status: Status, now_ms: int) -> None:
        """No way back: nothing is sent any more, and what is in a worker's hands gets its time."""
        self.status = status
        self.next_at = NEVER
        for sent in self.deliveries:
            if sent.status is DeliveryStatus.QUEUED and not sent.is_in_hand:
                sent.status = DeliveryStatus.SKIPPED
        in_hand = any(sent.status is DeliveryStatus.QUEUED for sent in self.deliveries)
        self.due_at = now_ms + SETTLED_MS if in_hand else NEVER

    def goes_on_for(self, reason: str) -> bool:
        """Whether the next channel follows for this reason."""
        return self.has_next and reason in self.step_on

    def go_on(self, reason: str, now_ms: int) -> None:
        """On to the next channel; without one, wait for what may still arrive, or give up."""
        if self.goes_on_for(reason):
            if self.current.status is DeliveryStatus.QUEUED and not self.current.is_in_hand:
                self.current.status = DeliveryStatus.SKIPPED
            self.queue(now_ms)
            return
        self.next_at = NEVER
        if all(sent.status in FAILED and not sent.is_uncertain for sent in self.deliveries):
            self.end(Status.UNDELIVERABLE, now_ms)
        else:
            self.due_at = self.expires_at


@dataclass(slots=True)
class Payer:
    """One payer with all challenges: what the partition's scripts decide."""

    lockout: LockoutPolicy
    resend: ResendPolicy
    most_pending: int
    challenges: dict[str, Challenge] = field(default_factory=dict)
    failures: int = 0
    blocks: int = 0
    blocked_until: int = NEVER
    forgotten_at: int = NEVER

    def at(self, now_ms: int) -> None:
        """What has gone by is forgotten: failures after their window, challenges after an hour."""
        if self.forgotten_at and now_ms > self.forgotten_at:
            self.clear()
        for one in list(self.challenges.values()):
            if now_ms > one.gone_at:
                del self.challenges[one.id]

    def clear(self) -> None:
        """No failure is counted any more."""
        self.failures = self.blocks = self.blocked_until = self.forgotten_at = NEVER

    def release(self, one: Challenge) -> bool:
        """Its newest delivery is on record: nothing has to wait for that any more."""
        waits = one.due_at == one.current.queued_at + RECORD_MS
        if waits:
            one.due_at = one.current.queued_at
        return waits

    def age(self, ms: int) -> None:
        """Time goes by: every moment lies further in the past."""
        for name in ("blocked_until", "forgotten_at"):
            self._age(self, name, ms)
        for one in self.challenges.values():
            for name in ("expires_at", "next_at", "due_at", "resend_at", "gone_at"):
                self._age(one, name, ms)
            for sent in one.deliveries:
                self._age(sent, "queued_at", ms)

    @staticmethod
    def _age(value: object, name: str, ms: int) -> None:
        moment = getattr(value, name)
        setattr(value, name, moment - ms if moment != NEVER else NEVER)

    def pending(self, now_ms: int) -> list[Challenge]:
        """Those that could be answered now, the oldest first."""
        found = [one for one in self.challenges.values() if one.is_pending and one.expires_at > now_ms]
        return sorted(found, key=lambda one: (one.deliveries[0].queued_at, one.id))

    def issue(self, new: Challenge, now_ms: int) -> str:
        """`issued`, or `refused` to a blocked payer; one too many supersedes another."""
        others = self.pending(now_ms)
        self.challenges[new.id] = new
        if self.blocked_until > now_ms:
            new.status, new.attempts_left, new.expires_at = Status.REFUSED, 0, now_ms
            new.keep(now_ms)
            return "refused"
        new.attempts_left = self.lockout.most_failures - self.failures
        new.queue(now_ms)
        new.keep(now_ms)
        if len(others) >= self.most_pending:
            others[0].end(Status.CANCELLED, now_ms)
            others[0].keep(now_ms)
        return "issued"

    def answer(self, one: Challenge, now_ms: int, *, right: bool, same: bool, key: str) -> Outcome:
        """What an answer comes to. `right`: the code; `same`: the transaction."""
        if one.status is Status.APPROVED and key and key == one.answer_key and right and same:
            return Outcome.APPROVED
        if not one.is_pending:
            return OUTCOME_OF_FINAL[one.status]
        one.keep(now_ms)
        if now_ms >= one.expires_at:
            one.end(Status.EXPIRED, now_ms)
            return Outcome.EXPIRED
        if self.blocked_until > now_ms:
            one.attempts_left = 0
            one.end(Status.BLOCKED, now_ms)
            return Outcome.BLOCKED
        if not same:
            one.end(Status.REJECTED, now_ms)
            return Outcome.TRANSACTION_MISMATCH
        one.attempts_left -= 1
        if right:
            one.answer_key = key
            one.end(Status.APPROVED, now_ms)
            self.clear()
            return Outcome.APPROVED
        self.fail(one, now_ms)
        return Outcome.INCORRECT

    def fail(self, one: Challenge, now_ms: int) -> None:
        """Count a failure against the payer, wherever it happened."""
        window_ms = self.lockout.window_seconds * 1000
        self.failures += 1
        self.forgotten_at = now_ms + window_ms
        one.attempts_left = min(one.attempts_left, self.lockout.most_failures - self.failures)
        if self.failures == self.lockout.most_failures:
            self.blocked_until = now_ms + self.lockout.block_after(self.blocks) * 1000
            self.forgotten_at = self.blocked_until + window_ms
            self.blocks += 1
            self.failures = 0
        if one.attempts_left == 0:
            one.end(Status.BLOCKED, now_ms)

    def ask_next(self, one: Challenge, now_ms: int) -> str:
        """`stepped`, or why not."""
        if not one.is_pending or now_ms >= one.expires_at:
            return "final"
        if not one.goes_on_for("user_request"):
            return "no_more"
        if now_ms < one.resend_at:
            return "cooldown"
        one.go_on("user_request", now_ms)
        one.resends += 1
        one.resend_at = now_ms + self.resend.wait_seconds(one.resends) * 1000
        one.keep(now_ms)
        return "stepped"

    def cancel(self, one: Challenge, now_ms: int) -> str:
        """`cancelled`, also when that finds that its time was over, or `final`."""
        if not one.is_pending:
            return "final"
        one.end(Status.EXPIRED if now_ms >= one.expires_at else Status.CANCELLED, now_ms)
        one.keep(now_ms)
        return "cancelled"

    def advance(self, one: Challenge, now_ms: int, *, channel: str, has_route: bool) -> str:
        """What a worker that has leased it is to do: `send` its current delivery, or nothing.

        It has a route, or found that there is none, for what was due over `channel` when it leased it.
        """
        if not one.is_pending:
            lost = [sent for sent in one.deliveries if sent.status is DeliveryStatus.QUEUED]
            for sent in lost:
                sent.status, sent.reason = DeliveryStatus.FAILED, "worker_lost"
            one.due_at = NEVER
            if lost:
                one.keep(now_ms)
            return "changed" if lost else "idle"
        if now_ms >= one.expires_at:
            one.end(Status.EXPIRED, now_ms)
            one.keep(now_ms)
            return "changed"
        word = "changed"
        if one.current.status is DeliveryStatus.QUEUED and one.current.tries >= MOST_TRIES:
            one.current.reason = "worker_lost" if one.current.is_in_hand else one.current.reason
            one.current.status = DeliveryStatus.FAILED
            one.go_on(failure_of(one.current), now_ms)
        elif one.current.tries and one.next_at and now_ms >= one.next_at:
            one.go_on("timeout", now_ms)
        elif one.current.status is not DeliveryStatus.QUEUED:
            one.due_at = min(one.next_at or one.expires_at, one.expires_at)
            return "idle"
        else:
            word = "idle"
        if (
            not one.is_pending
            or one.current.status is not DeliveryStatus.QUEUED
            or one.current.channel != channel
        ):
            if word == "changed":
                one.keep(now_ms)
            return word
        one.keep(now_ms)
        if not has_route:
            one.current.reason = "worker_lost" if one.current.is_in_hand else "supplier_down"
            one.current.status = DeliveryStatus.FAILED
            one.go_on("supplier_down", now_ms)
            return "changed"
        one.current.tries += 1
        if one.current.tries == 1 and one.next_at:
            one.wait_for_step(now_ms)
        one.wait(now_ms + SEND_LEASE_MS)
        return "send"

    def settle(self, one: Challenge, sent: Sent, word: Settlement, now_ms: int) -> str:
        """What a supplier says of a delivery: `changed`, or `ignored` when that is no news."""
        if not sent.tries:
            return "ignored"
        if word.status is DeliveryStatus.SENT and sent.status is not DeliveryStatus.QUEUED:
            if sent.was_sent or sent.status is DeliveryStatus.SKIPPED:
                return "ignored"
            sent.was_sent = True  # its receipt was quicker
            one.keep(now_ms)
            return "changed"
        if sent.status.is_final and (not sent.is_uncertain or word.status is DeliveryStatus.FAILED):
            return "ignored"
        is_current = sent is one.current
        if word.status is DeliveryStatus.FAILED and word.transient and is_current and one.is_pending:
            if not sent.is_in_hand:
                return "ignored"
            one.keep(now_ms)
            sent.reason = word.reason
            sent.not_taken += 1
            one.wait(now_ms + word.retry_ms)
            return "changed"
        one.keep(now_ms)
        sent.status, sent.reason = word.status, word.reason
        sent.was_sent |= word.status is DeliveryStatus.SENT
        if not one.is_pending:
            return "changed"
        if is_current:
            self._settle_current(one, now_ms)
        elif word.status in (DeliveryStatus.DELIVERED, DeliveryStatus.ANSWERED):
            one.next_at = NEVER
        elif sent.status in FAILED and one.current.status in FAILED:
            one.go_on(failure_of(one.current), now_ms)
        return "changed"

    def postpone(self, one: Challenge, sent: Sent, attempt: int, wait_ms: int, now_ms: int) -> str:
        """A try that was not used is given back, unless it was taken up again meanwhile."""
        is_held = one.is_pending and sent is one.current and sent.is_in_hand
        if not is_held or sent.tries != attempt:
            return "ignored"
        sent.tries -= 1
        one.due_at = now_ms + wait_ms
        one.keep(now_ms)
        return "changed"

    def decline(self, one: Challenge, sent: Sent, now_ms: int) -> str:
        """The payer says no to something that was sent."""
        if not one.is_pending or now_ms >= one.expires_at or not sent.tries:
            return "ignored"
        one.end(Status.DECLINED, now_ms)
        one.keep(now_ms)
        return "changed"

    @staticmethod
    def _settle_current(one: Challenge, now_ms: int) -> None:
        if one.current.status in FAILED:
            one.go_on(failure_of(one.current), now_ms)
        elif one.current.status is DeliveryStatus.SENT and one.step.until_status != "sent" and one.next_at:
            one.due_at = min(one.next_at, one.expires_at)
        else:
            one.next_at = NEVER
            one.due_at = one.expires_at
