"""A push service that others wrote: npm's web-push-testing in a process of its own, with browsers that decrypt."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sca_service.delivery.http_client import HttpClient
from tests.peers import PEERS, command_of, node_module
from tests.ports import free_port

PATIENCE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class SubscribedBrowser:
    """A browser: its name at the push service, and what it gives to a bank, as `PushSubscription.toJSON()`."""

    name: str
    endpoint: str
    keys: dict[str, str]


@dataclass
class PushService:
    """web-push-testing, and a client to it."""

    url: str
    http: HttpClient

    async def subscribe(self, key: str) -> SubscribedBrowser:
        """A browser that takes messages signed with this key."""
        given = await self._call("/subscribe", {"userVisibleOnly": "true", "applicationServerKey": key})
        return SubscribedBrowser(given["clientHash"], given["endpoint"], given["keys"])

    async def expire(self, name: str) -> None:
        """Forget a browser: from now on it is gone (410)."""
        await self._call(f"/expire-subscription/{name}", {})

    async def messages(self, name: str) -> list[dict[str, Any]]:
        """What a browser has received and decrypted."""
        received = await self._call("/get-notifications", {"clientHash": name})
        return [json.loads(text) for text in received["messages"]]

    async def _call(self, path: str, body: dict[str, Any]) -> Any:
        answer = await self.http.call(
            "POST",
            self.url + path,
            headers={"Content-Type": "application/json"},
            body=json.dumps(body).encode(),
        )
        assert answer.status == 200, answer.body
        return json.loads(answer.body)["data"] if answer.body.startswith(b"{") else None


@asynccontextmanager
async def running_push_service(port: int = 0) -> AsyncIterator[PushService]:
    """The push service on a port of the loopback interface; skips the test where it is not installed."""
    node_module("web-push-testing")
    port = port or free_port()
    process = await asyncio.create_subprocess_exec(
        *command_of("node"),
        PEERS / "push_service.js",
        str(port),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=PEERS,
    )
    assert process.stdin and process.stdout
    http = HttpClient()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await process.stdout.readline() != b"ready\n":
                assert not process.stdout.at_eof(), "the push service ended"
        yield PushService(f"http://127.0.0.1:{port}", http)
    finally:
        await http.close()
        process.stdin.close()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await process.wait()
