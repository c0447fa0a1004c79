"""OCRA responses: what goes into the MAC, the question a transaction becomes, and the windows of an answer."""

import hashlib
import hmac
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sca_service.authenticators.ocra import response
from sca_service.authenticators.ocra.response import OcraInputs, OcraMatch, matches, question_of, respond
from sca_service.authenticators.ocra.suite import OcraSuite
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.secret import Secret

KEY_BYTES = b"12345678901234567890123456789012"
KEY = Secret(KEY_BYTES)
DIGEST = "sha256:" + "ab" * 32
CHALLENGE = "chl_0710160123456789abcdef0123456789abcdef"


def suite_of(inputs: str, function: str = "SHA256-8") -> OcraSuite:
    """A suite, by the parts of it that differ here."""
    return OcraSuite.parse(f"OCRA-1:HOTP-{function}:{inputs}")


def whole_mac(suite: OcraSuite, *parts: str) -> str:
    """RFC 6287 section 5.1 in hexadecimal digits, as its reference implementation keeps all inputs."""
    message = suite.text.encode().hex() + "00" + "".join(parts)
    return hmac.digest(KEY_BYTES, bytes.fromhex(message), suite.hash.lower()).hex()


def answer(suite: OcraSuite, inputs: OcraInputs) -> str:
    """What a device answers."""
    return respond(suite, KEY, inputs).reveal()


@pytest.mark.parametrize(
    ("inputs", "question", "digits"),
    [
        ("QN08", "00000000", "0"),
        ("QN08", "00000001", "1"),
        ("QN08", "00000255", "FF"),
        ("QN08", "00000256", "100"),  # an odd number of digits
        ("QN08", "12345678", "BC614E"),
        ("QN08", "99999999", "5F5E0FF"),  # odd again
        ("QN64", "9" * 64, f"{10**64 - 1:X}"),
        ("QH08", "0000000a", "0000000A"),
        ("QH08", "ABC", "ABC"),
        ("QH64", "f" * 64, "F" * 64),
        ("QA08", "Ab1", "416231"),
        ("QA64", "z" * 128, "7A" * 128),  # both sides' questions
    ],
)
def test_a_question_is_padded_on_the_right(inputs: str, question: str, digits: str) -> None:
    """Digit by digit, not byte by byte: RFC 6287 appendix A."""
    suite = suite_of(inputs, "SHA256-0")
    assert answer(suite, OcraInputs(question)) == whole_mac(suite, digits.ljust(256, "0"))


def test_all_inputs_have_their_place() -> None:
    """Counter, question, PIN, session and time step, each as long as it always is; the session padded on the left."""
    suite = suite_of("C-QA08-PSHA256-S064-T1M", "SHA512-0")
    pin_hash = hashlib.sha256(b"1234").digest()
    inputs = OcraInputs("SIG10000", 0x0102, Secret(pin_hash), b"session", 0x132D0B6)
    expected = whole_mac(
        suite,
        "0000000000000102",
        b"SIG10000".hex().ljust(256, "0"),
        pin_hash.hex(),
        b"session".hex().rjust(128, "0"),
        "000000000132d0b6",
    )
    assert answer(suite, inputs) == expected
    assert len(expected) == 128


@pytest.mark.parametrize("hash_name", ["SHA1", "SHA256", "SHA512"])
@pytest.mark.parametrize("digits", [4, 6, 9, 10])
@given(number=st.integers(0, 99_999_999))
def test_a_response_is_truncated_as_rfc_4226_says(hash_name: str, digits: int, number: int) -> None:
    """From the last half byte of the whole MAC; leading zeros are digits too."""
    question = OcraInputs(f"{number:08d}")
    suite = suite_of("QN08", f"{hash_name}-{digits}")
    mac = whole_mac(suite, f"{number:X}".ljust(256, "0"))
    start = 2 * int(mac[-1], 16)
    expected = str(int(mac[start : start + 8], 16) % 2**31)[-digits:].rjust(digits, "0")
    assert answer(suite, question) == expected


