"""What the desk reads in a checkpoint: whose log it is, and who witnessed it when."""

import base64
from datetime import UTC, datetime

from sca_service.console.log import Witness, origin_of, witnesses_of


def _line(name: str, raw: bytes) -> str:
    return f"— {name} {base64.b64encode(raw).decode()}\n"


def test_witnesses_are_told_with_their_times() -> None:
    """A line with a time is a witness's; the log's own line has none."""
    seconds = 1_764_300_000
    note = (
        "sca.example/log\n7\n"
        + base64.b64encode(bytes(32)).decode()
        + "\n\n"
        + _line("sca.example/log", bytes(4 + 64))
        + _line("witness.example/w", bytes(4) + seconds.to_bytes(8) + bytes(64))
    )
    assert origin_of(note) == "sca.example/log"
    assert witnesses_of(note) == [Witness("witness.example/w", datetime.fromtimestamp(seconds, UTC))]
