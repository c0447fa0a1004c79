"""An operator's gateway that plays CAMARA's published definitions: it refuses what they do not allow.

async with RudeServer() as server:
    gateway = Gateway(server)
    gateway.lines["+49…"] = {"/sim-swap/v2/check": True}
"""

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema_rs

from tests.rude_server import Answer, RudeRequest, RudeServer

OPERATIONS: dict[str, Any] = json.loads((Path(__file__).parent / "camara_openapi.json").read_text("utf-8"))[
    "operations"
]
SIM_SWAP, DEVICE_SWAP, CALL_FORWARDING, NUMBER_RECYCLING = OPERATIONS
ACCESS = "/oauth2/access"
CLIENT_ID, CLIENT_SECRET = "bank:one", "s3cret/&+"
_MEMBERS = {
    SIM_SWAP: "swapped",
    DEVICE_SWAP: "swapped",
    CALL_FORWARDING: "active",
    NUMBER_RECYCLING: "phoneNumberRecycled",
}


class Gateway:
    """Answers as the definitions say. A class because it holds what is known of lines, and the keys it gave out."""

    def __init__(self, server: RudeServer) -> None:
        self.lines: dict[str, dict[str, bool]] = {}
        self.odd: dict[str, Answer] = {}
        self.expires_in = 3_600
        self.granted: list[str] = []
        self.revoked: set[str] = set()
        self.scope = ""
        self._server = server
        server.answer_by(self._answer)

    @property
    def asked(self) -> list[str]:
        """The paths of all questions, without those for access."""
        return [request.path for request in self._server.requests if request.path != ACCESS]

    def _answer(self, request: RudeRequest) -> Answer:
        if request.path == ACCESS:
            return self._grant(request)
        operation = OPERATIONS.get(request.path)
        if operation is None or request.method != "POST":
            return Answer(404, {"status": 404, "code": "NOT_FOUND", "message": "no such resource"})
        if request.path in self.odd:
            return self.odd[request.path]
        access = request.headers.get("authorization", "").removeprefix("Bearer ")
        if access not in self.granted or access in self.revoked:
            return self._refusal(request.path, 401)
        if not set(operation["scopes"]) & set(self.scope.split()):
            return self._refusal(request.path, 403)
        body = request.json()
        of_json = request.headers.get("content-type") == "application/json"
        known = set(operation["request"]["properties"])
        valid = jsonschema_rs.is_valid(operation["request"], body) and set(body) <= known
        if not of_json or not valid:
            return self._refusal(request.path, 400)
        held = self.lines.get(body["phoneNumber"])
        if held is None:
            return self._refusal(request.path, 404)
        if request.path not in held:
            return self._refusal(request.path, 422)
        answer = {_MEMBERS[request.path]: held[request.path]}
        assert jsonschema_rs.is_valid(operation["response"], answer)
        return Answer(200, answer)

    def _grant(self, request: RudeRequest) -> Answer:
        """RFC 6749 section 4.4, the client by HTTP Basic."""
        scheme, _, pair = request.headers.get("authorization", "").partition(" ")
        name, _, secret = base64.b64decode(pair).decode().partition(":")
        known = scheme == "Basic" and (unquote(name), unquote(secret)) == (CLIENT_ID, CLIENT_SECRET)
        form = request.form()
        if not known:
            return Answer(401, {"error": "invalid_client"})
        if form.get("grant_type") != "client_credentials":
            return Answer(400, {"error": "unsupported_grant_type"})
        self.scope = form["scope"]
        self.granted.append(f"access-{len(self.granted)}")
        return Answer(
            200, {"access_token": self.granted[-1], "token_type": "Bearer", "expires_in": self.expires_in}
        )

    def _refusal(self, path: str, status: int) -> Answer:
        (example,) = OPERATIONS[path]["errors"][str(status)]
        return Answer(status, example)
