"""Twilio Calls: a machine hears no code, keys do what they say, and only Twilio is believed."""

import base64
import hmac
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlencode

import pytest

from sca_service.delivery.channels.kinds import make_reader, make_supplier
from sca_service.delivery.channels.voice.call_urls import MOST_TIMES, CallUrls, Step
from sca_service.delivery.channels.voice.keys import greeting, sentence
from sca_service.delivery.channels.voice.twilio_calls.wire import AnsweredBy
from sca_service.delivery.http_client import HttpClient
from sca_service.delivery.supplier import CallBack, CallBackAnswer, Message, ReceiptStatus, Word, WordReader
from sca_service.kernel.errors import InvalidInput, Unauthorized
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel
from sca_service.policy.supply import SenderKind, SenderRule
from tests.adapters import DELIVERY, KEYRING, NUMBER, PUBLIC_URL
from tests.rude_server import RudeServer
from tests.unit.delivery.channels.examples import KEY, SPOKEN, TWILIO, call_back

URLS = CallUrls(supplier="example-twilio-calls", public_url=PUBLIC_URL, keyring=KEYRING)
AT = "Tue, 14 Nov 2023 22:13:20 +0000"
AT_MS = 1_700_000_000_000
HANG_UP = ["Hangup"]


def reader() -> WordReader:
    """The reader of the example's call-backs."""
    made = make_reader(TWILIO.context())
    assert made
    return made


def signed(url: str, form: Mapping[str, str], *, as_url: str | None = None) -> CallBack:
    """A call-back as Twilio signs it; `as_url` is what it takes for the URL when it signs."""
    text = (as_url or url) + "".join(f"{name}{form[name]}" for name in sorted(form))
    made = base64.b64encode(hmac.digest(KEY.encode(), text.encode(), "sha1")).decode()
    headers = {"x-twilio-signature": made, "content-type": "application/x-www-form-urlencoded"}
    return call_back(url, urlencode(form).encode(), headers)


def told(step: Step, *, heard: int = 0, **fields: str) -> Word:
    """What a call-back of a step tells."""
    url = URLS.url(DELIVERY, step, heard=heard)
    return reader().read(signed(url, {"CallSid": "CA1", "Timestamp": AT, **fields}))


def statuses(word: Word) -> list[ReceiptStatus]:
    """The statuses of a word's receipts, which are all of the one delivery."""
    assert all((one.supplier, one.delivery_id) == ("example-twilio-calls", DELIVERY) for one in word.receipts)
    return [one.status for one in word.receipts]


def twiml(answer: CallBackAnswer) -> ET.Element:
    """An answer read as XML."""
    assert answer.content_type == "text/xml"
    return ET.fromstring(answer.body)  # noqa: S314 - what we wrote


def actions(word: Word, message: Message | None) -> list[str]:
    """The verbs of what Twilio is told to do."""
    return [verb.tag for verb in twiml(reader().answer(word, message))]


async def test_a_call_is_asked_for_without_its_words() -> None:
    """The form names who and whom, and where to ask what to say; no code and no payee."""
    http = HttpClient()
    async with RudeServer() as server:
        server.answer_by(TWILIO.accept)
        await make_supplier(TWILIO.context(server.url, http=http)).send(TWILIO.message())
        request = server.requests[0]
    await http.close()
    form = request.form()
    assert (form["To"], form["From"]) == (NUMBER, "+491713920009")
    assert form["MachineDetection"] == "Enable"
    assert "AsyncAmd" not in form
    assert form["StatusCallbackEvent"] == "completed"
    assert URLS.read(call_back(form["Url"]).query).step is Step.TAKEN
    assert URLS.read(call_back(form["StatusCallback"]).query).step is Step.STATUS
    assert "ACME" not in request.body.decode()
    assert request.headers["authorization"].startswith("Basic ")