@pytest.mark.parametrize(
    ("suite", "inputs", "said"),
    [
        ("C-QN08", OcraInputs("1"), "a counter"),
        ("QN08", OcraInputs("1", counter=0), "no counter"),
        ("QN08-PSHA1", OcraInputs("1"), "a pin_hash"),
        ("QN08", OcraInputs("1", pin_hash=Secret(bytes(20))), "no pin_hash"),
        ("QN08-S064", OcraInputs("1"), "a session"),
        ("QN08", OcraInputs("1", session=b""), "no session"),
        ("QN08-T1M", OcraInputs("1"), "a time_step"),
        ("QN08", OcraInputs("1", time_step=0), "no time_step"),
        ("C-QN08", OcraInputs("1", time_step=5), "a counter"),
    ],
)
def test_a_suite_takes_its_inputs_and_no_others(suite: str, inputs: OcraInputs, said: str) -> None:
    """One that is left out in silence would be one that the response is not bound to."""
    with pytest.raises(ValueError, match=f"takes {said}"):
        respond(suite_of(suite), KEY, inputs)
    with pytest.raises(ValueError, match=f"takes {said}"):
        matches(suite_of(suite), KEY, Secret("12345678"), inputs)


@pytest.mark.parametrize(
    ("suite", "inputs", "pointer"),
    [
        ("QN08", OcraInputs(""), "/question"),
        ("QN08", OcraInputs("1" * 17), "/question"),
        ("QN08", OcraInputs("12a"), "/question"),
        ("QN08", OcraInputs("-1"), "/question"),
        ("QN08", OcraInputs("1_0"), "/question"),
        ("QN08", OcraInputs("１２"), "/question"),
        ("QN08", OcraInputs("12\n"), "/question"),
        ("QH08", OcraInputs("12 4"), "/question"),
        ("QH08", OcraInputs("12g"), "/question"),
        ("QA08", OcraInputs("SIG-1"), "/question"),
        ("QA08", OcraInputs("é"), "/question"),
        ("C-QN08", OcraInputs("1", counter=-1), "/counter"),
        ("C-QN08", OcraInputs("1", counter=2**64), "/counter"),
        ("QN08-T1M", OcraInputs("1", time_step=-1), "/time_step"),
        ("QN08-T1M", OcraInputs("1", time_step=2**64), "/time_step"),
        ("QN08-PSHA1", OcraInputs("1", pin_hash=Secret(bytes(32))), "/pin_hash"),
        ("QN08-PSHA512", OcraInputs("1", pin_hash=Secret(bytes(63))), "/pin_hash"),
        ("QN08-S064", OcraInputs("1", session=b""), "/session"),
        ("QN08-S064", OcraInputs("1", session=bytes(65)), "/session"),
    ],
)
def test_an_input_out_of_bounds_is_refused_where_it_is(suite: str, inputs: OcraInputs, pointer: str) -> None:
    """Before anything is computed, in `matches` too."""
    with pytest.raises(InvalidInput) as refused:
        respond(suite_of(suite), KEY, inputs)
    assert [mistake.pointer for mistake in refused.value.mistakes] == [pointer]
    with pytest.raises(InvalidInput) as refused:
        matches(suite_of(suite), KEY, Secret("12345678"), inputs)
    assert [mistake.pointer for mistake in refused.value.mistakes] == [pointer]


def test_the_last_counter_is_one_too() -> None:
    """8 bytes full, and nothing to look ahead to."""
    suite = suite_of("C-QN08")
    inputs = OcraInputs("1", counter=2**64 - 1)
    assert matches(suite, KEY, Secret(answer(suite, inputs)), inputs, look_ahead=3) == OcraMatch(
        2**64 - 1, None
    )


@pytest.mark.parametrize("size", [0, 15, 129])
def test_a_key_has_16_to_128_bytes(size: int) -> None:
    """RFC 4226 asks for 128 bits; an empty key would be everybody's."""
    with pytest.raises(ValueError, match="16 to 128 bytes"):
        respond(suite_of("QN08"), Secret(bytes(size)), OcraInputs("1"))
    assert len(respond(suite_of("QN08"), Secret(bytes(16)), OcraInputs("1")).reveal()) == 8
    assert len(respond(suite_of("QN08"), Secret(bytes(128)), OcraInputs("1")).reveal()) == 8


