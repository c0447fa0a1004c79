"""Where sealed texts lie, and what a record becomes under the current root. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sca_service.challenges.model import decode_state
from sca_service.kernel.keyring import Keyring, SealBroken


class Place(StrEnum):
    """What holds texts that the keyring sealed, or codes that it derives.

    The first twelve are tables of PostgreSQL, whose records are sealed anew. The others are in Redis and end by
    themselves: challenges an hour after their time is over, answers under an Idempotency-Key within a day.
    """

    AUTHENTICATORS = "authenticators"
    PUSH_SUBSCRIPTIONS = "push_subscriptions"
    PAYER_KEYS = "payer_keys"
    TRUSTED_BENEFICIARIES = "trusted_beneficiaries"
    ALERTS = "alerts"
    RISK_MARKS = "risk_marks"
    WEBHOOK_ENDPOINTS = "webhook_endpoints"
    CARDS = "cards"
    UPCOMING_CHARGES = "upcoming_charges"
    CARD_CHARGES = "card_charges"
    ALERT_LINKS = "alert_links"
    CHALLENGES = "challenges"
    HOT_CHALLENGES = "challenges in Redis"
    STORED_ANSWERS = "answers under an Idempotency-Key"


TABLES = (
    Place.AUTHENTICATORS,
    Place.PUSH_SUBSCRIPTIONS,
    Place.PAYER_KEYS,
    Place.TRUSTED_BENEFICIARIES,
    Place.ALERTS,
    Place.RISK_MARKS,
    Place.WEBHOOK_ENDPOINTS,
    Place.CARDS,
    Place.UPCOMING_CHARGES,
    Place.CARD_CHARGES,
    Place.ALERT_LINKS,
    Place.CHALLENGES,
)

UNREADABLE = 0
"""Stands for the version of what has none; no root is called so."""

Uses = Mapping[Place, Mapping[int, int]]
"""How many records lie under each version, place by place."""


@dataclass(frozen=True, slots=True)
class SealedRecord:
    """One row: its primary key, the record that its text is sealed for, and the column that holds the text.

    A challenge holds it inside its packed state, the others hold nothing else.
    """

    key: str | int
    record_id: str
    held: str | bytes = field(repr=False)


def resealed(record: SealedRecord, keyring: Keyring) -> str | bytes:
    """What the column holds once the text in it lies under the current root.

    A text keeps its length, so it is exchanged within a packed state, and what else is in there stays byte for byte,
    members that only a newer release knows too. Raises SealBroken.
    """
    if isinstance(record.held, str):
        return _again(record.held, record.record_id, keyring)
    try:
        sealed = decode_state(record.held).details.sealed
    except ValueError as error:  # what msgspec raises is one
        raise SealBroken("a challenge's state cannot be read") from error
    return record.held.replace(sealed.encode(), _again(sealed, record.record_id, keyring).encode())


def under(uses: Uses, version: int) -> dict[Place, int]:
    """The places where records lie under this version, and how many."""
    return {place: versions[version] for place, versions in uses.items() if versions.get(version)}


def _again(sealed: str, record_id: str, keyring: Keyring) -> str:
    return keyring.seal(keyring.open(sealed, record_id), record_id)
