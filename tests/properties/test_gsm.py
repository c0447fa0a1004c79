"""The parts of an SMS against a model that goes through the encoded text octet by octet."""

from hypothesis import example, given
from hypothesis import strategies as st

from sca_service.delivery.gsm import from_septets, is_gsm, segments, septets, split, split_ucs2

GSM = "a@\n é€{}|~\\"
OTHER = "aê€\u200d\u0301\U0001f468\U0001f4a5\ufe0f"


def repeated(alphabet: str) -> st.SearchStrategy[str]:
    """Texts of these characters, often longer than one part of an SMS, with their pairs anywhere."""
    return st.builds(
        lambda text, times, more: text * times + more,
        st.text(alphabet, min_size=1, max_size=20),
        st.integers(1, 60),
        st.text(alphabet, max_size=20),
    )


def model(encoded: list[bytes], *, single: int, several: int) -> list[bytes]:
    """Parts of whole characters, each as full as it can be; sizes in octets."""
    if sum(map(len, encoded)) <= single:
        return [b"".join(encoded)]
    parts = [b""]
    for character in encoded:
        if len(parts[-1] + character) > several:
            parts.append(b"")
        parts[-1] += character
    return parts


@given(repeated(GSM))
@example("a" * 152 + "€" + "a" * 152)
@example("€" * 153)
def test_parts_in_the_gsm_alphabet_are_those_of_the_model(text: str) -> None:
    """As many, and the same septets in each; no escape at the end of a part."""
    expected = model([septets(character) for character in text], single=160, several=153)
    parts = split(text)
    assert [septets(part) for part in parts] == expected
    assert segments(text) == len(expected)
    assert "".join(parts) == text
    assert not any(part.endswith(b"\x1b") for part in expected)


@given(repeated(OTHER))
@example("ê" * 66 + "\U0001f4a5" + "ê" * 66)
@example("\U0001f468\u200d" * 45)
def test_parts_in_ucs2_are_those_of_the_model(text: str) -> None:
    """As many, and the same octets in each; every part can be decoded by itself, so no surrogate pair is split."""
    other = text + "ê"
    expected = model([character.encode("utf-16-be") for character in other], single=140, several=134)
    parts = split(other)
    assert [part.encode("utf-16-be") for part in parts] == expected
    assert [part.decode("utf-16-be") for part in expected] == parts
    assert segments(other) == len(expected)
    assert "".join(parts) == other


@given(st.text())
def test_any_text_is_one_of_the_two(text: str) -> None:
    """What has septets comes back from them, what has none goes as UCS-2; nothing is lost on the way."""
    if is_gsm(text):
        assert from_septets(septets(text)) == text
    assert "".join(split(text)) == text
    assert "".join(split_ucs2(text)) == text
    assert segments(text) == len(split(text))


@given(st.binary(max_size=200))
def test_any_octets_are_read(octets: bytes) -> None:
    """A payer's handset or an attacker's: reading never fails, and never gives more characters than octets."""
    assert len(from_septets(octets)) <= len(octets)
