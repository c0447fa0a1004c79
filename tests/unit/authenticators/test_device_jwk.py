"""Device keys as JWKs: two kinds, one spelling each, and no point that an attacker would pick."""

import base64
import json
from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey

from sca_service.authenticators.device_key.jwk import (
    LONGEST_KID,
    MOST_JWK_BYTES,
    Algorithm,
    DeviceKey,
    from_base64url,
    json_object,
)
from sca_service.kernel.errors import InvalidInput

EC = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
"""RFC 7515, appendix A.3."""
OKP = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
"""RFC 8037, appendix A.2."""

P256_PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
P256_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P

SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
]
"""The eight points of Ed25519 whose order divides 8."""


def encoded(raw: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def number(value: int) -> str:
    """A coordinate of P-256."""
    return encoded(value.to_bytes(32, "big"))


def refused_at(jwk: bytes | Mapping[str, object]) -> str:
    """Where the key is at fault; the error does not show what was sent."""
    with pytest.raises(InvalidInput) as caught:
        DeviceKey.parse(jwk)
    (mistake,) = caught.value.mistakes
    if isinstance(jwk, Mapping):
        for value in jwk.values():
            assert not isinstance(value, str) or len(value) < 20 or value not in str(caught.value)
    return mistake.pointer


def root(value: int) -> int | None:
    """A square root modulo the prime of Ed25519, as RFC 8032, section 5.1.3, finds it."""
    candidate = pow(value, (P + 3) // 8, P)
    for square_root in (candidate, candidate * pow(2, (P - 1) // 4, P) % P):
        if square_root * square_root % P == value % P:
            return square_root
    return None


def x_of(y: int) -> int | None:
    """An x of Ed25519 for this y."""
    return root((y * y - 1) * pow(D * y * y + 1, -1, P) % P)


def doubled(point: tuple[int, int]) -> tuple[int, int]:
    """Twice a point of Ed25519."""
    x, y = point
    product = D * x * x * y * y % P
    return 2 * x * y * pow(1 + product, -1, P) % P, (y * y + x * x) * pow(1 - product, -1, P) % P


@pytest.mark.parametrize(("jwk", "algorithm"), [(EC, Algorithm.ES256), (OKP, Algorithm.EDDSA)])
def test_the_two_kinds_are_read(jwk: dict[str, str], algorithm: Algorithm) -> None:
    """From JSON or parsed already, and what is stored reads back as the same key."""
    key = DeviceKey.parse(jwk)
    assert key.algorithm is algorithm
    assert DeviceKey.parse(json.dumps(jwk).encode()) == key
    assert key.to_json() == json.dumps(jwk, sort_keys=True, separators=(",", ":")).encode()
    assert DeviceKey.parse(key.to_json()) == key
    assert len({key, DeviceKey.parse(EC), DeviceKey.parse(OKP)}) == 2


@pytest.mark.parametrize("jwk", [EC, OKP])
def test_what_is_said_beside_the_key_does_not_change_it(jwk: dict[str, str]) -> None:
    """Order, `alg`, `use`, `key_ops`, `kid` and `ext` make no other key: one thumbprint, one authenticator."""
    key = DeviceKey.parse(jwk)
    alg = "ES256" if jwk is EC else "EdDSA"
    beside = {"alg": alg, "use": "sig", "key_ops": ["verify"], "kid": "k" * LONGEST_KID, "ext": True}
    again = DeviceKey.parse({**beside, **dict(reversed(jwk.items()))})
    assert again == key
    assert again.to_json() == key.to_json()
    assert again.thumbprint == key.thumbprint


@pytest.mark.parametrize("kind", ["EC", "OKP"])
def test_keys_that_a_peer_makes_are_read_and_named_alike(kind: str) -> None:
    """joserfc's keys parse, and its RFC 7638 thumbprint is ours."""
    for _ in range(20):
        made = ECKey.generate_key("P-256") if kind == "EC" else OKPKey.generate_key("Ed25519")
        key = DeviceKey.parse(dict(made.as_dict(private=False)))
        assert key.thumbprint == made.thumbprint()


@pytest.mark.parametrize(
    ("jwk", "pointer"),
    [
        ({**EC, "d": number(1)}, "/d"),
        ({**OKP, "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}, "/d"),
        ({**EC, "d": None}, "/d"),
        ({"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ"}, "/kty"),
        ({"kty": "RSA", "n": "AQAB" * 86, "e": "AQAB"}, "/kty"),
        ({**EC, "kty": "ec"}, "/kty"),
        ({**EC, "kty": ["EC"]}, "/kty"),
        ({name: value for name, value in EC.items() if name != "kty"}, "/kty"),
        ({**EC, "kty": "OKP"}, "/crv"),
        ({**EC, "crv": "P-384"}, "/crv"),
        ({**EC, "crv": "secp256k1"}, "/crv"),
        ({**OKP, "crv": "X25519"}, "/crv"),
        ({**OKP, "crv": "Ed448"}, "/crv"),
        ({"kty": "EC", "x": EC["x"], "y": EC["y"]}, "/crv"),
        ({**OKP, "y": EC["y"]}, "/y"),
        ({**EC, "k": "AAAA"}, "/k"),
        ({**EC, "x5c": ["AAAA"]}, "/x5c"),
        ({**EC, "a~b/c": 1}, "/a~0b~1c"),
        ({**EC, "\ud800" * 3: 1}, ""),
        ({**EC, "é": 1}, "/?"),
        ({**OKP, "x": encoded(from_base64url(OKP["x"]) + b"\0")}, "/x"),
        ({**EC, "alg": "EdDSA"}, "/alg"),
        ({**EC, "alg": "none"}, "/alg"),
        ({**EC, "alg": None}, "/alg"),
        ({**EC, "alg": "es256"}, "/alg"),
        ({**OKP, "alg": "ES256"}, "/alg"),
        ({**OKP, "alg": "HS256"}, "/alg"),
        ({**EC, "use": "enc"}, "/use"),
        ({**EC, "use": None}, "/use"),
        ({**EC, "key_ops": []}, "/key_ops"),
        ({**EC, "key_ops": ["sign"]}, "/key_ops"),
        ({**EC, "key_ops": ["verify", "sign"]}, "/key_ops"),
        ({**EC, "key_ops": "verify"}, "/key_ops"),
        ({**EC, "kid": "k" * (LONGEST_KID + 1)}, "/kid"),
        ({**EC, "kid": 7}, "/kid"),
        ({**EC, "ext": "true"}, "/ext"),
        ({**EC, "x": EC["x"] + "="}, "/x"),
        ({**EC, "y": EC["y"][:-1]}, "/y"),
        ({**EC, "y": EC["y"][:-1] + "1"}, "/y"),
        ({**EC, "y": "+" + EC["y"][1:]}, "/y"),
        ({**EC, "x": " " + EC["x"]}, "/x"),
        ({**EC, "x": "é" + EC["x"][1:]}, "/x"),
        ({**EC, "x": encoded(b"\0" + from_base64url(EC["x"]))}, "/x"),
        ({**EC, "x": encoded(from_base64url(EC["x"])[1:])}, "/x"),
        ({**EC, "x": 7}, "/x"),
        ({**EC, "y": None}, "/y"),
        ({"kty": "EC", "crv": "P-256", "x": EC["x"]}, "/y"),
        ({**OKP, "x": OKP["x"][:-1] + "p"}, "/x"),
        ({**OKP, "x": ""}, "/x"),
        ({**EC, "y": EC["x"], "x": EC["y"]}, "/x"),
        ({**EC, "x": number(0), "y": number(0)}, "/x"),
        ({}, "/kty"),
        ({**EC, "kid": object()}, ""),
    ],
)
def test_every_other_key_is_refused_where_it_is_wrong(jwk: dict[str, object], pointer: str) -> None:
    """Another kind, a private part, another purpose, another spelling, a point off the curve."""
    assert refused_at(jwk) == pointer


@pytest.mark.parametrize(
    "jwk",
    [
        *(b"", b"{", b"[]", b"null", b'"EC"', b"\xff{}", b"\xef\xbb\xbf{}", b'{"kty":NaN}'),
        json.dumps(EC).encode("utf-16"),
        json.dumps(EC)[:-1].encode() + b',"kty":"EC"}',
        json.dumps(EC)[:-1].encode() + b',"key_ops":[{"a":1,"a":1}]}',
        json.dumps(EC).encode() + b" {}",
        b"[" * MOST_JWK_BYTES,
        b'{"a":' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_json_object_is_refused(jwk: bytes) -> None:
    """No JSON, no object, not UTF-8, a member twice."""
    assert refused_at(jwk) == ""


def test_nesting_beyond_the_interpreter_is_no_crash() -> None:
    """A JSON text of nothing but brackets is a ValueError like any other."""
    with pytest.raises(ValueError, match="nested"):
        json_object(b"[" * 100_000)


def test_a_key_has_at_most_one_kibibyte() -> None:
    """Counted as sent, spaces too."""
    raw = json.dumps(EC).encode()
    assert DeviceKey.parse(raw + b" " * (MOST_JWK_BYTES - len(raw))) == DeviceKey.parse(EC)
    assert refused_at(raw + b" " * (MOST_JWK_BYTES + 1 - len(raw))) == ""


def test_a_coordinate_has_one_spelling() -> None:
    """A point whose x, and one whose y, is written above the prime is refused, though it is the same point."""
    above = 0
    for x in range(1, 40):
        square = (x**3 - 3 * x + P256_B) % P256_PRIME
        y = pow(square, (P256_PRIME + 1) // 4, P256_PRIME)
        if y * y % P256_PRIME == square:
            assert DeviceKey.parse({**EC, "x": number(x), "y": number(y)}).algorithm is Algorithm.ES256
            assert refused_at({**EC, "x": number(x + P256_PRIME), "y": number(y)}) == "/x"
            above += 1
    assert above > 5


def test_a_point_of_the_curves_twist_is_refused() -> None:
    """For an x that no point has, every y is refused."""
    for x in range(1, 40):
        square = (x**3 - 3 * x + P256_B) % P256_PRIME
        if pow(square, (P256_PRIME - 1) // 2, P256_PRIME) != 1:
            assert refused_at({**EC, "x": number(x), "y": number(pow(square, 2, P256_PRIME))}) == "/x"


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_points_of_small_order_are_refused(point: str) -> None:
    """Eight times each is nothing, by the curve's own addition; under such a key anything could be signed."""
    raw = bytes.fromhex(point)
    y = int.from_bytes(raw, "little") & (1 << 255) - 1
    x = x_of(y)
    assert x is not None
    assert doubled(doubled(doubled((x, y)))) == (0, 1)
    assert refused_at({**OKP, "x": encoded(raw)}) == "/x"


@pytest.mark.parametrize("sign", [0, 1 << 255])
def test_ed25519_points_have_one_spelling(sign: int) -> None:
    """A y from the prime up is another spelling of a small one, and x = 0 has no sign."""
    for y in [*range(P, 2**255), 1, P - 1]:
        assert refused_at({**OKP, "x": encoded((y | sign).to_bytes(32, "little"))}) == "/x"


def test_ed25519_points_are_on_the_curve() -> None:
    """Half of all 32 bytes are no point; RFC 8032's own way to find x says which."""
    found = {True: 0, False: 0}
    for y in range(2, 100):
        raw = {**OKP, "x": encoded(y.to_bytes(32, "little"))}
        is_point = x_of(y) is not None
        found[is_point] += 1
        if is_point:
            assert DeviceKey.parse(raw).algorithm is Algorithm.EDDSA
        else:
            assert refused_at(raw) == "/x"
    assert min(found.values()) > 20


@given(st.binary(max_size=80))
def test_base64url_has_one_spelling(raw: bytes) -> None:
    """What is encoded reads back; with padding, another alphabet or foreign characters it does not."""
    text = encoded(raw)
    assert from_base64url(text) == raw
    for other in (text + "=", text + "\n", text + "!", " " + text):
        with pytest.raises(ValueError, match=r"."):
            from_base64url(other)


@given(
    st.one_of(
        st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))
    )
)
def test_any_bytes_are_a_key_or_invalid_input(raw: bytes) -> None:
    """Nothing else is raised."""
    with pytest.raises(InvalidInput):
        DeviceKey.parse(raw)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.sampled_from([EC, OKP]), st.sampled_from(["kty", "crv", "x", "y", "alg", "use", "kid", "d"]), _VALUES
)
def test_any_member_is_right_or_invalid_input(jwk: dict[str, str], name: str, value: object) -> None:
    """A key with one member exchanged parses, or raises InvalidInput."""
    try:
        key = DeviceKey.parse({**jwk, name: value})
    except InvalidInput:
        return
    assert key == DeviceKey.parse(jwk)


@given(st.integers(1, 2**200))
def test_every_key_of_p256_is_read(private: int) -> None:
    """Leading zeros of a coordinate are kept."""
    point = ec.derive_private_key(private, ec.SECP256R1()).public_key().public_numbers()
    key = DeviceKey.parse({**EC, "x": number(point.x), "y": number(point.y)})
    assert isinstance(key.public, ec.EllipticCurvePublicKey)
    assert key.public.public_numbers() == point
