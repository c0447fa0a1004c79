"""Attackers at the bank's door, amid honest traffic: each must be refused, and what they get is noted down.

spray           guesses at codes of a few payers, from few addresses: the payers are blocked
pumping         messages to numbers in a row that nobody ever answers: they stop being sent
replay          codes that were approved, answered once more
changed amount  the right code for another amount: the challenge is void, also for the right amount
"""

import random
from dataclasses import dataclass, field

from loadtests.scenario.bank import MESSAGE_SECONDS, Bank, Order, wrong

_VICTIMS = 40
_GUESSES = 6
"""One more than a payer has (RTS Art. 4(3)(b))."""
_ADDRESSES = 3
"""Few: policies/limits.toml lets an address answer wrongly 500 times in ten minutes, and a whole bank 2,000 an hour."""
_ROW = "+4915799"
_ROW_LENGTH = 10_000


@dataclass(slots=True)
class Attackers:
    """All attackers. A class because pumping goes on along a row of numbers."""

    bank: Bank
    chance: random.Random
    victims: list[dict[str, str]] = field(default_factory=list)
    at: int = 0

    def spray(self, due: float) -> None:
        """Guess at one victim's code, more often than a payer may."""
        if len(self.victims) < _VICTIMS:
            self.victims.append(self.bank.payer())
        order = self._order(due, self.chance.choice(self.victims), self._address())
        if order is None:
            self._came_to("spray: not issued")
            return
        said: list[str] = []
        for guess in range(_GUESSES):  # never the right one by luck
            code = wrong(order.code) if guess == 0 else wrong(wrong(order.code))
            said.append(self._try(order, code, order.transaction, self.bank.caller.clock.now(), name="spray"))
        self._came_to(f"spray: {said[-1]} in the end")
        self.bank.handsets.forget(order.challenge)

    def pumping(self, due: float) -> None:
        """Have a code sent to the next number in a row, which is never answered."""
        self.at = (self.at + 1) % _ROW_LENGTH
        psu = {"id": f"pump_{self.at}", "phone": f"{_ROW}{self.at:06d}", "locale": "de-DE"}
        reply, _ = self.bank.order(due, psu, ip=self._address(), name="pumping")
        if reply.status != 201:
            self._came_to(f"pumping: {reply.status}")
            return
        self.bank.caller.notes.pumped.append(reply.body["id"])
        self._came_to(f"pumping: {reply.body['status']}")

    def replay(self, due: float) -> None:
        """Answer an approved challenge as its payer did: now, and with more money."""
        if not self.bank.approved:
            return
        approved = self.chance.choice(self.bank.approved)
        order = Order(approved.challenge, "", approved.transaction, due, approved.code)
        said = self._try(order, approved.code, order.transaction, due, name="replay")
        self._came_to(f"replay: {said}")
        if said != "already_used":
            self.bank.caller.notes.surprises.append(f"{order.challenge}: a replay was told `{said}`")

    def change_amount(self, due: float) -> None:
        """Take a payer's right code for a hundred times the amount, and then for what it was for."""
        order = self._order(due, self.bank.payer(), self.bank.address())
        if order is None:
            self._came_to("changed amount: not issued")
            return
        amount = order.transaction["amount"]
        more = {"currency": amount["currency"], "amount": f"{float(amount['amount']) * 100:.2f}"}
        changed = order.transaction | {"amount": more}
        clock = self.bank.caller.clock
        first = self._try(order, order.code, changed, clock.now(), name="changed amount")
        then = self._try(order, order.code, order.transaction, clock.now(), name="changed amount")
        self._came_to(f"changed amount: {first}, then {then}")
        if first != "transaction_mismatch":
            self.bank.caller.notes.surprises.append(f"{order.challenge}: another amount was told `{first}`")
        self.bank.handsets.forget(order.challenge)

    def _order(self, due: float, psu: dict[str, str], ip: str) -> Order | None:
        reply, transaction = self.bank.order(due, psu, ip=ip, name="issue (attack)")
        if reply.status != 201 or reply.body["status"] != "pending":
            return None
        body = reply.body
        order = Order(body["id"], body["transaction"]["digest"], transaction, reply.at)
        shown = self.bank.handsets.wait(order.challenge, seconds=MESSAGE_SECONDS)
        order.code = shown.code if shown else "000000"
        return order

    def _try(self, order: Order, code: str, transaction: object, due: float, *, name: str) -> str:
        return self.bank.answer(order, code, transaction, due, name=name, is_right=False)

    def _address(self) -> str:
        return f"203.0.113.{self.chance.randrange(_ADDRESSES)}"

    def _came_to(self, what: str) -> None:
        self.bank.caller.notes.came_to(what)
