"""A payer's signed answer: what it may hold, and what it comes to against one challenge."""

import hmac
import json
import warnings
from collections import Counter
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OKPKey

from sca_service.authenticators.device_key.approval import (
    APPROVAL_TYPE,
    LEEWAY_SECONDS,
    Approval,
    Decision,
    DeclineReason,
    Verdict,
    judge,
    matching_digits,
    parse_approval,
)
from sca_service.authenticators.device_key.jwk import DeviceKey
from sca_service.authenticators.device_key.jws import BadSignature
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.secret import Secret

ES256 = ECKey.import_key(derive_private_key(0xC0FFEE, SECP256R1()))
KEY = DeviceKey.parse(dict(ES256.as_dict(private=False)))
CHALLENGE = "chl_" + "07" * 19
DIGEST = "sha256:" + "ab" * 32
NOW, WINDOW = 1_764_331_200, 300
APPROVE = {"challenge": CHALLENGE, "transaction": DIGEST, "decision": "approve", "digits": "07", "iat": NOW}
DECLINE = {
    "challenge": CHALLENGE,
    "transaction": DIGEST,
    "decision": "decline",
    "reason": "not_me",
    "iat": NOW,
}


def signed(claims: object, typ: str = APPROVAL_TYPE) -> str:
    """The claims as an app signs them; a text stands as it is."""
    payload = claims if isinstance(claims, str) else json.dumps(claims)
    return jws.serialize_compact({"alg": "ES256", "typ": typ}, payload, ES256)


def answer(claims: dict[str, Any], **changes: object) -> Approval:
    """The answer that the claims make, some of them exchanged."""
    return parse_approval(signed({**claims, **changes}), KEY)


def verdict(approval: Approval, **changes: Any) -> Verdict:
    """What it comes to for the challenge that it is for, some of which is otherwise."""
    asked: dict[str, Any] = {"challenge": CHALLENGE, "digest": DIGEST, "digits": Secret("07"), "now_s": NOW}
    return judge(approval, **{**asked, "window_s": WINDOW, **changes})


def without(claims: dict[str, Any], *names: str) -> dict[str, Any]:
    """The claims but for these."""
    return {name: value for name, value in claims.items() if name not in names}


def test_an_approval_is_read() -> None:
    """Every claim arrives, and the digits are not shown."""
    approval = answer(APPROVE)
    assert approval.digits is not None
    assert approval.digits.reveal() == "07"
    assert (approval.challenge, approval.transaction, approval.issued_at) == (CHALLENGE, DIGEST, NOW)
    assert (approval.decision, approval.reason) == (Decision.APPROVE, None)
    assert "'07'" not in repr(approval)
    assert answer(without(APPROVE, "transaction")).transaction == ""


@pytest.mark.parametrize("reason", DeclineReason)
def test_a_refusal_is_read(reason: DeclineReason) -> None:
    """With a reason or, where the app does not ask for one, without."""
    refusal = answer(DECLINE, reason=reason)
    assert (refusal.decision, refusal.reason, refusal.digits) == (Decision.DECLINE, reason, None)
    assert answer(without(DECLINE, "reason")).reason is None


def test_an_answer_signed_with_ed25519_is_read() -> None:
    """The other algorithm leads to the same answer."""
    made = OKPKey.generate_key("Ed25519")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # of the name EdDSA, which RFC 9864 replaces
        text = jws.serialize_compact(
            {"alg": "EdDSA", "typ": APPROVAL_TYPE}, json.dumps(DECLINE), made, algorithms=["EdDSA"]
        )
    assert parse_approval(text, DeviceKey.parse(dict(made.as_dict(private=False)))) == answer(DECLINE)


def test_only_this_key_and_this_type_count() -> None:
    """Another device's answer and a text signed for another use are no answers."""
    other = ECKey.generate_key("P-256")
    with pytest.raises(BadSignature):
        parse_approval(signed(APPROVE), DeviceKey.parse(dict(other.as_dict(private=False))))
    for typ in ("JWT", "dpop+jwt", ""):
        with pytest.raises(BadSignature):
            parse_approval(signed(APPROVE, typ), KEY)


