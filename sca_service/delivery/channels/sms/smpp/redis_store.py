"""Which delivery a receipt means, in Redis: it may come to another worker, spelled otherwise, and before the answer."""

from dataclasses import dataclass, field
from pathlib import Path

from sca_service.delivery.channels.sms.smpp.receipts import Heard, MessageId
from sca_service.delivery.supplier import Receipt, ReceiptStatus
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.redis.commands import Script

EARLY_MS = 120_000
"""How long a receipt waits for the answer to its submit; the answer itself is waited for shorter."""
SETTLED_MS = 900_000
"""How long a receipt that is told again is still understood, once the delivery is settled."""
MOST_EARLY = 10_000
"""How many receipts may wait; the oldest give way."""

_NUMBER_TAIL = 8
"""Digits by which numbers are compared: what stands before them is written in many ways."""

_FOLDER = Path(__file__).parent
_REGISTER = Script.read(_FOLDER / "receipt.lua", _FOLDER / "register.lua")
_TAKE = Script.read(_FOLDER / "receipt.lua", _FOLDER / "take.lua")


@dataclass(frozen=True, slots=True)
class Taken:
    """One part that an SMS centre took: part number `part` of `of`, sent in the delivery's try `attempt`."""

    message: MessageId
    delivery_id: str
    attempt: int
    number: str = field(repr=False)
    part: int = 1
    of: int = 1


class ReceiptStore:
    """Joins receipts to deliveries. A class because it holds the connection and the key of the pseudonyms.

    `keep_ms` is how long a message waits for its receipt.
    """

    def __init__(self, supplier: str, redis: RedisConnection, keyring: Keyring, *, keep_ms: int) -> None:
        self._supplier = supplier
        self._tag = f"{{smpp:{supplier}}}"
        self._redis = redis
        self._keyring = keyring
        self._keep_ms = keep_ms

    async def register(self, taken: Taken) -> Receipt | None:
        """Remember whose part it is. Returns the receipt that a word from before makes final, if one waited.

        Raises StoreUnavailable.
        """
        message = taken.message
        keys = [
            f"{self._tag}:early",
            f"{self._tag}:sent:{message.plain}",
            f"{self._tag}:parts:{taken.delivery_id}:{taken.attempt}",
            *(f"{self._tag}:early:{spelling}" for spelling in (message.plain, *message.others)),
        ]
        found = await self._redis.call(
            _REGISTER,
            keys,
            (
                message.exact,
                taken.delivery_id,
                self._pseudonym(taken.number),
                taken.part,
                taken.of,
                taken.attempt,
                self._keep_ms,
            ),
        )
        return self._receipt(taken.delivery_id, found[0], int(found[1])) if found else None

    async def take(self, heard: Heard) -> Receipt | None:
        """The receipt of a delivery, once it is final; None while parts are outstanding, or when it has to wait.

        Raises StoreUnavailable.
        """
        message = heard.message
        keys = [
            f"{self._tag}:early",
            f"{self._tag}:early:{message.plain}",
            *(f"{self._tag}:sent:{spelling}" for spelling in (message.plain, *message.others)),
        ]
        numbers = [self._pseudonym(number) for number in heard.numbers[:2]]
        found = await self._redis.call(
            _TAKE,
            keys,
            (
                message.exact,
                heard.status,
                heard.at_ms,
                *[*numbers, "-", "-"][:2],
                SETTLED_MS,
                EARLY_MS,
                MOST_EARLY,
                f"{self._tag}:parts:",
            ),
        )
        if found[0] != b"settled":
            return None
        return self._receipt(found[1].decode(), found[2], heard.at_ms)

    def _receipt(self, delivery_id: str, status: bytes, at_ms: int) -> Receipt:
        return Receipt(self._supplier, delivery_id, ReceiptStatus(status.decode()), at_ms)

    def _pseudonym(self, number: str) -> str:
        """A stable name for a number, `-` for what is none: masked, a name, or too short to compare."""
        digits = number.strip().removeprefix("+")
        if not digits.isascii() or not digits.isdecimal() or len(digits) < _NUMBER_TAIL:
            return "-"
        return self._keyring.pseudonym("phone", digits[-_NUMBER_TAIL:])
