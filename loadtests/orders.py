"""What is issued and answered in measurements: the contract's payment, and the right answers to it."""

from typing import Any

from loadtests import generator
from loadtests.generator import Request
from sca_service.challenges import code
from sca_service.challenges.model import ChallengeId
from sca_service.kernel.account import Account
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.money import Amount
from sca_service.kernel.transaction import Payee, Transaction

TRANSACTION: dict[str, Any] = {
    "amount": {"currency": "EUR", "amount": "49.99"},
    "payee": {"name": "ACME GmbH", "account": {"iban": "DE89370400440532013000"}},
    "reference": "pay_2026_001",
}
KNOWLEDGE = ("knowledge",)


def payment(payer: int, *, presented: tuple[str, ...] = KNOWLEDGE, **members: Any) -> Request:
    """The issue of a payment by a payer with a number of eight digits; `members` over it."""
    body = {
        "psu": {"id": f"cust_{payer}", "phone": f"+49151{payer}", "locale": "de-DE"},
        "purpose": "payment",
        "transaction": TRANSACTION,
        "elements_presented": list(presented),
        "signals": {"ip": "203.0.113.7", "device_id": "d-77", "session_id": f"s-{payer}"},
    }
    return Request("/v1/challenges", generator.encode(body | members))


def login(payer: int, *, method: str) -> Request:
    """The issue of a login: codes of generators are not specific to a payment (RTS Art. 5(1)(b))."""
    body = {
        "psu": {"id": f"cust_{payer}"},
        "purpose": "login",
        "method": method,
        "elements_presented": list(KNOWLEDGE),
        "signals": {"ip": "203.0.113.7", "device_id": "d-77", "session_id": f"s-{payer}"},
    }
    return Request("/v1/challenges", generator.encode(body))


def answer(challenge: str, shown: str, **members: Any) -> Request:
    """An answer to a payment by a code."""
    return Request(f"/v1/challenges/{challenge}/verify", answer_body(shown, **members))


def answer_body(shown: str, **members: Any) -> str:
    """The body of such an answer."""
    return generator.encode({"code": shown, "transaction": TRANSACTION} | members)


def right_code(keyring: Keyring, challenge: str) -> str:
    """The code that was sent for a payment."""
    parsed = ChallengeId.parse(challenge)
    assert parsed is not None  # noqa: S101 - the service made it
    payee = Payee("ACME GmbH", Account.parse(iban="DE89370400440532013000"))
    transaction = Transaction.payment(
        amount=Amount.parse(currency="EUR", amount="49.99"), payee=payee, reference="pay_2026_001"
    )
    return code.derive(keyring, parsed, transaction.digest()).reveal()
