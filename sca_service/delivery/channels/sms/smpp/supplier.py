"""Hands text messages to an SMS centre over SMPP, and hears what it tells."""

import asyncio
import random
import ssl
import zlib
from functools import partial

import structlog

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.sms.smpp.link import NOT_BOUND, THROTTLED, Link
from sca_service.delivery.channels.sms.smpp.receipts import (
    MessageId,
    is_receipt,
    is_reply,
    read_receipt,
    read_reply,
)
from sca_service.delivery.channels.sms.smpp.redis_store import ReceiptStore, Taken
from sca_service.delivery.channels.sms.smpp.session import (
    ROK,
    TEMPORARY_ERROR,
    Answer,
    open_session,
)
from sca_service.delivery.channels.sms.smpp.settings import Settings
from sca_service.delivery.channels.sms.smpp.wire import (
    Inbound,
    Submit,
    destination_of,
    dlt_parameters,
    parts_of,
    source_of,
    validity_period,
)
from sca_service.delivery.gsm import segments
from sca_service.delivery.supplier import (
    Accepted,
    FailureReason,
    Message,
    Receipt,
    Supplier,
    SupplierFailure,
    Word,
)
from sca_service.kernel.errors import ConfigurationError, ScaError, StoreUnavailable
from sca_service.policy.model import Channel

_FAILING = frozenset({NOT_BOUND, 0x08, 0xFF})
"""Not bound any more, a fault of its own, an unknown error: its fault and not the message's."""

_PATIENCE_SECONDS = 5.0
"""How long a throttled message is offered again: the dispatcher would give up after 10 s, and not know."""
_FIRST_RETRY_SECONDS = 0.25
_STORE_TRIES = 3
_STORE_PAUSE_SECONDS = 0.2
_RETRY_RANDOM = random.SystemRandom()

log = structlog.get_logger()


