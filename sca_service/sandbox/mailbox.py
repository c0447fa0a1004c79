"""What the sandbox suppliers received, and how each is to behave next: one SQLite file for all processes.

It is the only place where a code can be read. So the file's name starts with `sandbox`, only its owner may
open it, and SQLite's own temporary files stay in memory.
"""

import asyncio
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from sca_service.delivery.supplier import Message
from sca_service.kernel.errors import ConfigurationError, InvalidInput, Mistake, StoreUnavailable
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel

MAILBOX_FILE = "sandbox.sqlite3"
MESSAGES_KEPT = 10_000
MESSAGES_PER_PAGE = 200
LONGEST_DELAY_MS = 600_000
LONGEST_COUNT = 1_000_000
BUSY_SECONDS = 5.0

_MESSAGE_ID = re.compile(r"msg_(0|[1-9][0-9]{0,17})", re.ASCII)
_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS messages (
           id INTEGER PRIMARY KEY,
           channel TEXT NOT NULL,
           recipient TEXT NOT NULL,
           bare_recipient TEXT NOT NULL,
           body TEXT NOT NULL,
           at_ms INTEGER NOT NULL,
           delivery TEXT NOT NULL,
           supplier TEXT NOT NULL,
           sender TEXT NOT NULL DEFAULT ''
       )""",
    """CREATE TABLE IF NOT EXISTS scripts (
           supplier TEXT PRIMARY KEY,
           behaviour TEXT NOT NULL,
           delay_ms INTEGER,
           remaining INTEGER
       )""",
)

P = ParamSpec("P")
R = TypeVar("R")


class Behaviour(StrEnum):
    """What a sandbox supplier does with the next message."""

    DELIVER = "deliver"  # takes it; a good receipt follows after the delay
    UNDELIVERED = "undelivered"  # takes it; it never arrives; a bad receipt follows after the delay
    NO_RECEIPT = "no_receipt"  # takes it; it arrives; no receipt ever
    ERROR = "error"  # refuses it for good
    TIMEOUT = "timeout"  # keeps the caller waiting for the delay, then fails; it never arrives
    SLOW = "slow"  # takes it only after the delay; it arrives, with a good receipt
    ACCEPT_TIMEOUT = (
        "accept_timeout"  # takes it, it arrives, but no answer within the delay; then a good receipt
    )
    THROTTLE = "throttle"  # refuses it for now, and asks for the delay before the next try
    DECLINE = "decline"  # takes it; with the good receipt the payer says no: 9 in a call, a device's "no", an SMS "NO"
    DUPLICATE_RECEIPT = "duplicate_receipt"  # takes it; the good receipt comes twice
    EARLY_RECEIPT = "early_receipt"  # takes it; the good receipt comes first, its answer after the delay


@dataclass(frozen=True, slots=True)
class Instruction:
    """A behaviour with its delay in milliseconds; no delay means the behaviour's usual one."""

    behaviour: Behaviour
    delay_ms: int | None


@dataclass(frozen=True, slots=True, eq=False)
class ReceivedMessage:
    """One message that arrived. `id` grows with every message; `at_ms` is milliseconds since the epoch.

    `sender` is what the handset shows as the sender, empty where none is registered.
    """

    id: str
    channel: Channel
    to: Secret[str]
    text: Secret[str]
    at_ms: int
    delivery_id: str
    supplier: str
    sender: str


