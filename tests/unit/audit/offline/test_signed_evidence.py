"""Evidence of what a device or a passkey signed: what it proves, and what it must not be taken to prove."""

import base64
import hashlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from sca_service.audit.offline.evidence import Checked, check_evidence
from sca_service.audit.offline.findings import Refused
from sca_service.audit.offline.note import VerifierKey
from sca_service.audit.offline.signed_answer import check_signed_answer
from sca_service.audit.offline.story import story_of
from sca_service.authenticators.device_key.approval import parse_approval
from sca_service.authenticators.device_key.jwk import DeviceKey
from sca_service.authenticators.passkey.response import read_client
from tests.device import Device
from tests.rfc6962 import Tree
from tests.unit.audit.offline.made_log import LOG, checkpoint, leaf
from tests.unit.audit.offline.test_offline_evidence import commitment, opened

CHALLENGE = "chl_1"
TRANSACTION = '{"amount":"49.99"}'
DIGEST = f"sha256:{hashlib.sha256(TRANSACTION.encode()).hexdigest()}"
NONCE = base64.b64encode(bytes(16)).decode()
DEVICE = Device()
assert isinstance(DEVICE.key, EllipticCurvePrivateKey)
KEY = DEVICE.key


def base64url(content: bytes) -> str:
    """Without padding."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def by_device(challenge: str = CHALLENGE, digest: str = DIGEST) -> dict[str, str]:
    """What a device signs, and its key."""
    asked = {"id": challenge, "transaction": {"digest": digest}}
    return {"device_answer": DEVICE.approval(asked, "42"), "device_key": json.dumps(DEVICE.jwk)}


def by_passkey(challenge: str = CHALLENGE, digest: str = DIGEST, said: bytes | None = None) -> dict[str, str]:
    """What a passkey signs, and its key."""
    parts = (b"sca-service/passkey/challenge/1", digest.encode(), challenge.encode(), base64.b64decode(NONCE))
    asked = hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()
    client = said or json.dumps({"type": "webauthn.get", "challenge": base64url(asked)}).encode()
    authenticator = bytes(32) + b"\x05" + bytes(4)
    signature = KEY.sign(authenticator + hashlib.sha256(client).digest(), ECDSA(SHA256()))
    response = {"clientDataJSON": client, "authenticatorData": authenticator, "signature": signature}
    answer = {"response": {name: base64url(content) for name, content in response.items()}}
    return {
        "passkey_answer": json.dumps(answer),
        "passkey_key": json.dumps(DEVICE.jwk),
        "passkey_nonce": NONCE,
    }


def check(signed: dict[str, str], *, shows: bool = True, has_issue: bool = True) -> Checked:
    """What comes of evidence in which this was signed; the transaction opened, and the issue in it, or not."""
    leaves = [
        leaf(0, challenge=CHALLENGE, commitments={"transaction": commitment(TRANSACTION)}),
        leaf(
            1,
            type="challenge.answered",
            challenge=CHALLENGE,
            outcome="approved",
            commitments={name: commitment(value) for name, value in signed.items()},
        ),
    ]
    tree = Tree(leaves)

    def event(index: int, *values: dict[str, str]) -> dict[str, Any]:
        proof = [base64.b64encode(one).decode() for one in tree.path(index, 0, len(leaves))]
        return {"index": index, "leaf": leaves[index].decode(), "proof": proof, "disclosures": values}

    issued = event(0, *([opened("transaction", TRANSACTION)] if shows else []))
    answered = event(1, *(opened(name, value) for name, value in signed.items()))
    made = {
        "format": "sca-evidence/1",
        "challenge": CHALLENGE,
        "made_at": "2026-11-28T12:00:00Z",
        "checkpoint": checkpoint(leaves).decode(),
        "verifier_keys": [LOG.vkey],
        "events": [*([issued] if has_issue else []), answered],
    }
    return check_evidence(json.dumps(made).encode(), [VerifierKey.parse(LOG.vkey)])


@pytest.mark.parametrize("signed", [by_device(), by_passkey()], ids=["device", "passkey"])
def test_a_signature_over_this_payment_is_told(signed: dict[str, str]) -> None:
    """Whose it is and what it says."""
    checked = check(signed)
    found = checked.events[-1].signed
    assert found is not None and found.is_bound
    assert "signed it: approve." in "\n".join(story_of(checked))


@pytest.mark.parametrize(("shows", "has_issue"), [(False, True), (True, False)], ids=["closed", "pruned"])
def test_without_the_transaction_less_is_told(*, shows: bool, has_issue: bool) -> None:
    """It is neither refused, nor taken for what it may not be: a passkey's may be of another challenge altogether."""
    story = "\n".join(story_of(check(by_device(), shows=shows, has_issue=has_issue)))
    assert "device signed it: approve, over WHICH TRANSACTION IS NOT SHOWN" in story
    other = by_passkey("chl_2", "sha256:" + "ab" * 32)
    story = "\n".join(story_of(check(other, shows=shows, has_issue=has_issue)))
    assert "over WHICH CHALLENGE IS NOT SHOWN" in story and "signed it" not in story
    with pytest.raises(Refused):
        check(other)


