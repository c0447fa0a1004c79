"""A bank at its checkout: a payer orders, waits for the code, takes time, and answers, each in a way of their own."""

import base64
import json
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import gevent

from loadtests.scenario.calls import Caller, Reply
from loadtests.scenario.handsets import Handsets

MESSAGE_SECONDS = 60.0
"""How long a payer waits for a message: one that comes later is missing."""
_RESEND_COOLDOWN_SECONDS = 31.0
"""policies/ladder.toml `[resend]` allows the first one after 30."""
_MEDIAN_THINK_SECONDS: Final = 6.0
_SPREAD: Final = 0.5
_MOST_NUMBERS = 10_000_000
_STEP = 6_180_339
"""Numbers of payers who come one after the other lie far apart."""
_REMEMBERED = 2_000


@dataclass(frozen=True, slots=True)
class Approved:
    """An approved challenge, as who listens in on a payer would know it."""

    challenge: str
    code: str
    transaction: dict[str, Any]


@dataclass(slots=True)
class Order:
    """A payment that waits for its payer. `issued` is on the run's clock."""

    challenge: str
    digest: str
    transaction: dict[str, Any]
    issued: float
    code: str = ""


@dataclass(slots=True)
class Bank:
    """One bank and its payers. A class because no payer comes twice and approved codes are remembered for replays."""

    caller: Caller
    handsets: Handsets
    chance: random.Random
    think: float
    payers: int = 0
    approved: list[Approved] = field(default_factory=list)

    def checkout(self, due: float) -> None:
        """One payer's way through it, from a moment that is due."""
        ways: list[tuple[Callable[[Order, float], str], int]] = [
            (self._answer, 74),
            (self._answer_wrongly_first, 8),
            (self._click_twice, 6),
            (self._have_it_sent_again, 3),
            (self._cancel, 4),
            (self._walk_away, 5),
        ]
        way = self.chance.choices([one for one, _ in ways], [weight for _, weight in ways])[0]
        order = self._order(due)
        if order is None:
            return
        shown = self.handsets.wait(order.challenge, seconds=MESSAGE_SECONDS)
        notes = self.caller.notes
        if shown is None:
            notes.surprises.append(f"{order.challenge}: no message in {MESSAGE_SECONDS:.0f} s")
            return
        order.code = shown.code
        arrived = shown.at - notes.began_at
        notes.requests.append((round(due, 4), "message arrives", round((arrived - due) * 1000, 3), 200))
        notes.came_to(f"checkout: {way(order, self._think(max(arrived, due)))}")
        self.handsets.forget(order.challenge)

    def order(self, due: float, psu: dict[str, str], *, ip: str, name: str) -> tuple[Reply, dict[str, Any]]:
        """Issue a challenge for a payment of chance; the reply, and the transaction."""
        transaction = {
            "amount": {"currency": "EUR", "amount": f"{self.chance.randrange(100, 50_000) / 100:.2f}"},
            "payee": {"name": "ACME GmbH", "account": {"iban": "DE89370400440532013000"}},
            "reference": f"order {self.chance.randrange(10**9)}",
        }
        body = {
            "psu": psu,
            "purpose": "payment",
            "transaction": transaction,
            "channels": [{"channel": "sms", "timeout_s": 45}, {"channel": "voice"}],
            "elements_presented": ["knowledge"],
            "signals": {
                "ip": ip,
                "device_id": f"d-{psu['id']}",
                "session_id": f"s-{self.chance.randrange(10**9)}",
            },
        }
        reply = self.caller.call("POST", "/v1/challenges", body, name=name, due=due)
        if reply.status == 201 and reply.body["status"] == "pending":
            self.caller.notes.told.append((reply.request, reply.body["id"], "issued"))
        return reply, transaction

    def verify(self, order: Order, code: str, due: float, *, name: str = "verify") -> str:
        """A payer's answer; the outcome, or the status where there is none."""
        return self.answer(order, code, order.transaction, due, name=name, is_right=code == order.code)

    def answer(
        self, order: Order, code: str, transaction: object, due: float, *, name: str, is_right: bool
    ) -> str:
        """Answer, note down what was told, and hold an approval against what was issued; the outcome or status.

        `is_right` says whether it may be approved.
        """
        body = {"code": code, "transaction": transaction}
        path = f"/v1/challenges/{order.challenge}/verify"
        reply = self.caller.call("POST", path, body, name=name, due=due)
        if reply.status != 200:
            return str(reply.status)
        outcome = str(reply.body["outcome"])
        self.caller.notes.told.append((reply.request, order.challenge, outcome))
        if outcome == "approved":
            self._note_approval(order, reply.body["authentication_code"], is_right=is_right)
        return outcome

    def _note_approval(self, order: Order, authentication_code: str, *, is_right: bool) -> None:
        notes = self.caller.notes
        notes.approvals.append((order.challenge, order.digest, authentication_code))
        if not is_right:
            notes.surprises.append(f"{order.challenge}: approved by an answer that was wrong")
        payload = authentication_code.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        if claims["transaction"] != order.digest or claims["challenge"] != order.challenge:
            notes.surprises.append(f"{order.challenge}: the authentication code is for something else")
        self.approved.append(Approved(order.challenge, order.code, order.transaction))
        del self.approved[:-_REMEMBERED]

    def payer(self) -> dict[str, str]:
        """A payer who never came before, with a number of nobody."""
        self.payers += 1
        number = 10_000_000 + self.payers * _STEP % _MOST_NUMBERS
        return {
            "id": f"cust_{self.payers}_{secrets.token_hex(3)}",
            "phone": f"+49151{number}",
            "locale": "de-DE",
        }

    def address(self) -> str:
        """An address of a payer's (RFC 2544: of nobody)."""
        return f"198.{self.chance.choice((18, 19))}.{self.chance.randrange(256)}.{self.chance.randrange(256)}"

    def _order(self, due: float) -> Order | None:
        reply, transaction = self.order(due, self.payer(), ip=self.address(), name="issue")
        if reply.status != 201 or reply.body["status"] != "pending":
            said = reply.body["status"] if reply.status == 201 else reply.status
            self.caller.notes.came_to(f"checkout: not issued ({said})")
            return None
        body = reply.body
        return Order(body["id"], body["transaction"]["digest"], transaction, reply.at)

    def _answer(self, order: Order, due: float) -> str:
        return self.verify(order, order.code, due)

    def _answer_wrongly_first(self, order: Order, due: float) -> str:
        said = self.verify(order, wrong(order.code), due)
        if said != "incorrect":
            return f"{said}, for a wrong code"
        return self.verify(order, order.code, self._think(due))

    def _click_twice(self, order: Order, due: float) -> str:
        clicks = [gevent.spawn(self.verify, order, order.code, due) for _ in range(2)]
        said = sorted(one.get() for one in clicks)
        return "approved" if said == ["already_used", "approved"] else f"clicked twice: {' and '.join(said)}"

    def _have_it_sent_again(self, order: Order, due: float) -> str:
        due = self._wait_until(max(due, order.issued + _RESEND_COOLDOWN_SECONDS))
        path = f"/v1/challenges/{order.challenge}/next"
        reply = self.caller.call("POST", path, {"reason": "user_request"}, name="send again", due=due)
        if not reply.is_good:
            return f"not sent again ({reply.status})"
        again = self.handsets.wait(order.challenge, number=2, seconds=MESSAGE_SECONDS)
        if again is None or again.code != order.code:
            self.caller.notes.surprises.append(f"{order.challenge}: sent again, it did not arrive as it was")
        return self.verify(order, order.code, self._think(reply.at))

    def _cancel(self, order: Order, due: float) -> str:
        reply = self.caller.call("POST", f"/v1/challenges/{order.challenge}/cancel", name="cancel", due=due)
        if not reply.is_good:
            return f"not cancelled ({reply.status})"
        return self.verify(order, order.code, self._think(reply.at))

    def _walk_away(self, order: Order, due: float) -> str:
        self.caller.call("GET", f"/v1/challenges/{order.challenge}", name="read", due=due)
        return "walked away"

    def _think(self, since: float) -> float:
        """Wait as a payer does who reads and types; when the wait is over."""
        return self._wait_until(
            since + self.think * _MEDIAN_THINK_SECONDS * self.chance.lognormvariate(0, _SPREAD)
        )

    def _wait_until(self, due: float) -> float:
        gevent.sleep(max(due - self.caller.clock.now(), 0))
        return max(due, 0.0)


def wrong(code: str) -> str:
    """A code of the same length that is not this one."""
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}d}"
