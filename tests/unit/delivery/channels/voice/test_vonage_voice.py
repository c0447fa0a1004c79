"""Vonage Voice: nothing is said before it is known who took the call, and only Vonage is believed."""

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from sca_service.delivery.channels.kinds import make_reader, make_supplier
from sca_service.delivery.channels.rsa_jwt import RsaJwtSigner
from sca_service.delivery.channels.voice.call_urls import MOST_TIMES, CallUrls, Step
from sca_service.delivery.channels.voice.keys import sentence
from sca_service.delivery.channels.voice.vonage_voice.wire import price
from sca_service.delivery.http_client import HttpClient
from sca_service.delivery.supplier import CallBack, ReceiptStatus, Word, WordReader
from sca_service.kernel.errors import ConfigurationError, InvalidInput, Unauthorized
from sca_service.kernel.money import Price
from sca_service.kernel.secret import Secret
from tests.adapters import DELIVERY, KEYRING, NOW_MS, NUMBER, PUBLIC_URL
from tests.rude_server import RudeServer
from tests.unit.delivery.channels.examples import (
    APPLICATION,
    KEY,
    SPOKEN,
    VONAGE,
    call_back,
    private_key,
    private_pem,
)

URLS = CallUrls(supplier="example-vonage-voice", public_url=PUBLIC_URL, keyring=KEYRING)
NOW = NOW_MS // 1000


def reader() -> WordReader:
    """The reader of the example's call-backs."""
    made = make_reader(VONAGE.context())
    assert made
    return made