async def test_a_registered_sender_and_an_api_key_are_used() -> None:
    """The number registered for the country calls, and the API key signs where there is one."""
    http = HttpClient()
    sender = SenderRule("DE", Channel.VOICE, "+4930123", SenderKind.LONG_NUMBER)
    async with RudeServer() as server:
        server.answer_by(TWILIO.accept)
        context = TWILIO.context(server.url, http=http)
        keys = {**context.secrets, "api_key_sid": Secret("SK1"), "api_key_secret": Secret("a key")}
        await make_supplier(replace(context, secrets=keys)).send(replace(TWILIO.message(), sender=sender))
        request = server.requests[0]
    await http.close()
    assert request.form()["From"] == "+4930123"
    assert request.headers["authorization"] == f"Basic {base64.b64encode(b'SK1:a key').decode()}"


def test_a_person_hears_the_message() -> None:
    """A person took the call: that is a receipt, and the message is said with the keys after it."""
    word = told(Step.TAKEN, AnsweredBy="human", CallStatus="in-progress")
    assert statuses(word) == [ReceiptStatus.ANSWERED]
    assert (word.again, word.receipts[0].at_ms) == (DELIVERY, AT_MS)
    root = twiml(reader().answer(word, TWILIO.message()))
    assert [verb.tag for verb in root] == ["Gather", "Hangup"]
    gather, say = root[0], root[0][0]
    assert say.text == f"{SPOKEN} {sentence('de')}"
    assert say.get("language") == "de-DE"
    assert (gather.get("numDigits"), gather.get("input"), gather.get("method")) == ("1", "dtmf", "POST")
    step = URLS.read(call_back(gather.get("action") or "").query)
    assert (step.delivery_id, step.step, step.heard) == (DELIVERY, Step.KEY, 1)


@pytest.mark.parametrize("taken_by", ["machine_start", "machine_end_beep", "machine_end_other", "fax"])
def test_a_machine_hears_nothing(taken_by: str) -> None:
    """It is hung up on, the message is not even asked for, and nobody answered."""
    word = told(Step.TAKEN, AnsweredBy=taken_by, CallStatus="in-progress")
    assert statuses(word) == [ReceiptStatus.NO_ANSWER]
    assert not word.again
    assert actions(word, TWILIO.message()) == HANG_UP
    assert statuses(told(Step.STATUS, CallStatus="completed", AnsweredBy=taken_by)) == [
        ReceiptStatus.NO_ANSWER
    ]


@pytest.mark.parametrize("answered_by", ["unknown", ""])
def test_who_may_be_a_machine_is_asked_for_a_key_first(answered_by: str) -> None:
    """Until a key is pressed nobody has answered, and no code is said."""
    word = told(Step.TAKEN, CallStatus="in-progress", AnsweredBy=answered_by)
    assert statuses(word) == []
    answer = reader().answer(word, TWILIO.message())
    assert b"2, 7, 1" not in answer.body
    assert b"ACME" not in answer.body
    gather = twiml(answer)[0]
    assert gather[0].text == greeting("de")
    step = URLS.read(call_back(gather.get("action") or "").query)
    pressed = told(Step.KEY, heard=step.heard, Digits="1")
    assert statuses(pressed) == [ReceiptStatus.ANSWERED]
    assert b"2, 7, 1" in reader().answer(pressed, TWILIO.message()).body


def test_one_says_it_again_but_not_for_ever() -> None:
    """Each time counts in the URL of the next key; after the third, the call ends."""
    heard = 1
    while (word := told(Step.KEY, heard=heard, Digits="1")).again:
        gather = twiml(reader().answer(word, TWILIO.message()))[0]
        heard = URLS.read(call_back(gather.get("action") or "").query).heard
    assert heard == MOST_TIMES == 3
    assert actions(word, TWILIO.message()) == HANG_UP


def test_nine_declines() -> None:
    """The payer said no: nothing more is said, and they did answer."""
    word = told(Step.KEY, heard=1, Digits="9")
    assert word.declined == (DELIVERY,)
    assert statuses(word) == [ReceiptStatus.ANSWERED]
    assert actions(word, TWILIO.message()) == HANG_UP


@pytest.mark.parametrize("digits", ["5", "", "*", "11", "99"])
def test_any_other_key_ends_the_call(digits: str) -> None:
    """It means nothing."""
    word = told(Step.KEY, heard=1, Digits=digits)
    assert word == Word()
    assert actions(word, None) == HANG_UP


