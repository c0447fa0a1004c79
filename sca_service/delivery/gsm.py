"""How an SMS travels: in the GSM alphabet or in UCS-2, and in how many parts (3GPP TS 23.038 and 23.040).

In the GSM alphabet 160 septets make one message, or 153 a part of several; in UCS-2 70 units, or 67. A character of two
septets or two units is never split between parts: a handset that decodes each part by itself would show two wrong ones.
Anything longer, such as an emoji joined of several, may well be: handsets put the parts together before they show them.
"""

import codecs
import re
from collections.abc import Callable
from typing import Final

_BASIC: Final = (
    "@£$¥èéùìòç\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""The default alphabet in its order, one septet each; 0x09 is the small ç, as in Unicode's table."""

_EXTENSION: Final = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}
"""The extension table: behind an escape (0x1B) a septet means something else."""

_ESCAPE: Final = 0x1B
_SINGLE_SEPTETS, _PART_SEPTETS = 160, 153
_SINGLE_UNITS, _PART_UNITS = 70, 67

_SEPTETS: Final = {ord(character): septet for septet, character in enumerate(_BASIC) if septet != _ESCAPE} | {
    ord(character): bytes((_ESCAPE, septet)) for septet, character in _EXTENSION.items()
}
_ALL_GSM: Final = re.compile("[{}]*".format(re.escape("".join(map(chr, _SEPTETS)))))
_PAIRS: Final = re.compile("[{}]".format(re.escape("".join(_EXTENSION.values()))))
_ASTRAL: Final = re.compile("[\U00010000-\U0010ffff]")


def is_gsm(text: str) -> bool:
    """Whether every character is in the GSM alphabet or its extension table."""
    return _ALL_GSM.fullmatch(text) is not None


def septets(text: str) -> bytes:
    """The text in the GSM alphabet, one byte for each septet, an escape before each of the extension table.

    This is what SMPP's `data_coding` 0 holds where the SMS centre takes the GSM alphabet unpacked. Raises
    ValueError for a text outside the alphabet.
    """
    if not is_gsm(text):  # asked first: the error of the codec would hold the text, and so a code
        raise ValueError("the text is not in the GSM alphabet")
    return codecs.charmap_encode(text, "strict", _SEPTETS)[0]


def from_septets(octets: bytes) -> str:
    """The text of septets, one in each byte. Never raises.

    An escape that nothing known follows is a space, as 3GPP TS 23.038 has it; a byte above 0x7F becomes U+FFFD.
    """
    text, at = [], 0
    while at < len(octets):
        septet = octets[at]
        at += 1
        if septet != _ESCAPE:
            text.append(_BASIC[septet] if septet < len(_BASIC) else "\ufffd")
        elif at < len(octets) and octets[at] in _EXTENSION:
            text.append(_EXTENSION[octets[at]])
            at += 1
        else:
            text.append(" ")
    return "".join(text)


def split_gsm(text: str) -> list[str]:
    """The parts of a text in the GSM alphabet: itself, or parts of at most 153 septets. No pair is split."""
    if len(septets(text)) <= _SINGLE_SEPTETS:
        return [text]
    return _split(text, _PART_SEPTETS, lambda part: len(part) + len(_PAIRS.findall(part)))


def split_ucs2(text: str) -> list[str]:
    """The parts of any text: itself, or parts of at most 67 UTF-16 units. No surrogate pair is split."""
    if _units(text) <= _SINGLE_UNITS:
        return [text]
    return _split(text, _PART_UNITS, _units)


def split(text: str) -> list[str]:
    """The parts in which a text is sent: in the GSM alphabet if that has all of it, else in UCS-2."""
    return split_gsm(text) if is_gsm(text) else split_ucs2(text)


def segments(text: str) -> int:
    """How many parts a text is sent and charged in; at least one."""
    if is_gsm(text):
        pairs = len(_PAIRS.findall(text))
        if len(text) + pairs <= _SINGLE_SEPTETS:
            return 1
        return -(-len(text) // _PART_SEPTETS) if not pairs else len(split_gsm(text))
    pairs = len(_ASTRAL.findall(text))
    if len(text) + pairs <= _SINGLE_UNITS:
        return 1
    return -(-len(text) // _PART_UNITS) if not pairs else len(split_ucs2(text))


def _units(text: str) -> int:
    return len(text) + len(_ASTRAL.findall(text))


def _split(text: str, most: int, size: Callable[[str], int]) -> list[str]:
    """Cut off parts of the most characters that fit; each part but the last has room for less than a character."""
    parts, start = [], 0
    while start < len(text):
        end = start + most
        while size(text[start:end]) > most:
            end -= max((size(text[start:end]) - most) // 2, 1)
        parts.append(text[start:end])
        start = end
    return parts
