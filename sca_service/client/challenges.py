"""Challenges: issue one, verify its answer, follow it, prove it."""

from collections.abc import Mapping, Sequence
from typing import Any, Required, TypedDict

import msgspec

from sca_service.client.call import Call, Page, Stream, quoted
from sca_service.client.shapes import Amount, Delivery, Policy, Psu, PsuForm, SignalsForm, TransactionForm


class Account(msgspec.Struct, frozen=True):
    """A payee's account."""

    iban: str | None = None
    bban: str | None = None


class Risk(msgspec.Struct, frozen=True):
    """What the service makes of a request."""

    decision: str
    score: int
    reasons: tuple[str, ...]


class Payee(msgspec.Struct, frozen=True):
    """Who receives."""

    name: str
    account: Account | None = None


class Share(msgspec.Struct, frozen=True):
    """What one payee of a batch receives."""

    payee: Payee
    amount: Amount


class Transaction(msgspec.Struct, frozen=True):
    """A transaction in canonical form, with its digest."""

    amount: Amount | None = None
    payee: Payee | None = None
    total: Amount | None = None
    payees: tuple[Share, ...] | None = None
    kind: str | None = None
    reference: str | None = None
    digest: str = ""


class Challenge(msgspec.Struct, frozen=True):
    """A challenge as its client sees it."""

    id: str
    status: str
    purpose: str
    method: str
    psu: Psu
    transaction: Transaction | None
    message_shown: str
    channel: str | None
    next_channel_at: str | None
    deliveries: tuple[Delivery, ...]
    attempts_left: int
    created_at: str
    expires_at: str
    settled_at: str | None
    blocked_until: str | None
    elements: tuple[str, ...]
    sca: bool
    pin_asked: bool
    ocra_question: str | None
    matching_digits: str | None
    passkey_request: dict[str, Any] | None
    payment_request: dict[str, Any] | None
    authentication_code: str | None
    risk: Risk
    policy: Policy
    reference: str | None
    metadata: dict[str, str] | None
    reason: str | None

    def __repr__(self) -> str:
        return f"Challenge(id={self.id!r}, status={self.status!r})"


class Disclosure(msgspec.Struct, frozen=True):
    """A value with what opens its commitment in the log."""

    name: str
    value: str
    salt: str


class EvidenceEvent(msgspec.Struct, frozen=True):
    """One audit event, its leaf and its inclusion proof."""

    index: int
    leaf: str
    proof: tuple[str, ...]
    disclosures: tuple[Disclosure, ...]


class Evidence(msgspec.Struct, frozen=True):
    """What proves a challenge, with nothing else."""

    format: str
    challenge: str
    made_at: str
    checkpoint: str
    verifier_keys: tuple[str, ...]
    events: tuple[EvidenceEvent, ...]


class InstrumentForm(TypedDict, total=False):
    """The means of payment that a browser shows."""

    name: Required[str]
    icon: Required[str]


class StepForm(TypedDict, total=False):
    """One channel of a ladder."""

    channel: Required[str]
    timeout_s: int | None


class Verified(msgspec.Struct, frozen=True):
    """What an answer came to."""

    outcome: str
    attempts_left: int
    authentication_code: str | None
    challenge: Challenge


def issue(
    *,
    psu: PsuForm,
    purpose: str,
    transaction: TransactionForm | None = None,
    method: str | None = None,
    channels: Sequence[StepForm] | None = None,
    elements_presented: Sequence[str] | None = None,
    presented_over: Mapping[str, str] | None = None,
    instrument: InstrumentForm | None = None,
    signals: SignalsForm | None = None,
    expires_in_s: int | None = None,
    reference: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Call[Challenge]:
    """Issue a challenge.

    Sends a one-time code for exactly this purpose and transaction. The answer never holds the code.
    """
    return Call(
        "POST",
        "/v1/challenges",
        Challenge,
        body={
            "psu": psu,
            "purpose": purpose,
            "transaction": transaction,
            "method": method,
            "channels": channels,
            "elements_presented": elements_presented,
            "presented_over": presented_over,
            "instrument": instrument,
            "signals": signals,
            "expires_in_s": expires_in_s,
            "reference": reference,
            "metadata": metadata,
        },
    )


def verify(
    challenge_id: str,
    *,
    code: str | None = None,
    passkey: Mapping[str, Any] | None = None,
    transaction: TransactionForm | None = None,
    pin: str | None = None,
) -> Call[Verified]:
    """Answer a challenge.

    Exactly one answer of a challenge is ever `approved`. A wrong code, an expired or blocked challenge is
    a 200 with its `outcome`. For a payment the transaction is required again: any difference voids the
    challenge.
    """
    return Call(
        "POST",
        f"/v1/challenges/{quoted(challenge_id)}/verify",
        Verified,
        body={"code": code, "passkey": passkey, "transaction": transaction, "pin": pin},
    )


def read(challenge_id: str) -> Call[Challenge]:
    """Read a challenge."""
    return Call("GET", f"/v1/challenges/{quoted(challenge_id)}", Challenge)


def find(
    *,
    psu: str | None = None,
    status: str | None = None,
    purpose: str | None = None,
    created_after: str | None = None,
    limit: int | None = None,
) -> Call[Page[Challenge]]:
    """List challenges. The newest first."""
    return Call(
        "GET",
        "/v1/challenges",
        Page[Challenge],
        query={
            "psu": psu,
            "status": status,
            "purpose": purpose,
            "created_after": created_after,
            "limit": limit,
        },
    )


def next_channel(challenge_id: str, *, reason: str | None = None) -> Call[Challenge]:
    """Send over the next channel now. The same code stays valid."""
    return Call(
        "POST",
        f"/v1/challenges/{quoted(challenge_id)}/next",
        Challenge,
        body={"reason": reason},
        repeats=False,
    )


def cancel(challenge_id: str) -> Call[Challenge]:
    """Cancel a challenge. Idempotent; a final challenge stays as it is."""
    return Call("POST", f"/v1/challenges/{quoted(challenge_id)}/cancel", Challenge, body={})


def follow(challenge_id: str) -> Stream[Challenge]:
    """A challenge as it stands, then again with each change of its status or a delivery, until its final status.

    For `Sca.listen`.
    """
    return Stream(f"/v1/challenges/{quoted(challenge_id)}/events", Challenge)


def evidence(challenge_id: str) -> Call[Evidence]:
    """What proves a challenge.

    Each audit event of the challenge as it stands in the log, its inclusion proof, the signed checkpoint,
    and the values that the reader may see with what opens their commitments. `sca audit check-evidence`
    verifies it with nothing else.
    The newest events are in a checkpoint within a second; until then the answer waits, two seconds at
    most.
    """
    return Call("GET", f"/v1/challenges/{quoted(challenge_id)}/evidence", Evidence)


def evidence_page(challenge_id: str) -> Call[str]:
    """The same as a page to read and print (HTML)."""
    return Call("GET", f"/v1/challenges/{quoted(challenge_id)}/evidence", str, query={"format": "html"})
