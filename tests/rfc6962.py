"""The tree as RFC 6962, section 2.1, defines it, word by word: what the code's trees are held against."""

import hashlib
from collections.abc import Sequence
from functools import cache


class Tree:
    """A tree over leaves. A class because it remembers the hashes of ranges, each of which is part of many others."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.leaves = list(leaves)
        self.mth = cache(self._mth)

    def root(self, size: int | None = None) -> bytes:
        """MTH(D[size]): the root over the first leaves, over all of them unless said otherwise."""
        return self.mth(0, len(self.leaves) if size is None else size)

    def path(self, index: int, first: int, end: int) -> list[bytes]:
        """PATH(m, D[first:end]), m counted from `first`: the inclusion proof, the lowest hash first (section 2.1.1)."""
        if end - first == 1:
            return []
        k = largest_power_below(end - first)
        if index < k:
            return [*self.path(index, first, first + k), self.mth(first + k, end)]
        return [*self.path(index - k, first + k, end), self.mth(first, first + k)]

    def proof(self, old_size: int, size: int) -> list[bytes]:
        """PROOF(m, D[size]): the consistency proof (section 2.1.2)."""
        return self._subproof(old_size, 0, size, known=True)

    def _mth(self, first: int, end: int) -> bytes:
        if first == end:
            return hashlib.sha256(b"").digest()
        if end - first == 1:
            return hashlib.sha256(b"\x00" + self.leaves[first]).digest()
        split = first + largest_power_below(end - first)
        return hashlib.sha256(b"\x01" + self.mth(first, split) + self.mth(split, end)).digest()

    def _subproof(self, m: int, first: int, end: int, *, known: bool) -> list[bytes]:
        if m == end - first:
            return [] if known else [self.mth(first, end)]
        k = largest_power_below(end - first)
        if m <= k:
            return [*self._subproof(m, first, first + k, known=known), self.mth(first + k, end)]
        return [*self._subproof(m - k, first + k, end, known=False), self.mth(first, first + k)]


def largest_power_below(n: int) -> int:
    """The largest power of two k with k < n <= 2k."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k
