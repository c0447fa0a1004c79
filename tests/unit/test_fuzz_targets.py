"""What `make fuzz` searches with is sound: each seed is taken or refused, and so is what lies near it."""

import random

import pytest

from tests.fuzz.targets import TARGETS, Target

_NEAR = 60


def near(seed: bytes, count: int) -> list[bytes]:
    """Bytes that differ from the seed a little: changed, cut, doubled; the same ones in every run."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        raw = bytearray(seed or b"\0")
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(raw) + 1)
            raw[at : at + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3)) or raw[:at]
        made.append(bytes(raw))
    return made


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_parser_takes_or_refuses_whatever_comes(target: Target) -> None:
    """Seeds, what lies near them, nothing, and bytes that are no text."""
    for seed in target.seeds:
        for raw in [seed, *near(seed, _NEAR)]:
            target.try_on(raw)
    for raw in (b"", b"\xff\xfe", b"\xed\xa0\x80", b"0" * 5000, b"[" * 3000, b"{" * 3000, bytes(range(256))):
        target.try_on(raw)


def test_a_parser_that_breaks_is_seen() -> None:
    """An error that is not among the refusals comes through."""
    broken = Target("broken", lambda raw: raw[9], (ValueError,), (b"",))
    with pytest.raises(IndexError):
        broken.try_on(b"")
