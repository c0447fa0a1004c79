"""Making a passkey: what is asked for, what is kept, and everything that is refused."""

import hashlib
import json
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from sca_service.authenticators.passkey.registration import (
    Passkey,
    RelyingParty,
    Transport,
    creation_options,
    signing_key,
    verify_registration,
)
from sca_service.authenticators.passkey.response import MOST_RESPONSE_BYTES, NOT_AN_ANSWER
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
    cose_key,
    response,
)

HANDLE = bytes(range(200, 232))
BANK = RelyingParty(RP_ID, "Example Bank")
SOFT = SoftPasskey()


def verified(response_json: bytes) -> Passkey:
    """The passkey of an answer to the options of these tests."""
    return verify_registration(response_json, challenge=CHALLENGE, rp_id=RP_ID, origins=[ORIGIN])


def refused(response_json: bytes) -> bool:
    """Whether an answer is refused, and in the only words there are."""
    with pytest.raises(InvalidInput) as caught:
        verified(response_json)
    assert [(mistake.pointer, mistake.detail) for mistake in caught.value.mistakes] == [("", NOT_AN_ANSWER)]
    assert caught.value.__cause__ is None
    return True


def self_attested(soft: SoftPasskey) -> dict[str, bytes]:
    """An answer in whose attestation the new key signs for itself."""
    client, attested = client_json("webauthn.create"), soft.attested()
    alg = cose_key(soft.key)[3]
    statement = {"alg": alg, "sig": soft.sign(attested + hashlib.sha256(client).digest())}
    packed = cbor2.dumps({"fmt": "packed", "attStmt": statement, "authData": attested})
    return {"clientDataJSON": client, "attestationObject": packed}


def options(**changed: Any) -> dict[str, Any]:
    """The creation options, read as a browser reads them."""
    arguments = {"handle": HANDLE, "account_name": "Current account", "challenge": CHALLENGE} | changed
    read: dict[str, Any] = json.loads(creation_options(BANK, **arguments))
    return read


def test_what_the_browser_is_asked_for() -> None:
    """A verified payer, no attestation, and the two algorithms; RS256 (-257) is not among them."""
    assert options() == {
        "rp": {"id": RP_ID, "name": "Example Bank"},
        "user": {"id": base64url(HANDLE), "name": "Current account", "displayName": "Current account"},
        "challenge": base64url(CHALLENGE),
        "pubKeyCredParams": [{"type": "public-key", "alg": -7}, {"type": "public-key", "alg": -8}],
        "timeout": 300_000,
        "excludeCredentials": [],
        "authenticatorSelection": {
            "residentKey": "preferred",
            "requireResidentKey": False,
            "userVerification": "required",
        },
        "attestation": "none",
    }


def test_a_passkey_that_the_payer_has_is_not_made_again() -> None:
    """It is named with the ways to reach it."""
    known = verified(SOFT.registered(transports=["internal", "hybrid"]))
    assert options(known=[known])["excludeCredentials"] == [
        {"id": base64url(CREDENTIAL_ID), "type": "public-key", "transports": ["hybrid", "internal"]}
    ]


def test_a_passkey_for_payments_lives_in_the_device() -> None:
    """SPC refuses any other attachment (SPC section 5)."""
    asked = options(for_payments=True)
    assert asked["extensions"] == {"payment": {"isPayment": True}}
    assert asked["authenticatorSelection"]["authenticatorAttachment"] == "platform"


@pytest.mark.parametrize(
    "changed",
    [
        {"handle": bytes(31)},
        {"handle": bytes(33)},
        {"challenge": bytes(15)},
        {"known": [verified(SOFT.registered())] * 21},
    ],
)
def test_options_have_bounds(changed: dict[str, Any]) -> None:
    """A short handle or challenge would be our own mistake."""
    with pytest.raises(ValueError, match="out of bounds"):
        options(**changed)


@pytest.mark.parametrize("name", ["", "ä" * 33])
def test_the_name_of_an_account_has_bounds(name: str) -> None:
    """An authenticator would cut more than 64 bytes."""
    with pytest.raises(InvalidInput) as caught:
        options(account_name=name)
    assert caught.value.mistakes[0].pointer == "/account_name"
    assert options(account_name="ä" * 32)["user"]["name"] == "ä" * 32


