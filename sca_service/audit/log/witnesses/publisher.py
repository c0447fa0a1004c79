"""Lets checkpoints out: asks the witnesses to sign the newest, and publishes it with the lines that came in time.

A witness that is late or away holds nothing up: the deadline is one for all, who has not answered is not asked anew
meanwhile, and who failed is left alone for a while. A line that comes late is put under its checkpoint all the same.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from sca_service.audit.log.note import Signature, add_signatures
from sca_service.audit.log.postgres_store import PublishedCheckpoint
from sca_service.audit.log.tiles import consistency_spans, root_over, tiles_of
from sca_service.audit.log.witnesses.client import Http, Verdict, Witness, add_checkpoint
from sca_service.audit.log.witnesses.postgres_store import WitnessStore
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.postgres import POSTGRES_AWAY
from sca_service.kernel.telemetry import WITNESS_ANSWERS

_SHORTEST_REST_SECONDS = 1.0
_LONGEST_REST_SECONDS = 60.0
_MOST_QUESTIONS = 2
"""To one witness about one checkpoint: the second says the size that it answered to the first with."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Standing:
    """What we know of a witness: the size it signed last, and how it has behaved."""

    size: int = 0
    failures: int = 0
    rests_until: float = 0.0
    question: "asyncio.Task[Signature | None] | None" = None
    asked_size: int = 0


class Publisher:
    """Publishes what the sequencer signs. One process at a time does it. A class because it knows the witnesses."""

    def __init__(
        self,
        store: WitnessStore,
        http: Http,
        witnesses: Sequence[Witness],
        *,
        deadline_seconds: float = 1.0,
        pause_seconds: float = 0.1,
    ) -> None:
        """A checkpoint waits `deadline_seconds` for all witnesses together."""
        self._store = store
        self._http = http
        self._witnesses = tuple(witnesses)
        self._deadline_seconds = deadline_seconds
        self._pause_seconds = pause_seconds
        self._standings = {witness.name: _Standing() for witness in witnesses}

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until `stop` is set; a store that is away is waited for."""
        try:
            while not stop.is_set():
                try:
                    await self._take_turn(stop)
                except (StoreUnavailable, *POSTGRES_AWAY) as error:
                    log.warning("publisher.waiting", reason=type(error).__name__)
                except Exception as error:  # the loop of the log role lives on (style, rule 10)
                    log.error("publisher.failed", exc=error)
                await _pause(stop, self._pause_seconds * 5)
        finally:
            await self._end_questions()

    async def learn(self) -> None:
        """Read which sizes the witnesses have signed. Raises StoreUnavailable."""
        for known in await self._store.standings():
            if known.name in self._standings:
                self._standings[known.name].size = known.size

    async def publish_once(self) -> int | None:
        """Publish the newest checkpoint that waits. Returns its size, or None. Raises StoreUnavailable."""
        await self._add_late_lines()
        checkpoint = await self._store.unpublished()
        if checkpoint is None:
            return None
        signatures = await self._gather(checkpoint)
        await self._store.publish(checkpoint.size, add_signatures(checkpoint.note, signatures))
        log.debug("checkpoint.published", size=checkpoint.size, witnesses=len(signatures))
        return checkpoint.size

    async def _take_turn(self, stop: asyncio.Event) -> None:
        async with self._store.turn() as turn:
            if turn is None:
                return
            await self.learn()
            while turn.is_held and not stop.is_set():
                await self.publish_once()
                await _pause(stop, self._pause_seconds)

    async def _gather(self, checkpoint: PublishedCheckpoint) -> list[Signature]:
        """The signatures that came in time. Who does not answer stays asked."""
        asked: list[_Standing] = []
        for witness in self._witnesses:
            standing = self._standings[witness.name]
            if standing.question is None and time.monotonic() >= standing.rests_until:
                standing.asked_size = checkpoint.size
                standing.question = asyncio.create_task(self._ask(witness, standing, checkpoint))
                asked.append(standing)
        if asked:
            questions = {standing.question for standing in asked if standing.question}
            await asyncio.wait(questions, timeout=self._deadline_seconds)
        return [signature for standing in asked if (signature := _answer_of(standing))]

    async def _ask(
        self, witness: Witness, standing: _Standing, checkpoint: PublishedCheckpoint
    ) -> Signature | None:
        """The witness's signature over a checkpoint, if it gives one."""
        verdict = Verdict.CONFLICT
        for _ in range(_MOST_QUESTIONS):
            old_size = min(standing.size, checkpoint.size)
            proof = await self._proof(old_size, checkpoint.size)
            if proof is None:
                log.error("witness.left_behind", witness=witness.name, size=old_size)
                break
            reply = await add_checkpoint(self._http, witness, checkpoint.note, old_size=old_size, proof=proof)
            verdict = reply.verdict
            WITNESS_ANSWERS.labels(witness.name, verdict).inc()
            if reply.signature:
                standing.size, standing.failures = checkpoint.size, 0
                await self._note_signed(witness, checkpoint, reply.signature)
                return reply.signature
            if verdict is not Verdict.CONFLICT:
                break
            if reply.size > checkpoint.size:  # another publisher was quicker, or our log was rolled back
                log.error("witness.found_ahead", witness=witness.name, size=checkpoint.size, ahead=reply.size)
                break
            standing.size = reply.size
        self._let_rest(witness, standing, verdict)
        return None

    async def _note_signed(
        self, witness: Witness, checkpoint: PublishedCheckpoint, signature: Signature
    ) -> None:
        """Remember the size for the next start; when that cannot be, the witness will say it."""
        try:
            await self._store.signed(witness.name, checkpoint.size, signature.signed_at_seconds or 0)
        except StoreUnavailable:
            log.warning("witness.not_noted", witness=witness.name, size=checkpoint.size)

    def _let_rest(self, witness: Witness, standing: _Standing, verdict: Verdict) -> None:
        rest = min(_SHORTEST_REST_SECONDS * 2**standing.failures, _LONGEST_REST_SECONDS)
        standing.failures = min(standing.failures + 1, 16)
        standing.rests_until = time.monotonic() + rest
        log.warning("witness.not_signed", witness=witness.name, verdict=verdict)

    async def _proof(self, old_size: int, size: int) -> list[bytes] | None:
        """The consistency proof, or None when its tiles are pruned."""
        spans = consistency_spans(old_size, size)
        tiles = await self._store.tiles(tiles_of(spans))
        try:
            return [root_over(span, tiles) for span in spans]
        except LookupError:
            return None

    async def _add_late_lines(self) -> None:
        for standing in self._standings.values():
            signature = _answer_of(standing)
            if signature:
                await self._store.add_line(standing.asked_size, signature)

    async def _end_questions(self) -> None:
        questions = [standing.question for standing in self._standings.values() if standing.question]
        for question in questions:
            question.cancel()
        await asyncio.gather(*questions, return_exceptions=True)


def _answer_of(standing: _Standing) -> Signature | None:
    """Take what a question that is over came to. A store that was away meanwhile does not make it undone."""
    question = standing.question
    if question is None or not question.done():
        return None
    standing.question = None
    error = None if question.cancelled() else question.exception()
    if error:
        log.error("witness.failed", exc=error)
    return None if error or question.cancelled() else question.result()


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