def test_no_secret_is_shown() -> None:
    """Neither the PIN's hash in the inputs nor the response."""
    assert "1234" not in repr(OcraInputs("1", pin_hash=Secret(b"1234" * 5)))
    assert repr(respond(suite_of("QN08"), KEY, OcraInputs("1"))) == "Secret()"


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ("C-QN08", "70371556"),
        ("C-QN64", "6333915355962494133089382236326314863997329717570586688720371556"),
        ("C-QH08", "8A727F64"),
        ("C-QH64", "9808B62871A67F8109731AB057A7F3DB6090A961855ECD96250E6A9D8A727F64"),
        ("C-QA08", "KP574ZV4"),
        ("C-QA64", "96AMF83VGRTM1608PRM739KZG44Q66NGAYKZ7PV0J2MP31AYSPB2A3KAKP574ZV4"),
    ],
)
def test_a_question_stays_what_it_is(inputs: str, expected: str) -> None:
    """A change here would make every pending answer wrong."""
    question = question_of(suite_of(inputs), challenge_id=CHALLENGE, transaction_digest=DIGEST)
    assert question == expected


@pytest.mark.parametrize("inputs", ["C-QN08", "C-QN17", "C-QN64", "C-QH07", "C-QH64", "C-QA06", "C-QA64"])
@given(tail=st.text("0123456789abcdef", min_size=64, max_size=64))
def test_a_question_fits_its_suite(inputs: str, tail: str) -> None:
    """As long as it may be, in the suite's characters and typed without doubt; the device takes it."""
    suite = suite_of(inputs)
    question = question_of(suite, challenge_id=CHALLENGE, transaction_digest=f"sha256:{tail}")
    alphabet = {"N": "0123456789", "H": "0123456789ABCDEF", "A": "0123456789ABCDEFGHJKMNPQRSTVWXYZ"}
    assert len(question) == suite.question_length
    assert set(question) <= set(alphabet[suite.question_format])
    assert suite.question_format != "N" or question[0] != "0"
    assert len(answer(suite, OcraInputs(question, counter=0))) == 8


@given(first=st.integers(10_000_000, 99_999_999), second=st.integers(10_000_000, 99_999_999))
def test_two_decimal_questions_are_never_one(first: int, second: int) -> None:
    """With a first digit that is not 0 no two numbers are the same when padded."""
    assume(first != second)
    suite = suite_of("QN08", "SHA256-0")
    assert answer(suite, OcraInputs(str(first))) != answer(suite, OcraInputs(str(second)))


def test_decimal_questions_with_zeros_before_them_can_be_one() -> None:
    """Why `question_of` writes none: RFC 6287 pads 1 and 16 to the same bytes."""
    suite = suite_of("QN08", "SHA256-0")
    assert answer(suite, OcraInputs("00000001")) == answer(suite, OcraInputs("00000016"))


@given(at=st.integers(7, 70), other=st.sampled_from("0123456789acdef"))
def test_another_transaction_or_challenge_is_another_question(at: int, other: str) -> None:
    """Whatever digit of the digest changes, and whatever challenge it is for."""
    suite = suite_of("C-QN64")
    changed = DIGEST[:at] + other + DIGEST[at + 1 :]
    assume(changed != DIGEST)
    question = question_of(suite, challenge_id=CHALLENGE, transaction_digest=DIGEST)
    assert question_of(suite, challenge_id=CHALLENGE, transaction_digest=changed) != question
    assert question_of(suite, challenge_id=CHALLENGE[:-1], transaction_digest=DIGEST) != question


