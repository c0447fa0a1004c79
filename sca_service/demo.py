"""`sca demo`: one payment through a running sandbox, told step by step; fails when any step is not as it should be.

Its push is lost on purpose, so that the text message which follows is seen too.
"""

import json
import re
import secrets
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2
from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import KeySet
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sca_service.dev import SANDBOX_FILE
from sca_service.kernel.errors import ConfigurationError, ScaError

_PATIENCE_SECONDS = 10.0
_INDENT = (0, 0, 0, 5)
_CODE = re.compile(r"(?<!\d)\d{6}(?!\d)")
_TRANSACTION = {
    "amount": {"currency": "EUR", "amount": "49.99"},
    "payee": {"name": "ACME GmbH", "account": {"iban": "DE89370400440532013000"}},
    "reference": "demo",
}


class DemoFailed(ScaError):
    """A step came out other than it should."""

    code = "demo-failed"
    title = "The demo failed"
    meaning = "Shown on the command line only: a step of `sca demo` came out other than it should."


def demo(*, data_dir: Path = Path(".sca")) -> None:
    """Play one payment through a running `sca dev`.

    Parameters
    ----------
    data_dir
        The data folder of the running `sca dev`.
    """
    try:
        content = json.loads((data_dir / SANDBOX_FILE).read_text("utf-8"))
        keys = {name: client["api_key"] for name, client in content["clients"].items()}
        base_url = content["base_url"]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigurationError(f"no sandbox in {data_dir}: start one with `sca dev`") from error
    with httpx2.Client(base_url=base_url, timeout=10, trust_env=False) as http:
        try:
            _Play(http, keys).run()
        except httpx2.TransportError as error:
            raise ConfigurationError(f"nothing answers at {base_url}: start it with `sca dev`") from error


