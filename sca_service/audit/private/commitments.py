"""Commitments: a leaf says what a value is without telling it, until somebody opens it. Pure.

A commitment is SHA-256 over a salt of 256 bits and the value in UTF-8. Each value of an event has a salt of its own,
derived from the event's seed, so that one can be opened and the others stay closed. Whoever does not know the salt
learns nothing by guessing at the value.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from sca_service.kernel.mac import Mac

SEED_BYTES = 32


class CommitmentBroken(ValueError):
    """Sealed values that are not what they were when they were committed to."""


class Disclosure(msgspec.Struct, frozen=True):
    """A value with the salt that opens its commitment."""

    name: str
    value: str
    salt: bytes

    @property
    def commitment(self) -> str:
        """`sha256:` and 64 hexadecimal digits."""
        return _commitment(self.salt, self.value)


def _commitment(salt: bytes, value: str) -> str:
    return f"sha256:{hashlib.sha256(salt + value.encode()).hexdigest()}"


class PrivateValues(msgspec.Struct, frozen=True):
    """The personal values of one event, not yet sealed: whose they are, and the seed of their salts."""

    event_id: str
    psu: str
    seed: bytes
    values: Mapping[str, str]

    @property
    def disclosures(self) -> tuple[Disclosure, ...]:
        """Each value with its salt, by name."""
        salts = Mac(self.seed)
        return tuple(
            Disclosure(name, self.values[name], salts.of(name.encode())) for name in sorted(self.values)
        )

    @property
    def commitments(self) -> dict[str, str]:
        """What the leaf says of each value."""
        salt_of = Mac(self.seed).of
        return {
            name: _commitment(salt_of(name.encode()), value) for name, value in sorted(self.values.items())
        }

    def pack(self) -> bytes:
        """Seed and values as they are sealed."""
        return _encode(_Packed(base64.b64encode(self.seed).decode(), dict(self.values)))

    @classmethod
    def unpack(cls, packed: bytes, *, event_id: str, psu: str) -> "PrivateValues":
        """What `pack` made. Raises CommitmentBroken when it is something else."""
        try:
            content = _decode(packed)
            return cls(event_id, psu, base64.b64decode(content.seed, validate=True), content.values)
        except (msgspec.DecodeError, ValueError) as error:
            raise CommitmentBroken("personal values of an event cannot be read") from error


class _Packed(msgspec.Struct):
    seed: str
    values: dict[str, str]


_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder(_Packed).decode


def broken_commitments(disclosures: Sequence[Disclosure], commitments: Mapping[str, str]) -> list[str]:
    """The names whose value is not what the leaf commits to, and those that are missing on either side."""
    opened = {one.name: one.commitment for one in disclosures}
    return sorted(
        name for name in opened.keys() | commitments.keys() if opened.get(name) != commitments.get(name)
    )
