"""The Merkle tree of RFC 6962, section 2: hashes of leaves and nodes, roots, and what proofs come to. Pure."""

import hashlib
from collections.abc import Sequence

from sca_service.kernel.errors import ScaError

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of the tree without leaves (RFC 6962, section 2.1)."""


class ProofInvalid(ScaError):
    """A proof does not lead from what it starts at to the root it was made for."""


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf: SHA-256 over a zero byte and the leaf, so that no node can pass for a leaf."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node: SHA-256 over a one byte and its two children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root over these leaf hashes (or over the roots of full subtrees of one size)."""
    if not hashes:
        return EMPTY_ROOT
    level = list(hashes)
    while len(level) > 1:
        paired = [node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level = paired
    return level[0]


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that an inclusion proof leads to from a leaf's hash (RFC 9162, section 2.1.3.2).

    Raises ProofInvalid when the proof has not the form for this index in a tree of this size.
    """
    if not 0 <= index < size or not _are_hashes((leaf, *proof)):
        raise ProofInvalid("an inclusion proof has an index, a size or a hash that cannot be")
    place, last, reached = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofInvalid("an inclusion proof is too long")
        if place % 2 or place == last:
            reached = node_hash(sibling, reached)
            while place % 2 == 0 and place:
                place, last = place >> 1, last >> 1
        else:
            reached = node_hash(reached, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise ProofInvalid("an inclusion proof is too short")
    return reached


def check_consistency(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree of `size` only adds to the one of `old_size` (RFC 9162, section 2.1.4.2).

    Raises ProofInvalid, also for sizes that cannot be and roots that are no hashes.
    """
    if not 0 <= old_size <= size or not _are_hashes((old_root, root, *proof)):
        raise ProofInvalid("a consistency proof has a size or a hash that cannot be")
    if old_size in (0, size):
        expected = EMPTY_ROOT if old_size == 0 else root
        if proof or old_root != expected or (size == 0 and root != EMPTY_ROOT):
            raise ProofInvalid("two trees of one size have different roots")
        return
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise ProofInvalid("a consistency proof is too short")
    place, last = old_size - 1, size - 1
    while place % 2:
        place, last = place >> 1, last >> 1
    reached_old = reached = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofInvalid("a consistency proof is too long")
        if place % 2 or place == last:
            reached_old, reached = node_hash(sibling, reached_old), node_hash(sibling, reached)
            while place % 2 == 0 and place:
                place, last = place >> 1, last >> 1
        else:
            reached = node_hash(reached, sibling)
        place, last = place >> 1, last >> 1
    if last or reached_old != old_root or reached != root:
        raise ProofInvalid("the newer tree does not contain the older one")


def _are_hashes(hashes: Sequence[bytes]) -> bool:
    return all(len(one) == HASH_BYTES for one in hashes)
