"""Web Push against the values that the RFCs print: RFC 8291 Appendix A byte for byte, RFC 8188 section 3, RFC 8292."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from sca_service.delivery.channels.push.model import WebPushAddress
from sca_service.delivery.channels.push.web_push.wire import Vapid, encoded, encrypted
from tests.devices import Browser, pem_of

RFC_8291_APPENDIX_A = {
    "plaintext_b64u": "V2hlbiBJIGdyb3cgdXAsIEkgd2FudCB0byBiZSBhIHdhdGVybWVsb24",
    "as_private": "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw",
    "ua_public": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
    "ua_private": "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94",
    "salt": "DGv6ra1nlYgDCS1FRnbzlw",
    "auth_secret": "BTBZMqHH6r4Tts7J_aSIgg",
    "body": (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6Tlz"
        "AC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    ),
}
"""RFC 8291 Appendix A (IETF Trust): a message, both sides' keys, and what goes over the wire."""

RFC_8292_KEY = "BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs"
RFC_8292_SIGNED = (
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0NTM1"
    "MjM3NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpiUfnK9ojFw"
    "DXb1JrErtmysazNjjvW2L9OkSSHzvoD1oA"
)
"""RFC 8292 section 2.4 (IETF Trust)."""


def raw(text: str) -> bytes:
    """Base64url without padding, as the RFCs print it."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def private(text: str) -> ec.EllipticCurvePrivateKey:
    """A private key of P-256 from its 32 bytes."""
    return ec.derive_private_key(int.from_bytes(raw(text), "big"), ec.SECP256R1())


def published(shared: Path, name: str) -> Any:
    """What a file of the published vectors holds; the test is skipped without it."""
    path = shared / "vectors" / "webpush" / name
    if not path.is_file():
        pytest.skip(f"{name} is not among the published vectors")
    return json.loads(path.read_text("utf-8"))


def is_signed(signed: str, key: str) -> bool:
    """Whether an ES256 signature is right, by `cryptography` and not by what we sign with."""
    head, claims, signature = signed.split(".")
    both = raw(signature)
    der = encode_dss_signature(int.from_bytes(both[:32], "big"), int.from_bytes(both[32:], "big"))
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw(key))
    public.verify(der, f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
    return True


def body_of(vector: dict[str, str]) -> bytes:
    """What we send for a vector."""
    return encrypted(
        raw(vector["plaintext_b64u"]),
        WebPushAddress("https://push.example.net/x", raw(vector["ua_public"]), raw(vector["auth_secret"])),
        ours=private(vector["as_private"]),
        salt=raw(vector["salt"]),
    )


def test_rfc_8291_appendix_a() -> None:
    """The same keys and salt give the same body, byte for byte."""
    assert body_of(RFC_8291_APPENDIX_A) == raw(RFC_8291_APPENDIX_A["body"])


def test_the_browser_of_the_tests_reads_rfc_8291_appendix_a() -> None:
    """What the other tests decrypt with understands the printed body."""
    vector = RFC_8291_APPENDIX_A
    browser = Browser(private(vector["ua_private"]), raw(vector["auth_secret"]))
    assert browser.public == raw(vector["ua_public"])
    assert browser.read(raw(vector["body"])) == b"When I grow up, I want to be a watermelon"


def test_the_published_file_of_rfc_8291(shared: Path) -> None:
    """The file beside the project says the same as the RFC, and so do we."""
    vector = published(shared, "rfc8291_appendix_a.json")["vector"]
    assert {name: vector[name] for name in RFC_8291_APPENDIX_A} == RFC_8291_APPENDIX_A
    assert body_of(vector) == raw(vector["body"])
    assert raw(vector["salt"]) + vector["record_size"].to_bytes(4, "big") == body_of(vector)[:20]


def test_the_frame_of_rfc_8188(shared: Path) -> None:
    """Our body has the header of RFC 8188 section 2.1 and one record, like the first printed example."""
    example = published(shared, "rfc8188_examples.json")["vectors"][0]
    theirs, ours = raw(example["body"]), body_of(RFC_8291_APPENDIX_A)
    for body in (theirs, ours):
        assert int.from_bytes(body[16:20], "big") == 4_096
    assert theirs[20] == len(example["keyid"]) == 0
    assert ours[20] == 65  # the key's name is our point (RFC 8291 section 4)
    # Salt, record size, length of the name; then text, delimiter and authentication tag.
    assert len(theirs) == 21 + len(example["plaintext"]) + 1 + 16
    assert len(ours) == 21 + 65 + len(raw(RFC_8291_APPENDIX_A["plaintext_b64u"])) + 1 + 16


def test_rfc_8292_printed_header() -> None:
    """The printed signature verifies, and our header for the same claims differs from it in the signature alone."""
    assert is_signed(RFC_8292_SIGNED, RFC_8292_KEY)
    key = ec.generate_private_key(ec.SECP256R1())
    ours = Vapid.parse(pem_of(key)).authorization(
        origin="https://push.example.net", contact="mailto:push@example.com", until_seconds=1_453_523_768
    )
    scheme, _, parameters = ours.partition(" ")
    signed, public = (part.strip().partition("=")[2] for part in parameters.split(","))
    assert scheme == "vapid"
    assert signed.rpartition(".")[0] == RFC_8292_SIGNED.rpartition(".")[0]
    assert is_signed(signed, public)
    assert len(raw(signed.rpartition(".")[2])) == 64


def test_the_published_file_of_rfc_8292(shared: Path) -> None:
    """The file beside the project says the same as the RFC."""
    vector = published(shared, "rfc8292_vapid.json")["vector"]
    assert (vector["t"], vector["k"]) == (RFC_8292_SIGNED, RFC_8292_KEY)


def test_a_vapid_key_in_both_its_forms() -> None:
    """PEM and the 32 bytes of `web-push generate-vapid-keys` are one key."""
    key = private(RFC_8291_APPENDIX_A["as_private"])
    assert Vapid.parse(pem_of(key)).public == Vapid.parse(RFC_8291_APPENDIX_A["as_private"]).public
    assert encoded(raw(RFC_8291_APPENDIX_A["body"])[21:86]) == Vapid.parse(pem_of(key)).public