class Mailbox:
    """The blocking door to the file. Several threads may share one, several processes each open their own.

    Every call raises StoreUnavailable when SQLite cannot do it: disk full, or locked for over five seconds.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, created for its owner only; ConfigurationError unless its name is `sandbox…`."""
        if not path.name.startswith("sandbox"):
            raise ConfigurationError("the name of the sandbox mailbox's file must start with `sandbox`")
        self._lock = threading.Lock()
        with _unavailable_when_sqlite_fails():
            self._connection = _open(path)

    def put(self, message: Message, supplier: str, at_ms: int) -> str:
        """Keep a message that arrived, drop the oldest beyond 10,000, and return the new message's id.

        The same delivery put twice is two messages: a duplicate has to be seen where it arrives.
        """
        to, sender = message.to.reveal(), message.sender.id if message.sender else ""
        row = (
            *(message.channel, to, _bare(to), message.text.reveal()),
            *(at_ms, message.delivery_id, supplier, sender),
        )
        with self._transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO messages (channel, recipient, bare_recipient, body, at_ms, delivery, supplier,"
                " sender) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            newest = cursor.lastrowid or 0
            connection.execute("DELETE FROM messages WHERE id <= ?", (newest - MESSAGES_KEPT,))
        return f"msg_{newest}"

    def messages(
        self,
        *,
        to: str | None = None,
        channel: Channel | None = None,
        after: str | None = None,
        limit: int = MESSAGES_PER_PAGE,
    ) -> tuple[ReceivedMessage, ...]:
        """Messages that arrived, newest last, at most `limit` (1 to 200) of them.

        `to` is matched without spaces and `+`, since the `+` of a query string may arrive as a space. Without
        `after` these are the newest; with it, the first ones behind that message id, so that a reader who
        goes on from the last id seen misses none. Raises InvalidInput when `after` is no message id.
        """
        filters = {
            "to": None if to is None else _bare(to),
            "channel": channel,
            "after": None if after is None else _number(after),
            "limit": max(1, min(limit, MESSAGES_PER_PAGE)),
        }
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT id, channel, recipient, body, at_ms, delivery, supplier, sender FROM messages"
                " WHERE (:to IS NULL OR bare_recipient = :to) AND (:channel IS NULL OR channel = :channel)"
                " AND (:after IS NULL OR id > :after)"
                " ORDER BY CASE WHEN :after IS NULL THEN -id ELSE id END LIMIT :limit",
                filters,
            ).fetchall()
        return tuple(
            ReceivedMessage(f"msg_{number}", Channel(carried), Secret(recipient), Secret(body), *origin)
            for number, carried, recipient, body, *origin in sorted(rows)
        )

    def script(
        self,
        supplier: str,
        behaviour: Behaviour,
        *,
        delay_ms: int | None = None,
        next_count: int | None = None,
    ) -> None:
        """Have a supplier behave like this for its next `next_count` messages; None: until scripted anew.

        It replaces what was scripted before. Raises InvalidInput unless `delay_ms` is 0 to 600,000 and
        `next_count` 1 to 1,000,000.
        """
        mistakes = []
        if delay_ms is not None and not 0 <= delay_ms <= LONGEST_DELAY_MS:
            mistakes.append(Mistake("/delay_ms", f"must be 0 to {LONGEST_DELAY_MS}"))
        if next_count is not None and not 1 <= next_count <= LONGEST_COUNT:
            mistakes.append(Mistake("/next", f"must be 1 to {LONGEST_COUNT}"))
        if mistakes:
            raise InvalidInput(*mistakes)
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO scripts (supplier, behaviour, delay_ms, remaining)"
                " VALUES (?, ?, ?, ?)",
                (supplier, behaviour, delay_ms, next_count),
            )

    def take_behaviour(self, supplier: str) -> Instruction:
        """What the supplier is to do with the message at hand; counts it down in one statement.

        `deliver` when nothing is scripted or the scripted count is used up.
        """
        with self._transaction() as connection:
            rows = connection.execute(
                "UPDATE scripts SET remaining = remaining - 1"
                " WHERE supplier = ? AND (remaining IS NULL OR remaining > 0) RETURNING behaviour, delay_ms",
                (supplier,),
            ).fetchall()
        for behaviour, delay_ms in rows:
            return Instruction(Behaviour(behaviour), delay_ms)
        return Instruction(Behaviour.DELIVER, None)

    def close(self) -> None:
        """Close the file; what it holds stays."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _unavailable_when_sqlite_fails(), self._connection:
            yield self._connection


class AsyncMailbox:
    """The same mailbox for an event loop: its calls run one after another in a thread of their own.

    It owns the mailbox it is given and closes it. Methods mean what they mean in Mailbox.
    """

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox-mailbox")

    async def put(self, message: Message, supplier: str, at_ms: int) -> str:
        """Keep a message that arrived; see Mailbox.put."""
        return await self._run(self._mailbox.put, message, supplier, at_ms)

    async def messages(
        self,
        *,
        to: str | None = None,
        channel: Channel | None = None,
        after: str | None = None,
        limit: int = MESSAGES_PER_PAGE,
    ) -> tuple[ReceivedMessage, ...]:
        """Messages that arrived, newest last; see Mailbox.messages."""
        return await self._run(self._mailbox.messages, to=to, channel=channel, after=after, limit=limit)

    async def script(
        self,
        supplier: str,
        behaviour: Behaviour,
        *,
        delay_ms: int | None = None,
        next_count: int | None = None,
    ) -> None:
        """Have a supplier behave like this; see Mailbox.script."""
        await self._run(self._mailbox.script, supplier, behaviour, delay_ms=delay_ms, next_count=next_count)

    async def take_behaviour(self, supplier: str) -> Instruction:
        """What the supplier is to do with the message at hand; see Mailbox.take_behaviour."""
        return await self._run(self._mailbox.take_behaviour, supplier)

    async def close(self) -> None:
        """Finish the calls under way, end the thread and close the file."""
        await self._run(self._mailbox.close)
        self._threads.shutdown()

    async def _run(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(call, *args, **kwargs))


def _bare(recipient: str) -> str:
    return "".join(recipient.split()).replace("+", "")


def _number(message_id: str) -> int:
    found = _MESSAGE_ID.fullmatch(message_id)
    if found is None:
        raise InvalidInput.at("/after", "must be the id of a message")
    return int(found[1])


@contextmanager
def _unavailable_when_sqlite_fails() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreUnavailable("the sandbox mailbox did not answer") from error


def _open(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600)
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level="IMMEDIATE", check_same_thread=False
    )
    try:
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "temp_store = MEMORY"):
            connection.execute(f"PRAGMA {pragma}")  # nosemgrep: sql-is-fixed-text
        for table in _SCHEMA:
            connection.execute(table)
        _add_sender(connection)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _add_sender(connection: sqlite3.Connection) -> None:
    """A file of release 0.1.0 does not know the sender shown; of several processes one adds it."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        columns = {row[1] for row in connection.execute("PRAGMA table_info(messages)")}
        if "sender" not in columns:
            connection.execute("ALTER TABLE messages ADD COLUMN sender TEXT NOT NULL DEFAULT ''")
