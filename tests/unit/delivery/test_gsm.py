"""The GSM alphabet against Unicode's table, and the parts of an SMS."""

from pathlib import Path

import pytest

from sca_service.delivery.gsm import (
    from_septets,
    is_gsm,
    segments,
    septets,
    split,
    split_gsm,
    split_ucs2,
)

TABLE = Path(__file__).resolve().parents[4] / "shared" / "vectors" / "sms" / "GSM0338.TXT"


@pytest.fixture(scope="module")
def published() -> dict[str, bytes]:
    """Unicode's table: each character and its septets."""
    if not TABLE.is_file():
        pytest.skip("the published GSM 03.38 table lies outside the repository and is not here")
    rows = [line.split("\t") for line in TABLE.read_text("utf-8").splitlines() if line[:2] == "0x"]
    table = {chr(int(row[1], 16)): bytes.fromhex(row[0][2:]) for row in rows}
    del table["\u00a0"]  # stands for a lone escape, which no text can ask for
    return table


def test_every_character_has_the_published_septets(published: dict[str, bytes]) -> None:
    """Both ways, for all of the alphabet and its extension table."""
    assert len(published) == 127 + 10
    for character, expected in published.items():
        assert septets(character) == expected, hex(ord(character))
        assert from_septets(expected) == character, hex(ord(character))


def test_no_other_character_is_in_the_alphabet(published: dict[str, bytes]) -> None:
    """Of all that Unicode has: an alphabet that is too large would show question marks."""
    found = {character for character in map(chr, range(0x110000)) if is_gsm(character)}
    assert found == set(published)


def test_how_long_a_text_of_each_character_may_be(published: dict[str, bytes]) -> None:
    """160 septets or 70 units are one part, whatever the character."""
    for code_point in range(0x3000):
        character = chr(code_point)
        size = len(published.get(character, b""))
        assert segments(character * 80) == (1 if size else 2), hex(code_point)
        assert segments(character * 160) == {1: 1, 2: 3, 0: 3}[size], hex(code_point)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 158 + "€", 1),
        ("a" * 159 + "€", 2),
        ("a" * 152 + "€" + "a" * 152, 3),  # 306 septets, but the escape pair does not fit into the first part
        ("a" * 151 + "€" + "a" * 153, 2),
        ("é" * 160, 1),
        ("ç" * 160, 1),
        ("ê" * 70, 1),
        ("ê" * 71, 2),
        ("ê" * 134, 2),
        ("ê" * 135, 3),
        ("\U0001f4a5" * 35, 1),
        ("\U0001f4a5" * 36, 2),
        ("ê" * 66 + "\U0001f4a5" + "ê" * 66, 3),  # 134 units, but the pair does not fit into the first part
        ("`" * 71, 2),  # a grave accent alone is in neither GSM table
        ("\u200d" * 71, 2),
        ("\x1b" * 71, 2),  # an escape is no character of a text
    ],
    ids=lambda value: f"{value[-1:]!a}-{len(value)}" if isinstance(value, str) else str(value),
)
def test_parts_of_an_sms(text: str, parts: int) -> None:
    """3GPP TS 23.038 and 23.040: 160/153 septets, 70/67 units, pairs never split."""
    assert segments(text) == parts
    assert len(split(text)) == parts


def test_an_escape_pair_moves_to_the_next_part() -> None:
    """Its escape would otherwise stand at the end of a part, and its letter begin the next."""
    assert split_gsm("a" * 152 + "€" + "b" * 10) == ["a" * 152, "€" + "b" * 10]


def test_a_surrogate_pair_moves_to_the_next_part() -> None:
    """Half of it would be a box on many handsets."""
    assert split_ucs2("a" * 66 + "\U0001f4a5" + "b" * 10) == ["a" * 66, "\U0001f4a5" + "b" * 10]


def test_a_joined_emoji_may_stand_across_two_parts() -> None:
    """The parts are put together before they are shown; only what cannot be decoded alone stays whole."""
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    assert split_ucs2("a" * 64 + family) == ["a" * 64 + family[:2], family[2:]]


def test_a_gsm_text_may_be_sent_in_ucs2_all_the_same() -> None:
    """For a supplier that knows no other alphabet."""
    assert split_ucs2("a" * 71) == ["a" * 67, "a" * 4]


@pytest.mark.parametrize("character", ["ê", "…", "\U0001f4a5", "\u00a0", "\x1b", "\x00"])
def test_a_text_outside_the_alphabet_has_no_septets(character: str) -> None:
    """The error says so without quoting the text, which holds a code."""
    with pytest.raises(ValueError, match="not in the GSM alphabet") as caught:
        septets(f"693554 {character}")
    assert "693554" not in repr(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"\x1b\x65", "€"),
        (b"\x1b", " "),
        (b"\x1b\x41", " A"),
        (b"\x1b\x1b\x65", " €"),
        (b"\x00a", "@a"),
        (b"a\x80", "a\ufffd"),
    ],
)
def test_what_somebody_sends_is_always_read(octets: bytes, text: str) -> None:
    """An escape without meaning is a space (3GPP TS 23.038 section 6.2.1.1), no byte is an error."""
    assert from_septets(octets) == text


def test_a_text_of_pairs_only_is_split_as_well() -> None:
    """However long it is; a part holds 76 pairs and one septet stays free."""
    assert [len(part) for part in split_gsm("€" * 200)] == [76, 76, 48]
