"""Sample requests and answers for the API's reference; what has no sample here is made from its schema.

Every value is made up, or reserved for documentation by those who assign it.
"""

import json
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from sca_service.api.reference import Operation, Schema, Schemas
from sca_service.api.responses import (
    AccountBody,
    AmountBody,
    AuditEventListBody,
    ChallengeBody,
    DeliveryBody,
    PayeeBody,
    PayerBody,
    PolicyBody,
    PsuBody,
    RiskBody,
    TransactionBody,
    VerifyBody,
)
from sca_service.challenges.model import Element, Method, Outcome, Status
from sca_service.delivery.model import DeliveryStatus
from sca_service.policy.model import Channel, Purpose

_LINE = 52
_PAYMENT = {
    "amount": {"currency": "EUR", "amount": "49.99"},
    "payee": {"name": "ACME GmbH", "account": {"iban": "DE89370400440532013000"}},
    "reference": "pay_2026_001",
}
REQUESTS: Mapping[str, Mapping[str, object]] = {
    "create_challenge": {
        "psu": {"id": "cust_8841", "phone": "+4915112345678", "locale": "de-DE"},
        "purpose": "payment",
        "transaction": _PAYMENT,
        "method": "one_time_code",
        "channels": [
            {"channel": "push", "timeout_s": 20},
            {"channel": "sms", "timeout_s": 45},
            {"channel": "voice"},
        ],
        "elements_presented": ["knowledge"],
        "signals": {"ip": "203.0.113.7", "device_id": "d-77", "user_agent": "...", "session_id": "..."},
        "expires_in_s": 300,
        "reference": "case-77",
        "metadata": {"case": "77"},
    },
    "verify_challenge": {"code": "693554", "transaction": _PAYMENT},
    "next_channel": {"reason": "user_request"},
    "unblock_payer": {"reason": "identified at the branch", "client": "bank"},
    "add_push_subscription": {
        "kind": "web_push",
        "endpoint": "https://updates.push.services.mozilla.com/wpush/v2/gAAAAABn…",
        "keys": {"p256dh": "BCVxsr7N_eNgVRqvHtD0…", "auth": "BTBZMqHH6r4Tts7J_aSIgg"},
    },
    "sandbox_script": {"behaviour": "undelivered", "next": 1},
    "sandbox_receipt": {"delivery": "dlv_…", "status": "delivered"},
}
"""Request bodies by operation."""

_QUEUED = DeliveryBody(
    id="dlv_…",
    channel=Channel.PUSH,
    status=DeliveryStatus.QUEUED,
    to="device …f3a1",
    supplier=None,
    reason=None,
    segments=None,
    cost=None,
    queued_at="2026-11-22T10:15:00.123Z",
    sent_at=None,
    final_at=None,
    route=None,
)
_PENDING = ChallengeBody(
    id="chl_…",
    status=Status.PENDING,
    purpose=Purpose.PAYMENT,
    method=Method.ONE_TIME_CODE,
    psu=PsuBody("cust_8841"),
    transaction=TransactionBody(
        amount=AmountBody("EUR", "49.99"),
        payee=PayeeBody("ACME GmbH", AccountBody(iban="DE89370400440532013000")),
        reference="pay_2026_001",
        digest="sha256:…",
    ),
    message_shown="49,99 € an ACME GmbH …3000",
    channel=Channel.PUSH,
    next_channel_at="2026-11-22T10:15:20.123Z",
    deliveries=(_QUEUED,),
    attempts_left=5,
    created_at="2026-11-22T10:15:00.123Z",
    expires_at="2026-11-22T10:20:00.123Z",
    settled_at=None,
    blocked_until=None,
    elements=(Element.KNOWLEDGE, Element.POSSESSION),
    sca=True,
    pin_asked=False,
    ocra_question=None,
    matching_digits=None,
    passkey_request=None,
    payment_request=None,
    authentication_code=None,
    risk=RiskBody("challenge", 0, ()),
    policy=PolicyBody("sha256:…"),
    reference="case-77",
    metadata={"case": "77"},
    reason=None,
)
_DELIVERED = msgspec.structs.replace(
    _QUEUED,
    status=DeliveryStatus.DELIVERED,
    supplier="sandbox-push",
    sent_at="2026-11-22T10:15:00.345Z",
    final_at="2026-11-22T10:15:02.678Z",
)
_APPROVED = msgspec.structs.replace(
    _PENDING,
    status=Status.APPROVED,
    next_channel_at=None,
    deliveries=(_DELIVERED,),
    attempts_left=4,
    settled_at="2026-11-22T10:15:31.456Z",
)
ANSWERS: Mapping[str, object] = {
    "ChallengeBody": _PENDING,
    "VerifyBody": VerifyBody(Outcome.APPROVED, 4, "eyJhbGciOiJFZERTQSIs…", _APPROVED),
    "PayerBody": PayerBody("cust_8841", blocked=True, blocked_until="2026-11-22T10:35:00.000Z", failures=0),
    "AuditEventListBody": AuditEventListBody(
        data=(
            {
                "id": "evt_…",
                "index": 1042,
                "at": "2026-11-22T10:15:31.456Z",
                "type": "challenge.answered",
                "client": "bank",
                "psu": "…",
                "challenge": "chl_…",
                "actor": "client:bank",
                "request": "req_…",
                "policy": "sha256:…",
                "outcome": "approved",
                "attempts_left": 4,
            },
        ),
        next_cursor=None,
    ),
    "MessageBody": {
        "id": "msg_7",
        "channel": "push",
        "to": "+4915112345678",
        "text": "Sie zahlen 49,99 € an ACME GmbH …3000. Ihr Code ist 693554, gültig 5 Minuten. …",
        "at": "2026-11-22T10:15:00.345Z",
        "delivery": "dlv_…",
        "supplier": "sandbox-push",
        "sender": None,
    },
}
"""Bodies of answers by the name of their schema."""