@pytest.mark.parametrize(
    ("claims", "pointer"),
    [
        (without(APPROVE, "challenge"), "/challenge"),
        ({**APPROVE, "challenge": CHALLENGE + "\n"}, "/challenge"),
        ({**APPROVE, "challenge": CHALLENGE[:-1]}, "/challenge"),
        ({**APPROVE, "challenge": CHALLENGE.upper()}, "/challenge"),
        ({**APPROVE, "challenge": None}, "/challenge"),
        ({**APPROVE, "transaction": ""}, "/transaction"),
        ({**APPROVE, "transaction": None}, "/transaction"),
        ({**APPROVE, "transaction": DIGEST + "0"}, "/transaction"),
        ({**APPROVE, "transaction": DIGEST + "\n"}, "/transaction"),
        ({**APPROVE, "transaction": DIGEST[7:]}, "/transaction"),
        (without(APPROVE, "decision"), "/decision"),
        ({**APPROVE, "decision": "Approve"}, "/decision"),
        ({**APPROVE, "decision": True}, "/decision"),
        (without(APPROVE, "digits"), "/digits"),
        ({**APPROVE, "digits": "7"}, "/digits"),
        ({**APPROVE, "digits": "007"}, "/digits"),
        ({**APPROVE, "digits": "07\n"}, "/digits"),
        ({**APPROVE, "digits": "٠٧"}, "/digits"),
        ({**APPROVE, "digits": 7}, "/digits"),
        ({**APPROVE, "digits": None}, "/digits"),
        ({**APPROVE, "reason": "mistake"}, "/reason"),
        ({**APPROVE, "reason": None}, "/reason"),
        ({**DECLINE, "reason": "because"}, "/reason"),
        ({**DECLINE, "digits": "07"}, "/digits"),
        (without(APPROVE, "iat"), "/iat"),
        *(
            ({**APPROVE, "iat": iat}, "/iat")
            for iat in (-1, 1.5, 1e300, "1764331200", True, None, 10**12, 10**30)
        ),
        ({**APPROVE, "exp": NOW}, ""),
        ({**APPROVE, "amount": "1.00"}, ""),
        ([APPROVE], ""),
        ("null", ""),
        ("", ""),
        (json.dumps(APPROVE)[:-1] + ',"decision":"approve"}', ""),
        (json.dumps(APPROVE)[:-1] + ',"iat":NaN}', ""),
    ],
)
def test_other_claims_are_refused_where_they_are_wrong(claims: object, pointer: str) -> None:
    """Missing, unknown, doubled, of another type, out of bounds, or a reason and digits where they do not belong."""
    with pytest.raises(InvalidInput) as caught:
        parse_approval(signed(claims), KEY)
    assert [mistake.pointer for mistake in caught.value.mistakes] == [pointer]
    assert "07" not in str(caught.value)


def test_the_right_answer_approves() -> None:
    """With a transaction and without one."""
    assert verdict(answer(APPROVE)) is Verdict.APPROVED
    assert verdict(answer(without(APPROVE, "transaction")), digest="") is Verdict.APPROVED


def test_a_refusal_declines() -> None:
    """Whatever the reason, and without digits."""
    assert verdict(answer(DECLINE)) is Verdict.DECLINED
    assert verdict(answer(without(DECLINE, "reason", "transaction")), digest="") is Verdict.DECLINED


@pytest.mark.parametrize("claims", [APPROVE, DECLINE])
def test_an_answer_is_for_one_challenge(claims: dict[str, Any]) -> None:
    """Another challenge's answer neither approves nor declines this one."""
    assert verdict(answer(claims), challenge="chl_" + "08" * 19) is Verdict.OTHER_CHALLENGE


