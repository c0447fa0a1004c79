"""OAuth2 without a service: requests taken apart, assertions believed, access JWTs signed and read."""

import base64
import time
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from sca_service.api.oauth.access_jwt import AccessJwts, Grant
from sca_service.api.oauth.assertion import ASSERTION_TYPE, UnusableKeys, read_keys, verify_assertion
from sca_service.api.oauth.model import OAuthFault
from sca_service.api.oauth.request import read_request
from sca_service.challenges.authentication_code import AuthenticationCodeReader, public_keys
from sca_service.kernel.keyring import Keyring, create_keyring_text
from sca_service.policy.model import Purpose

ISSUER = "https://sca.example"
FORM = "application/x-www-form-urlencoded"
NOW = int(time.time())
KEYRING = Keyring.parse(create_keyring_text())
KEYS: dict[str, Any] = {
    "ES256": ECKey.generate_key("P-256", {"kid": "ec"}),
    "PS256": RSAKey.generate_key(2048, {"kid": "rsa"}),
    "Ed25519": OKPKey.generate_key("Ed25519", {"kid": "ed"}),
}
PUBLIC = KeySet(list(KEYS.values())).as_dict(private=False)


def basic(client: str, secret: str) -> str:
    """HTTP Basic."""
    return "Basic " + base64.b64encode(f"{client}:{secret}".encode()).decode()


def body(**fields: str) -> bytes:
    """A form for access."""
    return urlencode({"grant_type": "client_credentials", **fields}).encode()


def test_each_way_to_authenticate_is_read() -> None:
    """By Basic, with form-encoded parts; by an assertion, which names its client itself; by the certificate alone."""
    by_secret = read_request(FORM, basic("my-bank", "scs%5Fa%2Bb"), body(scope="audit challenges"))
    by_assertion = read_request(
        FORM + "; charset=utf-8",
        None,
        body(client_assertion_type=ASSERTION_TYPE, client_assertion=signed(claims())),
    )
    by_certificate = read_request(FORM, None, body(client_id="my-bank", scope=""))

    assert (by_secret.client, by_secret.scopes) == ("my-bank", ("audit", "challenges"))
    assert by_secret.secret is not None
    assert by_secret.secret.reveal() == "scs_a+b"
    assert (by_assertion.client, by_assertion.secret) == ("my-bank", None)
    assert (by_certificate.client, by_certificate.scopes) == ("my-bank", None)


@pytest.mark.parametrize(
    ("media_type", "authorization", "sent", "error"),
    [
        ("application/json", None, body(client_id="a"), "invalid_request"),
        (None, None, body(client_id="a"), "invalid_request"),
        (FORM, None, b"", "invalid_request"),
        (FORM, None, b"grant_type", "invalid_request"),
        (FORM, None, "grant_type=ä".encode(), "invalid_request"),
        (FORM, None, body(client_id="a") + b"&client_id=a", "invalid_request"),
        (FORM, None, body(**{f"f{at}": "x" for at in range(20)}), "invalid_request"),
        (FORM, None, body(x="y" * 20_000), "invalid_request"),
        (FORM, None, b"client_id=a", "invalid_request"),
        (FORM, None, urlencode({"grant_type": "password"}).encode(), "unsupported_grant_type"),
        (FORM, None, body(client_id="a", client_secret="x"), "invalid_request"),
        (FORM, basic("a", "b"), body(client_assertion="x.y.z"), "invalid_request"),
        (FORM, None, body(client_assertion="x.y.z"), "invalid_request"),
        (FORM, None, body(client_assertion="x.y.z", client_assertion_type=ASSERTION_TYPE), "invalid_client"),
        (FORM, None, body(), "invalid_client"),
        (FORM, "Basic !", body(), "invalid_client"),
        (FORM, "Basic YQ==", body(), "invalid_client"),
        (FORM, "Bearer YTpi", body(), "invalid_client"),
        (FORM, basic("a", "b"), body(client_id="other"), "invalid_client"),
        (FORM, basic("", "b"), body(), "invalid_client"),
    ],
)
def test_what_is_no_request_for_access_is_refused(
    media_type: str | None, authorization: str | None, sent: bytes, error: str
) -> None:
    """With the words of RFC 6749, section 5.2."""
    with pytest.raises(OAuthFault) as refused:
        read_request(media_type, authorization, sent)
    assert refused.value.error == error


