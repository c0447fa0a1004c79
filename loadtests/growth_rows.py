"""Rows as the service writes them for a payment by SMS that is approved: five events and what goes with them.

The texts have the members and the lengths of those that a running service wrote; ids and hashes are chance, as there.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sca_service.audit.model import AuditEvent, EventHead

EVENTS = 5
_SEALED_BYTES = 414
_STATE_BYTES = 1_627
_HEAD = '"challenge":"{challenge}","client":"bank","policy":"{policy}","psu":"{psu}","transaction":"{transaction}"'
_DELIVERY = '"channel":"sms","delivery":"{delivery}","supplier":"sandbox-sms"'
_RISK = (
    '"risk":{{"decision":"allow","factors":{{"amount":"clear","compromised_elements":"in_part","device_access":'
    '"not_supplied","device_use":"not_supplied","known_scenario":"in_part","line":"in_part","malware":"not_supplied",'
    '"payee_location":"clear","payer_location":"not_supplied","spending":"in_part"}},"policy":"{policy}","reasons":[],'
    '"score":0}}'
)
_COMMITMENTS = ",".join(
    f'"{name}":"{{{name}}}"' for name in ("message_shown", "phone", "phone_masked", "psu_id", "transaction")
)
_BODIES = (
    (
        "challenge.issued",
        '"actor":"client:bank","channels":["sms"],"commitments":{{'
        + _COMMITMENTS
        + '}},"elements":["possession"],'
        '"expires_at_ms":{at_ms},"method":"one_time_code","purpose":"payment","request":"{request}",'
        + _RISK
        + ',"sca":false',
    ),
    (
        "delivery.attempted",
        '"actor":"worker",'
        + _DELIVERY
        + ',"country":"DE","network":"262-01","price":"EUR 0.07","purpose":"payment",'
        '"reasons":["only_route"],"sender":"BANK","try":1',
    ),
    ("delivery.settled", '"actor":"worker",' + _DELIVERY + ',"status":"sent"'),
    ("delivery.settled", '"actor":"api",' + _DELIVERY + ',"status":"delivered"'),
    (
        "challenge.answered",
        '"actor":"client:bank","attempts_left":4,"outcome":"approved","request":"{request}"',
    ),
)
_POLICY = f"sha256:{secrets.token_hex(32)}"


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment's events and rows."""

    events: Sequence[AuditEvent]
    challenge: str
    psu: str
    sealed: bytes
    state: bytes
    at: datetime


def payment(payer: int, at_ms: int, *, ordered: bool = True) -> Payment:
    """A payment of a payer, who is told by number, at a time; its ids are in the order of time, or chance."""
    psu = f"{payer * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"
    challenge = f"chl_{int(psu[:2], 16) % 64:02x}2016{_digits(at_ms, ordered=ordered)}"
    shared = {
        "challenge": challenge,
        "psu": psu,
        "policy": _POLICY,
        "delivery": f"dlv_{challenge[4:]}01",
        "request": f"req_{secrets.token_hex(16)}",
        **{
            name: f"sha256:{secrets.token_hex(32)}"
            for name in ("message_shown", "phone", "phone_masked", "psu_id", "transaction")
        },
    }
    events = []
    for number, (kind, text) in enumerate(_BODIES):
        when = at_ms + 800 * number
        event_id = f"evt_{_digits(when, ordered=ordered)}"
        members = f'"at_ms":{when},"id":"{event_id}","type":"{kind}",{text},{_HEAD}'
        body = "{" + members.format(at_ms=when, **shared) + "}"
        events.append(AuditEvent(EventHead(event_id, kind, when, "bank", psu, challenge), body))
    return Payment(
        events,
        challenge,
        psu,
        secrets.token_bytes(_SEALED_BYTES),
        secrets.token_bytes(_STATE_BYTES),
        datetime.fromtimestamp(at_ms / 1000, UTC),
    )


def _digits(at_ms: int, *, ordered: bool) -> str:
    return f"{at_ms:012x}{secrets.token_hex(10)}" if ordered else secrets.token_hex(16)
