"""Evidence of one challenge, checked with nothing but itself and the log's key: leaves, proofs, and opened commitments.

A file of evidence is JSON, or an HTML page that holds it in `<script type="application/json" id="evidence">`::

    {"format": "sca-evidence/1", "challenge": "chl_…", "made_at": "2026-11-28T12:00:00Z",
     "checkpoint": "<signed note>", "verifier_keys": ["<verifier key>"],
     "events": [{"index": 12, "leaf": "<canonical JSON>", "proof": ["<base64>"],
                 "disclosures": [{"name": "message_shown", "value": "…", "salt": "<base64url>"}]}]}
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from typing import Any, Literal

import msgspec

from sca_service.audit.merkle import ProofInvalid, leaf_hash, root_from_inclusion
from sca_service.audit.offline.findings import Refused
from sca_service.audit.offline.leaf import read_leaf
from sca_service.audit.offline.note import Checkpoint, VerifierKey
from sca_service.audit.offline.signed_answer import SignedAnswer, check_signed_answer

MOST_EVIDENCE_BYTES = 64 * 1024 * 1024
MOST_EVENTS = 10_000
FORMAT: Literal["sca-evidence/1"] = "sca-evidence/1"
_ISSUED = "challenge.issued"
_COMMITMENT = re.compile(r"sha256:[0-9a-f]{64}")
_SALT_BYTES = 32


class SealedValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value with the salt (base64url) that opens its commitment."""

    name: str
    value: str
    salt: str


class ProvenEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A leaf, where it stands, and the hashes (base64) that lead from it to the root."""

    index: int
    leaf: str
    proof: list[str]
    disclosures: list[SealedValue] = []


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of evidence, as it is written and read."""

    challenge: str
    made_at: str
    checkpoint: str
    verifier_keys: list[str]
    events: list[ProvenEvent]
    format: Literal["sca-evidence/1"] = FORMAT


@dataclass(frozen=True, slots=True)
class CheckedEvent:
    """An event that the checkpoint contains: its place, its members, and the values that were opened."""

    index: int
    members: dict[str, Any]
    disclosed: dict[str, str]
    closed: tuple[str, ...]
    """The names of values that the leaf commits to and that stay closed."""
    signed: SignedAnswer | None = None
    """What the payer's device or passkey signed, where the event opens it: the signature holds."""


@dataclass(frozen=True, slots=True)
class Checked:
    """Evidence that holds."""

    challenge: str
    made_at: str
    checkpoint: Checkpoint
    events: tuple[CheckedEvent, ...]
    keys: tuple[VerifierKey, ...]
    keys_are_its_own: bool
    """Whether the signature was checked by keys that came in the same file: then it proves little by itself."""


def check_evidence(content: bytes, keys: Sequence[VerifierKey]) -> Checked:
    """Check a file of evidence by these keys; by its own when there are none. Raises Refused: it proves nothing."""
    evidence = read_evidence(content)
    own = [VerifierKey.parse(key) for key in evidence.verifier_keys]
    used = list(keys) or own
    if not used:
        raise Refused("there is no key to check the signature by: none was given, none is in the file")
    checkpoint = Checkpoint.open(evidence.checkpoint.encode("utf-8", "surrogatepass"), used)
    if not evidence.events:
        raise Refused("it has no events")
    if len(evidence.events) > MOST_EVENTS:
        raise Refused("it has more events than one challenge can have")
    events = _signed(_check_event(event, evidence.challenge, checkpoint) for event in evidence.events)
    indexes = [event.index for event in events]
    if indexes != sorted(set(indexes)):
        raise Refused("its events are not in the order of the log, or one stands twice")
    if len({event.members["id"] for event in events}) < len(events):
        raise Refused("two of its events have one id")
    signers = tuple(checkpoint.note.signers(used))
    return Checked(evidence.challenge, evidence.made_at, checkpoint, events, signers, not keys)


