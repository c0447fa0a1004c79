"""The scripts that decide about challenges, each with what all of them share in front."""

from pathlib import Path

from sca_service.kernel.redis.commands import Script

_HERE = Path(__file__).parent
_STATE = _HERE / "state.lua"


def _script(name: str) -> Script:
    return Script.read(_STATE, _HERE / f"{name}.lua")


NEXT, CANCEL, ADVANCE, SETTLE, POSTPONE, DECLINE = map(
    _script, ("next", "cancel", "advance", "settle", "postpone", "decline")
)
ISSUE, VERIFY = (
    {
        may_lose: Script.read(
            _STATE, _HERE / f"{'epoch' if may_lose else 'no_epoch'}.lua", _HERE / f"{name}.lua"
        )
        for may_lose in (False, True)
    }
    for name in ("issue", "verify")
)
"""What checks the epoch, if a server that takes over may lack what was told (docs/decisions/0025)."""
CLAIM = Script.read(_HERE / "claim.lua")
RELEASE = Script.read(_HERE / "release.lua")
UNBLOCK = Script.read(_HERE / "unblock.lua")
