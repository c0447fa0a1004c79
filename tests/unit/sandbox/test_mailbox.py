"""The sandbox mailbox: what arrived can be found again, and a script is counted down exactly."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from sca_service.delivery.supplier import Message
from sca_service.kernel.errors import ConfigurationError, InvalidInput, StoreUnavailable
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel
from sca_service.policy.supply import SenderKind, SenderRule
from sca_service.sandbox.mailbox import (
    MAILBOX_FILE,
    MESSAGES_KEPT,
    AsyncMailbox,
    Behaviour,
    Instruction,
    Mailbox,
)

ALICE = "+491713920001"
BOB = "+491713920002"

TAKE_IN_ANOTHER_PROCESS = """
import sqlite3, sys, time
from pathlib import Path
from sca_service.sandbox.mailbox import Behaviour, Mailbox

path, count, way = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
mailbox = Mailbox(path)
connection = sqlite3.connect(path, isolation_level=None)

def in_one_statement():
    return mailbox.take_behaviour("sandbox-sms").behaviour

def read_then_write():
    (remaining,) = connection.execute("SELECT remaining FROM scripts").fetchone()
    if remaining == 0:
        return Behaviour.DELIVER
    time.sleep(0.001)
    connection.execute("UPDATE scripts SET remaining = ?", (remaining - 1,))
    return Behaviour.ERROR

take = {"one-statement": in_one_statement, "read-then-write": read_then_write}[way]
print("ready", flush=True)
sys.stdin.readline()
print([take() for _ in range(count)].count(Behaviour.ERROR))
connection.close()
mailbox.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the mailbox's file lies."""
    return tmp_path / MAILBOX_FILE


@pytest.fixture
def mailbox(path: Path) -> Iterator[Mailbox]:
    """An empty mailbox."""
    mailbox = Mailbox(path)
    yield mailbox
    mailbox.close()


def message(to: str = ALICE, text: str = "code 123456", channel: Channel = Channel.SMS) -> Message:
    """A message to be put into the mailbox."""
    return Message("dlv_1", channel, Secret(to), Secret(text), "de-DE")


def texts(mailbox: Mailbox, to: str | None = None, after: str | None = None, limit: int = 200) -> list[str]:
    """The texts that arrived."""
    return [received.text.reveal() for received in mailbox.messages(to=to, after=after, limit=limit)]


def test_a_message_is_read_back_as_it_was_put(mailbox: Mailbox) -> None:
    """Every member of the message survives the file."""
    received_id = mailbox.put(message(text="49,99 € an ACME — 123456"), "sandbox-sms", 1_700_000_000_123)
    (received,) = mailbox.messages()
    assert (received.id, received.channel, received.at_ms) == (received_id, Channel.SMS, 1_700_000_000_123)
    assert (received.to.reveal(), received.text.reveal()) == (ALICE, "49,99 € an ACME — 123456")
    assert (received.delivery_id, received.supplier) == ("dlv_1", "sandbox-sms")


def test_the_sender_shown_is_read_back(mailbox: Mailbox) -> None:
    """The registered sender of a message is kept with it; a message without one shows none."""
    sender = SenderRule("DE", Channel.SMS, "EXAMPLEBANK", SenderKind.ALPHANUMERIC)
    mailbox.put(replace(message(), sender=sender), "sandbox-sms", 1)
    mailbox.put(message(), "sandbox-sms", 2)
    assert [received.sender for received in mailbox.messages()] == ["EXAMPLEBANK", ""]


def test_a_file_of_an_earlier_release_is_taken_over(path: Path) -> None:
    """The file of release 0.1.0 has no column for the sender: its messages stay, and new ones have it."""
    with sqlite3.connect(path) as old:
        old.execute(
            "CREATE TABLE messages (id INTEGER PRIMARY KEY, channel TEXT NOT NULL, recipient TEXT NOT NULL,"
            " bare_recipient TEXT NOT NULL, body TEXT NOT NULL, at_ms INTEGER NOT NULL, delivery TEXT NOT NULL,"
            " supplier TEXT NOT NULL)"
        )
        old.execute("INSERT INTO messages VALUES (1, 'sms', '+1', '1', 'before', 1, 'dlv_0', 'sandbox-sms')")
    old.close()
    for text in ("after", "later"):
        mailbox = Mailbox(path)
        mailbox.put(message(to="+1", text=text), "sandbox-sms", 2)
        mailbox.close()
    mailbox = Mailbox(path)
    assert texts(mailbox, to="+1") == ["before", "after", "later"]
    assert {received.sender for received in mailbox.messages()} == {""}
    mailbox.close()


def test_neither_number_nor_text_shows_in_a_repr(mailbox: Mailbox) -> None:
    """A message in a traceback gives nothing away."""
    mailbox.put(message(), "sandbox-sms", 1)
    shown = repr(mailbox.messages()) + repr(message())
    assert ALICE not in shown
    assert "123456" not in shown


