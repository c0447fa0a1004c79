"""What clients get: the shapes of the contract, made from what the service decided."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from sca_service.challenges.model import Element, Method, Outcome, Status
from sca_service.challenges.pumping import STOPPED
from sca_service.challenges.risk import REFUSED
from sca_service.challenges.view import ChallengeView
from sca_service.delivery.model import DeliveryState, DeliveryStatus, RouteRecord
from sca_service.kernel.clock import timestamp
from sca_service.policy.model import Channel, Purpose


class AmountBody(Struct, frozen=True, rename={"minor": "amount"}):
    """Money with all minor digits of its currency."""

    currency: str
    minor: str


class AccountBody(Struct, frozen=True, omit_defaults=True):
    """The payee's account."""

    iban: str | None = None
    bban: str | None = None


class PayeeBody(Struct, frozen=True, omit_defaults=True):
    """Who is meant to receive."""

    name: str
    account: AccountBody | None = None


class ShareBody(Struct, frozen=True):
    """One payee of a batch and what it receives."""

    payee: PayeeBody
    amount: AmountBody


class TransactionBody(Struct, omit_defaults=True):
    """The transaction as sent, canonical, with the digest that the code is bound to."""

    amount: AmountBody | None = None
    payee: PayeeBody | None = None
    total: AmountBody | None = None
    payees: tuple[ShareBody, ...] | None = None
    kind: str | None = None
    reference: str | None = None
    digest: Annotated[
        str,
        Meta(description="Of the transaction that the code is bound to."),
    ] = ""


class PsuBody(Struct, frozen=True):
    """The payer."""

    id: str


class RouteBody(Struct, frozen=True):
    """How the supplier of a delivery was chosen."""

    network: Annotated[
        str | None,
        Meta(description="MCC and, where known, MNC of the network that serves the number."),
    ]
    sender: Annotated[
        str | None,
        Meta(description="The registered sender that the handset shows."),
    ]
    price: Annotated[
        AmountBody | None,
        Meta(description="What the supplier's price list says of it, in up to six decimals."),
    ]
    reasons: tuple[str, ...]
    passed_over: Annotated[
        dict[str, str],
        Meta(description="The other suppliers of this channel, and why each was not taken."),
    ]


class DeliveryBody(Struct, frozen=True):
    """One delivery; `to` is masked."""

    id: str
    channel: Channel
    status: DeliveryStatus
    to: Annotated[
        str,
        Meta(description="Masked."),
    ]
    supplier: str | None
    reason: str | None
    segments: Annotated[
        int | None,
        Meta(description="How many messages it is charged for."),
    ]
    cost: AmountBody | None
    queued_at: str
    sent_at: str | None
    final_at: str | None
    route: Annotated[
        RouteBody | None,
        Meta(description="Which route was chosen, and why."),
    ]


class RiskBody(Struct, frozen=True):
    """What the service thinks of the risk, and why."""

    decision: str
    score: int
    reasons: tuple[str, ...]


class PolicyBody(Struct, frozen=True):
    """Which policies decided."""

    digest: str


class ChallengeBody(Struct, frozen=True):
    """A challenge, in whatever state. It never holds the code."""

    id: str
    status: Status
    purpose: Purpose
    method: Method
    psu: PsuBody
    transaction: TransactionBody | None
    message_shown: Annotated[
        str,
        Meta(description="What the payer is shown of the transaction, without the code."),
    ]
    channel: Annotated[
        Channel | None,
        Meta(description="Of the newest delivery."),
    ]
    next_channel_at: Annotated[
        str | None,
        Meta(description="When the next channel follows, unless the payer answers before."),
    ]
    deliveries: tuple[DeliveryBody, ...]
    attempts_left: Annotated[
        int,
        Meta(description="Wrong answers that remain before the payer is blocked."),
    ]
    created_at: str
    expires_at: str
    settled_at: Annotated[
        str | None,
        Meta(description="When it reached its final status."),
    ]
    blocked_until: Annotated[
        str | None,
        Meta(description="Until when the payer is blocked."),
    ]
    elements: Annotated[
        tuple[Element, ...],
        Meta(description="What an approval establishes."),
    ]
    sca: Annotated[
        bool,
        Meta(description="Whether these are two different elements."),
    ]
    pin_asked: Annotated[
        bool,
        Meta(description="Whether an answer needs the payer's PIN beside the code."),
    ]
    ocra_question: Annotated[
        str | None,
        Meta(
            description="For `ocra`: what the payer types into the generator, or scans; made from this challenge and "
            "its transaction. Show amount and payee beside it."
        ),
    ]
    matching_digits: Annotated[
        str | None,
        Meta(
            description="For `device_signature`, while it is pending: show these two digits to the payer, who repeats "
            "them in the app."
        ),
    ]
    passkey_request: Annotated[
        dict[str, Any] | None,
        Meta(description="For `passkey`: for `PublicKeyCredential.parseRequestOptionsFromJSON()`."),
    ]
    payment_request: Annotated[
        dict[str, Any] | None,
        Meta(
            description="For `passkey` with an `instrument`: `methods` and `details` of `new PaymentRequest()`, with "
            "`challenge` and `credentialIds` in base64url."
        ),
    ]
    authentication_code: Annotated[
        str | None,
        Meta(
            description="Of a challenge that a device approved, when it is read within five minutes: the signed JWS, "
            "the proof to keep. Every other approval tells it in the answer to verify."
        ),
    ]
    risk: RiskBody
    policy: PolicyBody
    reference: str | None
    metadata: dict[str, str] | None
    reason: Annotated[
        str | None,
        Meta(description="Why it ended as it did, where the status leaves that open."),
    ]


