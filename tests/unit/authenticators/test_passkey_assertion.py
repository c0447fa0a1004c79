"""Authenticating with a passkey: what is signed, the counter, and everything that is refused."""

import dataclasses
import hashlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from sca_service.authenticators.passkey.assertion import (
    Assertion,
    BadAssertion,
    ClonedPasskey,
    challenge_for,
    request_options,
    verify_assertion,
)
from sca_service.authenticators.passkey.registration import Passkey, verify_registration
from sca_service.authenticators.passkey.response import MOST_RESPONSE_BYTES
from sca_service.kernel.errors import InvalidInput
from tests.soft_passkey import (
    AT,
    BE,
    BS,
    CHALLENGE,
    CREDENTIAL_ID,
    ED,
    ORIGIN,
    RP_ID,
    UP,
    UV,
    SoftPasskey,
    base64url,
    client_json,
    response,
)

DIGEST = "sha256:" + "ab" * 32
NONCE = bytes(range(16))
TOP = "https://shop.example"


def registered(soft: SoftPasskey, flags: int = UP | UV | AT) -> Passkey:
    """The passkey as it is kept."""
    return verify_registration(
        soft.registered(soft.attested(flags)), challenge=CHALLENGE, rp_id=RP_ID, origins=[ORIGIN]
    )


SOFT = SoftPasskey()
PASSKEY = registered(SOFT)


def verified(
    response_json: bytes, passkey: Passkey = PASSKEY, top_origins: tuple[str, ...] = ()
) -> Assertion:
    """The assertion to the challenge of these tests."""
    return verify_assertion(
        response_json,
        passkey=passkey,
        challenge=CHALLENGE,
        rp_id=RP_ID,
        origins=["https://other.bank.example", ORIGIN],
        top_origins=top_origins,
    )


def refused(response_json: bytes, passkey: Passkey = PASSKEY) -> bool:
    """Whether an assertion is refused, in the only words there are, and not as a clone's."""
    with pytest.raises(BadAssertion) as caught:
        verified(response_json, passkey)
    assert type(caught.value) is BadAssertion
    assert str(caught.value) == "the assertion does not authenticate the payer for this challenge"
    assert caught.value.__cause__ is None
    return True


def test_the_challenge_is_this_hash() -> None:
    """A change here would make every pending challenge wrong."""
    encoded = b""
    for part in (b"sca-service/passkey/challenge/1", DIGEST.encode(), b"ch_1", NONCE):
        encoded += len(part).to_bytes(8, "big") + part
    assert challenge_for(DIGEST, "ch_1", NONCE) == hashlib.sha256(encoded).digest()


@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))
def test_another_transaction_or_challenge_is_another_hash(
    digest: str, challenge: str, other_digest: str, other_challenge: str
) -> None:
    """Wherever the text between the two is cut."""
    same = (digest, challenge) == (other_digest, other_challenge)
    assert (
        challenge_for(digest, challenge, NONCE) == challenge_for(other_digest, other_challenge, NONCE)
    ) is same


def test_parts_of_a_challenge_do_not_run_into_each_other() -> None:
    """What ends one part cannot begin the next, whatever it is."""
    texts = ["", "a", "ab", "b", "\0", "a\0", "\0b", "ab\0"]
    hashes = {challenge_for(digest, challenge, NONCE) for digest in texts for challenge in texts}
    assert len(hashes) == len(texts) ** 2
    assert challenge_for("", "", NONCE) != challenge_for("", "", NONCE + b"\0")
    assert challenge_for("", "a", b"b" * 16) != challenge_for("", "ab", b"b" * 15 + b"c")


def test_a_nonce_is_long_enough() -> None:
    """Sixteen bytes at least."""
    with pytest.raises(ValueError, match="nonce"):
        challenge_for(DIGEST, "ch_1", bytes(15))


def test_what_the_browser_is_asked_for() -> None:
    """One of the payer's passkeys, the payer verified."""
    assert json.loads(request_options(rp_id=RP_ID, challenge=CHALLENGE, passkeys=[PASSKEY])) == {
        "challenge": base64url(CHALLENGE),
        "timeout": 300_000,
        "rpId": RP_ID,
        "allowCredentials": [{"id": base64url(CREDENTIAL_ID), "type": "public-key"}],
        "userVerification": "required",
    }


