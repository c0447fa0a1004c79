"""A sandbox supplier: does with a message as it was scripted, and tells later what became of it."""

import asyncio
from collections.abc import Callable
from typing import Final

from sca_service.delivery.channels.context import Context, checked_options
from sca_service.delivery.render import sms_segments
from sca_service.delivery.supplier import (
    Accepted,
    FailureReason,
    Message,
    ReceiptStatus,
    SupplierFailure,
)
from sca_service.kernel.clock import Clock, timestamp
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.ids import new_id
from sca_service.kernel.money import Price
from sca_service.policy.model import Channel
from sca_service.policy.supply import SupplierRule
from sca_service.policy.template import Placeholder
from sca_service.sandbox.mailbox import AsyncMailbox, Behaviour, Instruction
from sca_service.sandbox.supplier.sender import ReceiptSender
from sca_service.sandbox.supplier.settings import Settings
from sca_service.sandbox.supplier.wire import ReceiptBody, ReplyBody

_USUAL_DELAY_MS: Final = {
    Behaviour.SLOW: 2_000,
    Behaviour.TIMEOUT: 60_000,
    Behaviour.ACCEPT_TIMEOUT: 60_000,
    Behaviour.THROTTLE: 1_000,
    Behaviour.EARLY_RECEIPT: 0,
}
"""Of those whose delay is the caller's wait, not the receipt's."""

_PRICE: Final = {
    Channel.SMS: Price("EUR", 70_000),
    Channel.VOICE: Price("EUR", 120_000),
    Channel.PUSH: Price("EUR", 10_000),
    Channel.RCS: Price("EUR", 60_000),
    Channel.WHATSAPP: Price("EUR", 50_000),
    Channel.EMAIL: Price("EUR", 0),
}
"""What a part, a call or a message costs where the policy names no price."""
_REPLY_OF_NO: Final = "NO"


class SandboxSupplier:
    """Carries one channel's messages into the mailbox, or does what else the mailbox's script says."""

    def __init__(
        self,
        rule: SupplierRule,
        *,
        mailbox: AsyncMailbox,
        receipts: ReceiptSender,
        clock: Clock,
        segments: Callable[[str], int],
    ) -> None:
        """`segments` counts the parts in which this channel carries a text. Raises ConfigurationError."""
        self.name = rule.name
        self.channel = rule.channel
        self._is_priced = bool(rule.prices)
        self._receipt_delay_ms = checked_options(rule, Settings).receipt_delay_ms
        self._mailbox = mailbox
        self._receipts = receipts
        self._clock = clock
        self._segments = segments

    async def send(self, message: Message) -> Accepted:
        """Behave as scripted, see Behaviour. Raises SupplierFailure; a mailbox away is a supplier down."""
        if not self.channel.carries_codes and Placeholder.CODE in message.values:
            raise SupplierFailure(
                FailureReason.REJECTED, transient=False
            )  # NIST SP 800-63B-4 section 3.1.3.1
        try:
            instruction = await self._mailbox.take_behaviour(self.name)
            await self._refuse_or_wait(instruction)
            if instruction.behaviour is not Behaviour.UNDELIVERED:
                await self._mailbox.put(message, self.name, self._clock.now_ms())
        except StoreUnavailable as error:
            raise SupplierFailure(FailureReason.SUPPLIER_DOWN, transient=True) from error
        await self._tell(message, instruction)
        segments = self._segments(message.text.reveal())
        cost = None if self._is_priced else _PRICE[self.channel].times(segments)
        return Accepted(new_id("sandbox"), segments, cost)

    async def close(self) -> None:
        """Nothing: the mailbox and the sender of receipts belong to whoever made them, for several suppliers."""

    async def _refuse_or_wait(self, instruction: Instruction) -> None:
        delay_ms = _wait_ms(instruction)
        match instruction.behaviour:
            case Behaviour.ERROR:
                raise SupplierFailure(FailureReason.REJECTED, transient=False)
            case Behaviour.THROTTLE:
                raise SupplierFailure(FailureReason.SUPPLIER_DOWN, transient=True, retry_after_ms=delay_ms)
            case Behaviour.SLOW:
                await asyncio.sleep(delay_ms / 1000)
            case Behaviour.TIMEOUT:
                await asyncio.sleep(delay_ms / 1000)
                raise SupplierFailure(FailureReason.TIMEOUT, transient=False)

    async def _tell(self, message: Message, instruction: Instruction) -> None:
        """Tell what became of a message that was taken: later, or before the caller has its answer."""
        told = self._told(message, instruction)
        delay_ms = self._tell_after_ms(instruction)
        match instruction.behaviour:
            case Behaviour.NO_RECEIPT:
                pass
            case Behaviour.EARLY_RECEIPT:
                await self._receipts.send(self.name, told)
                await asyncio.sleep(_wait_ms(instruction) / 1000)
            case Behaviour.ACCEPT_TIMEOUT:
                try:
                    await asyncio.sleep(_wait_ms(instruction) / 1000)
                finally:  # the caller may cancel: the receipt comes all the same
                    self._receipts.send_later(self.name, told, delay_ms)
                raise SupplierFailure(FailureReason.TIMEOUT, transient=False)
            case Behaviour.DUPLICATE_RECEIPT:
                self._receipts.send_later(self.name, told, delay_ms)
                self._receipts.send_later(self.name, told, delay_ms)
            case _:
                self._receipts.send_later(self.name, told, delay_ms)

    def _told(self, message: Message, instruction: Instruction) -> ReceiptBody:
        says_no = instruction.behaviour is Behaviour.DECLINE
        writes_back = self.channel in (Channel.SMS, Channel.RCS, Channel.WHATSAPP)
        return ReceiptBody(
            message.delivery_id,
            self._status(arrived=instruction.behaviour is not Behaviour.UNDELIVERED),
            timestamp(self._clock.now_ms() + self._tell_after_ms(instruction)),
            declined=says_no and self.channel in (Channel.VOICE, Channel.PUSH),
            reply=ReplyBody(message.to.reveal(), _REPLY_OF_NO) if says_no and writes_back else None,
        )

    def _status(self, *, arrived: bool) -> ReceiptStatus:
        if self.channel is Channel.VOICE:
            return ReceiptStatus.ANSWERED if arrived else ReceiptStatus.NO_ANSWER
        return ReceiptStatus.DELIVERED if arrived else ReceiptStatus.UNDELIVERED

    def _tell_after_ms(self, instruction: Instruction) -> int:
        if instruction.behaviour in _USUAL_DELAY_MS or instruction.delay_ms is None:
            return self._receipt_delay_ms
        return instruction.delay_ms


def build(context: Context, mailbox: AsyncMailbox, receipts: ReceiptSender) -> SandboxSupplier:
    """The sandbox supplier of a section. Raises ConfigurationError."""
    return SandboxSupplier(
        context.rule,
        mailbox=mailbox,
        receipts=receipts,
        clock=context.clock,
        segments=sms_segments if context.rule.channel is Channel.SMS else lambda _: 1,
    )


def _wait_ms(instruction: Instruction) -> int:
    if instruction.delay_ms is None:
        return _USUAL_DELAY_MS.get(instruction.behaviour, 0)
    return instruction.delay_ms
