"""The scripts that decide about challenges, each with what all of them share in front."""

from pathlib import Path

from sca_service.kernel.redis.commands import Script

_HERE = Path(__file__).parent


def _script(*names: str) -> Script:
    return Script.read(*(_HERE / f"{name}.lua" for name in names))


CANCEL, DECLINE = (_script("state", name) for name in ("cancel", "decline"))
ADVANCE, SETTLE, POSTPONE = (
    _script("state", "queue", "ladder", name) for name in ("advance", "settle", "postpone")
)
NEXT = _script("state", "queue", "ladder", "limits", "next")
_EPOCHS = {False: "no_epoch", True: "epoch"}
ISSUE = {may_lose: _script("state", epoch, "queue", "limits", "issue") for may_lose, epoch in _EPOCHS.items()}
VERIFY = {may_lose: _script("state", epoch, "verify") for may_lose, epoch in _EPOCHS.items()}
"""What checks the epoch, if a server that takes over may lack what was told (docs/decisions/0025)."""
CLAIM = Script.read(_HERE / "claim.lua")
RELEASE = Script.read(_HERE / "release.lua")
UNBLOCK = Script.read(_HERE / "unblock.lua")
