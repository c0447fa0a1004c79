"""Finds secrets in bytes, however they are written: the codes, numbers, names and keys that a test has planted.

Six digits occur by chance wherever there are numbers, so a scan for a code has to tell one from the other. Two things
do: the codes that are looked for begin with `0`, as no printed number does but a fraction, and they have to stand
alone, with no letter or digit beside them and not behind a decimal point.
"""

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_SHORTEST_IN_BASE64 = 8  # a shorter stretch of base64 occurs by chance
_EMPTY = re.compile(rb"\0{64,}")  # what a store's files have not used yet
_BESIDE = re.compile(rb"[0-9A-Za-z]")
_BEHIND_A_POINT = re.compile(rb"[0-9][.,:]\Z")


@dataclass(frozen=True, slots=True)
class Canaries:
    """What was planted: codes that begin with 0, digits that are found however they are grouped, and texts."""

    codes: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()

    def found_in(self, content: bytes) -> list[str]:
        """What of it stands in these bytes, with what is around it; empty when nothing does."""
        content = _EMPTY.sub(b"\0" * 8, content)
        hits = [*self._codes_in(content), *self._numbers_in(content), *self._texts_in(content)]
        return [f"{content[max(start - 40, 0) : end + 10]!r}" for start, end in hits]

    def _codes_in(self, content: bytes) -> Iterator[tuple[int, int]]:
        """The digits as one word, or one by one as they are spoken; a NUL between them is UTF-16."""
        assert all(code.startswith("0") for code in self.codes)
        together_or_spoken = [
            rb"%s|%s" % (code[1:].encode(), _apart(code, rb"{1,3}")[1:]) for code in sorted(self.codes)
        ]
        for hit in _all_of(b"0", together_or_spoken, content):
            start, end = hit
            is_alone = not _BESIDE.match(content[start - 1 : start]) and not _BESIDE.match(
                content[end : end + 1]
            )
            if is_alone and not _BEHIND_A_POINT.search(content[max(start - 2, 0) : start]):
                yield hit
        yield from _encoded_in(content, self.codes)

    def _numbers_in(self, content: bytes) -> Iterator[tuple[int, int]]:
        """The digits in a row, or with one or two other characters between them: `0151 90-81`, `(0)151`, UTF-16."""
        for number in sorted(self.numbers):
            yield from _all_of(number[0].encode(), [_apart(number, rb"{0,2}")[1:]], content)
        yield from _encoded_in(content, self.numbers)

    def _texts_in(self, content: bytes) -> Iterator[tuple[int, int]]:
        """The texts in small and capital letters, in UTF-8 and UTF-16."""
        lowered = content.lower()
        for text in sorted(self.texts):
            for encoding in ("utf-8", "utf-16-le"):
                yield from _literally(text.lower().encode(encoding), lowered)
        yield from _encoded_in(content, self.texts)


def _all_of(first: bytes, rests: list[bytes], content: bytes) -> Iterator[tuple[int, int]]:
    """Where one of the patterns matches. They share their first character: so the search jumps from one to the next."""
    if rests:
        for hit in re.finditer(rb"%s(?:%s)" % (first, b"|".join(rests)), content):
            yield hit.span()


def _apart(digits: str, times: bytes) -> bytes:
    return (rb"[^0-9A-Za-z]" + times).join(digit.encode() for digit in digits)


def _literally(needle: bytes, content: bytes) -> Iterator[tuple[int, int]]:
    start = content.find(needle)
    while start >= 0:
        yield start, start + len(needle)
        start = content.find(needle, start + 1)


def _encoded_in(content: bytes, secrets: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Where a secret stands in hexadecimal, or in base64 at one of the three places that it can start at."""
    for secret in sorted(secrets):
        raw = secret.encode()
        needles = {raw.hex().encode()}
        for offset in range(3):
            whole = base64.b64encode(bytes(offset) + raw)
            tail = 0 if (offset + len(raw)) % 3 == 0 else 4  # the last letters hold bits of what follows
            inner = whole[(0, 2, 3)[offset] : len(whole) - tail]
            if len(inner) >= _SHORTEST_IN_BASE64:
                needles |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
        for needle in sorted(needles):
            yield from _literally(needle, content)
