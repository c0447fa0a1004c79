"""Challenge ids, states and what they mean."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sca_service.challenges
from sca_service.challenges.model import (
    OUTCOME_OF_FINAL,
    PARTITIONS,
    ChallengeId,
    ChallengeState,
    Element,
    Fixed,
    Method,
    Outcome,
    Status,
    decode_state,
    partition_of,
)
from sca_service.delivery.model import DeliveryState, DeliveryStatus, delivery_id, owner_of
from sca_service.policy.model import Channel, Purpose
from tests.storeroom import new_challenge, new_payer

NOON = 1_790_000_000_000


@given(
    st.integers(0, PARTITIONS - 1), st.sampled_from(list(Purpose)), st.integers(1, 255), st.integers(6, 10)
)
def test_an_id_tells_its_parts(partition: int, purpose: Purpose, version: int, digits: int) -> None:
    """Slot, key and length are found without a look-up, for every purpose there is."""
    made = ChallengeId.new(partition=partition, purpose=purpose, key_version=version, digits=digits)
    assert ChallengeId.parse(made.text) == made
    assert (made.partition, made.purpose, made.key_version, made.digits) == (
        partition,
        purpose,
        version,
        digits,
    )


def test_an_id_cannot_be_guessed() -> None:
    """80 random bits at its end, behind its time; only a repeated request names them."""
    arguments = {"partition": 1, "purpose": Purpose.LOGIN, "key_version": 1, "digits": 6}
    ids = {ChallengeId.new(**arguments).text for _ in range(1_000)}  # type: ignore[arg-type]
    assert len(ids) == 1_000
    assert len({one[:10] for one in ids}) == 1
    assert len({one[-20:] for one in ids}) == 1_000
    named = [ChallengeId.new(**arguments, unique="ab" * 16).text for _ in range(2)]  # type: ignore[arg-type]
    assert named[0] == named[1]
    assert named[0].endswith("ab" * 16)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "chl_",
        "chl_002016" + "0" * 31,
        "chl_002016" + "0" * 33,
        "chl_002016" + "0" * 31 + "g",
        "chl_002016" + "0" * 31 + "A",
        "chl_002016" + "0" * 32 + "\n",
        " chl_002016" + "0" * 32,
        "dlv_002016" + "0" * 32,
        "chl_402016" + "0" * 32,  # there are 64 partitions
        "chl_005016" + "0" * 32,  # there are five purposes
        "chl_002011" + "0" * 32,  # no code is that short
        "chl_002015" + "0" * 32,
        "chl_00201b" + "0" * 32,  # or that long
        "chl_00201f" + "0" * 32,
        "chl_００2016" + "0" * 30,
    ],
)
def test_what_no_challenge_can_be_called_is_no_id(text: str) -> None:
    """It answers as an unknown one does, and reaches neither key nor store."""
    assert ChallengeId.parse(text) is None


@given(st.text("0123456789abcdef", min_size=32, max_size=32))
def test_a_payers_partition_never_changes(payer: str) -> None:
    """It is read off the pseudonym, so a payer's challenges all lie on one slot."""
    assert partition_of(payer) == int(payer[:2], 16) % 64
    assert 0 <= partition_of(payer) < PARTITIONS


def test_the_partitions_are_filled_evenly() -> None:
    """Each is named by four of the 256 first bytes."""
    partitions = [partition_of(f"{first:02x}" + "0" * 30) for first in range(256)]
    assert {partitions.count(partition) for partition in range(PARTITIONS)} == {4}


def test_only_pending_is_not_final() -> None:
    """Every other status is for good, and what an answer to it comes to is settled."""
    assert [status for status in Status if not status.is_final] == [Status.PENDING]
    assert set(OUTCOME_OF_FINAL) == set(Status) - {Status.PENDING}
    assert set(OUTCOME_OF_FINAL.values()) == set(Outcome) - {Outcome.APPROVED, Outcome.INCORRECT}


def test_the_script_holds_the_same_table_of_outcomes() -> None:
    """Two tables that must agree."""
    script = Path(sca_service.challenges.__file__).with_name("verify.lua").read_text("utf-8")
    for status, outcome in OUTCOME_OF_FINAL.items():
        assert f"{status} = '{outcome}'" in script


