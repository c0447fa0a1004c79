"""The authentication code: a JWS that others verify, over exactly what was approved, and about nothing else."""

import base64
import json
import warnings
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.errors import BadSignatureError, DecodeError, JoseError, SecurityWarning
from joserfc.jwk import KeySet

from sca_service.challenges.authentication_code import (
    LIFETIME_SECONDS,
    AuthenticationCodeSigner,
    public_keys,
)
from sca_service.challenges.model import ChallengeState, Element, Fixed, Method, Private, Status
from sca_service.kernel.keyring import Keyring
from sca_service.policy.model import Purpose
from tests.storeroom import DIGEST, new_challenge

SEEDS = [bytes(range(start, start + 32)) for start in (0, 50)]
PRIVATE = Private("cust_8841", "de-DE", "49,99 € an ACME GmbH …3000", phone="+4915112345678")
FIXED = Fixed(
    Purpose.PAYMENT, Method.ONE_TIME_CODE, (Element.KNOWLEDGE, Element.POSSESSION), "sha256:1", "sealed"
)
ISSUER = "https://sca.bank.example"


def keyring(*seeds: bytes) -> Keyring:
    """A keyring with these signing keys."""
    key = bytes(range(100, 132))
    return Keyring(current=1, roots={1: key}, index=key, signing=seeds or SEEDS[:1])


def approved(**changes: object) -> ChallengeState:
    """An approved challenge of always the same payer."""
    _, new = new_challenge("ab" * 16)
    members = {
        "status": Status.APPROVED,
        "settled_at": 1_790_000_000_999,
        "answer_event": "evt_1",
        **changes,
    }
    return msgspec.structs.replace(new.state, **members)


@pytest.fixture(autouse=True)
def _eddsa_is_wanted() -> Iterator[None]:
    """joserfc warns of EdDSA, whose name RFC 9864 makes more exact; RFC 8037 is what the contract says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        yield


def verified(signed: str, *seeds: bytes) -> dict[str, Any]:
    """The claims, as a bank reads them with the published keys. Raises what joserfc raises."""
    keys = KeySet.import_key_set(json.loads(msgspec.json.encode(public_keys(keyring(*seeds)))))
    claims: dict[str, Any] = json.loads(jws.deserialize_compact(signed, keys, ["EdDSA"]).payload)
    return claims


def test_it_says_who_approved_what_and_by_which_elements() -> None:
    """Every claim of the contract, and none besides."""
    state = approved()
    signed = AuthenticationCodeSigner(keyring(), ISSUER).sign(state, FIXED, PRIVATE)
    assert verified(signed) == {
        "jti": "evt_1",
        "iss": ISSUER,
        "aud": "bank",
        "sub": "cust_8841",
        "challenge": state.id,
        "purpose": "payment",
        "transaction": DIGEST,
        "elements": ["knowledge", "possession"],
        "sca": True,
        "iat": 1_790_000_000,
        "exp": 1_790_000_300,
    }


def test_it_lives_five_minutes_at_most() -> None:
    """RTS Art. 4(3)(d)."""
    assert LIFETIME_SECONDS <= 300


def test_without_a_payment_it_names_none() -> None:
    """A login has no transaction, and does not pretend to."""
    signed = AuthenticationCodeSigner(keyring(), ISSUER).sign(approved(digest=""), FIXED, PRIVATE)
    assert "transaction" not in verified(signed)


def test_the_same_approval_always_gives_the_same_one() -> None:
    """Told again it is the same proof, not a second one."""
    state = approved()
    signers = [AuthenticationCodeSigner(keyring(), ISSUER) for _ in range(2)]
    assert signers[0].sign(state, FIXED, PRIVATE) == signers[1].sign(state, FIXED, PRIVATE)


def test_its_header_names_algorithm_and_key() -> None:
    """So that a bank finds the key, and no other algorithm can be put in its place."""
    signed = AuthenticationCodeSigner(keyring(), ISSUER).sign(approved(), FIXED, PRIVATE)
    header = json.loads(base64.urlsafe_b64decode(signed.partition(".")[0] + "=="))
    published = public_keys(keyring())["keys"]
    assert isinstance(published, list)
    assert header == {"alg": "EdDSA", "kid": published[0]["kid"], "typ": "JWT"}


def test_after_a_rotation_the_first_key_signs_and_the_older_still_verifies() -> None:
    """A bank that keeps a code as proof can verify it for as long as its key is published."""
    before = AuthenticationCodeSigner(keyring(SEEDS[0]), ISSUER).sign(approved(), FIXED, PRIVATE)
    after = AuthenticationCodeSigner(keyring(SEEDS[1], SEEDS[0]), ISSUER).sign(approved(), FIXED, PRIVATE)
    for signed in (before, after):
        assert verified(signed, SEEDS[1], SEEDS[0])["jti"] == "evt_1"
    with pytest.raises((BadSignatureError, JoseError, ValueError)):
        verified(after, SEEDS[0])


@given(st.data())
def test_no_character_of_it_can_be_changed(data: st.DataObject) -> None:
    """Whatever was altered, it does not verify, or what it says is exactly what was signed."""
    signed = AuthenticationCodeSigner(keyring(), ISSUER).sign(approved(), FIXED, PRIVATE)
    at = data.draw(st.integers(0, len(signed) - 1))
    letter = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."))
    forged = signed[:at] + letter + signed[at + 1 :]
    try:
        claims = verified(forged)
    except (BadSignatureError, DecodeError, JoseError, ValueError):
        return
    assert claims == verified(signed)


@pytest.mark.parametrize("algorithm", ["none", "HS256", "EdDSA"])
def test_a_signature_of_somebody_else_does_not_verify(algorithm: str) -> None:
    """Neither none at all, nor a MAC with the public key, nor another key's."""
    signed = AuthenticationCodeSigner(keyring(SEEDS[1]), ISSUER).sign(approved(), FIXED, PRIVATE)
    _, payload, signature = signed.split(".")
    published = public_keys(keyring())["keys"]
    assert isinstance(published, list)
    header = {"alg": algorithm, "kid": published[0]["kid"], "typ": "JWT"}
    head = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    with pytest.raises((BadSignatureError, JoseError, ValueError)):
        verified(f"{head}.{payload}.{signature if algorithm == 'EdDSA' else ''}")


def test_the_published_keys_hold_no_private_part() -> None:
    """What `/.well-known/jwks.json` shows is for everybody."""
    published = public_keys(keyring(*SEEDS))["keys"]
    assert isinstance(published, list)
    assert [set(key) for key in published] == [{"kty", "crv", "x", "kid", "use", "alg"}] * 2
    assert len({key["kid"] for key in published}) == 2