def encoded(part: bytes | dict[str, Any]) -> str:
    """A part of a JWT."""
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def authorization(body: bytes, *, key: str = KEY, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """The header that Vonage signs a body with, put together by hand."""
    whole = {
        "iss": "Vonage",
        "iat": NOW,
        "jti": "1",
        "application_id": APPLICATION,
        "payload_hash": hashlib.sha256(body).hexdigest(),
    } | claims
    text = f"{encoded(header or {'typ': 'JWT', 'alg': 'HS256'})}.{encoded(whole)}"
    digest = "sha512" if header else "sha256"
    return f"Bearer {text}.{encoded(hmac.digest(key.encode(), text.encode(), digest))}"


def signed(url: str, event: dict[str, Any]) -> CallBack:
    """A call-back as Vonage makes it."""
    body = json.dumps(event).encode()
    return call_back(url, body, {"authorization": authorization(body)})


def told(step: Step, event: dict[str, Any], *, heard: int = 0) -> Word:
    """What a call-back of a step tells."""
    return reader().read(signed(URLS.url(DELIVERY, step, heard=heard), event))


def pressed(digits: str | None, *, heard: int = 1) -> Word:
    """What a key tells."""
    return told(Step.KEY, {"dtmf": {"digits": digits, "timed_out": not digits}}, heard=heard)


def spoken(body: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two actions of an NCCO."""
    talk, heard = json.loads(body)
    return talk, heard


async def test_a_call_says_its_message_once_a_person_took_it() -> None:
    """Detection is synchronous and hangs up: Vonage executes the NCCO only for a person."""
    http = HttpClient()
    async with RudeServer() as server:
        server.answer_by(VONAGE.accept)
        await make_supplier(VONAGE.context(server.url, http=http)).send(VONAGE.message())
        request = server.requests[0]
    await http.close()
    call = request.json()
    assert call["to"] == [{"type": "phone", "number": NUMBER.removeprefix("+")}]
    assert call["from"] == {"type": "phone", "number": "491713920009"}
    assert call["advanced_machine_detection"] == {"behavior": "hangup", "mode": "detect"}
    assert URLS.read(call_back(call["event_url"][0]).query).step is Step.STATUS
    talk, heard = call["ncco"]
    assert talk["action"] == "talk"
    assert talk["text"] == f"<speak>{SPOKEN.replace('&', '&amp;')} {sentence('de')}</speak>"
    assert (talk["language"], talk["bargeIn"]) == ("de-DE", True)
    assert (heard["action"], heard["type"], heard["dtmf"]["maxDigits"]) == ("input", ["dtmf"], 1)
    assert URLS.read(call_back(heard["eventUrl"][0]).query).heard == 1


async def test_the_application_is_known_by_its_key() -> None:
    """A JWT in RS256 of a minute, each with an id of its own."""
    http = HttpClient()
    async with RudeServer() as server:
        server.answer_by(VONAGE.accept)
        supplier = make_supplier(VONAGE.context(server.url, http=http))
        await supplier.send(VONAGE.message())
        await supplier.send(VONAGE.message())
        sent = [request.headers["authorization"].removeprefix("Bearer ") for request in server.requests]
    await http.close()
    public = RSAKey.import_key(private_key().public_key())
    first, second = (jwt.decode(one, public, algorithms=["RS256"]).claims for one in sent)
    assert (first["application_id"], first["iat"], first["exp"]) == (APPLICATION, NOW, NOW + 60)
    assert first["jti"] != second["jti"]


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        ("human", [ReceiptStatus.ANSWERED]),
        ("machine", [ReceiptStatus.NO_ANSWER]),
        ("busy", [ReceiptStatus.NO_ANSWER]),
        ("timeout", [ReceiptStatus.NO_ANSWER]),
        ("unanswered", [ReceiptStatus.NO_ANSWER]),
        ("rejected", [ReceiptStatus.NO_ANSWER]),
        ("completed", [ReceiptStatus.NO_ANSWER]),
        ("failed", [ReceiptStatus.UNDELIVERED]),
        ("cancelled", [ReceiptStatus.UNDELIVERED]),
        ("answered", []),
        ("ringing", []),
        ("a word of next year", []),
    ],
)
def test_a_call_s_states_are_receipts(status: str, meaning: list[ReceiptStatus]) -> None:
    """Answered is who turned out to be a person; nothing is said back, or it would replace what is being said."""
    word = told(Step.STATUS, {"status": status, "timestamp": "2023-11-14T22:13:20.000Z"})
    assert [one.status for one in word.receipts] == meaning
    assert all((one.delivery_id, one.at_ms) == (DELIVERY, NOW_MS) for one in word.receipts)
    assert reader().answer(word, None).body == b""


def test_what_a_call_cost_is_told_at_its_end() -> None:
    """In the currency of the section."""
    word = told(Step.STATUS, {"status": "completed", "price": "0.01270000", "duration": "40"})
    assert word.receipts[0].cost == Price("EUR", 12_700)


@pytest.mark.parametrize("text", [None, "", "-1", "1e3", "0,5", "1" * 7, "٣"])
def test_what_is_no_price_costs_nothing_known(text: str | None) -> None:
    """It is left out."""
    assert price(text, "EUR") is None


def test_one_says_it_again_but_not_for_ever() -> None:
    """Each time counts in the URL of the next key; after the third, the call ends."""
    heard = 1
    while (word := pressed("1", heard=heard)).again:
        talk, keys = spoken(reader().answer(word, VONAGE.message()).body)
        assert "2, 7, 1" in talk["text"]
        heard = URLS.read(call_back(keys["eventUrl"][0]).query).heard
    assert heard == MOST_TIMES
    assert reader().answer(word, VONAGE.message()).body == b""


def test_nine_declines() -> None:
    """The payer said no, and did answer."""
    word = pressed("9")
    assert word.declined == (DELIVERY,)
    assert [one.status for one in word.receipts] == [ReceiptStatus.ANSWERED]
    assert reader().answer(word, VONAGE.message()).body == b""


@pytest.mark.parametrize("digits", ["", "5", "91", None])
def test_any_other_key_means_nothing(digits: str | None) -> None:
    """Nor does none at all."""
    assert pressed(digits) == Word()


def test_a_message_whose_challenge_is_over_is_not_said_again() -> None:
    """The call ends instead."""
    assert reader().answer(pressed("1"), None).body == b""


def test_what_vonage_did_not_sign_is_refused() -> None:
    """No signature, another key's, another body's, another application's, an old one, none at all by its header."""
    url = URLS.url(DELIVERY, Step.KEY, heard=1)
    body = b'{"dtmf":{"digits":"9"}}'
    right = authorization(body)
    unsigned = f"Bearer {encoded({'alg': 'none'})}.{right.split('.')[1]}."
    headers: list[dict[str, str]] = [
        {},
        {"authorization": ""},
        {"authorization": "Bearer é"},
        {"authorization": right.replace("Bearer", "Basic")},
        {"authorization": unsigned},
        {"authorization": authorization(body, key="another key of a test, long enough")},
        {"authorization": authorization(b'{"dtmf":{"digits":"1"}}')},
        {"authorization": authorization(body, payload_hash=None)},
        {"authorization": authorization(body, payload_hash="é")},
        {"authorization": authorization(body, application_id="another")},
        {"authorization": authorization(body, iat=NOW - 90_000)},
        {"authorization": authorization(body, iat=NOW + 90_000)},
        {"authorization": authorization(body, iat="now")},
        {"authorization": authorization(body, header={"alg": "HS512"})},
    ]
    assert reader().read(call_back(url, body, {"authorization": right})).declined
    for wrong in headers:
        with pytest.raises(Unauthorized):
            reader().read(call_back(url, body, wrong))


def test_a_signed_body_belongs_to_its_url() -> None:
    """Vonage signs the body alone, so the URL proves itself: no call counts for another one."""
    call = signed(URLS.url(DELIVERY, Step.KEY, heard=3), {"dtmf": {"digits": "1"}})
    with pytest.raises(Unauthorized):
        reader().read(replace(call, query={**call.query, "heard": "0"}))


@pytest.mark.parametrize("body", [b"", b"[]", b'{"status": 1}', b"\xff", b"[" * 100_000])
def test_a_signed_body_that_is_no_event_is_a_mistake(body: bytes) -> None:
    """It is told so, whatever it is."""
    headers = {"authorization": authorization(body)}
    with pytest.raises(InvalidInput):
        reader().read(call_back(URLS.url(DELIVERY, Step.STATUS), body, headers))


@pytest.mark.parametrize(
    "wrong", ["nonsense", "", "-----BEGIN PRIVATE KEY-----\nMA==\n-----END PRIVATE KEY-----"]
)
def test_a_key_that_is_none_keeps_the_service_from_starting(wrong: str) -> None:
    """The mistake names the section, and quotes nothing."""
    with pytest.raises(ConfigurationError, match=r"suppliers\.toml:example") as raised:
        RsaJwtSigner(Secret(wrong), section="example")
    assert "BEGIN" not in str(raised.value)


def test_a_key_may_have_its_line_breaks_written_out() -> None:
    """As many environments have them; a public key is no private one."""
    assert RsaJwtSigner(Secret(private_pem().replace("\n", "\\n")), section="example").sign({"a": 1})
    public = RSAKey.import_key(private_key().public_key()).as_pem().decode()
    with pytest.raises(ConfigurationError):
        RsaJwtSigner(Secret(public), section="example")


def test_a_signature_secret_that_can_be_guessed_is_refused() -> None:
    """A short one would be found from a single call-back."""
    context = VONAGE.context()
    with pytest.raises(ConfigurationError, match="too short"):
        make_reader(replace(context, secrets={**context.secrets, "signature_secret": Secret("short")}))