def read_evidence(content: bytes) -> Evidence:
    """The evidence in a file. Raises Refused when the file is none."""
    if len(content) > MOST_EVIDENCE_BYTES:
        raise Refused("the file is too long")
    if content.lstrip()[:1] == b"<":
        content = _in_page(content)
    try:
        return msgspec.json.decode(content, type=Evidence, strict=True)
    except msgspec.ValidationError as error:
        raise Refused(f"the file is not evidence in the format {FORMAT}: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused("the file is neither JSON nor an HTML page with JSON in it") from None


def _check_event(event: ProvenEvent, challenge: str, checkpoint: Checkpoint) -> CheckedEvent:
    where = f"the event at index {event.index}"
    leaf = event.leaf.encode("utf-8", "surrogatepass")
    try:
        root = root_from_inclusion(
            leaf_hash(leaf), event.index, checkpoint.size, [_base64(one) for one in event.proof]
        )
    except (ProofInvalid, ValueError):
        raise Refused(
            f"{where}: its proof has not the form of one for a log of {checkpoint.size} leaves"
        ) from None
    if root != checkpoint.root:
        raise Refused(f"{where}: its proof does not lead to the root that the log signed")
    try:
        members = read_leaf(leaf)
    except Refused as refusal:
        raise Refused(f"{where}: its leaf {refusal}") from None
    if members.get("challenge") != challenge:
        raise Refused(f"{where}: it is not about the challenge {challenge}")
    commitments = members.get("commitments", {})
    disclosed = _open(event.disclosures, commitments, where)
    closed = tuple(sorted(commitments.keys() - disclosed.keys()))
    return CheckedEvent(event.index, members, disclosed, closed)


def _signed(events: Iterable[CheckedEvent]) -> tuple[CheckedEvent, ...]:
    """The events, with what devices and passkeys signed checked too: over the transaction of the challenge."""
    checked = tuple(events)
    digest = _digest_of(checked)
    for event in checked:
        try:
            signed = check_signed_answer(event.members, event.disclosed, digest)
        except Refused as refusal:
            raise Refused(f"the event at index {event.index}: {refusal}") from None
        if signed:
            checked = tuple(replace(one, signed=signed) if one is event else one for one in checked)
    return checked


def _digest_of(events: Sequence[CheckedEvent]) -> str | None:
    """Of the transaction that was to be approved: "" when there is none, None when the evidence does not show it.

    Only the event of the issue tells. It may be missing, pruned or left out: then nothing follows from what is there.
    """
    issued = next((event for event in events if event.members["type"] == _ISSUED), None)
    if issued is None:
        return None
    if "transaction" not in issued.disclosed:
        return None if "transaction" in issued.closed else ""
    canonical = issued.disclosed["transaction"].encode("utf-8", "surrogatepass")
    return f"sha256:{hashlib.sha256(canonical).hexdigest()}"


def _open(disclosures: Sequence[SealedValue], commitments: Any, where: str) -> dict[str, str]:
    """The values whose commitments open. Raises Refused when one does not."""
    if not isinstance(commitments, dict) or not all(
        isinstance(one, str) and _COMMITMENT.fullmatch(one) for one in commitments.values()
    ):
        raise Refused(f"{where}: its leaf has commitments that are none")
    disclosed: dict[str, str] = {}
    for one in disclosures:
        if one.name in disclosed:
            raise Refused(f"{where}: {one.name} is opened twice")
        if one.name not in commitments:
            raise Refused(f"{where}: its leaf does not commit to {one.name}")
        salt = _salt(one.salt)
        value = one.value.encode("utf-8", "surrogatepass")
        if salt is None or f"sha256:{hashlib.sha256(salt + value).hexdigest()}" != commitments[one.name]:
            raise Refused(f"{where}: {one.name} is not the value that the leaf commits to")
        disclosed[one.name] = one.value
    return disclosed


def _base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _salt(text: str) -> bytes | None:
    """A salt's bytes; its length is fixed, or a value's beginning could be passed off as part of the salt."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{43}=?", text):
        return None
    salt = base64.urlsafe_b64decode(text.rstrip("=") + "=")
    return salt if len(salt) == _SALT_BYTES else None


def _in_page(content: bytes) -> bytes:
    """The JSON in an HTML page. Raises Refused when there is not exactly one such element."""
    try:
        page = _Page()
        page.feed(content.decode("utf-8-sig"))
        page.close()
    except UnicodeDecodeError:
        raise Refused("the page is not UTF-8") from None
    if len(page.found) != 1:
        raise Refused(f"the page has {len(page.found)} elements with evidence; it must have exactly one")
    return "".join(page.found[0]).encode("utf-8", "surrogatepass")


class _Page(HTMLParser):
    """Collects what stands in `<script type="application/json" id="evidence">`."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.found: list[list[str]] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script" and dict(attrs).get("id") == "evidence":
            self._inside = dict(attrs).get("type") == "application/json"
            self.found += [[]] if self._inside else []

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found[-1].append(data)
