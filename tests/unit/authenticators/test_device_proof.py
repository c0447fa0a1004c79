"""A request that a device signed: for one method, URL, body and minute, and countable once."""

import base64
import hashlib
import json
import re
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey

from sca_service.authenticators.device_key.approval import LEEWAY_SECONDS
from sca_service.authenticators.device_key.jwk import DeviceKey
from sca_service.authenticators.device_key.jws import BadSignature
from sca_service.authenticators.device_key.proof import (
    PROOF_TYPE,
    REMEMBERED_SECONDS,
    WINDOW_SECONDS,
    Proof,
    verify_enrolment,
    verify_proof,
)

ES256 = ECKey.import_key(derive_private_key(0xC0FFEE, SECP256R1()))
JWK = dict(ES256.as_dict(private=False))
KEY = DeviceKey.parse(JWK)
NOW = 1_764_331_200
URL = "https://sca.bank.example/v1/device/answers"
BODY = b'{"answer": "..."}'
JTI = "-BwC3ESc6acc2lTc"


def hashed(body: bytes) -> str:
    """SHA-256 in base64url."""
    return base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()


CLAIMS = {"htm": "POST", "htu": URL, "iat": NOW, "jti": JTI, "bth": hashed(BODY)}


def signed(claims: object, **header: Any) -> str:
    """A proof by joserfc; a text stands as it is."""
    payload = claims if isinstance(claims, str) else json.dumps(claims)
    return jws.serialize_compact({"alg": "ES256", "typ": PROOF_TYPE, **header}, payload, ES256)


def verified(claims: object, **changes: Any) -> Proof:
    """The proof for the request it was made for, some of which is otherwise."""
    request: dict[str, Any] = {"method": "POST", "url": URL, "body": BODY, "now_s": NOW}
    return verify_proof(signed(claims), KEY, **{**request, **changes})


def refused(claims: object, **changes: Any) -> bool:
    """Whether it is refused without a word on why."""
    with pytest.raises(BadSignature, match=r"^not signed by this device for this request$"):
        verified(claims, **changes)
    return True


def without(*names: str) -> dict[str, object]:
    """The claims but for these."""
    return {name: value for name, value in CLAIMS.items() if name not in names}


def test_a_proof_is_accepted_for_its_request() -> None:
    """And tells what the caller counts it by."""
    assert verified(CLAIMS) == Proof(JTI, NOW)


@pytest.mark.parametrize(
    "changes",
    [
        *({"method": "GET"}, {"method": "post"}, {"url": URL + "/"}, {"url": URL.replace("https", "http")}),
        *({"url": URL.replace("sca.", "sca2.")}, {"url": URL.upper()}, {"url": URL[:-1]}),
        *({"body": BODY + b" "}, {"body": b""}, {"body": BODY.replace(b"answer", b"ansver")}),
    ],
)
def test_another_request_is_refused(changes: dict[str, Any]) -> None:
    """Another method, another URL, another body."""
    assert refused(CLAIMS, **changes)


def test_the_query_is_left_out_of_the_url() -> None:
    """RFC 9449, section 4.2: `htu` has neither query nor fragment, whatever the request has."""
    assert verified(CLAIMS, url=URL + "?page=2").jti == JTI
    assert verified(CLAIMS, url=URL + "#top?").jti == JTI
    assert refused({**CLAIMS, "htu": URL + "?page=2"}, url=URL + "?page=2")
    assert refused({**CLAIMS, "htu": URL + "#top"}, url=URL + "#top")


def test_a_body_needs_its_hash() -> None:
    """Without `bth` nothing but an empty body is covered."""
    assert refused(without("bth"))
    assert verified(without("bth"), body=b"").jti == JTI
    assert verified({**CLAIMS, "bth": hashed(b"")}, body=b"").jti == JTI
    assert refused({**CLAIMS, "bth": hashed(b"")})


def test_a_proof_has_its_minute() -> None:
    """To the second on both sides; its `jti` is remembered for as long as it could come again."""
    assert (WINDOW_SECONDS, LEEWAY_SECONDS) == (60, 30)
    good = [seconds for seconds in range(-120, 121) if _is_accepted({**CLAIMS, "iat": NOW + seconds})]
    assert good == list(range(-60, 31))
    ahead = {**CLAIMS, "iat": NOW + LEEWAY_SECONDS}
    last = max(seconds for seconds in range(200) if _is_accepted(ahead, now_s=NOW + seconds))
    assert last == 90
    assert last < REMEMBERED_SECONDS