_PARAMETERS = {
    "psu_id": "cust_8841",
    "psu": "cust_8841",
    "limit": "20",
    "name": "sms",
    "supplier": "sandbox-sms",
}


def curl(operation: Operation, schemas: Schemas) -> str:
    """A shell command for this call. It wants `$BASE`, the service's address, and `$KEY`, an API key."""
    path, query = operation.path, []
    for parameter in operation.parameters:
        name = parameter.member.name
        if parameter.place == "path":
            sample = _PARAMETERS.get(name, f"${name.upper()}")
            path = path.replace("{" + name + "}", sample)
        elif parameter.place == "query" and name in _PARAMETERS:
            query.append(f"{quote(name)}={_PARAMETERS[name]}")
    address = f'"$BASE{path}{"?" if query else ""}{"&".join(query)}"'
    lines = [
        f"curl {address}" if operation.method in ("GET", "POST") else f"curl -X {operation.method} {address}"
    ]
    if operation.scopes is not None:
        lines.append('  -H "Authorization: Bearer $KEY"')
    if operation.body_schema is not None:
        body = REQUESTS.get(operation.id) or sample_of(operation.body_schema, schemas)
        lines += ['  -H "Content-Type: application/json"', f"  -d {shlex.quote(json_text(body))}"]
    elif operation.method == "POST":
        lines[0] = f"curl -X POST {address}"
    return " \\\n".join(lines)


def sample_of(schema: Schema, schemas: Schemas, depth: int = 0) -> Any:
    """A value of this schema: our own sample, else its example, its first choice, null, or what its type suggests."""
    whole = schemas.resolve(schema)
    if whole.get("title") in ANSWERS:
        return msgspec.to_builtins(ANSWERS[whole["title"]])
    for known in (whole.get("examples"), whole.get("enum")):
        if known:
            return known[0]
    if "const" in whole or whole.get("default") is not None:
        return whole.get("const", whole.get("default"))
    if whole.get("nullable") or depth > 8:
        return None
    match whole.get("type"):
        case "object":
            required = whole.get("required", ())
            members = whole.get("properties", {}).items()
            return {
                name: sample_of(member, schemas, depth + 1) for name, member in members if name in required
            }
        case "array":
            return [sample_of(whole.get("items", {}), schemas, depth + 1)]
        case "integer" | "number":
            return whole.get("minimum", 1)
        case "boolean":
            return True
    return "…"


def json_text(value: Any, *, indent: int = 0, behind: int = 0) -> str:
    """JSON for readers: what fits on a line stays on one. `behind` characters stand before it on its own line."""
    flat = json.dumps(value, ensure_ascii=False)
    if indent + behind + len(flat) <= _LINE or not isinstance(value, dict | list | tuple) or not value:
        return flat
    inside = indent + 2
    if isinstance(value, dict):
        names = {name: f"{json.dumps(name, ensure_ascii=False)}: " for name in value}
        lines = [
            names[name] + json_text(one, indent=inside, behind=len(names[name]))
            for name, one in value.items()
        ]
    else:
        lines = [json_text(one, indent=inside) for one in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return "\n".join((opening, ",\n".join(" " * inside + line for line in lines), " " * indent + closing))