def claims(**changed: Any) -> dict[str, Any]:
    """What a bank claims, and what is changed in it; None leaves a claim out."""
    made = {
        "iss": "my-bank",
        "sub": "my-bank",
        "aud": ISSUER,
        "exp": NOW + 60,
        "iat": NOW,
        "jti": "0123456789abcdef",
        **changed,
    }
    return {name: value for name, value in made.items() if value is not None}


def signed(content: dict[str, Any], alg: str = "ES256", key: Any = None, **header: Any) -> str:
    """An assertion, as joserfc signs it."""
    return jwt.encode({"alg": alg, **header}, content, key or KEYS[alg], algorithms=[alg])


def believed(assertion: str) -> bool:
    """Whether it is taken for the bank's, by its registered keys."""
    keys = read_keys(msgspec.json.encode(PUBLIC))
    return verify_assertion(assertion, keys, client="my-bank", audiences=(ISSUER,), now_s=NOW) is not None


@pytest.mark.parametrize("alg", list(KEYS))
def test_an_assertion_of_a_registered_key_is_believed(alg: str) -> None:
    """With and without a `kid`, and by each algorithm."""
    assert believed(signed(claims(), alg))
    assert believed(signed(claims(), alg, kid=KEYS[alg].get("kid")))
    assert believed(signed(claims(aud=["https://other.example", ISSUER], iat=None), alg))


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "other"},
        {"sub": "other"},
        {"aud": "https://other.example"},
        {"aud": []},
        {"aud": None},
        {"exp": NOW - 10},
        {"exp": NOW + 400},
        {"exp": None},
        {"exp": "soon"},
        {"iat": NOW + 60},
        {"nbf": NOW + 60},
        {"jti": None},
        {"jti": "short"},
        {"jti": "x" * 300},
    ],
)
def test_an_assertion_that_claims_something_else_is_not(changed: dict[str, Any]) -> None:
    """For another, from another, too old, for too long, or one that could not be remembered."""
    assert believed(signed(claims()))
    assert not believed(signed(claims(**changed)))


def test_the_key_decides_about_the_algorithm() -> None:
    """No `none`, no HMAC with a public key, no algorithm that the key is not for, no key that is not registered."""
    public = msgspec.json.encode(KEYS["ES256"].as_dict(private=False))
    header, payload, _ = signed(claims()).split(".")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    forged = [
        signed(claims(), key=ECKey.generate_key("P-256")),
        signed(claims(), key=ECKey.generate_key("P-256"), kid="ec"),
        signed(claims(), kid="rsa"),
        signed(claims(), alg="HS256", key=OctKey.import_key(public)),
        jwt.encode({"alg": "RS256"}, claims(), KEYS["PS256"], algorithms=["RS256"]),
        signed(claims(), crit=["b64"], b64=True),
        f"{unsigned}.{payload}.",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        "",
        signed(claims(more="x" * 5000)),
    ]
    assert [believed(one) for one in forged] == [False] * len(forged)