@pytest.mark.parametrize("text", ["C-QN07", "C-QA05", "C-QH06", "QN08", "QN08-PSHA1", "C-QN08-S064"])
def test_a_suite_that_does_not_sign_asks_nothing(text: str) -> None:
    """Too short a question, or nothing that makes the response a fresh one."""
    with pytest.raises(ValueError, match="does not sign"):
        question_of(suite_of(text), challenge_id=CHALLENGE, transaction_digest=DIGEST)


@pytest.mark.parametrize(
    ("challenge_id", "digest"),
    [
        (CHALLENGE, ""),
        (CHALLENGE, "ab" * 32),
        (CHALLENGE, DIGEST[:-1]),
        (CHALLENGE, DIGEST + "\n"),
        (CHALLENGE, DIGEST.upper()),
        ("", DIGEST),
        ("c" * 129, DIGEST),
    ],
)
def test_a_question_needs_a_digest_and_a_challenge(challenge_id: str, digest: str) -> None:
    """Nothing else is a transaction."""
    with pytest.raises(ValueError, match="must be"):
        question_of(suite_of("C-QN08"), challenge_id=challenge_id, transaction_digest=digest)


@pytest.mark.parametrize("used", range(4, 15))
def test_a_counter_is_looked_for_ahead(used: int) -> None:
    """From the next one on, and as many more as the window has."""
    suite = suite_of("C-QN08")
    code = Secret(answer(suite, OcraInputs("12345678", counter=used)))
    found = matches(suite, KEY, code, OcraInputs("12345678", counter=5), look_ahead=7)
    assert found == (OcraMatch(used, None) if 5 <= used <= 12 else None)


@pytest.mark.parametrize("typed", range(95, 103))
def test_a_time_step_is_looked_for_back(typed: int) -> None:
    """Up to the present one; none of the future."""
    suite = suite_of("QN08-T1M")
    code = Secret(answer(suite, OcraInputs("12345678", time_step=typed)))
    found = matches(suite, KEY, code, OcraInputs("12345678", time_step=100), look_back=3)
    assert found == (OcraMatch(None, typed) if 97 <= typed <= 100 else None)


def test_time_does_not_go_behind_its_beginning() -> None:
    """A window that would is shorter."""
    suite = suite_of("QN08-T48H")
    code = Secret(answer(suite, OcraInputs("12345678", time_step=0)))
    assert matches(suite, KEY, code, OcraInputs("12345678", time_step=1), look_back=9) == OcraMatch(None, 0)


def test_counter_and_time_are_looked_for_together() -> None:
    """Each within its window."""
    suite = suite_of("C-QN08-T1M")
    code = Secret(answer(suite, OcraInputs("12345678", counter=6, time_step=99)))
    now = OcraInputs("12345678", counter=5, time_step=100)
    assert matches(suite, KEY, code, now, look_ahead=1, look_back=1) == OcraMatch(6, 99)
    assert matches(suite, KEY, code, now, look_ahead=1) is None
    assert matches(suite, KEY, code, now, look_back=1) is None


def test_a_suite_without_either_matches_too() -> None:
    """The question alone has to be fresh then."""
    suite = suite_of("QN08")
    code = Secret(answer(suite, OcraInputs("12345678")))
    assert matches(suite, KEY, code, OcraInputs("12345678")) == OcraMatch(None, None)
    assert matches(suite, KEY, code, OcraInputs("12345679")) is None
    assert matches(suite, Secret(KEY_BYTES[:-1]), code, OcraInputs("12345678")) is None


def test_of_two_that_match_the_lowest_counter_and_the_latest_step_count() -> None:
    """A device must not be left behind its counter, nor an answer be good for a later step as well."""
    suite = suite_of("C-QN08-T1M", "SHA256-4")
    window = [(counter, step) for counter in range(4) for step in range(100, 108)]
    seen = {"two counters": 0, "two steps": 0}
    for number in range(10_000_000, 10_000_100):
        answers: dict[str, list[tuple[int, int]]] = {}
        for counter, step in window:
            code = answer(suite, OcraInputs(str(number), counter=counter, time_step=step))
            answers.setdefault(code, []).append((counter, step))
        now = OcraInputs(str(number), counter=0, time_step=107)
        for code, places in answers.items():
            if len(places) == 1:
                continue
            seen["two counters" if len({counter for counter, _ in places}) > 1 else "two steps"] += 1
            first = min(places, key=lambda place: (place[0], -place[1]))
            found = matches(suite, KEY, Secret(code), now, look_ahead=3, look_back=7)
            assert found == OcraMatch(*first)
    assert all(seen.values()), seen