def test_the_same_delivery_twice_is_two_messages(mailbox: Mailbox) -> None:
    """A duplicate send can be seen where it arrives."""
    first = mailbox.put(message(), "sandbox-sms", 1)
    second = mailbox.put(message(), "sandbox-sms", 2)
    assert [received.id for received in mailbox.messages()] == [first, second]
    assert first != second


@pytest.mark.parametrize("spelling", [ALICE, ALICE.replace("+", " "), ALICE[1:], "+49 171 392 0001"])
def test_a_number_is_found_however_its_plus_and_spaces_arrived(mailbox: Mailbox, spelling: str) -> None:
    """`?to=+49…` reaches us as ` 49…` and still means the same number."""
    mailbox.put(message(to=ALICE, text="for alice"), "sandbox-sms", 1)
    mailbox.put(message(to=BOB, text="for bob"), "sandbox-sms", 2)
    assert texts(mailbox, to=spelling) == ["for alice"]


def test_messages_of_one_channel(mailbox: Mailbox) -> None:
    """The channel filter leaves the other channels out."""
    mailbox.put(message(channel=Channel.VOICE, text="spoken"), "sandbox-voice", 1)
    mailbox.put(message(channel=Channel.SMS, text="written"), "sandbox-sms", 2)
    assert [received.text.reveal() for received in mailbox.messages(channel=Channel.VOICE)] == ["spoken"]


def test_a_page_holds_the_newest_without_after_and_the_next_with_it(mailbox: Mailbox) -> None:
    """Whoever goes on from the last id seen misses no message, and newest is always last."""
    ids = [mailbox.put(message(text=str(number)), "sandbox-sms", number) for number in range(12)]
    assert texts(mailbox, limit=3) == ["9", "10", "11"]
    assert texts(mailbox, after=ids[1], limit=3) == ["2", "3", "4"]
    assert texts(mailbox, after=ids[-1]) == []


def test_a_page_is_never_unbounded(mailbox: Mailbox) -> None:
    """A limit below one or above 200 is held within both."""
    for number in range(201):
        mailbox.put(message(), "sandbox-sms", number)
    assert len(mailbox.messages(limit=1_000_000)) == 200
    assert len(mailbox.messages(limit=-1)) == 1


@pytest.mark.parametrize("after", ["", "1", "msg_", "msg_-1", "msg_x", "msg_１", "msg_" + "9" * 19, "msg_1 "])
def test_after_something_that_is_no_message_id(mailbox: Mailbox, after: str) -> None:
    """A foreign id is refused at its place, not taken for the beginning."""
    with pytest.raises(InvalidInput) as refused:
        mailbox.messages(after=after)
    assert [mistake.pointer for mistake in refused.value.mistakes] == ["/after"]


def test_only_the_newest_ten_thousand_are_kept(mailbox: Mailbox) -> None:
    """The file does not grow for ever, and an id is never used twice."""
    ids = [
        mailbox.put(message(text=str(number)), "sandbox-sms", number) for number in range(MESSAGES_KEPT + 3)
    ]
    assert texts(mailbox, after="msg_0", limit=2) == ["3", "4"]
    assert texts(mailbox, limit=1) == [str(MESSAGES_KEPT + 2)]
    assert len(set(ids)) == MESSAGES_KEPT + 3


def test_a_supplier_delivers_unless_scripted(mailbox: Mailbox) -> None:
    """Nothing has to be scripted for messages to arrive."""
    assert mailbox.take_behaviour("sandbox-sms") == Instruction(Behaviour.DELIVER, None)


def test_a_script_is_used_up_and_then_messages_arrive_again(mailbox: Mailbox) -> None:
    """`next: 2` means two messages, with their delay, and no other supplier's."""
    mailbox.script("sandbox-sms", Behaviour.SLOW, delay_ms=70, next_count=2)
    assert mailbox.take_behaviour("sandbox-voice") == Instruction(Behaviour.DELIVER, None)
    taken = [mailbox.take_behaviour("sandbox-sms") for _ in range(3)]
    slow = Instruction(Behaviour.SLOW, 70)
    assert taken == [slow, slow, Instruction(Behaviour.DELIVER, None)]


def test_a_script_without_a_count_lasts_until_the_next_one(mailbox: Mailbox) -> None:
    """Without `next` a behaviour stays; a new script replaces all of the old one."""
    mailbox.script("sandbox-sms", Behaviour.ERROR, delay_ms=5)
    assert {mailbox.take_behaviour("sandbox-sms") for _ in range(5)} == {Instruction(Behaviour.ERROR, 5)}
    mailbox.script("sandbox-sms", Behaviour.TIMEOUT, next_count=1)
    taken = [mailbox.take_behaviour("sandbox-sms").behaviour for _ in range(2)]
    assert taken == [Behaviour.TIMEOUT, Behaviour.DELIVER]