class ChallengeListBody(Struct, frozen=True):
    """A page of challenges, the newest first."""

    data: tuple[ChallengeBody, ...]
    next_cursor: str | None


class VerifyBody(Struct, frozen=True):
    """What an answer came to."""

    outcome: Outcome
    attempts_left: int
    authentication_code: Annotated[
        str | None,
        Meta(description="Of an approval: a signed JWS, the proof to keep."),
    ]
    challenge: ChallengeBody


class PayerBody(Struct, frozen=True):
    """Whether a payer is blocked, until when, and how many failures in a row are counted."""

    id: str
    blocked: bool
    blocked_until: str | None
    failures: Annotated[
        int,
        Meta(description="Counted in a row, over every challenge."),
    ]


class AuditEventListBody(Struct, frozen=True):
    """A page of audit events, in the order of the log."""

    data: tuple[dict[str, object], ...]
    next_cursor: str | None


_decode_route = msgspec.json.Decoder(RouteRecord).decode
_decode_transaction = msgspec.json.Decoder(TransactionBody).decode


def challenge_body(
    view: ChallengeView,
    now_ms: int,
    *,
    matching_digits: str | None = None,
    authentication_code: str | None = None,
) -> ChallengeBody:
    """The challenge as its client sees it at `now_ms`; what is told of a device's challenge is computed elsewhere."""
    state, fixed, private = view.state, view.fixed, view.private
    status = state.status_at(now_ms)
    delivery = state.deliveries[-1] if state.deliveries else None
    return ChallengeBody(
        id=state.id,
        status=status,
        purpose=fixed.purpose,
        method=fixed.method,
        psu=PsuBody(private.psu_id),
        transaction=transaction_body(view),
        message_shown=private.message_shown,
        channel=delivery.channel if delivery else None,
        next_channel_at=_at(state.next_at) if status is Status.PENDING else None,
        deliveries=tuple(_delivery(one, view) for one in state.deliveries),
        attempts_left=state.attempts_left,
        created_at=timestamp(state.created_at),
        expires_at=timestamp(state.expires_at),
        settled_at=_at(state.settled_at),
        blocked_until=_at(state.blocked_until),
        elements=fixed.elements,
        sca=fixed.is_sca,
        pin_asked=state.asks_pin,
        ocra_question=fixed.question.text if fixed.question else None,
        matching_digits=matching_digits if status is Status.PENDING else None,
        passkey_request=_json(private.passkey_request),
        payment_request=_json(private.payment_request),
        authentication_code=authentication_code,
        risk=_risk(view),
        policy=PolicyBody(fixed.policy),
        reference=private.reference,
        metadata=private.metadata,
        reason=state.why or None,
    )


def transaction_body(view: ChallengeView) -> TransactionBody | None:
    """The transaction of a challenge, None without one."""
    if view.private.transaction is None:
        return None
    body = _decode_transaction(view.private.transaction)
    body.digest = view.state.digest
    return body


def _risk(view: ChallengeView) -> RiskBody:
    fixed, why = view.fixed, view.state.why
    if view.state.status is Status.REFUSED and why not in (REFUSED, STOPPED):
        return RiskBody("refuse", fixed.risk_score, (why,))  # by something else: the payer is blocked
    return RiskBody(fixed.risk_decision, fixed.risk_score, fixed.risk_reasons)


def _delivery(delivery: DeliveryState, view: ChallengeView) -> DeliveryBody:
    return DeliveryBody(
        id=delivery.id,
        channel=delivery.channel,
        status=delivery.status,
        to=_masked(delivery.channel, view),
        supplier=delivery.supplier or None,
        reason=delivery.reason or None,
        segments=delivery.segments or None,
        cost=_money(delivery.cost),
        queued_at=timestamp(delivery.queued_at),
        sent_at=_at(delivery.sent_at),
        final_at=_at(delivery.final_at),
        route=_route(delivery),
    )


def _route(delivery: DeliveryState) -> RouteBody | None:
    if not delivery.route:
        return None
    record = _decode_route(delivery.route)
    return RouteBody(
        network=record.network or None,
        sender=record.sender or None,
        price=_money(record.price),
        reasons=record.reasons,
        passed_over=record.passed_over,
    )


def _json(text: str | None) -> dict[str, Any] | None:
    return msgspec.json.decode(text, type=dict[str, Any]) if text else None


def _money(text: str) -> AmountBody | None:
    currency, _, amount = text.partition(" ")
    return AmountBody(currency, amount) if text else None


def _masked(channel: Channel, view: ChallengeView) -> str:
    phone = view.private.phone_masked
    if not channel.needs_phone or phone is None:
        return f"device …{view.state.payer[-4:]}"
    return phone


def _at(at_ms: int) -> str | None:
    return timestamp(at_ms) if at_ms else None