@pytest.mark.parametrize(("count", "challenge"), [(0, CHALLENGE), (21, CHALLENGE), (1, bytes(15))])
def test_options_have_bounds(count: int, challenge: bytes) -> None:
    """No passkey at all would let any answer."""
    with pytest.raises(ValueError, match="out of bounds"):
        request_options(rp_id=RP_ID, challenge=challenge, passkeys=[PASSKEY] * count)


def test_a_payer_authenticates_with_either_algorithm() -> None:
    """ES256 and Ed25519."""
    assert verified(SOFT.signed()) == Assertion(sign_count=0, payer_verified=True, backed_up=False)
    soft = SoftPasskey(ed25519.Ed25519PrivateKey.generate())
    assert verified(soft.signed(), registered(soft)).payer_verified


@pytest.mark.parametrize(
    ("before", "now", "grew"),
    [
        (0, 0, True),
        (0, 1, True),
        (7, 8, True),
        (7, 900, True),
        (2**32 - 2, 2**32 - 1, True),
        (7, 7, False),
        (7, 6, False),
        (7, 0, False),
        (2**32 - 1, 0, False),
    ],
)
def test_the_counter_grows_or_is_never_used(before: int, now: int, *, grew: bool) -> None:
    """WebAuthn section 6.1.1: a counter that went back was counted by two."""
    passkey = dataclasses.replace(PASSKEY, sign_count=before)
    answer = SoftPasskey(SOFT.key, sign_count=now).signed()
    if grew:
        assert verified(answer, passkey).sign_count == now
        return
    with pytest.raises(ClonedPasskey):
        verified(answer, passkey)


def test_only_the_right_key_can_be_a_clone() -> None:
    """A stranger with an old counter is a stranger, and cannot have a passkey blocked."""
    passkey = dataclasses.replace(PASSKEY, sign_count=7)
    assert refused(SoftPasskey(sign_count=6).signed(), passkey)


@pytest.mark.parametrize("flags", [UP, UV, 0, UP | UV | BS, UP | UV | BE, UP | UV | BE | BS])
def test_flags_that_are_refused(flags: int) -> None:
    """The payer absent or not verified; a copy of a passkey that cannot be copied."""
    assert refused(SOFT.signed(SOFT.authenticator(flags)))


def test_a_passkey_that_is_synchronised_stays_so() -> None:
    """Eligible for ever, backed up or not for now."""
    passkey = registered(SOFT, UP | UV | AT | BE)
    assert verified(SOFT.signed(SOFT.authenticator(UP | UV | BE | BS)), passkey).backed_up
    assert not verified(SOFT.signed(SOFT.authenticator(UP | UV | BE)), passkey).backed_up
    assert refused(SOFT.signed(), passkey)


def test_another_domain_key_or_passkey_is_refused() -> None:
    """Each of them signed correctly, for somebody else."""
    assert refused(SoftPasskey(SOFT.key, rp_id="bank.example.net").signed())
    assert refused(SoftPasskey().signed())
    assert refused(SoftPasskey(ed25519.Ed25519PrivateKey.generate()).signed())
    other = base64url(CREDENTIAL_ID[::-1])
    assert refused(SOFT.signed(id=other, rawId=other))
    assert refused(SOFT.signed(), dataclasses.replace(PASSKEY, credential_id=CREDENTIAL_ID[:-1]))


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "webauthn.create"},
        {"type": "payment.get"},
        {"type": "webauthn.get "},
        {"challenge": base64url(CHALLENGE[:-1] + b"\0")},
        {"challenge": base64url(CHALLENGE) + "="},
        {"challenge": ""},
        {"challenge": "é"},
        {"origin": "https://bank.example"},
        {"origin": ORIGIN + ":8443"},
        {"origin": ORIGIN.upper()},
        {"origin": "null"},
        {"crossOrigin": True},
        {"crossOrigin": True, "topOrigin": TOP},
        {"topOrigin": TOP},
    ],
)
def test_another_client_is_refused(changed: dict[str, Any]) -> None:
    """Signed correctly by the right passkey, but elsewhere or for something else."""
    assert refused(SOFT.signed(client=client_json("webauthn.get", **changed)))