@pytest.mark.parametrize("used", [5, 8, 12, 99])
def test_every_candidate_is_computed_whichever_matches(used: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An early return would tell by its time how far the device's counter is."""
    suite = suite_of("C-QN08")
    code = Secret(answer(suite, OcraInputs("12345678", counter=used)))
    computed: list[int | None] = []
    original: Callable[[OcraSuite, Secret[bytes], OcraInputs], Secret[str]] = respond

    def counting(suite: OcraSuite, key: Secret[bytes], inputs: OcraInputs) -> Secret[str]:
        computed.append(inputs.counter)
        return original(suite, key, inputs)

    monkeypatch.setattr(response, "respond", counting)
    matches(suite, KEY, code, OcraInputs("12345678", counter=5), look_ahead=7)
    assert sorted(counter for counter in computed if counter is not None) == list(range(5, 13))


@pytest.mark.parametrize(
    ("suite", "ahead", "back", "said"),
    [
        ("C-QN08-T1M", -1, 0, "1 to 32"),
        ("C-QN08-T1M", 0, -1, "1 to 32"),
        ("C-QN08-T1M", -2, -2, "1 to 32"),
        ("C-QN08-T1M", 32, 0, "1 to 32"),
        ("C-QN08-T1M", 0, 32, "1 to 32"),
        ("C-QN08-T1M", 5, 5, "1 to 32"),
        ("QN08-T1M", 1, 0, "no counter"),
        ("C-QN08", 0, 1, "no time"),
    ],
)
def test_a_window_has_its_most(suite: str, ahead: int, back: int, said: str) -> None:
    """Counters times steps, since each of them is one more answer that is right."""
    parsed = suite_of(suite)
    inputs = OcraInputs(
        "1",
        counter=7 if parsed.has_counter else None,
        time_step=7 if parsed.step_seconds is not None else None,
    )
    with pytest.raises(ValueError, match=said):
        matches(parsed, KEY, Secret("12345678"), inputs, look_ahead=ahead, look_back=back)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1234567",
        "123456789",
        "1234567a",
        "12345678\n",
        " 2345678",
        "+2345678",
        "１２３４５６７８",
        "\ud800" * 8,
    ],
)
def test_what_cannot_be_an_answer_is_refused(text: str) -> None:
    """ASCII digits of exactly the length; what was presented is not repeated."""
    with pytest.raises(InvalidInput) as refused:
        matches(suite_of("QN08"), KEY, Secret(text), OcraInputs("1"))
    assert str(refused.value) == "/: must be 8 decimal digits"


def test_a_whole_mac_is_an_answer_in_one_spelling() -> None:
    """Lower-case hexadecimal digits, all of them."""
    suite = suite_of("C-QN08", "SHA1-0")
    inputs = OcraInputs("12345678", counter=3)
    code = answer(suite, inputs)
    assert matches(suite, KEY, Secret(code), inputs) == OcraMatch(3, None)
    assert matches(suite, KEY, Secret(code[::-1]), inputs) is None
    for other in (code.upper(), code[:-1], code + "0", code[:-1] + "g"):
        with pytest.raises(InvalidInput, match="must be 40 lower-case hexadecimal digits"):
            matches(suite, KEY, Secret(other), inputs)


@given(presented=st.text("0123456789", min_size=8, max_size=8))
def test_only_the_right_answer_is_right(presented: str) -> None:
    """Whatever else is typed."""
    suite = suite_of("C-QN08")
    inputs = OcraInputs("12345678", counter=3)
    found = matches(suite, KEY, Secret(presented), inputs)
    assert (found is not None) == (presented == answer(suite, inputs))