def test_a_device_s_answer_to_another_challenge_is_refused_all_the_same() -> None:
    """It names the challenge itself."""
    with pytest.raises(Refused, match="another challenge"):
        check(by_device("chl_2"), shows=False)


def test_a_passkey_is_not_said_to_have_declined() -> None:
    """What it signs is the challenge, and no word beside it."""
    declined = {"type": "challenge.declined", "challenge": CHALLENGE}
    with pytest.raises(Refused, match="no other answer"):
        check_signed_answer(declined, by_passkey(), DIGEST)


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"ES256","typ":"sca-approval+jwt"' + b" " * 5_000 + b"}",
        json.dumps({"alg": "ES256", "typ": "sca-approval+jwt", "kid": "\N{KEY}" * 128}).encode(),
    ],
    ids=["spaces", "kid"],
)
def test_whatever_header_the_service_takes_holds(header: bytes) -> None:
    """Or a payer could approve by a signature that no auditor believes, and deny it."""
    challenge = f"chl_{'0' * 38}"
    claims = {"challenge": challenge, "decision": "approve", "iat": 1, "digits": "42", "transaction": DIGEST}
    signed = f"{base64url(header)}.{base64url(json.dumps(claims).encode())}"
    answer = f"{signed}.{base64url(DEVICE._signature(signed.encode()))}"
    key = DeviceKey.parse(DEVICE.jwk)
    assert parse_approval(answer, key).challenge == challenge
    members = {"type": "challenge.answered", "challenge": challenge}
    disclosed = {"device_answer": answer, "device_key": key.canonical.decode()}
    assert check_signed_answer(members, disclosed, DIGEST) is not None


@pytest.mark.parametrize("more", [b"9" * 5_000, b'"\xff"'], ids=["digits", "no UTF-8"])
def test_what_a_browser_says_beside_it_spoils_no_proof(more: bytes) -> None:
    """What the service passes over when it decides: else a payer could approve so that it cannot be proven."""
    answer = json.loads(by_passkey()["passkey_answer"])
    plain = base64.urlsafe_b64decode(answer["response"]["clientDataJSON"] + "==")
    said = plain[:-1] + b', "origin": "https://bank.example", "more": ' + more + b"}"
    assert read_client(said).origin == "https://bank.example"
    check(by_passkey(said=said))


@pytest.mark.parametrize(
    "signed",
    [
        by_device() | {"device_key": "[" * 100_000},
        by_passkey() | {"passkey_key": "[" * 100_000},
        by_passkey() | {"passkey_answer": "[" * 100_000},
        by_passkey(said=b"[" * 100_000),
    ],
    ids=["device key", "passkey key", "answer", "client data"],
)
def test_what_is_nested_without_end_is_refused(signed: dict[str, str]) -> None:
    """An auditor is told that it proves nothing, and not shown a stack of calls."""
    with pytest.raises(Refused):
        check(signed)
