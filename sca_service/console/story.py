"""One challenge's story: its events told in words, in the order of the log. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sca_service.audit.private.commitments import Disclosure
from sca_service.challenges.evidence import AUDITOR_MAY_SEE, Unopened
from sca_service.kernel.clock import timestamp


class Tone(StrEnum):
    """How an event is marked."""

    GOOD = "good"
    BAD = "bad"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Step:
    """One event: what it says, the leaf it says it in, and what opens its commitments.

    `proof` is its inclusion proof (C2SP tlog-proof), None until a checkpoint covers it. `disclosures` are the values
    that an auditor may see; `closed` names those that stay closed; `unopened` says why nothing could be opened.
    """

    members: Mapping[str, Any]
    leaf: str
    index: int | None
    proof: str | None
    disclosures: tuple[Disclosure, ...]
    closed: tuple[str, ...]
    unopened: Unopened | None = None

    @classmethod
    def of(
        cls,
        leaf: str,
        index: int | None,
        proof: str | None,
        *,
        opened: tuple[Disclosure, ...] = (),
        unopened: Unopened | None = None,
    ) -> "Step":
        """An event from its leaf; `opened` is all that its commitments open to, `unopened` why nothing does."""
        members: dict[str, Any] = json.loads(leaf)
        shown = tuple(one for one in opened if one.name in AUDITOR_MAY_SEE)
        committed = members.get("commitments") or {}
        closed = sorted(committed.keys() - {one.name for one in shown}) if opened else ()
        return cls(members, leaf, index, proof, shown, tuple(closed), unopened)

    @property
    def id(self) -> str:
        """The event's id."""
        return str(self.members["id"])

    @property
    def at_ms(self) -> int:
        """When it happened."""
        return int(self.members["at_ms"])

    def disclosed(self, name: str) -> str | None:
        """A personal value, when it can be opened."""
        return next((one.value for one in self.disclosures if one.name == name), None)

    @property
    def title(self) -> str:
        """The event in a few words."""
        told = TITLES.get(self.members["type"])
        if told is None:
            return str(self.members["type"]).replace(".", ": ").replace("_", " ").capitalize()
        return told.format_map(_Words(self.members))

    @property
    def tone(self) -> Tone:
        """Whether it went well, went wrong, or neither."""
        word = str(self.members.get("outcome") or self.members.get("status") or self.members["type"])
        if word in GOOD:
            return Tone.GOOD
        return Tone.BAD if word in BAD else Tone.PLAIN

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Everything else that the event says, by name."""
        return [
            (LABELS.get(name, name.removesuffix("_ms").replace("_", " ").capitalize()), _said(name, value))
            for name, value in self.members.items()
            if name not in ELSEWHERE and value not in (None, "", [])
        ]


@dataclass(frozen=True, slots=True)
class Story:
    """A challenge and all that happened to it, the first first."""

    challenge: str
    steps: tuple[Step, ...]

    @property
    def first(self) -> Step:
        """How it began."""
        return self.steps[0]

    @property
    def ending(self) -> Step | None:
        """The event by which it ended, or None while it is pending. One that a checkpoint covers goes first."""
        endings = [step for step in self.steps if _ends(step.members)]
        return next((step for step in endings if step.proof), endings[0] if endings else None)

    @property
    def payment(self) -> Mapping[str, Any] | None:
        """The transaction as the payer agreed to it, when it can be opened."""
        text = self.first.disclosed("transaction")
        if text is None:
            return None
        try:
            found = json.loads(text)
        except ValueError:
            return None
        return found if isinstance(found, dict) else None


class _Words(dict[str, Any]):
    """Members as words within a sentence; one that is not there is left out."""

    def __init__(self, members: Mapping[str, Any]) -> None:
        super().__init__({name: in_words(value) for name, value in members.items()})

    def __missing__(self, name: str) -> str:
        return "…"


def in_words(value: object) -> str:
    """A word of a closed set as a reader would say it."""
    text = str(value)
    return SPELLED.get(text, text.replace("_", " ") if _WORD.fullmatch(text) else text)


def summary(members: Mapping[str, Any]) -> str:
    """The one word that says how an event went, for the list; empty when it has none."""
    for name in ("outcome", "status", "reason", "channel", "page", "purpose"):
        if members.get(name):
            return in_words(members[name])
    return ""


def _ends(members: Mapping[str, Any]) -> bool:
    if members["type"] == "challenge.answered":
        return members.get("outcome") in ("approved", "transaction_mismatch")
    return members["type"] in ENDINGS


def _said(name: str, value: Any) -> str:
    if name.endswith("_ms") and isinstance(value, int):
        return timestamp(value).replace("T", " ").rstrip("Z")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(one, str | int) for one in value):
        return ", ".join(in_words(one) for one in value)
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return in_words(value)


# `static/told.js` has the same words, and compares the page with them.
_WORD = re.compile(r"[a-z]+(?:_[a-z]+)*")
SPELLED = {
    "sms": "SMS",
    "rcs": "RCS",
    "whatsapp": "WhatsApp",
    "email": "e-mail",
    "transaction_mismatch": "another transaction",
}
TITLES = {
    "challenge.issued": "Challenge issued",
    "challenge.refused": "Challenge refused",
    "challenge.answered": "Answered: {outcome}",
    "challenge.cancelled": "Challenge cancelled",
    "challenge.stepped": "Next channel: {channel}",
    "challenge.expired": "Challenge expired",
    "challenge.undeliverable": "No channel reached the payer",
    "challenge.declined": "The payer declined",
    "delivery.attempted": "Message handed over for {channel}",
    "delivery.settled": "Message by {channel}: {status}",
    "delivery.retried": "Message by {channel} tried again",
    "delivery.postponed": "Message by {channel} postponed",
    "payer.blocked": "Payer blocked",
    "payer.unblocked": "Payer unblocked",
    "payer.erased": "Payer erased",
}
ENDINGS = frozenset(
    {
        *("challenge.refused", "challenge.cancelled", "challenge.expired", "challenge.undeliverable"),
        *("challenge.declined", "payer.blocked"),
    }
)
GOOD = frozenset({"approved", "delivered", "answered"})
BAD = frozenset(
    {
        *("incorrect", "transaction_mismatch", "blocked", "refused", "already_used", "declined", "cancelled"),
        *("failed", "undelivered", "no_answer", "undeliverable", "expired"),
        *ENDINGS,
    }
)
ELSEWHERE = frozenset({"id", "type", "at_ms", "client", "psu", "challenge", "commitments"})
"""Members that the page says at another place than among an event's facts."""

LABELS = {
    "sca": "Strong authentication",
    "try": "Attempt",
    "until_ms": "Until",
    "policy": "Policy digest",
    "request": "Request id",
    "transaction": "Commitment to the transaction",
    "session": "Session pseudonym",
}

PERSONAL: Mapping[str, str] = {
    "psu_id": "Client’s reference of the payer",
    "phone": "Phone number",
    "phone_masked": "Phone number, masked",
    "message_shown": "Text shown",
    "device_answer": "What the device signed",
    "device_key": "The device’s public key",
    "passkey_answer": "What the passkey signed",
    "passkey_key": "The passkey’s public key",
    "passkey_nonce": "Random part of what it signed",
    "transaction": "Transaction",
    "reference": "Client’s reference",
    "ip": "IP address",
    "device_id": "Device",
    "user_agent": "Browser or app",
    "session_id": "Session",
}
"""Every personal value that a leaf may commit to, and what the page calls it."""