@pytest.mark.parametrize(
    "content",
    [
        b"rubbish",
        b"[]",
        b'{"keys": []}',
        b'{"keys": {}}',
        msgspec.json.encode({"keys": [KEYS["ES256"].as_dict(private=True)]}),
        msgspec.json.encode({"keys": [OctKey.generate_key(256).as_dict()]}),
        msgspec.json.encode({"keys": [ECKey.generate_key("P-384").as_dict(private=False)]}),
        msgspec.json.encode({"keys": [{**KEYS["ES256"].as_dict(private=False), "use": "enc"}]}),
        msgspec.json.encode({"keys": [{**KEYS["ES256"].as_dict(private=False), "x": "AAAA"}]}),
        msgspec.json.encode({"keys": [KEYS["ES256"].as_dict(private=False)] * 17}),
    ],
    ids=["rubbish", "list", "none", "object", "private", "secret", "curve", "use", "point", "many"],
)
def test_keys_that_cannot_be_believed_are_refused(content: bytes) -> None:
    """No private or symmetric key, no weak one, and not too many."""
    with pytest.raises(UnusableKeys):
        read_keys(content)


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
def test_an_access_jwt_is_read_for_five_minutes() -> None:
    """And anybody with the published keys can read it (joserfc): type, claims and expiry are those of RFC 9068."""
    text = AccessJwts(KEYRING, ISSUER).sign(Grant("acc_1", "my-bank", ("audit",), "crd_1", "thumb"), NOW)
    read = jwt.decode(text, KeySet.import_key_set(public_keys(KEYRING)), algorithms=["EdDSA"])  # type: ignore[arg-type]
    jwts = AccessJwts(KEYRING, ISSUER)

    assert read.header["typ"] == "at+jwt"
    assert read.claims == {
        "iss": ISSUER, "aud": ISSUER, "sub": "my-bank", "client_id": "my-bank", "scope": "audit",
        "iat": NOW, "exp": NOW + 300, "jti": "acc_1", "credential": "crd_1", "cnf": {"x5t#S256": "thumb"},
    }  # fmt: skip
    for now, is_good in (
        (NOW - 60, False),
        (NOW, True),
        (NOW + 299, True),
        (NOW + 300, False),
        (NOW + 1, True),
    ):
        assert (jwts.read(text, now) is not None) is is_good


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
def test_nothing_else_is_taken_for_an_access_jwt() -> None:
    """Not another service's, another issuer's, one that was altered, nor what the same key signs for another use."""
    jwts = AccessJwts(KEYRING, ISSUER)
    good = jwts.sign(Grant("acc_1", "my-bank", ("audit",), "crd_1"), NOW)
    header, payload, signature = good.split(".")
    more = (
        base64.urlsafe_b64encode(base64.urlsafe_b64decode(payload + "==").replace(b'"audit"', b'"admin"'))
        .rstrip(b"=")
        .decode()
    )
    key = OKPKey.import_key(KEYRING.signing_keys[0])
    kid = public_keys(KEYRING)["keys"][0]["kid"]  # type: ignore[index]
    content = jwt.decode(good, key, algorithms=["EdDSA"]).claims
    others = [
        AccessJwts(Keyring.parse(create_keyring_text()), ISSUER).sign(
            Grant("acc_1", "my-bank", ("audit",), "crd_1"), NOW
        ),
        AccessJwts(KEYRING, "https://other.example").sign(
            Grant("acc_1", "my-bank", ("audit",), "crd_1"), NOW
        ),
        f"{header}.{more}.{signature}",
        f"{header}.{payload}.{signature[:-2]}",
        f"{header}.{payload}",
        jwt.encode({"alg": "EdDSA", "kid": kid, "typ": "JWT"}, content, key, algorithms=["EdDSA"]),
        jwt.encode({"alg": "EdDSA"}, content, key, algorithms=["EdDSA"]),
        "ä",
        "",
        good + "x" * 5000,
    ]
    assert jwts.read(good, NOW) is not None
    assert [jwts.read(one, NOW) for one in others] == [None] * len(others)
    reader = AuthenticationCodeReader(KEYRING, ISSUER)
    assert (
        reader.approval_of(good, client=ISSUER, psu_id="my-bank", purpose=Purpose.ENROLMENT, now_s=NOW)
        is None
    )