class SmppSupplier:
    """An SMS centre. A class because it holds the link to it and what is still put on record."""

    channel = Channel.SMS

    def __init__(self, context: Context) -> None:
        """Connects by itself, from now on. Raises ConfigurationError. Call with a running event loop."""
        self.name = context.rule.name
        self._settings = context.settings(Settings)
        self._clock = context.clock
        self._ear = context.ear
        self._store = ReceiptStore(
            self.name, context.redis, context.keyring, keep_ms=self._settings.receipt_hours * 3_600_000
        )
        self._late: set[asyncio.Task[None]] = set()
        opens = partial(open_session, self._settings, context.secret("password"), _tls(context), self._heard)
        self._link = Link(self.name, self._settings, opens)

    async def send(self, message: Message) -> Accepted:
        """Hand over one text, part after part; returns when the last one is taken. Raises SupplierFailure."""
        submits = self._submits(message)
        references = []
        for number, submit in enumerate(submits, 1):
            taken = partial(
                Taken,
                delivery_id=message.delivery_id,
                attempt=message.attempt,
                number=submit.destination.text,
                part=number,
                of=len(submits),
            )
            try:
                answer = await self._offer(submit, taken)
            except SupplierFailure as failure:
                if number == 1:
                    raise
                # Part of it is on its way: whoever sends it again sends those parts twice.
                raise SupplierFailure(failure.reason, transient=False) from failure
            references.append(answer.message_id)
        return Accepted(reference=references[0], segments=segments(message.text.reveal()), cost=None)

    async def close(self) -> None:
        """Wait for outstanding answers, put them on record, unbind."""
        await self._link.close()
        if self._late:
            await asyncio.wait(self._late)

    def _submits(self, message: Message) -> list[Submit]:
        # The delivery's own number makes a repeated send join with the parts of the first, not with another message.
        reference = zlib.crc32(message.delivery_id.encode()) & 0xFF
        try:
            parts = parts_of(message.text.reveal(), long_texts=self._settings.long_texts, reference=reference)
        except ValueError:
            raise SupplierFailure(FailureReason.REJECTED, transient=False) from None
        validity = ""
        if self._settings.sends_validity:
            validity = validity_period(message.expires_at_ms, self._clock.now_ms())
        source = source_of(message.sender, self._settings)
        destination = destination_of(message.to.reveal())
        parameters = dlt_parameters(message, self._settings)
        return [Submit(source, destination, part, validity, parameters) for part in parts]

    async def _offer(self, submit: Submit, taken: "partial[Taken]") -> Answer:
        """Submit one part, again while the SMS centre wants fewer. Raises SupplierFailure."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _PATIENCE_SECONDS
        for throttled in range(self._settings.throttle_retries + 1):
            answer = await self._submit(submit, taken)
            if answer.status not in THROTTLED:
                break
            wait = _FIRST_RETRY_SECONDS * 2.0**throttled * _RETRY_RANDOM.uniform(0.5, 1.0)
            if loop.time() + wait > until:
                break
            if throttled < self._settings.throttle_retries:
                await asyncio.sleep(wait)
        if answer.status == ROK:
            return answer
        if answer.status in THROTTLED:
            raise SupplierFailure(FailureReason.SUPPLIER_DOWN, transient=True, retry_after_ms=1_000)
        log.warning("smpp.refused", supplier=self.name, status=f"0x{answer.status:02x}")
        if answer.status in _FAILING:
            raise SupplierFailure(FailureReason.SUPPLIER_DOWN, transient=True)
        raise SupplierFailure(FailureReason.REJECTED, transient=False)

    async def _submit(self, submit: Submit, taken: "partial[Taken]") -> Answer:
        """One `submit_sm` and its answer, put on record when it was taken. Raises SupplierFailure."""
        waiting = await self._link.submit(submit)
        try:
            answer = await asyncio.shield(waiting)
            if answer and answer.status == ROK:
                await self._record(answer, taken)
        except asyncio.CancelledError:
            # The dispatcher gave up, but the message may be taken: its receipt shall still be understood.
            waiting.add_done_callback(partial(self._answered_late, taken))
            raise
        if answer is None:
            raise SupplierFailure(FailureReason.TIMEOUT, transient=False)  # written: it may have been taken
        return answer

    def _answered_late(self, taken: "partial[Taken]", waiting: "asyncio.Future[Answer | None]") -> None:
        answer = waiting.result()
        if answer and answer.status == ROK:
            task = asyncio.get_running_loop().create_task(self._record(answer, taken))
            self._late.add(task)
            task.add_done_callback(self._late.discard)

    async def _record(self, answer: Answer, taken: "partial[Taken]") -> None:
        """Remember whose message it is; tell of a receipt that came before. The message is taken, so nothing raises."""
        if not answer.message_id:
            return
        part = taken(MessageId.read(answer.message_id))
        early: Receipt | None = None
        for last_try in (False,) * (_STORE_TRIES - 1) + (True,):
            try:
                early = early or await self._store.register(part)
                if early:
                    await self._ear.hear(self.name, Word(receipts=(early,)))
            except ScaError as away:
                if last_try:
                    log.warning("smpp.receipt_lost", supplier=self.name, reason=away.detail)
                    return
                await asyncio.sleep(_STORE_PAUSE_SECONDS)
            else:
                return

    async def _heard(self, inbound: Inbound) -> int:
        """Take in a `deliver_sm`: answered once it is on record, refused for now when it can't be put there."""
        try:
            word = await self._word(inbound)
            if word:
                await self._ear.hear(self.name, word)
        except StoreUnavailable:
            return TEMPORARY_ERROR
        return ROK

    async def _word(self, inbound: Inbound) -> Word | None:
        if is_reply(inbound):
            return Word(replies=(read_reply(inbound),))
        if not is_receipt(inbound):
            return None
        heard = read_receipt(inbound, utc_minutes=self._settings.receipt_utc_minutes)
        receipt = await self._store.take(heard) if heard else None
        return Word(receipts=(receipt,)) if receipt else None


def build(context: Context) -> Supplier:
    """The supplier of a section. Raises ConfigurationError."""
    return SmppSupplier(context)


def _tls(context: Context) -> ssl.SSLContext | None:
    settings = context.settings(Settings)
    if not settings.tls:
        return None
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"suppliers.toml:{context.rule.name}.ca_file: no certificates can be read from it"
        ) from error