def test_a_frame_needs_leave() -> None:
    """The page around it is one that was named; a browser that does not tell it is not believed."""
    framed = SOFT.signed(client=client_json("webauthn.get", crossOrigin=True, topOrigin=TOP))
    assert verified(framed, top_origins=(TOP,)).payer_verified
    with pytest.raises(BadAssertion):
        verified(framed, top_origins=("https://shop.example.net",))
    untold = SOFT.signed(client=client_json("webauthn.get", crossOrigin=True))
    with pytest.raises(BadAssertion):
        verified(untold, top_origins=(TOP,))
    assert verified(SOFT.signed(), top_origins=(TOP,)).payer_verified


def test_a_browser_may_say_more_than_we_know() -> None:
    """WebAuthn section 5.8.1.3: members come with time."""
    assert verified(SOFT.signed(client=client_json("webauthn.get", extra={"a": [1]}))).payer_verified


@pytest.mark.parametrize("soft", [SOFT, SoftPasskey(ed25519.Ed25519PrivateKey.generate())])
def test_every_bit_counts(soft: SoftPasskey) -> None:
    """One flipped bit in what was signed, or in the signature, and nobody authenticated."""
    passkey = registered(soft)
    parts = json.loads(soft.signed())["response"]
    client, authenticator = client_json("webauthn.get"), soft.authenticator()
    signature = soft.sign(authenticator + hashlib.sha256(client).digest())
    whole = {"clientDataJSON": client, "authenticatorData": authenticator, "signature": signature}
    assert parts.keys() == whole.keys()
    assert verified(response(whole), passkey)
    for name, value in whole.items():
        for bit in range(len(value) * 8):
            flipped = bytearray(value)
            flipped[bit // 8] ^= 1 << bit % 8
            with pytest.raises((BadAssertion, InvalidInput)):
                verified(response(whole | {name: bytes(flipped)}), passkey)


def test_truncated_and_trailing_bytes_are_refused() -> None:
    """Even if the passkey signed them."""
    for length in range(37):
        assert refused(SOFT.signed(SOFT.authenticator()[:length]))
    assert refused(SOFT.signed(SOFT.authenticator() + b"\0"))
    extended = SOFT.authenticator(UP | UV | ED)
    assert verified(SOFT.signed(extended + b"\xa0")).payer_verified
    for rest in (b"", b"\xa1", b"\xa0\0", b"\x81" * 10_000):
        assert refused(SOFT.signed(extended + rest))
    parts = json.loads(SOFT.signed())["response"]
    signature = SOFT.sign(SOFT.authenticator() + hashlib.sha256(client_json("webauthn.get")).digest())
    assert verified(response(parts | {"signature": signature})).payer_verified
    for spoiled in (b"", signature[:-1], signature + b"\0", bytes(64), signature * 2):
        assert refused(response(parts | {"signature": spoiled}))


@given(st.binary(max_size=120))
def test_an_assertion_brings_no_new_key(noise: bytes) -> None:
    """WebAuthn section 6.1 forbids it; whatever stands there, no other exception leaves the library."""
    for flags in (UP | UV | AT, UP | UV | ED | AT):
        assert refused(SOFT.signed(SOFT.authenticator(flags, noise)))
    assert refused(SOFT.signed(SOFT.attested()))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b"[" * 16_000,
        SOFT.signed()[:-1],
        SOFT.signed() + b" " * MOST_RESPONSE_BYTES,
        SOFT.signed(type="password"),
        SOFT.signed(id="x"),
        SOFT.signed(rawId=""),
        SOFT.signed(response={}),
        SOFT.signed(client=b"{}"),
        SOFT.signed(client=b"\xff"),
        SOFT.signed(client=client_json("webauthn.get", crossOrigin="no")),
        SOFT.registered(),
    ],
)
def test_what_is_no_response_is_another_error(body: bytes) -> None:
    """The request is at fault then, and no attempt was made."""
    with pytest.raises(InvalidInput):
        verified(body)
