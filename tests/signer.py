"""A payer's generator that signs, which knows nothing but its suite and key (OCRA, RFC 6287); how one is enrolled."""

import base64
import hmac
import time
from typing import Any

import httpx

from tests.generator import activate, path
from tests.harness import Bank

COUNTING = "OCRA-1:HOTP-SHA256-8:C-QH40"


class Device:
    """What the payer holds: it computes by the text of RFC 6287 itself. A class because it counts."""

    def __init__(self, suite: str, key: str) -> None:
        self.suite = suite
        self.key = base64.b32decode(key + "=" * (-len(key) % 8))
        self.counter = 0

    def answer(self, question: str, *, steps_back: int = 0) -> str:
        """The answer to a question now, or of `steps_back` time steps ago; its counter goes on."""
        _, function, inputs = self.suite.split(":")
        _, algorithm, digits = function.split("-")
        message = self.suite.encode() + b"\0"
        for part in inputs.split("-"):
            match part[0]:
                case "C":
                    message += self.counter.to_bytes(8, "big")
                    self.counter += 1
                case "Q":
                    written = {"N": lambda: f"{int(question):x}", "H": lambda: question}
                    text = written.get(part[1], question.encode().hex)()
                    message += bytes.fromhex(text.ljust(256, "0"))
                case "T":
                    step = int(time.time()) // int(part[1:-1]) - steps_back
                    message += step.to_bytes(8, "big")
        mac = hmac.digest(self.key, message, algorithm.lower())
        start = mac[-1] & 15
        number = int.from_bytes(mac[start : start + 4], "big") & 0x7FFFFFFF
        return str(number)[-int(digits) :].zfill(int(digits))


async def enrol(bank: Bank, psu: dict[str, str], suite: str = COUNTING, **members: Any) -> httpx.Response:
    """Enrol one, whatever comes of it."""
    return await bank.http.post(path(psu), json={"type": "ocra", "label": "Anna", "suite": suite, **members})


async def enrolled(
    bank: Bank, psu: dict[str, str], suite: str = COUNTING, **members: Any
) -> tuple[str, Device]:
    """An active one: its id, and what the payer holds. The activation uses the time step before."""
    response = await enrol(bank, psu, suite, **members)
    assert response.status_code == 201, response.text
    body = response.json()
    device = Device(suite, body["ocra_key"] or members["key"])
    authenticator: str = body["authenticator"]["id"]
    answer = device.answer(body["activation_question"], steps_back=int("-T" in suite or ":T" in suite))
    activated = (await activate(bank, psu, authenticator, answer)).json()
    assert (activated["outcome"], activated["authenticator"]["state"]) == ("activated", "active")
    return authenticator, device


async def payment(bank: Bank, psu: dict[str, str], **members: Any) -> tuple[str, str]:
    """A payment that the payer's generator is asked to sign: its id, and the question."""
    wanted = {"method": "ocra", "channels": None, "elements_presented": ["knowledge"]} | members
    issued = await bank.issue(psu=psu, **wanted)
    assert (issued["method"], issued["deliveries"], issued["status"]) == ("ocra", [], "pending")
    return issued["id"], issued["ocra_question"]
