"""A payer's generator of codes, which knows nothing but the `otpauth` URI (by pyotp); and how one is enrolled."""

import time
from typing import Any

import httpx
import pyotp

from tests.harness import Bank


class Generator:
    """What the payer holds. A class because it counts what it has shown."""

    def __init__(self, uri: str) -> None:
        parsed = pyotp.parse_uri(uri)
        assert isinstance(parsed, pyotp.TOTP | pyotp.HOTP)
        self.otp = parsed
        self._counter = 0

    def code(self, *, back: int = 0) -> str:
        """The code of now, or of `back` periods ago; the next one of a generator that counts."""
        if isinstance(self.otp, pyotp.TOTP):
            return str(self.otp.at(int(time.time()) - back * self.otp.interval))
        self._counter += 1
        return str(self.otp.at(self._counter - 1))

    def skip(self, presses: int) -> None:
        """Codes that were shown and never sent."""
        self._counter += presses


def path(psu: dict[str, str]) -> str:
    """Where a payer's authenticators are."""
    return f"/v1/psus/{psu['id']}/authenticators"


async def enrol(bank: Bank, psu: dict[str, str], kind: str = "totp", **members: Any) -> httpx.Response:
    """Enrol a generator, whatever comes of it."""
    return await bank.http.post(path(psu), json={"type": kind, "label": "Anna", **members})


async def activate(bank: Bank, psu: dict[str, str], authenticator: str, code: str) -> httpx.Response:
    """Try to activate, whatever comes of it."""
    return await bank.http.post(f"{path(psu)}/{authenticator}/activate", json={"code": code})


async def enrolled(
    bank: Bank, psu: dict[str, str], kind: str = "totp", **members: Any
) -> tuple[str, Generator]:
    """An active generator of a payer: its id, and what the payer holds. The activation uses the code before."""
    response = await enrol(bank, psu, kind, **members)
    assert response.status_code == 201, response.text
    body = response.json()
    generator = Generator(body["otpauth_uri"])
    code = generator.code(back=1) if kind == "totp" else generator.code()
    activated = await activate(bank, psu, body["authenticator"]["id"], code)
    assert activated.json()["outcome"] == "activated", activated.text
    return body["authenticator"]["id"], generator


async def pin_enrolled(bank: Bank, psu: dict[str, str], pin: str, **members: Any) -> str:
    """An active PIN of a payer; its id."""
    response = await bank.http.post(path(psu), json={"type": "pin", "label": "Anna", "pin": pin, **members})
    assert response.status_code == 201, response.text
    assert response.json()["otpauth_uri"] is None
    authenticator: str = response.json()["authenticator"]["id"]
    activated = await bank.http.post(f"{path(psu)}/{authenticator}/activate", json={"pin": pin})
    assert activated.json()["outcome"] == "activated", activated.text
    return authenticator


async def login(bank: Bank, psu: dict[str, str], method: str = "totp", **members: Any) -> str:
    """A challenge for a login that the payer's generator answers."""
    wanted: dict[str, Any] = {
        "purpose": "login",
        "transaction": None,
        "channels": None,
        "elements_presented": ["knowledge"],
    }
    challenge: str = (await bank.issue(psu=psu, method=method, **(wanted | members)))["id"]
    return challenge