def _is_accepted(claims: dict[str, object], **changes: Any) -> bool:
    try:
        verified(claims, **changes)
    except BadSignature:
        return False
    return True


@pytest.mark.parametrize(
    "claims",
    [
        *(without(name) for name in ("htm", "htu", "iat", "jti")),
        *(
            {**CLAIMS, "jti": jti}
            for jti in ("a" * 15, "a" * 65, "", "a" * 16 + " ", "a" * 16 + "\n", "é" * 16, 7)
        ),
        *({**CLAIMS, "iat": iat} for iat in (str(NOW), NOW + 0.5, float(NOW), True, None, -1, 10**30)),
        *({**CLAIMS, "bth": bth} for bth in (None, "", hashed(BODY) + "=", hashed(BODY)[:-1], "é" * 43)),
        *(
            {**CLAIMS, "ath": hashed(b"")},
            {**CLAIMS, "nonce": "a"},
            {**CLAIMS, "exp": NOW},
            {**CLAIMS, "htm": ["POST"]},
        ),
        *([CLAIMS], "null", "", json.dumps(CLAIMS)[:-1] + ',"htm":"POST"}'),
    ],
)
def test_other_claims_are_refused(claims: object) -> None:
    """Missing, of another type, out of bounds, unknown (`ath`, `nonce`), doubled."""
    assert refused(claims)


@pytest.mark.parametrize("jti", ["a" * 16, "~" * 64, "6f1c2a52-9d0e-4c8e-b8a4-0d4d1c1f7d55"])
def test_a_jti_has_16_to_64_characters(jti: str) -> None:
    """Both ends are accepted, and a UUID."""
    assert verified({**CLAIMS, "jti": jti}).jti == jti


def test_only_this_key_and_type_count() -> None:
    """Another key, another use, and a header that carries a key are refused."""
    request: dict[str, Any] = {"method": "POST", "url": URL, "body": BODY, "now_s": NOW}
    other = DeviceKey.parse(dict(ECKey.generate_key("P-256").as_dict(private=False)))
    for text, key in (
        (signed(CLAIMS), other),
        (signed(CLAIMS, typ="sca-approval+jwt"), KEY),
        (signed(CLAIMS, jwk=JWK), KEY),
    ):
        with pytest.raises(BadSignature):
            verify_proof(text, key, **request)


def test_an_enrolment_carries_the_key_that_signed_it() -> None:
    """The key comes back with the proof; everything else is held against it as in any proof."""
    request: dict[str, Any] = {"method": "POST", "url": URL, "body": BODY, "now_s": NOW}
    assert verify_enrolment(signed(CLAIMS, jwk=JWK), **request) == (KEY, Proof(JTI, NOW))
    other = dict(ECKey.generate_key("P-256").as_dict(private=False))
    for text in (
        signed(CLAIMS),
        signed(CLAIMS, jwk=other),
        signed(CLAIMS, jwk={**JWK, "d": "AAAA"}),
        signed(CLAIMS, jwk=JWK, typ="JWT"),
        signed(without("bth"), jwk=JWK),
        signed({**CLAIMS, "iat": NOW - WINDOW_SECONDS - 1}, jwk=JWK),
        signed({**CLAIMS, "htu": URL + "x"}, jwk=JWK),
    ):
        with pytest.raises(BadSignature):
            verify_enrolment(text, **request)


@given(st.text(max_size=200), st.binary(max_size=20))
def test_any_text_raises_bad_signature_only(text: str, body: bytes) -> None:
    """Nothing else is raised, whatever comes."""
    request: dict[str, Any] = {"method": "POST", "url": URL, "body": body, "now_s": NOW}
    with pytest.raises(BadSignature):
        verify_proof(text, KEY, **request)
    with pytest.raises(BadSignature):
        verify_enrolment(text, **request)


_VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=70)
    | st.lists(st.text(max_size=3))
)


@given(st.sampled_from([*CLAIMS, "ath", "x"]), _VALUES)
def test_any_claim_raises_bad_signature_only(name: str, value: object) -> None:
    """A proof with one claim exchanged, rightly signed, is accepted for its `iat` or `jti` alone."""
    try:
        proof = verified({**CLAIMS, name: value})
    except BadSignature:
        return
    assert name in {"iat", "jti"} or value == CLAIMS.get(name)
    assert re.fullmatch(r"[!-~]{16,64}", proof.jti)
    assert abs(proof.iat - NOW) <= WINDOW_SECONDS
