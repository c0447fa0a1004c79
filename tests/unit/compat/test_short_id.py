"""Short ids: as long as another API has room for, and one for each challenge."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sca_service.challenges.model import ChallengeId
from sca_service.compat.short_id import lengthened, shortened
from sca_service.policy.model import Purpose


@given(st.integers(0, 63), st.sampled_from(Purpose), st.integers(1, 255), st.sampled_from([0, 6, 8, 10]))
def test_a_short_id_names_its_challenge(partition: int, purpose: Purpose, version: int, digits: int) -> None:
    """There and back, in 26 characters."""
    challenge = ChallengeId.new(partition=partition, purpose=purpose, key_version=version, digits=digits)
    short = shortened(challenge.text)

    assert len(short) == 26
    assert lengthened(short) == challenge


@pytest.mark.parametrize("short", ["", "A" * 25, "A" * 27, "=" * 26, "ä" * 26, "chl_" + "0" * 22, "_" * 26])
def test_what_names_nothing_is_nothing(short: str) -> None:
    """Neither a wrong length, nor characters of another alphabet, nor a partition that does not exist."""
    assert lengthened(short) is None


def test_a_challenge_has_one_short_id() -> None:
    """Bits that the last character has to spare are no second name."""
    challenge = ChallengeId.new(partition=1, purpose=Purpose.OTHER, key_version=1, digits=6)
    short = shortened(challenge.text)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spare = [short[:-1] + other for other in alphabet if other != short[-1]]

    named = [found for one in spare if (found := lengthened(one))]
    assert challenge not in named
