"""Device keys against the values that the RFCs print: RFC 7515 A.3, RFC 8037 A, RFC 9449 4.1 and 6.1, RFC 7638 3.1."""

import pytest

from sca_service.authenticators.device_key.jwk import Algorithm, DeviceKey, base64url, from_base64url
from sca_service.authenticators.device_key.jws import BadSignature, is_signature, verify_compact
from sca_service.authenticators.device_key.proof import Proof, verify_enrolment
from sca_service.kernel.errors import InvalidInput

RFC_7515_A3_KEY = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
RFC_7515_A3_SIGNED = (
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ij"
    "p0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
)

RFC_8037_A2_KEY = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
RFC_8037_A1_PRIVATE = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
RFC_8037_A3_CANONICAL = b'{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}'
RFC_8037_A3_THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
RFC_8037_A4_SIGNED = (
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijc"
    "NR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
)

RFC_9449_PROOF = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0Rs"
    "cEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2"
    "In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2V"
    "uIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37x"
    "RZT3Lg"
)
"""RFC 9449, figure 2 (IETF Trust)."""
RFC_9449_THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
"""RFC 9449, section 6.1: of the key in that proof."""


@pytest.mark.parametrize(
    ("jwk", "text", "payload"),
    [
        (
            RFC_7515_A3_KEY,
            RFC_7515_A3_SIGNED,
            b'{"iss":"joe",\r\n "exp":1300819380,\r\n "http://example.com/is_root":true}',
        ),
        (RFC_8037_A2_KEY, RFC_8037_A4_SIGNED, b"Example of Ed25519 signing"),
    ],
)
def test_the_published_signatures_verify(jwk: dict[str, str], text: str, payload: bytes) -> None:
    """The signature is right; as a text of ours it is refused all the same, since its header has no `typ`."""
    key = DeviceKey.parse(jwk)
    signed, _, signature = text.rpartition(".")
    assert is_signature(from_base64url(signature), signed.encode(), key)
    assert not is_signature(from_base64url(signature), signed.encode() + b"A", key)
    assert from_base64url(signed.partition(".")[2]) == payload
    with pytest.raises(BadSignature):
        verify_compact(text, key, typ="JWT")


def test_the_published_thumbprint_of_ed25519() -> None:
    """RFC 8037, appendix A.3: the canonical form and its hash."""
    key = DeviceKey.parse(RFC_8037_A2_KEY)
    assert key.to_json() == RFC_8037_A3_CANONICAL
    assert key.thumbprint == RFC_8037_A3_THUMBPRINT


def test_the_published_private_key_is_refused() -> None:
    """RFC 8037, appendix A.1."""
    with pytest.raises(InvalidInput) as caught:
        DeviceKey.parse({**RFC_8037_A2_KEY, "d": RFC_8037_A1_PRIVATE})
    assert [mistake.pointer for mistake in caught.value.mistakes] == ["/d"]
    assert "private part" in str(caught.value)
    assert RFC_8037_A1_PRIVATE not in str(caught.value)


def test_the_published_proof_enrols_its_key() -> None:
    """RFC 9449, figure 2, with the thumbprint that section 6.1 prints (RFC 7638)."""
    key, proof = verify_enrolment(
        RFC_9449_PROOF, method="POST", url="https://server.example.com/token", body=b"", now_s=1562262616
    )
    assert proof == Proof("-BwC3ESc6acc2lTc", 1562262616)
    assert key.algorithm is Algorithm.ES256
    assert key.thumbprint == RFC_9449_THUMBPRINT


def test_a_thumbprint_has_the_shape_of_rfc_7638() -> None:
    """Its own example is an RSA key, which is refused here; ours have the same 43 characters of base64url."""
    shape = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    for jwk in (RFC_7515_A3_KEY, RFC_8037_A2_KEY):
        thumbprint = DeviceKey.parse(jwk).thumbprint
        assert len(thumbprint) == len(shape)
        assert base64url(from_base64url(thumbprint)) == thumbprint