@pytest.mark.parametrize(
    ("elements", "sca"),
    [
        ([], False),
        ([Element.POSSESSION], False),
        ([Element.POSSESSION, Element.POSSESSION], False),
        ([Element.KNOWLEDGE, Element.POSSESSION], True),
        ([Element.INHERENCE, Element.POSSESSION], True),
        (list(Element), True),
    ],
)
def test_two_categories_make_strong_customer_authentication(elements: list[Element], sca: bool) -> None:
    """Two of one category are one (PSD2 Art. 4(30)): for challenges of before it was kept what an approval reaches."""
    fixed = Fixed(Purpose.LOGIN, Method.TOTP, tuple(elements), policy="", sealed="")
    assert fixed.is_sca is sca
    assert msgspec.structs.replace(fixed, sca=not sca).is_sca is not sca


def state(**changes: object) -> ChallengeState:
    """A pending state."""
    _, new = new_challenge(new_payer())
    return msgspec.structs.replace(new.state, expires_at=NOON, **changes)


@pytest.mark.parametrize("status", list(Status))
def test_a_pending_one_whose_time_is_over_is_expired(status: Status) -> None:
    """Whoever looks first; a final status stays what it is."""
    one = state(status=status)
    assert one.status_at(NOON - 1) is status
    assert one.status_at(NOON) is (Status.EXPIRED if status is Status.PENDING else status)


def test_a_state_is_read_back_as_it_was_written() -> None:
    """Every member, in whatever order a script packs them."""
    one = state(
        deliveries=[DeliveryState("dlv_1", Channel.SMS, DeliveryStatus.SENT, NOON, tries=2)], next_at=NOON
    )
    packed = msgspec.msgpack.encode(one)
    assert decode_state(packed) == one
    members = msgspec.msgpack.decode(packed)
    assert decode_state(msgspec.msgpack.encode(dict(reversed(members.items())))) == one


@pytest.mark.parametrize("raw", [b"", b"\x00", b"text", msgspec.msgpack.encode({"id": "chl_1"})])
def test_what_is_no_state_is_an_error(raw: bytes) -> None:
    """It is never taken for an empty one."""
    with pytest.raises(msgspec.DecodeError):
        decode_state(raw)


@pytest.mark.parametrize(
    ("status", "deliveries", "awaits"),
    [
        (Status.PENDING, [(DeliveryStatus.QUEUED, 0)], True),
        (Status.PENDING, [(DeliveryStatus.QUEUED, 1)], False),
        (Status.PENDING, [(DeliveryStatus.SENT, 1)], False),
        (Status.PENDING, [(DeliveryStatus.SKIPPED, 0), (DeliveryStatus.QUEUED, 0)], True),
        (Status.PENDING, [(DeliveryStatus.QUEUED, 0), (DeliveryStatus.SENT, 1)], False),
        (Status.PENDING, [], False),
        (Status.CANCELLED, [(DeliveryStatus.QUEUED, 0)], False),
    ],
)
def test_only_what_nobody_has_taken_up_awaits_its_release(
    status: Status, deliveries: list[tuple[DeliveryStatus, int]], awaits: bool
) -> None:
    """The newest delivery of a pending challenge, before its first try."""
    made = [
        DeliveryState(f"dlv_{at}", Channel.SMS, delivered, NOON, tries=tries)
        for at, (delivered, tries) in enumerate(deliveries)
    ]
    assert state(status=status, deliveries=made).awaits_release is awaits


def test_a_delivery_names_its_challenge() -> None:
    """A receipt finds it without a look-up."""
    challenge, _ = new_challenge(new_payer())
    for number in (1, 3, 255):
        assert owner_of(delivery_id(challenge.text, number)) == challenge.text


@pytest.mark.parametrize("delivery", ["", "dlv_", "chl_" + "0" * 40, "dlv_" + "0" * 39, "dlv_" + "0" * 41])
def test_what_no_delivery_can_be_called_has_no_challenge(delivery: str) -> None:
    """It answers as an unknown one does."""
    assert owner_of(delivery) is None


@pytest.mark.parametrize("status", list(DeliveryStatus))
def test_a_delivery_is_open_until_a_last_word(status: DeliveryStatus) -> None:
    """Queued and sent may still change, nothing else does."""
    assert status.is_final is (status not in (DeliveryStatus.QUEUED, DeliveryStatus.SENT))
