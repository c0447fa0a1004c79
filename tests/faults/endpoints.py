"""Where bank and issuer are told what happens: endpoints that refuse, stall, hang up and go away; and all that came."""

import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from sca_service.settings import shipped_policies
from tests.harness import Deployment
from tests.rude_server import Answer, RudeRequest, RudeServer

_ANSWER_SECONDS, _WAITS_SECONDS = 1, [1, 1, 1]
"""How long a call may take, and how long is waited between the calls of a message."""
_STALL_SECONDS = 0.3
REFUSING, LEAVING = "/refusing", "/leaving"
_WANTED = (
    ("/all", "bank", "v1", ["challenge.*", "delivery.*", "payer.*"]),
    ("/alerts", "issuer", "v1", ["alert.*"]),
    (REFUSING, "bank", "v1a", ["challenge.*"]),
    (LEAVING, "bank", "v1", ["challenge.approved"]),
)
"""Path, client, scheme and types of each endpoint."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint as the service knows it; `key` verifies what is signed for it."""

    id: str
    client: str
    path: str
    types: tuple[str, ...]
    key: str = field(repr=False)


@dataclass(slots=True, eq=False)
class Endpoints:
    """The server behind all endpoints. A class because it holds what came, and how it behaves.

    `taken` tells of a path and a message how many calls had come when it was first answered with 200.
    """

    server: RudeServer
    known: dict[str, Endpoint] = field(default_factory=dict)
    taken: dict[tuple[str, str], int] = field(default_factory=dict)
    is_leaving: bool = False

    async def open(self, deployment: Deployment, api: str) -> None:
        """Have the service call us. The server runs already."""
        self.server.answer_by(self._answer)
        async with httpx.AsyncClient(base_url=api, trust_env=False, timeout=30) as http:
            for path, client, scheme, types in _WANTED:
                wanted = {"url": self.server.url + path, "types": types, "scheme": scheme}
                bearer = {"Authorization": f"Bearer {deployment.keys[client]}"}
                made = (
                    (await http.post("/v1/webhooks", json=wanted, headers=bearer)).raise_for_status().json()
                )
                self.known[path] = Endpoint(
                    made["id"], client, path, tuple(types), made["secret"] or made["public_key"]
                )

    def behave(self, behaviour: str, count: int) -> None:
        """Do so at the next few calls, whatever they are about."""
        server = self.server
        for _ in range(count):
            match behaviour:
                case "refuse":
                    server.answers([Answer(503, headers={"Retry-After": "1"})])
                case "redirect":
                    server.answers([Answer(302, headers={"Location": server.url + "/elsewhere"})])
                case "stall":
                    server.delay_next(_STALL_SECONDS)
                case "silence":
                    server.silence_next()
                case "reset":
                    server.reset_next()
                case "reset_unread":
                    server.reset_next(read=False)
                case "half":
                    server.half_next()
                case "garbage":
                    server.garbage_next()
                case "hang_up":
                    server.hang_up_after_next()
                case "leave":
                    self.is_leaving = True
                case other:
                    raise AssertionError(f"an endpoint cannot {other}")

    def _answer(self, request: RudeRequest) -> Answer:
        if request.path == LEAVING and self.is_leaving:
            return Answer(410)
        if request.path == REFUSING and refuses(request.json()["data"].get("challenge", "")):
            return Answer(500, body="never")
        self.taken.setdefault((request.path, request.headers["webhook-id"]), len(self.server.requests))
        return Answer(200, body="taken")


def refuses(challenge: str) -> bool:
    """Whether the one that refuses hears of this challenge in vain: of every fourth."""
    return challenge[-1:] in "048c"


def impatient_policies(folder: Path) -> Path:
    """The shipped policies, but for how long endpoints are waited for: a message is dead within seconds."""
    policies = folder / "policies"
    shutil.copytree(shipped_policies(), policies)
    file = policies / "webhooks.toml"
    text = file.read_text("utf-8")
    for name, value in (("answer_seconds", _ANSWER_SECONDS), ("retry_after_seconds", _WAITS_SECONDS)):
        text, times = re.subn(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
        assert times == 1
    file.write_text(text, "utf-8")
    return policies
