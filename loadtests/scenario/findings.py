"""What may not be, told from what was gathered: pure, so that each can be shown to be noticed."""

import json
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import KeySet

from loadtests.scenario.plan import Notes
from sca_service.audit.log.checkpoint import Checkpoint
from sca_service.audit.log.note import NoteInvalid, NoteVerifier, open_note
from sca_service.audit.log.proof import TlogProof
from sca_service.audit.merkle import ProofInvalid, leaf_hash, root_from_inclusion

LEAST_APPROVED_PERCENT = 99.0
"""Of honest checkouts whose payer answered."""
MOST_PUMPED = 40
"""Messages that pumping may have sent: four for a hundred numbers in a row, six for an address, and those under way."""
_MEANT_OTHERWISE = ("checkout: walked away", "checkout: cancelled")
_APPROVED = "checkout: approved"


@dataclass(frozen=True, slots=True)
class AlertsFound:
    """Alerts in the database, by id: their status, and how many tries of each the log has."""

    statuses: Mapping[str, str]
    tries: Mapping[str, int]


def missing_messages(events: Iterable[Mapping[str, Any]], messages: Mapping[str, int]) -> Iterator[str]:
    """What the log calls delivered is at the supplier."""
    for event in events:
        if (
            event["type"] == "delivery.settled"
            and event["status"] == "delivered"
            and not messages.get(event["delivery"])
        ):
            yield f"{event['delivery']}: delivered, says the log, and no handset has it"


def wrong_codes(keys: KeySet, approvals: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    """Each challenge has one authentication code, signed by the service, for what was issued."""
    for challenge, times in Counter(challenge for challenge, _, _ in approvals).items():
        if times > 1:
            yield f"{challenge}: {times} authentication codes"
    for challenge, digest, code in approvals:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SecurityWarning)  # EdDSA is the contract's (RFC 8037)
                claims = json.loads(jws.deserialize_compact(code, keys, ["EdDSA"]).payload)
        except (JoseError, ValueError) as error:
            yield f"{challenge}: its authentication code does not verify ({error})"
            continue
        if (claims["challenge"], claims["transaction"]) != (challenge, digest):
            yield f"{challenge}: its authentication code is for something else"


def wrong_alerts(taken: Sequence[str], found: AlertsFound, messages: Mapping[str, int]) -> Iterator[str]:
    """Each alert that was taken has arrived, and as often as the log says it was tried, at most."""
    for alert in taken:
        arrived = messages.get(alert, 0)
        if found.statuses.get(alert) != "delivered":
            yield f"{alert}: taken, and `{found.statuses.get(alert, 'unknown')}` in the end"
        if not arrived:
            yield f"{alert}: taken, and no handset has it"
        if arrived > found.tries.get(alert, 0):
            yield f"{alert}: {arrived} messages, {found.tries.get(alert, 0)} tries in the log"


def refused_honest(journeys: Mapping[str, int]) -> Iterator[str]:
    """Honest payers get through, whatever else goes on."""
    ended = {what: count for what, count in journeys.items() if what.startswith("checkout")}
    answered = sum(count for what, count in ended.items() if what not in _MEANT_OTHERWISE)
    approved = ended.get(_APPROVED, 0)
    if answered and approved < answered * LEAST_APPROVED_PERCENT / 100:
        yield f"of {answered} honest payers who answered, {approved} were approved: {ended}"


def pumped(
    journeys: Mapping[str, int], challenges: Sequence[str], messages: Mapping[str, int]
) -> Iterator[str]:
    """Pumping stops being sent, because the service sees it."""
    tried = sum(count for what, count in journeys.items() if what.startswith("pumping"))
    if tried > MOST_PUMPED and not journeys.get("pumping: refused"):
        yield f"pumping was tried {tried} times and never refused: {dict(journeys)}"
    ours = {challenge[4:] for challenge in challenges}
    sent = sum(count for delivery, count in messages.items() if delivery[4:-2] in ours)
    if sent > MOST_PUMPED:
        yield f"pumping had {sent} messages sent"


def wrong_proofs(notes: Notes, entries: Mapping[int, bytes], key: NoteVerifier) -> Iterator[str]:
    """Each inclusion proof leads from what the log holds at its index to a root that the log has signed."""
    for index, text in notes.proofs:
        try:
            proof = TlogProof.parse(text)
            head = Checkpoint.parse(open_note(proof.note, [key]).text)
            root = root_from_inclusion(leaf_hash(entries[index]), index, head.size, proof.hashes)
        except (ProofInvalid, NoteInvalid) as error:
            yield f"the proof of event {index} does not hold: {error}"
            continue
        if proof.index != index or root != head.root:
            yield f"the proof of event {index} leads to another root"