@pytest.mark.parametrize(
    ("status", "answered_by", "meaning"),
    [
        ("completed", "human", [ReceiptStatus.ANSWERED]),
        ("completed", "unknown", [ReceiptStatus.NO_ANSWER]),
        ("completed", "", [ReceiptStatus.NO_ANSWER]),
        ("busy", "", [ReceiptStatus.NO_ANSWER]),
        ("no-answer", "", [ReceiptStatus.NO_ANSWER]),
        ("failed", "", [ReceiptStatus.UNDELIVERED]),
        ("canceled", "", [ReceiptStatus.UNDELIVERED]),
        ("ringing", "", []),
        ("in-progress", "human", []),
        ("a word of next year", "", []),
    ],
)
def test_how_a_call_ended_is_a_receipt(status: str, answered_by: str, meaning: list[ReceiptStatus]) -> None:
    """Only its last state settles a call."""
    word = told(Step.STATUS, CallStatus=status, AnsweredBy=answered_by)
    assert statuses(word) == meaning
    assert not word.again


def test_a_call_whose_challenge_is_over_is_hung_up_on() -> None:
    """There is no message any more."""
    assert actions(told(Step.TAKEN, AnsweredBy="human"), None) == HANG_UP


def test_a_repeated_call_back_says_the_same() -> None:
    """Twilio repeats what was not answered; reading it twice changes nothing."""
    assert told(Step.KEY, heard=1, Digits="9") == told(Step.KEY, heard=1, Digits="9")


def test_the_port_may_be_signed_or_not() -> None:
    """Twilio signs some URLs with their port and some without."""
    url = URLS.url(DELIVERY, Step.STATUS)
    form = {"CallStatus": "busy"}
    ported = url.replace("bank.example/", "bank.example:443/")
    assert statuses(reader().read(signed(url, form, as_url=ported))) == [ReceiptStatus.NO_ANSWER]


def test_what_twilio_did_not_sign_is_refused() -> None:
    """No signature, another key's, another form, another URL: nothing is read of it."""
    url = URLS.url(DELIVERY, Step.KEY, heard=1)
    good = signed(url, {"Digits": "9"})
    elsewhere = URLS.url(DELIVERY.replace("1", "2"), Step.KEY, heard=1)
    forged = [
        replace(good, headers={"content-type": good.headers["content-type"]}),
        replace(good, headers={**good.headers, "x-twilio-signature": "é"}),
        replace(good, body=b"Digits=1"),
        replace(good, body=good.body + b"&Digits=1"),
        replace(good, url=elsewhere, query=call_back(elsewhere).query),
    ]
    for call in forged:
        with pytest.raises(Unauthorized):
            reader().read(call)


def test_a_signed_url_that_we_did_not_make_is_refused() -> None:
    """Twilio's signature alone does not let somebody who owns the account name any delivery."""
    url = f"{PUBLIC_URL}/receipts/example-twilio-calls?delivery={DELIVERY}&step=key&heard=0&mac=0"
    with pytest.raises(Unauthorized):
        reader().read(signed(url, {"Digits": "1"}))


def test_a_form_with_too_many_fields_is_refused() -> None:
    """There is a limit to what is read before the signature is known."""
    body = "&".join(f"f{number}=1" for number in range(500)).encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    with pytest.raises(InvalidInput):
        reader().read(call_back(URLS.url(DELIVERY, Step.KEY), body, headers))


def test_a_configured_voice_speaks() -> None:
    """The section's voice of the payer's language."""
    context = TWILIO.context()
    options = {**context.rule.options, "voices": {"de": "Polly.Vicki"}}
    made = make_reader(replace(context, rule=replace(context.rule, options=options)))
    assert made
    say = twiml(made.answer(told(Step.TAKEN, AnsweredBy="human"), TWILIO.message()))[0][0]
    assert say.get("voice") == "Polly.Vicki"


def test_who_took_the_call_is_read_with_suspicion() -> None:
    """Only `human` is a person."""
    assert AnsweredBy.parse("human") is AnsweredBy.PERSON
    assert {AnsweredBy.parse(text) for text in ("", "unknown", "Human", "humanoid")} == {AnsweredBy.UNKNOWN}
