"""An application that calls CAMARA one-time-password-sms, as its published scenarios do."""

import secrets
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.harness import Bank, code_in, unique_number, wrong

SEND, VALIDATE = "/one-time-password-sms/v1/send-code", "/one-time-password-sms/v1/validate-code"
MESSAGE = "{{code}} is your short code to authenticate with Cool App via SMS"


@dataclass
class Application:
    """Calls with a correlator of its own, and reads codes on the handset of its number."""

    bank: Bank
    number: str = field(default_factory=unique_number)
    correlator: str = field(default_factory=lambda: f"corr-{secrets.token_hex(8)}")
    received: int = 0

    async def post(
        self, path: str, body: Any = None, *, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Call with the correlator, without a body where it is None, and without a header that is empty."""
        said = {"x-correlator": self.correlator} | (headers or {})
        sent = {} if body is None else {"json": body}
        request = self.bank.http.build_request("POST", path, headers=said, **sent)
        for name in [name for name, value in said.items() if not value]:
            del request.headers[name]
        return await self.bank.http.send(request)

    async def send(self, **members: Any) -> httpx.Response:
        """Send a code to the number, with `members` over the body; None leaves one out."""
        body = {"phoneNumber": self.number, "message": MESSAGE} | members
        return await self.post(SEND, {name: value for name, value in body.items() if value is not None})

    async def sent(self) -> tuple[str, str]:
        """Send a code, and read it: the authenticationId and the code."""
        response = await self.send()
        assert response.status_code == 200, response.text
        self.received += 1
        message = await self.bank.message(self.number, number=self.received)
        return response.json()["authenticationId"], code_in(message["text"])

    async def validate(self, authentication_id: str, code: str) -> httpx.Response:
        """Validate a code."""
        return await self.post(VALIDATE, {"authenticationId": authentication_id, "code": code})

    async def validate_wrongly(self, authentication_id: str, code: str, *, times: int) -> None:
        """Give so many wrong codes."""
        for _ in range(times):
            assert (await self.validate(authentication_id, wrong(code))).status_code == 400

    def assert_fault(self, response: httpx.Response, status: int, code: str) -> None:
        """The error that a scenario asks for: status, code, a text, and the correlator."""
        assert response.status_code == status, response.text
        body = response.json()
        assert (body["status"], body["code"]) == (status, code)
        assert body["message"]
        assert set(body) == {"status", "code", "message"}
        assert response.headers["content-type"] == "application/json"
        assert response.headers["x-correlator"] == self.correlator
