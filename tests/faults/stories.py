"""What payers, their bank and a card issuer do while things are broken: every kind of request, over two apis.

Each answer that a client gets is looked up on record in that moment, over a connection of our own to PostgreSQL: an
answer that comes before its commit is found out even when nothing is lost.
"""

import asyncio
import contextlib
import random
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx

from tests.device import Device
from tests.faults.schedule import Story
from tests.faults.traffic import Heard, Told, code_of
from tests.generator import Generator
from tests.harness import TRANSACTION, Deployment, order, unique_number, wrong

_PAUSE_SECONDS = 0.1
_PATIENCE_SECONDS = 90.0
_UNDECIDED = (409, 503)  # request-in-flight, store-unavailable: sent again under the same key
_ALERT = {
    "template": "upcoming_charge",
    "variables": {"merchant": "Streaming AG", "amount": "9,99 €", "date": "1.12."},
}


@dataclass(slots=True)
class Payers:
    """Those who have enrolled something. Each generator shows one code for half a minute, so it is used once."""

    devices: list[tuple[dict[str, str], Device]] = field(default_factory=list)
    generators: list[tuple[dict[str, str], Generator]] = field(default_factory=list)


class Stories:
    """Tells stories, and keeps what was answered. A class because it holds clients and what they heard."""

    def __init__(self, deployment: Deployment, apis: tuple[str, str], payers: Payers) -> None:
        self.heard = Heard()
        self.violations: list[str] = []
        self.approved: list[tuple[str, dict[str, Any]]] = []
        self.dedupe_keys: list[str] = []
        self._deployment = deployment
        self._apis = apis
        self._payers = payers
        self._keyring = deployment.keyring
        self._http = httpx.AsyncClient(timeout=5, trust_env=False, limits=httpx.Limits(max_connections=64))
        self._record: asyncpg.Connection | None = None
        self._looking = asyncio.Lock()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()
        if self._record:
            await self._record.close(timeout=5)

    async def tell(self, story: Story, seed: int) -> None:
        """Play one story to its end; each request is decided in the end, or was one that may be lost."""
        chance = random.Random(seed)
        await _STORIES[story](self, chance)

    async def answer_again(self) -> None:
        """Answer anew what was approved: nothing may be approved again, whatever a store has forgotten."""
        for challenge, body in self.approved[-8:]:
            await self.verify(0, challenge, body, key=_key())

    async def issue(self, chance: random.Random, **members: Any) -> dict[str, Any] | None:
        """A new challenge, under a key."""
        body = order(**members)
        told = await self.post(chance.randrange(2), "/v1/challenges", body, key=_key(), first_said="issued")
        return told if told and told["status"] == "pending" else None

    async def verify(
        self, api: int, challenge: str, body: dict[str, Any], *, key: str | None = None, is_right: bool = True
    ) -> str | None:
        """What an answer comes to; None when nobody was told. A right one is never called wrong."""
        told = await self.post(api, f"/v1/challenges/{challenge}/verify", body, key=key)
        if told is None:
            return None
        said = str(told["outcome"])
        if said == "approved":
            self.approved.append((challenge, body))
        if is_right and said == "incorrect":
            self.violations.append(f"{challenge}: the right code was called incorrect")
        if not is_right and said == "approved":
            self.violations.append(f"{challenge}: a wrong code was approved")
        return said

    async def post(
        self,
        api: int,
        path: str,
        body: dict[str, Any],
        *,
        key: str | None,
        client: str = "bank",
        allowed: tuple[int, ...] = (),
        first_said: str = "",
        note: bool = True,
    ) -> dict[str, Any] | None:
        """Send to one api; under a key again, to the other and back, until it is decided. None when it was not."""
        first, began = True, asyncio.get_running_loop().time()
        while first or key is not None:
            if asyncio.get_running_loop().time() > began + _PATIENCE_SECONDS:
                self.violations.append(
                    f"{path.rsplit('/', maxsplit=1)[-1]}: undecided for {_PATIENCE_SECONDS:.0f} s"
                )
                return None
            request = f"req-{secrets.token_hex(8)}"
            headers = {"X-Request-Id": request, "Authorization": f"Bearer {self._deployment.keys[client]}"}
            headers |= {"Idempotency-Key": key} if key else {}
            try:
                response = await self._http.post(self._apis[api] + path, json=body, headers=headers)
            except httpx.TransportError:
                self.heard.unanswered += 1
            else:
                if response.is_success:
                    told: dict[str, Any] = response.json()
                    if note:
                        await self._note(told, request if first else None, first_said)
                    return told
                if response.status_code in allowed:
                    return None
                if response.status_code not in _UNDECIDED:
                    self.heard.surprises.append(f"{response.status_code} {response.text}")
                    return None
                self.heard.undecided += 1
            first, api = False, 1 - api
            await asyncio.sleep(_PAUSE_SECONDS)
        return None

    async def _note(self, told: dict[str, Any], request: str | None, said: str) -> None:
        challenge = told.get("challenge", told)
        if said and challenge["status"] == "refused":
            return
        one = Told(request, challenge["id"], said or told["outcome"])
        self.heard.told.append(one)
        await self.look_up(one)

    async def look_up(self, one: Told) -> None:
        """Whether what was told is on record, now. A store that is away is waited for: what is on record stays so."""
        kind, outcome = ("challenge.issued", "") if one.said == "issued" else ("challenge.answered", one.said)
        async with self._looking:
            bodies = await self._asked(
                "SELECT body FROM audit_events WHERE challenge_id = $1 AND type = $2", one.challenge, kind
            )
        if not any(f'"outcome":"{outcome}"' in body for body in bodies) and (outcome or not bodies):
            self.violations.append(f"{one.challenge}: a client was told `{one.said}` before it was on record")

    async def _asked(self, question: str, *arguments: object) -> list[str]:
        began = asyncio.get_running_loop().time()
        while True:
            try:
                async with asyncio.timeout(20):
                    if self._record is None:
                        self._record = await asyncpg.connect(self._deployment.servers.postgres.url)
                    return [row[0] for row in await self._record.fetch(question, *arguments)]
            except (
                OSError,
                TimeoutError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                asyncpg.InternalClientError,  # what it says of a connection that was broken off
            ):
                if asyncio.get_running_loop().time() > began + _PATIENCE_SECONDS:
                    raise
                if self._record:
                    self._record.terminate()
                self._record = None
                await asyncio.sleep(_PAUSE_SECONDS)

    # --- the stories

    async def pay(self, chance: random.Random) -> None:
        """A few wrong answers, some of them doubled; the right one at both apis at once, and once more."""
        issued = await self.issue(chance)
        if issued is None:
            return
        right, other = self._bodies(issued)
        for _ in range(chance.randrange(3)):
            await self._volley(issued["id"], other, chance.choice((1, 2)), is_right=False)
        await self._volley(issued["id"], right, chance.choice((1, 2, 3)))
        await self.verify(chance.randrange(2), issued["id"], right, key=_key())
        await self.verify(chance.randrange(2), issued["id"], right, key=_key())

    async def exhaust(self, chance: random.Random) -> None:
        """Wrong answers until nothing is left, two or three at once; then the right one."""
        issued = await self.issue(chance)
        if issued is None:
            return
        right, other = self._bodies(issued)
        for _ in range(4):
            await self._volley(issued["id"], other, chance.choice((1, 2, 3)), is_right=False)
        await self.verify(chance.randrange(2), issued["id"], right, key=_key())

    async def leave(self, chance: random.Random) -> None:
        """Two payers who are sent a code, and go away: what is sent to them is all that happens."""
        await asyncio.gather(self.issue(chance), self.issue(chance))

    async def cancel(self, chance: random.Random) -> None:
        """Cancelled at one api while it is answered at the other."""
        issued = await self.issue(chance)
        if issued is None:
            return
        right, _ = self._bodies(issued)
        path = f"/v1/challenges/{issued['id']}/cancel"
        api = chance.randrange(2)
        await asyncio.gather(
            self.post(api, path, {}, key=None, note=False), self.verify(1 - api, issued["id"], right)
        )
        await self.verify(api, issued["id"], right, key=_key())

    async def step(self, chance: random.Random) -> None:
        """Sent over the next channel, too early or not; then answered."""
        channels = [{"channel": "sms", "timeout_s": 10}, {"channel": "voice"}]
        issued = await self.issue(chance, channels=channels)
        if issued is None:
            return
        right, _ = self._bodies(issued)
        path = f"/v1/challenges/{issued['id']}/next"
        reason = {"reason": "user_request"}
        await self.post(chance.randrange(2), path, reason, key=None, allowed=(409, 429), note=False)
        await self.verify(chance.randrange(2), issued["id"], right, key=_key())

    async def mismatch(self, chance: random.Random) -> None:
        """The right code for another amount, and then for the right one."""
        issued = await self.issue(chance)
        if issued is None:
            return
        right, _ = self._bodies(issued)
        changed = TRANSACTION | {"amount": {"currency": "EUR", "amount": "49.98"}}
        await self.verify(chance.randrange(2), issued["id"], right | {"transaction": changed})
        await self.verify(chance.randrange(2), issued["id"], right, key=_key())

    async def device(self, chance: random.Random) -> None:
        """Approved in the app at both apis at once, by two signatures."""
        psu, device = chance.choice(self._payers.devices)
        issued = await self.issue(chance, psu=psu, method="device_signature", channels=None)
        if issued is None:
            return
        async with asyncio.TaskGroup() as answers:
            for api in self._apis:
                signed = device.approval(issued, issued["matching_digits"])
                answers.create_task(self._by_device(device, issued["id"], signed, f"{api}/device/v1"))

    async def _by_device(self, device: Device, challenge: str, signed: str, url: str) -> None:
        try:
            response = await device.answer(challenge, signed, url=url)
        except httpx.TransportError:
            self.heard.unanswered += 1
            return
        if response.status_code == 200:
            one = Told(None, challenge, response.json()["outcome"])
            self.heard.told.append(one)
            await self.look_up(one)
        elif response.status_code not in (*_UNDECIDED, 401, 404, 429):  # 401: its clock has stepped
            self.heard.surprises.append(f"{response.status_code} {response.text}")

    async def generator(self, chance: random.Random) -> None:
        """A code of a generator at both apis at once; a payment where none is left."""
        if not self._payers.generators:
            await self.pay(chance)
            return
        psu, generator = self._payers.generators.pop()
        members = {
            "purpose": "login",
            "transaction": None,
            "channels": None,
            "elements_presented": ["knowledge"],
        }
        issued = await self.issue(chance, psu=psu, method="totp", **members)
        if issued is None:
            return
        body = {"code": generator.code()}
        await asyncio.gather(
            *(self.post(api, f"/v1/challenges/{issued['id']}/verify", body, key=None) for api in (0, 1))
        )

    async def alerts(self, chance: random.Random) -> None:
        """The same three notices ordered at both apis at once."""
        keys = [f"key-{secrets.token_hex(8)}" for _ in range(3)]
        self.dedupe_keys += keys
        alerts = [
            {
                "psu": {"id": key, "phone": unique_number(), "locale": "de-DE"},
                "channels": [{"channel": "sms"}],
                "dedupe_key": key,
                **_ALERT,
            }
            for key in keys
        ]
        await asyncio.gather(
            *(
                self.post(
                    api, "/v1/alerts/batch", {"alerts": alerts}, key=_key(), client="issuer", note=False
                )
                for api in (0, 1)
            )
        )

    def _bodies(self, issued: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The right answer, and a wrong one."""
        code = code_of(self._keyring, issued)
        return (
            {"code": code, "transaction": TRANSACTION},
            {"code": wrong(code), "transaction": TRANSACTION},
        )

    async def _volley(
        self, challenge: str, body: dict[str, Any], count: int, *, is_right: bool = True
    ) -> None:
        """The same answer so often at once, at both apis in turn, each for itself."""
        await asyncio.gather(
            *(self.verify(number % 2, challenge, body, is_right=is_right) for number in range(count))
        )


_STORIES: dict[Story, Callable[[Stories, random.Random], Awaitable[None]]] = {
    Story.PAY: Stories.pay,
    Story.EXHAUST: Stories.exhaust,
    Story.CANCEL: Stories.cancel,
    Story.NEXT: Stories.step,
    Story.MISMATCH: Stories.mismatch,
    Story.DEVICE: Stories.device,
    Story.ALERTS: Stories.alerts,
    Story.GENERATOR: Stories.generator,
    Story.LEAVE: Stories.leave,
}


def _key() -> str:
    return f"key-{secrets.token_hex(8)}"


async def scripted(deployment: Deployment, behaviour: str, count: int) -> None:
    """Have the supplier of texts behave so for its next messages; a mailbox that is busy is left alone."""
    from sca_service.sandbox.mailbox import MAILBOX_FILE, Behaviour, Mailbox  # noqa: PLC0415

    def script() -> None:
        mailbox = Mailbox(deployment.folder / MAILBOX_FILE)
        try:
            delay = 100 if behaviour in ("slow", "throttle", "early_receipt") else None
            mailbox.script("sandbox-sms", Behaviour(behaviour), delay_ms=delay, next_count=count)
        finally:
            mailbox.close()

    with contextlib.suppress(Exception):
        await asyncio.to_thread(script)
