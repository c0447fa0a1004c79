"""What a load test must not let pass is noticed: shown on what a broken service would leave behind."""

from collections import Counter
from typing import cast

from joserfc.jwk import KeySet, KeySetSerialization

from loadtests.scenario import findings
from loadtests.scenario.findings import AlertsFound
from sca_service.challenges.authentication_code import AuthenticationCodeSigner, public_keys
from tests.faults.checker import Found, violations_in
from tests.faults.traffic import Told
from tests.unit.challenges.test_authentication_code import FIXED, ISSUER, PRIVATE, approved, keyring

CHALLENGE = "chl_" + "ab" * 19
DELIVERY = "dlv_" + "ab" * 19 + "01"


def found(*events: dict[str, str], acceptances: dict[str, str]) -> Found:
    """Stores in which this happened, and nothing else."""
    return Found(
        events=list(events),
        indexes=list(range(len(events))),
        acceptances=acceptances,
        archive={},
        hot={},
        due=set(),
        outbox=0,
        now_ms=0,
        messages=Counter(),
    )


def approval(event: str) -> dict[str, str]:
    """An approval in the log."""
    return {
        "id": event,
        "type": "challenge.answered",
        "outcome": "approved",
        "challenge": CHALLENGE,
        "request": event,
    }


def test_a_challenge_approved_twice_is_noticed_in_what_banks_were_told() -> None:
    """The log knows one approval, and two answers said so."""
    told = [Told("evt_1", CHALLENGE, "approved"), Told("evt_2", CHALLENGE, "approved")]
    said = violations_in(found(approval("evt_1"), acceptances={CHALLENGE: "evt_1"}), told)
    assert f"{CHALLENGE}: clients were told 2 times that it is approved" in said
    assert f"{CHALLENGE}: a client was told `approved` and the log does not say so" in said


def test_a_challenge_approved_twice_is_noticed_in_the_log() -> None:
    """Two approvals on record, one of them accepted."""
    said = violations_in(found(approval("evt_1"), approval("evt_2"), acceptances={CHALLENGE: "evt_1"}))
    assert f"{CHALLENGE}: 2 approvals in the log" in said


def test_two_codes_a_forged_one_and_one_for_another_amount_are_noticed() -> None:
    """A right one is not."""
    ring = keyring()
    keys = KeySet.import_key_set(cast("KeySetSerialization", public_keys(ring)))
    state = approved()
    code = AuthenticationCodeSigner(ring, ISSUER).sign(state, FIXED, PRIVATE)
    digest = state.digest
    assert list(findings.wrong_codes(keys, [(state.id, digest, code)])) == []
    twice = list(findings.wrong_codes(keys, [(state.id, digest, code), (state.id, digest, code)]))
    assert twice == [f"{state.id}: 2 authentication codes"]
    (other,) = findings.wrong_codes(keys, [(state.id, "sha256:other", code)])
    assert other == f"{state.id}: its authentication code is for something else"
    head, _, signature = code.split(".")
    (forged,) = findings.wrong_codes(keys, [(state.id, digest, f"{head}.e30.{signature}")])
    assert forged.startswith(f"{state.id}: its authentication code does not verify")


def test_a_message_that_never_arrived_is_noticed() -> None:
    """The log calls it delivered; the supplier has not seen it."""
    event = {"type": "delivery.settled", "status": "delivered", "delivery": DELIVERY}
    assert list(findings.missing_messages([event], {DELIVERY: 1})) == []
    assert list(findings.missing_messages([event], {})) == [
        f"{DELIVERY}: delivered, says the log, and no handset has it"
    ]


def test_alerts_that_are_lost_or_doubled_are_noticed() -> None:
    """One arrived as it should, one nowhere, one twice though it was tried once."""
    told = AlertsFound(
        {"alt_1": "delivered", "alt_2": "queued", "alt_3": "delivered"}, {"alt_1": 1, "alt_3": 1}
    )
    assert list(findings.wrong_alerts(["alt_1", "alt_2", "alt_3"], told, {"alt_1": 1, "alt_3": 2})) == [
        "alt_2: taken, and `queued` in the end",
        "alt_2: taken, and no handset has it",
        "alt_3: 2 messages, 1 tries in the log",
    ]


def test_honest_payers_who_are_refused_are_noticed() -> None:
    """Those who walk away or cancel wanted nothing else; two of a hundred refused are too many."""
    good = {"checkout: approved": 100, "checkout: walked away": 50, "spray: blocked in the end": 70}
    assert list(findings.refused_honest(good)) == []
    assert len(list(findings.refused_honest(good | {"checkout: not issued (429)": 2}))) == 1


def test_pumping_that_gets_through_or_is_never_refused_is_noticed() -> None:
    """Both: messages that were sent, and a guard that never spoke."""
    stopped = {"pumping: pending": 10, "pumping: refused": 90}
    challenges = [CHALLENGE]
    assert list(findings.pumped(stopped, challenges, {DELIVERY: 10})) == []
    assert len(list(findings.pumped(stopped, challenges, {DELIVERY: 41}))) == 1
    assert len(list(findings.pumped({"pumping: 422": 100}, [], {}))) == 1
