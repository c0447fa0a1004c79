"""The pumping guard where challenges are issued and approved: what may be sent to a line that never approved."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec
import structlog

from sca_service.audit.model import AuditEvent
from sca_service.challenges.record import Recorder
from sca_service.challenges.redis_store import EventMembers
from sca_service.challenges.risk import RiskVerdict
from sca_service.challenges.view import ChallengeView
from sca_service.kernel.batching import unheard
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import PhoneNumber
from sca_service.limits.pumping.model import Entry, Passed, PumpingReason, asked_of, is_never_sent_to
from sca_service.limits.pumping.redis_store import PumpingStore
from sca_service.policy.model import LadderStep
from sca_service.policy.pumping import AtBlock, PumpingPolicy
from sca_service.policy.risk import Decision

STOPPED = "pumping"
"""Why a challenge is `refused` by the guard."""
SIGN = "sms_pumping"
"""What stands among the reasons of a challenge of which the guard has left out the channels that cost money."""
BLOCKED = "pumping.blocked"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Destination:
    """Whom one message of a client would go to; `ip` is where the request comes from, empty where that is not known."""

    client: str
    line: PhoneNumber
    ip: str


class PumpingGuard:
    """Asks before a message is paid for. A class because it holds the store and the record."""

    def __init__(
        self,
        *,
        policy: PumpingPolicy,
        at_block: AtBlock,
        keyring: Keyring,
        store: PumpingStore,
        recorder: Recorder,
    ) -> None:
        """`at_block` is what holds in this deployment; not `off`, where there is no guard."""
        self._policy = policy
        self._at_block = at_block
        self._keyring = keyring
        self._store = store
        self._recorder = recorder

    async def heed(
        self, verdict: RiskVerdict, to: Destination, members: EventMembers
    ) -> tuple[RiskVerdict, Passed | None]:
        """The verdict with what the guard has to say; and what it has counted, to be given back when nothing is issued.

        A line that has approved before passes and is not counted. A new block is on record when this returns; one whose
        event was lost with its process is recorded by the next that meets it. Raises StoreUnavailable.
        """
        if verdict.refused_for or not costs_money(verdict.steps):
            return verdict, None
        asked = asked_of(to.line, ip=to.ip, client=to.client, keyring=self._keyring)
        if is_never_sent_to(to.line.e164, self._policy.never_sent_to):
            return self._stopped(verdict, PumpingReason.RANGE), None
        if await self._store.knows(asked.line):
            return verdict, None
        found = await self._store.ask(asked, self._at_block, block_id=new_id("blk"), event_id=new_id("evt"))
        if isinstance(found, Entry):
            if not found.is_recorded:
                await self._record(found, to.client, members)
            return self._stopped(verdict, PumpingReason(found.why)), None
        return (self._stopped(verdict, found.observed) if found.observed else verdict), found

    async def give_back(self, passed: Passed | None) -> None:
        """Nothing is sent after all. What cannot be given back is worth no failure; it leaves the window in time."""
        if passed:
            with suppress(StoreUnavailable):
                await self._store.give_back(passed)

    def approved(self, view: ChallengeView) -> None:
        """Learn from an approval: its line is known when the code came over it. Never raises, and never waits."""
        number, arrived = view.private.number, view.state.newest_arrived
        if number is None or not any(step.channel.needs_phone for step in view.state.ladder):
            return
        ip = view.private.marks.ip if view.private.marks else None
        asked = asked_of(number, ip=ip or "", client=view.state.client, keyring=self._keyring)
        with suppress(StoreUnavailable):
            over_line = arrived is not None and arrived.channel.needs_phone
            unheard(self._store.approve(asked, over_line=over_line))

    def _stopped(self, verdict: RiskVerdict, reason: PumpingReason) -> RiskVerdict:
        """What is left without the channels that cost money; everything, where the guard only observes."""
        if self._at_block is AtBlock.OBSERVE:
            log.info("pumping.observed", reason=reason)
            return verdict
        left = tuple(step for step in verdict.steps if not step.channel.needs_phone)
        members = msgspec.structs.replace(verdict.members, reasons=(*verdict.members.reasons, SIGN))
        reasons = (*verdict.reasons, SIGN)
        if left:
            return msgspec.structs.replace(verdict, steps=left, reasons=reasons, members=members)
        return msgspec.structs.replace(
            verdict,
            decision=Decision.REFUSE,
            steps=left,
            reasons=reasons,
            members=members,
            refused_for=STOPPED,
        )

    async def _record(self, block: Entry, client: str, members: EventMembers) -> None:
        event = AuditEvent.create(
            event_id=block.event,
            kind=BLOCKED,
            at_ms=block.since * 1000,
            members={
                "client": client,
                **msgspec.to_builtins(members),
                "block": block.id,
                "scope": block.scope,
                "subject": block.subject,
                "reason": block.why,
                "until_ms": block.until * 1000,
            },
        )
        await self._recorder.commit_event(event)
        await self._store.mark_recorded(block.id)


def costs_money(steps: Sequence[LadderStep]) -> bool:
    """Whether a message over one of these channels goes to a phone number, and is paid for."""
    return any(step.channel.needs_phone for step in steps)