class _Play:
    """The payment, its steps in order. A class because each step needs what came before."""

    def __init__(self, http: httpx2.Client, keys: dict[str, str]) -> None:
        self._http = http
        self._keys = keys
        self._out = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
        self._phone = f"+49151{10_000_000 + secrets.randbelow(9_999_999)}"

    def run(self) -> None:
        """Play every step. Raises DemoFailed at the first that is not as it should be."""
        self._out.print()
        self._out.print("  [bold]One payment, from the bank's request to the record[/]")
        challenge = self._issue()
        challenge = self._fallback(challenge)
        code = self._handset(challenge)
        self._wrong_code(challenge, code)
        self._right_code(challenge, code)
        self._again(challenge, code)
        self._record(challenge)
        self._out.print("  [bold green]✓ Every step came out as it should.[/]\n")

    def _issue(self) -> dict[str, Any]:
        self._script_push("undelivered", next=1)
        self._step(1, "The bank asks for a challenge", "POST /v1/challenges")
        challenge: dict[str, Any] = self._call(
            "POST",
            "/v1/challenges",
            201,
            {
                "psu": {"id": f"demo_{secrets.token_hex(4)}", "phone": self._phone, "locale": "en-GB"},
                "purpose": "payment",
                "transaction": _TRANSACTION,
                "channels": [{"channel": "push", "timeout_s": 20}, {"channel": "sms"}],
                "elements_presented": ["knowledge"],
            },
        )
        self._check(challenge["status"] == "pending", "the challenge is pending")
        self._check(
            challenge["sca"] is True, "two elements: knowledge (the bank's login) and possession (the phone)"
        )
        self._check(
            "ACME GmbH" in challenge["message_shown"], f"shown to the payer: {challenge['message_shown']}"
        )
        return challenge

    def _fallback(self, challenge: dict[str, Any]) -> dict[str, Any]:
        self._step(2, "The push does not arrive, so a text message follows", "GET /v1/challenges/…")
        stepped: dict[str, Any] = self._await(lambda: self._on_second_channel(challenge), "a second channel")
        self._script_push("deliver")
        titles = ("channel", "to", "supplier", "status")
        self._table(titles, [[delivery[title] for title in titles] for delivery in stepped["deliveries"]])
        first, second = stepped["deliveries"]
        self._check(first["status"] == "undelivered", "the supplier's receipt said that the push was lost")
        self._check(second["channel"] == "sms", "the ladder went on at once, with the same code")
        return stepped

    def _handset(self, challenge: dict[str, Any]) -> str:
        self._step(3, "The payer's phone receives a text message", challenge["deliveries"][1]["to"])
        text = str(self._await(self._newest_message, "a message arrives")["text"])
        shown = Text(text)
        shown.highlight_regex(_CODE, "bold yellow")
        panel = Panel(shown, width=64, border_style="cyan", padding=(0, 2), title="SMS", title_align="left")
        self._out.print(Padding(panel, _INDENT, expand=False))
        found = _CODE.findall(text)
        self._check("49.99" in text and "ACME GmbH" in text, "it names the amount and the payee (RTS Art. 5)")
        self._check(bool(found), "it holds a code for exactly this payment")
        return str(found[-1])

    def _wrong_code(self, challenge: dict[str, Any], code: str) -> None:
        self._step(4, "A wrong code", "POST /v1/challenges/…/verify")
        verified = self._verify(challenge, f"{(int(code) + 1) % 1_000_000:06d}")
        self._check(verified["outcome"] == "incorrect", f"outcome: {verified['outcome']}")
        self._check(
            verified["attempts_left"] == 4, f"attempts left: {verified['attempts_left']} (RTS Art. 4(3)(b))"
        )

    def _right_code(self, challenge: dict[str, Any], code: str) -> None:
        self._step(5, "The right code", "POST /v1/challenges/…/verify")
        verified = self._verify(challenge, code)
        self._check(verified["outcome"] == "approved", f"outcome: {verified['outcome']}")
        keys = KeySet.import_key_set(self._call("GET", "/.well-known/jwks.json", 200))
        with warnings.catch_warnings():
            # joserfc would have Ed25519 named "Ed25519" (RFC 9864); banks' libraries know it as "EdDSA" (RFC 8037)
            warnings.simplefilter("ignore", SecurityWarning)
            signed = jws.deserialize_compact(verified["authentication_code"], keys, algorithms=["EdDSA"])
        claims = json.loads(signed.payload)
        self._check(
            claims["challenge"] == challenge["id"], "the authentication code is signed by the service (EdDSA)"
        )
        self._check(
            claims["transaction"] == challenge["transaction"]["digest"],
            "and bound to the payment the payer saw",
        )

    def _again(self, challenge: dict[str, Any], code: str) -> None:
        self._step(6, "The right code once more", "POST /v1/challenges/…/verify")
        verified = self._verify(challenge, code)
        self._check(
            verified["outcome"] == "already_used", f"outcome: {verified['outcome']} (accepted only once)"
        )

    def _record(self, challenge: dict[str, Any]) -> None:
        self._step(7, "What the auditor reads", "GET /v1/audit/events?challenge=…")
        events = self._await(lambda: self._sequenced(challenge), "every event has its index")
        rows = [[event["index"], event["at"][11:23], event["type"], _said(event)] for event in events]
        self._table(("index", "time (UTC)", "event", ""), rows)
        kinds = [event["type"] for event in events]
        self._check(kinds[0] == "challenge.issued", "issued first")
        self._check(
            kinds.count("challenge.answered") == 3, "three answers: incorrect, approved, already_used"
        )
        said = json.dumps(events)
        named = any(text in said for text in (self._phone[1:], "ACME", "DE89370400440532013000", '"49.99"'))
        self._check(not named, "neither the payer's number nor the payee stands in the log")
        self._out.print()

    def _verify(self, challenge: dict[str, Any], code: str) -> dict[str, Any]:
        path = f"/v1/challenges/{challenge['id']}/verify"
        verified: dict[str, Any] = self._call("POST", path, 200, {"code": code, "transaction": _TRANSACTION})
        return verified

    def _newest_message(self) -> dict[str, Any] | None:
        data: list[dict[str, Any]] = self._call("GET", f"/sandbox/messages?to=%2B{self._phone[1:]}", 200)[
            "data"
        ]
        return data[-1] if data else None

    def _on_second_channel(self, challenge: dict[str, Any]) -> dict[str, Any] | None:
        newest: dict[str, Any] = self._call("GET", f"/v1/challenges/{challenge['id']}", 200)
        done = len(newest["deliveries"]) > 1 and newest["deliveries"][-1]["status"] == "delivered"
        return newest if done else None

    def _script_push(self, behaviour: str, **members: int) -> None:
        self._call("POST", "/sandbox/suppliers/push", 200, {"behaviour": behaviour, **members})

    def _sequenced(self, challenge: dict[str, Any]) -> list[dict[str, Any]] | None:
        path = f"/v1/audit/events?challenge={challenge['id']}"
        events: list[dict[str, Any]] = self._call("GET", path, 200, client="auditor")["data"]
        settled = any(event.get("status") == "delivered" for event in events)
        return events if settled and all(event["index"] is not None for event in events) else None

    def _await(self, look: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if found := look():
                return found
            time.sleep(0.05)
        self._check(False, what)
        return None

    def _call(self, method: str, path: str, status: int, body: Any = None, *, client: str = "bank") -> Any:
        response = self._http.request(
            method, path, json=body, headers={"Authorization": f"Bearer {self._keys[client]}"}
        )
        if response.status_code != status:
            self._check(False, f"{method} {path.partition('?')[0]} answered {response.status_code}")
        return response.json()

    def _step(self, number: int, title: str, how: str) -> None:
        self._out.print()
        self._out.print(f"  [bold cyan]{number}[/]  [bold]{title}[/]   [dim]{how}[/]")

    def _table(self, titles: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
        for title in titles:
            table.add_column(title)
        for row in rows:
            table.add_row(*(str(cell) for cell in row))
        self._out.print(Padding(table, _INDENT, expand=False))

    def _check(self, holds: bool, what: str) -> None:
        if not holds:
            self._out.print(f"     [bold red]✗[/] {what}")
            raise DemoFailed(f"not as it should be: {what}")
        self._out.print(f"     [green]✓[/] {what}")


def _said(event: dict[str, Any]) -> str:
    return str(event.get("outcome") or event.get("status") or event.get("channel") or "")
