"""A payer's passkey and browser, which know nothing but the options that the API gives; and how one is enrolled."""

import json
import os
from typing import Any

import httpx

from tests.generator import path
from tests.harness import TRANSACTION, Bank, Deployment, Role
from tests.soft_passkey import ORIGIN, RP_ID, UP, UV, Key, SoftPasskey, base64url, client_json

SETTINGS = (f'passkeys.rp_id = "{RP_ID}"', f'passkeys.origins = ["{ORIGIN}", "https://bank.example"]')
"""The configuration of a deployment that takes passkeys."""
INSTRUMENT = {"name": "Current account ··34", "icon": "https://bank.example/card.png"}


class Passkey:
    """What the payer holds, with the browser around it. A class because it counts what it signs."""

    def __init__(self, key: Key | None = None, *, counts: bool = True) -> None:
        """One that does not count says 0 for ever, as those do that are copied between devices."""
        self.soft = SoftPasskey(identifier=os.urandom(32))
        self.soft.key = key or self.soft.key
        self._counts = counts

    @property
    def name(self) -> str:
        """What it is called in options (WebAuthn section 4, credential id)."""
        return base64url(self.soft.identifier)

    def made(self, options: dict[str, Any], *, flags: int | None = None, **client: Any) -> dict[str, Any]:
        """What the browser answers to creation options; `client` changes what it says of itself."""
        says = client_json("webauthn.create", **({"challenge": options["challenge"]} | client))
        attested = self.soft.attested() if flags is None else self.soft.attested(flags)
        return _read(self.soft.registered(attested, says))

    def answer(
        self, options: dict[str, Any], *, kind: str = "webauthn.get", flags: int = UP | UV, **client: Any
    ) -> dict[str, Any]:
        """What the browser answers to request options; its counter goes on."""
        self.soft.sign_count += self._counts
        says = client_json(kind, **({"challenge": options["challenge"]} | client))
        return _read(self.soft.signed(self.soft.authenticator(flags), says))

    def confirmed(
        self, request: dict[str, Any], *, client: dict[str, Any] | None = None, **changed: Any
    ) -> dict[str, Any]:
        """What the browser answers once it has shown a payment (SPC); `changed` is what it shows otherwise."""
        (method,) = request["methods"]
        wanted, total = method["data"], request["details"]["total"]["amount"]
        shown = {
            "rpId": wanted["rpId"],
            "topOrigin": ORIGIN,
            "payeeName": wanted["payeeName"],
            "total": total,
            "instrument": {name: wanted["instrument"][name] for name in ("displayName", "icon")},
        } | changed
        return self.answer(wanted, kind="payment.get", **({"payment": shown} | (client or {})))


def start_api(service: Deployment) -> Role:
    """One more api on the stores of a deployment, which takes passkeys."""
    before, service.more_settings = service.more_settings, (*service.more_settings, *SETTINGS)
    try:
        return service.start("api")
    finally:
        service.more_settings = before


async def enrol(bank: Bank, psu: dict[str, str], **members: Any) -> httpx.Response:
    """Enrol one, whatever comes of it."""
    return await bank.http.post(path(psu), json={"type": "passkey", "label": "Anna", **members})


async def activate(
    bank: Bank, psu: dict[str, str], authenticator: str, made: dict[str, Any]
) -> httpx.Response:
    """Try to activate one, whatever comes of it."""
    return await bank.http.post(f"{path(psu)}/{authenticator}/activate", json={"passkey": made})


async def enrolled(
    bank: Bank, psu: dict[str, str], passkey: Passkey | None = None, **members: Any
) -> tuple[str, Passkey]:
    """An active one: its id, and what the payer holds."""
    response = await enrol(bank, psu, **members)
    assert response.status_code == 201, response.text
    body, held = response.json(), passkey or Passkey()
    authenticator: str = body["authenticator"]["id"]
    activated = await activate(bank, psu, authenticator, held.made(body["passkey_options"]))
    assert activated.status_code == 200, activated.text
    assert activated.json()["outcome"] == "activated", activated.text
    return authenticator, held


async def login(bank: Bank, psu: dict[str, str], **members: Any) -> dict[str, Any]:
    """A challenge for a login that the payer's passkey answers."""
    wanted = {"purpose": "login", "transaction": None, "channels": None, "method": "passkey"}
    return await bank.issue(psu=psu, **(wanted | members))


async def payment(bank: Bank, psu: dict[str, str], **members: Any) -> dict[str, Any]:
    """A payment that the payer's passkey answers."""
    return await bank.issue(psu=psu, channels=None, method="passkey", **members)


async def word_of(bank: Bank, psu: dict[str, str], passkey: Passkey) -> str:
    """What an approved enrolment challenge gives."""
    challenge = await login(bank, psu, purpose="enrolment")
    told = await verify(bank, challenge, passkey.answer(challenge["passkey_request"]), None)
    assert told["outcome"] == "approved", told
    word: str = told["authentication_code"]
    return word


async def post(
    bank: Bank,
    challenge: dict[str, Any],
    answer: Any,
    transaction: Any = TRANSACTION,
    *,
    key: str | None = None,
    **members: Any,
) -> httpx.Response:
    """Answer with what a browser returned, whatever comes of it."""
    body = {"passkey": answer, "transaction": transaction} | members
    return await bank.http.post(
        f"/v1/challenges/{challenge['id']}/verify",
        json={name: value for name, value in body.items() if value is not None},
        headers={"Idempotency-Key": key} if key else {},
    )


async def verify(
    bank: Bank, challenge: dict[str, Any], answer: Any, transaction: Any = TRANSACTION, **members: Any
) -> dict[str, Any]:
    """Answer with what a browser returned; asserts that it came to an outcome."""
    response = await post(bank, challenge, answer, transaction, **members)
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.json()
    return told


def _read(response: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(response)
    return answer