@pytest.mark.parametrize("key", [SOFT.key, ed25519.Ed25519PrivateKey.generate()])
def test_what_is_kept_of_a_passkey(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> None:
    """Either algorithm; the public key is the COSE key as it came."""
    soft = SoftPasskey(key, sign_count=7)
    made = verified(soft.registered(transports=["internal", "usb", "telepathy"]))
    assert made == Passkey(
        credential_id=CREDENTIAL_ID,
        public_key=cbor2.dumps(cose_key(key)),
        sign_count=7,
        backed_up=False,
        backup_eligible=False,
        transports=(Transport.USB, Transport.INTERNAL),
        aaguid="00000000-0000-0000-0000-000000000000",
    )
    assert signing_key(made.public_key) == key.public_key()


def test_a_passkey_that_is_synchronised_says_so() -> None:
    """Backed up and eligible are two things; backed up but not eligible is none."""
    eligible = verified(SOFT.registered(SOFT.attested(UP | UV | AT | BE)))
    assert (eligible.backup_eligible, eligible.backed_up) == (True, False)
    backed_up = verified(SOFT.registered(SOFT.attested(UP | UV | AT | BE | BS)))
    assert (backed_up.backup_eligible, backed_up.backed_up) == (True, True)
    assert refused(SOFT.registered(SOFT.attested(UP | UV | AT | BS)))


@pytest.mark.parametrize("flags", [UV | AT, UP | AT, AT, UP | UV])
def test_the_payer_is_present_and_verified(flags: int) -> None:
    """Without either, or without a key, there is no passkey."""
    assert refused(SOFT.registered(SOFT.attested(flags)))


def test_another_domain_is_refused() -> None:
    """The authenticator hashes the domain that it was asked for."""
    soft = SoftPasskey(rp_id="bank.example.net")
    assert refused(soft.registered())


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "webauthn.get"},
        {"type": "payment.get"},
        {"challenge": base64url(CHALLENGE[:-1] + b"\0")},
        {"challenge": base64url(CHALLENGE[:-1])},
        {"challenge": ""},
        {"origin": "https://bank.example"},
        {"origin": "http://pay.bank.example"},
        {"origin": ORIGIN + "/"},
        {"origin": ORIGIN + ".evil.example"},
        {"crossOrigin": True},
        {"crossOrigin": True, "topOrigin": ORIGIN},
        {"topOrigin": ORIGIN},
        {"crossOrigin": "false"},
        {"type": None},
        {"challenge": None},
        {"origin": None},
    ],
)
def test_another_client_is_refused(changed: dict[str, Any]) -> None:
    """Kind, challenge, origin and frame are those that were asked for."""
    assert refused(SOFT.registered(client=client_json("webauthn.create", **changed)))


OFF_CURVE = cose_key(SOFT.key) | {-3: bytes(31) + b"\x05"}
P_521 = cose_key(SOFT.key) | {-1: 3}
POINT = cose_key(SOFT.key)[-2] + cose_key(SOFT.key)[-3]
RS256 = {1: 3, 3: -257, -1: b"\xc3" * 256, -2: b"\x01\x00\x01"}


@pytest.mark.parametrize(
    "cose",
    [
        RS256,
        OFF_CURVE,
        P_521,
        {1: 2, 3: -36, -1: 1} | {at: cose_key(SOFT.key)[at] for at in (-2, -3)},
        cose_key(ed25519.Ed25519PrivateKey.generate()) | {-1: 7},
        cose_key(SOFT.key) | {-2: POINT[:31], -3: POINT[31:]},
        {1: 1, 3: -8, -1: 6, -2: bytes(31)},
        cose_key(SOFT.key) | {-2: b""},
        cose_key(SOFT.key) | {-2: b"\0" + cose_key(SOFT.key)[-2]},
        cose_key(SOFT.key) | {-3: "y"},
        cose_key(SOFT.key) | {-3: True},  # a compressed point
        {at: value for at, value in cose_key(SOFT.key).items() if at != -3},
        {},
        [],
        4,  # reads as a bare point of U2F
        "key",
        False,
        cbor2.CBORTag(35, "(a+)+"),
    ],
)
def test_a_key_of_another_kind_is_refused(cose: Any) -> None:
    """RS256, other curves, points off the curve, and what is no COSE key."""
    assert refused(SOFT.registered(SOFT.attested(cose=cose)))
    with pytest.raises(ValueError):
        signing_key(cbor2.dumps(cose))


@pytest.mark.parametrize(
    "statement",
    [
        {"fmt": "none", "attStmt": {"x": 1}, "authData": SOFT.attested()},
        {"fmt": "packed", "attStmt": {}, "authData": SOFT.attested()},
        {"fmt": "packed", "attStmt": {"alg": -7, "sig": b"", "x5c": [b""]}, "authData": SOFT.attested()},
        {"fmt": "packed", "attStmt": {"alg": -7, "sig": 1}, "authData": SOFT.attested()},
        {"fmt": "packed", "attStmt": {"alg": -8, "sig": bytes(64)}, "authData": SOFT.attested()},
        {"fmt": "tpm", "attStmt": {}, "authData": SOFT.attested()},
        {"fmt": ["none"], "attStmt": {}, "authData": SOFT.attested()},
        {"fmt": "none", "attStmt": 0, "authData": SOFT.attested()},
        {"fmt": "none", "attStmt": {}, "authData": "text"},
        {"fmt": "none", "attStmt": {}},
        {"attStmt": {}, "authData": SOFT.attested()},
        [],
        7,
    ],
)
def test_an_attestation_that_was_not_asked_for_is_refused(statement: Any) -> None:
    """Nothing or the key's own signature; no certificate is looked at."""
    assert refused(SOFT.registered(attestationObject=cbor2.dumps(statement)))