@pytest.mark.parametrize("claims", [APPROVE, DECLINE])
def test_an_answer_is_for_one_transaction(claims: dict[str, Any]) -> None:
    """RTS Art. 5(1)(d): another digest, none where there is one, one where there is none."""
    assert verdict(answer(claims), digest="sha256:" + "ac" * 32) is Verdict.CHANGED_TRANSACTION
    assert verdict(answer(claims), digest="") is Verdict.CHANGED_TRANSACTION
    assert verdict(answer(without(claims, "transaction"))) is Verdict.CHANGED_TRANSACTION


@pytest.mark.parametrize("claims", [APPROVE, DECLINE])
def test_an_answer_has_its_time(claims: dict[str, Any]) -> None:
    """To the second: as old as the window, as far ahead as the leeway, and no more."""
    expected = verdict(answer(claims))
    for seconds, is_late in (
        (-WINDOW, False),
        (LEEWAY_SECONDS, False),
        (-WINDOW - 1, True),
        (LEEWAY_SECONDS + 1, True),
    ):
        assert verdict(answer(claims, iat=NOW + seconds)) is (Verdict.LATE if is_late else expected)
    assert LEEWAY_SECONDS == 30


def test_wrong_digits_do_not_approve() -> None:
    """Of all hundred, only the ones on the bank's page."""
    for number in range(100):
        expected = Verdict.APPROVED if number == 7 else Verdict.WRONG_DIGITS
        assert verdict(answer(APPROVE, digits=f"{number:02d}")) is expected


def test_an_approval_without_digits_is_a_wrong_one() -> None:
    """Also one that was not parsed here."""
    bare = Approval(CHALLENGE, DIGEST, Decision.APPROVE, None, None, NOW)
    assert verdict(bare) is Verdict.WRONG_DIGITS


def test_the_digits_are_derived_as_written_down() -> None:
    """A change here would make the digits on every page wrong."""
    key = bytes(range(32))
    mac = hmac.digest(key, b"sca-service matching digits\0" + CHALLENGE.encode(), "sha256")
    expected = int.from_bytes(mac[:8], "big") % 100
    assert matching_digits(Secret(key), CHALLENGE).reveal() == f"{expected:02d}"


def test_the_digits_are_even() -> None:
    """20,000 challenges have all hundred pairs, none far from 200 times (six standard deviations)."""
    key = Secret(bytes(range(32)))
    counts = Counter(matching_digits(key, f"chl_{number:038x}").reveal() for number in range(20_000))
    assert sorted(counts) == [f"{number:02d}" for number in range(100)]
    assert 115 < min(counts.values()) <= max(counts.values()) < 285


def test_other_keys_and_challenges_have_other_digits() -> None:
    """Both go into the MAC: over a few of each, the digits differ."""
    keys = {matching_digits(Secret(bytes([number]) * 32), CHALLENGE).reveal() for number in range(20)}
    challenges = {matching_digits(Secret(bytes(32)), f"chl_{number:038x}").reveal() for number in range(20)}
    assert min(len(keys), len(challenges)) > 10


_VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.lists(st.text(max_size=3))
)


@given(
    st.sampled_from([APPROVE, DECLINE]), st.dictionaries(st.sampled_from([*APPROVE, "reason", "x"]), _VALUES)
)
@settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # the machine's other work is no failure
def test_any_claims_are_an_answer_or_invalid_input(claims: dict[str, Any], changes: dict[str, Any]) -> None:
    """Nothing else is raised, and only the right answer approves."""
    try:
        approval = parse_approval(signed({**claims, **changes}), KEY)
    except InvalidInput:
        return
    if verdict(approval) is Verdict.APPROVED:
        assert without({**claims, **changes}, "iat") == without(APPROVE, "iat")


@given(st.text(max_size=200))
def test_any_text_is_no_answer(text: str) -> None:
    """What is not signed raises BadSignature."""
    with pytest.raises(BadSignature):
        parse_approval(text, KEY)
