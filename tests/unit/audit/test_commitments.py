"""Commitments: they say what a value was and tell nothing of it."""

import hashlib

import pytest

from sca_service.audit.private.commitments import (
    CommitmentBroken,
    Disclosure,
    PrivateValues,
    broken_commitments,
)

VALUES = {"message_shown": "49,99 € an ACME GmbH", "ip": "203.0.113.7"}


def private(seed: bytes = b"s" * 32) -> PrivateValues:
    """The values of one event."""
    return PrivateValues("evt_1", "payer", seed, VALUES)


def test_a_commitment_is_the_hash_of_salt_and_value() -> None:
    """An auditor needs no more than SHA-256 to check one."""
    (ip, shown) = private().disclosures
    assert (ip.name, shown.name) == ("ip", "message_shown")
    assert shown.commitment == f"sha256:{hashlib.sha256(shown.salt + shown.value.encode()).hexdigest()}"
    assert private().commitments == {"ip": ip.commitment, "message_shown": shown.commitment}


def test_each_value_has_a_salt_of_its_own() -> None:
    """Opening one value helps nobody to guess at another, or at the same value in another event."""
    ip, shown = private().disclosures
    assert len({ip.salt, shown.salt, b"s" * 32}) == 3
    assert not set(private().commitments.values()) & set(private(b"t" * 32).commitments.values())


def test_values_come_back_as_they_were_packed() -> None:
    """What is sealed opens the same commitments later."""
    again = PrivateValues.unpack(private().pack(), event_id="evt_1", psu="payer")
    assert again == private()
    assert again.commitments == private().commitments


@pytest.mark.parametrize(
    "packed", [b"", b"{}", b'{"seed":"?","values":{}}', b'{"seed":"","values":{"ip":1}}']
)
def test_what_was_not_packed_is_refused(packed: bytes) -> None:
    """Sealed bytes that hold something else are no values."""
    with pytest.raises(CommitmentBroken):
        PrivateValues.unpack(packed, event_id="evt_1", psu="payer")


def test_a_changed_missing_or_added_value_is_named() -> None:
    """Whoever holds leaf and values can tell which value is not the one that was committed to."""
    ip, shown = private().disclosures
    commitments = private().commitments
    assert broken_commitments([ip, shown], commitments) == []
    assert broken_commitments([ip, Disclosure("message_shown", "x", shown.salt)], commitments) == [
        "message_shown"
    ]
    assert broken_commitments([ip], commitments) == ["message_shown"]
    assert broken_commitments([ip, shown], {"ip": ip.commitment}) == ["message_shown"]
