"""The tree's arithmetic against the definitions of RFC 6962, section 2.1."""

import pytest

from sca_service.audit.merkle import (
    EMPTY_ROOT,
    ProofInvalid,
    check_consistency,
    leaf_hash,
    node_hash,
    root_from_inclusion,
    root_of,
)
from tests.rfc6962 import Tree

LEAVES = [b"leaf %d" % number for number in range(300)]
TREE = Tree(LEAVES)
HASHES = [leaf_hash(leaf) for leaf in LEAVES]
OTHER = leaf_hash(b"a leaf of another tree")
SIZES = [*range(1, 70), 127, 128, 129, 200, 255, 256, 257, 300]


def test_the_root_of_every_size_is_the_defined_one() -> None:
    """The empty tree has the hash of nothing; a leaf and a node cannot be taken for each other."""
    assert root_of([]) == EMPTY_ROOT == TREE.root(0)
    for size in SIZES:
        assert root_of(HASHES[:size]) == TREE.root(size)
    assert leaf_hash(b"ab") != node_hash(b"a", b"b")


@pytest.mark.parametrize("size", SIZES)
def test_every_inclusion_proof_leads_to_the_root(size: int) -> None:
    """Of every leaf; and one byte, one step or one place off it leads elsewhere or is refused."""
    for index in range(size):
        proof = TREE.path(index, 0, size)
        assert root_from_inclusion(HASHES[index], index, size, proof) == TREE.root(size)
        wrong = [[*proof, HASHES[0]], *([proof[:-1], [OTHER, *proof[1:]]] if proof else [])]
        for one in wrong:
            try:
                assert root_from_inclusion(HASHES[index], index, size, one) != TREE.root(size)
            except ProofInvalid:
                continue
        if size > 1:
            elsewhere = (index + 1) % size
            try:
                assert root_from_inclusion(HASHES[index], elsewhere, size, proof) != TREE.root(size)
            except ProofInvalid:
                continue


@pytest.mark.parametrize("size", SIZES)
def test_every_consistency_proof_holds(size: int) -> None:
    """From every older size; a changed, missing or added hash, and another old root, are refused."""
    for old in range(1, size + 1):
        proof = TREE.proof(old, size)
        check_consistency(old, TREE.root(old), size, TREE.root(size), proof)
        wrong = [[*proof, HASHES[0]], *([proof[:-1], [OTHER, *proof[1:]]] if proof else [])]
        for one in wrong:
            with pytest.raises(ProofInvalid):
                check_consistency(old, TREE.root(old), size, TREE.root(size), one)
        with pytest.raises(ProofInvalid):
            check_consistency(old, OTHER, size, TREE.root(size), proof)


def test_the_empty_tree_is_the_beginning_of_every_tree() -> None:
    """It needs no proof, and takes none; another root than its own is refused."""
    check_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, [])
    check_consistency(0, EMPTY_ROOT, 5, TREE.root(5), [])
    for old_root, size, root, proof in (
        (HASHES[0], 5, TREE.root(5), []),
        (EMPTY_ROOT, 5, TREE.root(5), [HASHES[0]]),
        (HASHES[0], 0, HASHES[0], []),
    ):
        with pytest.raises(ProofInvalid):
            check_consistency(0, old_root, size, root, proof)


@pytest.mark.parametrize(
    ("index", "size"),
    [(0, 0), (-1, 5), (1, 1), (5, 5), (6, 5)],
    ids=["empty", "negative", "behind the only one", "behind", "far"],
)
def test_no_leaf_is_proven_outside_of_the_tree(index: int, size: int) -> None:
    """An index that the tree does not have has no proof, whatever hashes come with it."""
    with pytest.raises(ProofInvalid):
        root_from_inclusion(HASHES[0], index, size, [])


@pytest.mark.parametrize("length", [0, 31, 33])
def test_what_is_no_hash_is_refused(length: int) -> None:
    """A root or a step of another length than SHA-256 gives is no proof of anything."""
    short = b"x" * length
    with pytest.raises(ProofInvalid):
        root_from_inclusion(short, 0, 1, [])
    with pytest.raises(ProofInvalid):
        root_from_inclusion(HASHES[0], 0, 2, [short])
    for old_root, root in ((short, TREE.root(5)), (TREE.root(3), short)):
        with pytest.raises(ProofInvalid):
            check_consistency(3, old_root, 5, root, TREE.proof(3, 5))
    with pytest.raises(ProofInvalid):
        check_consistency(5, short, 5, short, [])


def test_a_tree_does_not_shrink() -> None:
    """A newer tree with fewer leaves is no newer tree."""
    with pytest.raises(ProofInvalid):
        check_consistency(5, TREE.root(5), 3, TREE.root(3), [])


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_a_proof_of_another_length_says_so(size: int) -> None:
    """It is refused for its length, before anybody compares roots."""
    proof = TREE.path(0, 0, size)
    with pytest.raises(ProofInvalid, match="inclusion proof is too long"):
        root_from_inclusion(HASHES[0], 0, size, [*proof, OTHER])
    if proof:
        with pytest.raises(ProofInvalid, match="inclusion proof is too short"):
            root_from_inclusion(HASHES[0], 0, size, proof[:-1])
    step = TREE.proof(size, size + 3)
    with pytest.raises(ProofInvalid, match="consistency proof is too long"):
        check_consistency(size, TREE.root(size), size + 3, TREE.root(size + 3), [*step, OTHER])
    with pytest.raises(ProofInvalid, match="consistency proof is too short"):
        check_consistency(3, TREE.root(3), 5, TREE.root(5), [])