def test_a_key_may_sign_for_itself() -> None:
    """Browsers let that pass when no attestation was asked for."""
    assert verified(response(self_attested(SOFT))).credential_id == CREDENTIAL_ID


def test_every_bit_that_the_new_key_signed_counts() -> None:
    """One flipped bit anywhere in what was signed, or in its frame, and there is no passkey."""
    parts = self_attested(SoftPasskey(ed25519.Ed25519PrivateKey.generate()))
    for name, whole in parts.items():
        for bit in range(len(whole) * 8):
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << bit % 8
            assert refused(response(parts | {name: bytes(flipped)}))


def test_truncated_and_trailing_bytes_are_refused() -> None:
    """At every length; a byte behind the attestation, the key or the authenticator's part is one too many."""
    statement = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": SOFT.attested()})
    assert verified(SOFT.registered(attestationObject=statement))
    for length in range(len(statement)):
        assert refused(SOFT.registered(attestationObject=statement[:length]))
    assert refused(SOFT.registered(attestationObject=statement + b"\0"))
    assert refused(SOFT.registered(SOFT.attested(rest=b"\0")))
    extended = SOFT.attested(UP | UV | AT | ED, rest=cbor2.dumps({"credProtect": 2}))
    assert verified(SOFT.registered(extended))
    assert refused(SOFT.registered(extended + b"\0"))
    for length in range(len(SOFT.attested())):
        assert refused(SOFT.registered(SOFT.attested()[:length]))
    assert refused(SOFT.registered(client=client_json("webauthn.create") + b"x"))


@pytest.mark.parametrize(
    "bomb", [b"\x81" * 11_000, b"\xc1" * 11_000, b"\x5b" + b"\x7f" * 8, b"\x9b" + b"\x7f" * 8]
)
def test_cbor_that_asks_for_too_much_is_refused(bomb: bytes) -> None:
    """Nested arrays and tags, and lengths that no memory has."""
    assert refused(SOFT.registered(attestationObject=bomb))


@given(st.binary(max_size=300))
def test_any_bytes_in_place_of_an_attestation_are_refused(noise: bytes) -> None:
    """No other exception leaves the library."""
    assert refused(SOFT.registered(attestationObject=noise))


@given(st.binary(max_size=80), st.sampled_from([UP | UV | AT, UP | UV | AT | ED]))
def test_any_bytes_in_place_of_a_key_are_refused(noise: bytes, flags: int) -> None:
    """The same, one level further in."""
    head = SOFT.authenticator(flags, bytes(16) + len(CREDENTIAL_ID).to_bytes(2, "big") + CREDENTIAL_ID)
    assert refused(SOFT.registered(head + noise))


def test_the_credential_id_is_the_one_that_was_made() -> None:
    """Not one that only the page names; 1 to 1,023 bytes."""
    assert refused(SOFT.registered(SOFT.attested(identifier=CREDENTIAL_ID[::-1])))
    parts = json.loads(SOFT.registered())["response"]
    other = base64url(CREDENTIAL_ID[::-1])
    assert refused(response(parts, id=other))
    assert refused(response(parts, rawId=other))
    for length, fits in ((1023, True), (1024, False), (0, False)):
        name = base64url(bytes(length))
        soft = json.loads(SOFT.registered(SOFT.attested(identifier=bytes(length))))
        answer = response(soft["response"], id=name, rawId=name)
        assert len(verified(answer).credential_id) == length if fits else refused(answer)


def test_a_response_has_bounds() -> None:
    """16 KiB, and one way to spell each value."""
    whole = SOFT.registered()
    assert verified(whole + b" " * (MOST_RESPONSE_BYTES - len(whole)))
    assert refused(whole + b" " * (MOST_RESPONSE_BYTES + 1 - len(whole)))
    assert verified(SOFT.registered(transports=["usb"] * 16))
    assert refused(SOFT.registered(transports=["usb"] * 17))


@pytest.mark.parametrize("spelled", ["{}=", "{}==", "{}\n", "{} ", "+{}", "{}!", "é{}"])
def test_base64url_is_spelled_in_one_way(spelled: str) -> None:
    """Padding and characters that Python passes over are refused."""
    parts = json.loads(SOFT.registered())["response"]
    for name in ("clientDataJSON", "attestationObject"):
        assert refused(response(parts | {name: spelled.format(parts[name])}))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b"{" * 16_000,
        b"[" * 16_000,
        SOFT.registered()[:-1],
        SOFT.registered() + b"}",
    ],
)
def test_what_is_no_response_is_refused(body: bytes) -> None:
    """Not JSON, or not its shape."""
    assert refused(body)


def test_a_credential_of_another_type_is_refused() -> None:
    """Only `public-key` exists."""
    parts = json.loads(SOFT.registered())["response"]
    assert refused(response(parts, type="password"))


def test_a_passkey_shows_no_key_in_its_repr() -> None:
    """It may stand in a log."""
    shown = repr(verified(SOFT.registered()))
    assert "credential_id" not in shown
    assert "public_key" not in shown
