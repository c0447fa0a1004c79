"""What Twilio's clients read: a verification, and a check of one."""

import datetime
from typing import Any

import msgspec

from sca_service.challenges.model import Status
from sca_service.challenges.view import ChallengeView
from sca_service.compat.twilio.money import written
from sca_service.compat.twilio.sids import account_sid, attempt_sid, verification_sid
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.transaction import Transaction
from sca_service.policy.model import Channel

STATUSES = {
    Status.PENDING: "pending",
    Status.APPROVED: "approved",
    Status.CANCELLED: "canceled",
    Status.EXPIRED: "expired",
    Status.BLOCKED: "max_attempts_reached",
    Status.REJECTED: "failed",
    Status.DECLINED: "failed",
    Status.UNDELIVERABLE: "failed",
    Status.REFUSED: "failed",
}
_CHANNELS = {Channel.VOICE: "call"}


class VerificationBody(msgspec.Struct, frozen=True, kw_only=True):
    """A verification. `sna` is always null: no silent network authentication."""

    sid: str
    service_sid: str
    account_sid: str
    to: str
    channel: str
    status: str
    valid: bool
    lookup: dict[str, Any]
    amount: str | None
    payee: str | None
    send_code_attempts: tuple[dict[str, str], ...]
    date_created: str
    date_updated: str
    sna: None = None
    url: str


class CheckBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a check came to. `authentication_code` is ours: the proof that a bank stores of an approval."""

    sid: str
    service_sid: str
    account_sid: str
    to: str
    channel: str
    status: str
    valid: bool
    amount: str | None
    payee: str | None
    date_created: str
    date_updated: str
    sna_attempts_error_codes: tuple[str, ...]
    authentication_code: str | None = None


def verification_body(view: ChallengeView, keyring: Keyring, *, now_ms: int, url: str) -> VerificationBody:
    """A challenge as a verification; `url` is where the service is reached."""
    told = _told(view, keyring)
    status = view.state.status_at(now_ms)
    place = f"{url}/v2/Services/{told['service_sid']}/Verifications/{told['sid']}"
    return VerificationBody(
        **told,
        status=STATUSES[status],
        valid=status is Status.APPROVED,
        lookup={"carrier": None},
        send_code_attempts=tuple(
            {
                "attempt_sid": attempt_sid(keyring, delivery.id),
                "channel": _channel(delivery.channel),
                "time": _second(delivery.queued_at),
            }
            for delivery in view.state.deliveries
        ),
        url=place,
    )


def check_body(
    view: ChallengeView, keyring: Keyring, *, status: str, authentication_code: str | None
) -> CheckBody:
    """What a check of a challenge came to; valid when there is an authentication code."""
    return CheckBody(
        **_told(view, keyring),
        status=status,
        valid=authentication_code is not None,
        sna_attempts_error_codes=(),
        authentication_code=authentication_code,
    )


def _told(view: ChallengeView, keyring: Keyring) -> dict[str, Any]:
    """The members that both have."""
    state, private = view.state, view.private
    transaction = Transaction.from_canonical(private.transaction.encode()) if private.transaction else None
    channels = [one.channel for one in state.deliveries] or [step.channel for step in state.ladder]
    changed_ms = max(state.settled_at, state.created_at, *(one.queued_at for one in state.deliveries), 0)
    return {
        "sid": verification_sid(state.id),
        "service_sid": private.reference or "",
        "account_sid": account_sid(keyring, state.client),
        "to": private.phone or "",
        "channel": _channel(channels[-1]) if channels else "sms",
        "amount": written(transaction.total) if transaction else None,
        "payee": transaction.shares[0].payee.name if transaction else None,
        "date_created": _second(state.created_at),
        "date_updated": _second(changed_ms),
    }


def _channel(channel: Channel) -> str:
    return _CHANNELS.get(channel, str(channel))


def _second(at_ms: int) -> str:
    """ISO 8601 in whole seconds: Twilio's libraries read nothing finer."""
    return datetime.datetime.fromtimestamp(at_ms // 1000, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