@pytest.mark.parametrize(
    ("delay_ms", "next_count", "pointers"),
    [
        (-1, None, ["/delay_ms"]),
        (600_001, None, ["/delay_ms"]),
        (None, 0, ["/next"]),
        (None, 1_000_001, ["/next"]),
        (-1, -1, ["/delay_ms", "/next"]),
    ],
)
def test_a_script_out_of_bounds_changes_nothing(
    mailbox: Mailbox, delay_ms: int | None, next_count: int | None, pointers: list[str]
) -> None:
    """Every mistake is listed, and the supplier goes on as before."""
    with pytest.raises(InvalidInput) as refused:
        mailbox.script("sandbox-sms", Behaviour.ERROR, delay_ms=delay_ms, next_count=next_count)
    assert [mistake.pointer for mistake in refused.value.mistakes] == pointers
    assert mailbox.take_behaviour("sandbox-sms").behaviour is Behaviour.DELIVER


def test_messages_and_scripts_outlast_the_process(path: Path) -> None:
    """What one process put, another finds after the first has gone."""
    first = Mailbox(path)
    kept = first.put(message(), "sandbox-sms", 1)
    first.script("sandbox-sms", Behaviour.UNDELIVERED, next_count=1)
    first.close()
    second = Mailbox(path)
    assert [received.id for received in second.messages()] == [kept]
    assert second.take_behaviour("sandbox-sms").behaviour is Behaviour.UNDELIVERED
    second.close()


def test_every_file_is_called_sandbox_and_is_the_owners_alone(mailbox: Mailbox, path: Path) -> None:
    """SQLite's side files hold codes as well, so they follow the same rule as the mailbox itself."""
    mailbox.put(message(), "sandbox-sms", 1)
    files = list(path.parent.iterdir())
    assert len(files) > 1
    assert all(file.name.startswith("sandbox") for file in files)
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_a_file_of_another_name_is_refused(tmp_path: Path) -> None:
    """Codes cannot end up in a file that nobody expects them in."""
    with pytest.raises(ConfigurationError):
        Mailbox(tmp_path / "messages.sqlite3")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_mailbox(path: Path) -> None:
    """A damaged file is a store that is away, not an empty mailbox."""
    path.write_bytes(b"not a database at all, but long enough to be read as one" * 20)
    with pytest.raises(StoreUnavailable):
        Mailbox(path)


def test_a_mailbox_whose_table_is_gone(mailbox: Mailbox, path: Path) -> None:
    """A failure in the middle is reported as one tree's error, and leaves the mailbox usable."""
    with sqlite3.connect(path) as vandal:
        vandal.execute("DROP TABLE messages")
    vandal.close()
    with pytest.raises(StoreUnavailable):
        mailbox.put(message(), "sandbox-sms", 1)
    assert mailbox.take_behaviour("sandbox-sms").behaviour is Behaviour.DELIVER


def test_threads_share_one_mailbox(mailbox: Mailbox) -> None:
    """Eight threads lose no message and count a script down exactly."""
    mailbox.script("sandbox-sms", Behaviour.ERROR, next_count=50)

    def work(number: int) -> Behaviour:
        mailbox.put(message(text=str(number)), "sandbox-sms", number)
        return mailbox.take_behaviour("sandbox-sms").behaviour

    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(work, range(120)))
    assert taken.count(Behaviour.ERROR) == 50
    assert sorted(map(int, texts(mailbox))) == list(range(120))


def taken_by_processes(path: Path, *, way: str) -> int:
    """How many of 3 x 60 takes in three processes at once found the script still there."""
    command = [sys.executable, "-c", TAKE_IN_ANOTHER_PROCESS, str(path), "60", way]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return sum(int(process.communicate(timeout=60)[0]) for process in processes)


def test_processes_count_a_script_down_exactly(mailbox: Mailbox, path: Path) -> None:
    """Three processes take 180 behaviours at once, of which 100 are scripted: exactly those are taken."""
    mailbox.script("sandbox-sms", Behaviour.ERROR, next_count=100)
    assert taken_by_processes(path, way="one-statement") == 100
    assert mailbox.take_behaviour("sandbox-sms").behaviour is Behaviour.DELIVER


def test_the_race_is_lost_by_reading_and_then_writing(mailbox: Mailbox, path: Path) -> None:
    """The same three processes take more than was scripted when the count is read first and written after."""
    mailbox.script("sandbox-sms", Behaviour.ERROR, next_count=100)
    assert taken_by_processes(path, way="read-then-write") > 100


async def test_the_mailbox_behind_an_event_loop(path: Path) -> None:
    """The asynchronous door does what the blocking one does."""
    mailbox = AsyncMailbox(Mailbox(path))
    await mailbox.script("sandbox-push", Behaviour.SLOW, delay_ms=7, next_count=1)
    first = await mailbox.put(message(text="first"), "sandbox-sms", 1)
    second = await mailbox.put(message(text="second"), "sandbox-sms", 2)
    received = await mailbox.messages(to=ALICE, channel=Channel.SMS, after=first, limit=5)
    assert [each.id for each in received] == [second]
    assert await mailbox.take_behaviour("sandbox-push") == Instruction(Behaviour.SLOW, 7)
    await mailbox.close()
