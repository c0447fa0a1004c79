"""Whatever a payee is called: TwiML stays XML, an NCCO and a template stay JSON, and only a person hears the code."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from functools import cache

from hypothesis import example, given
from hypothesis import strategies as st

from sca_service.delivery.channels.kinds import make_reader
from sca_service.delivery.channels.rcs.business_messaging import wire as rcs
from sca_service.delivery.channels.voice.keys import sentence
from sca_service.delivery.channels.voice.twilio_calls.wire import HANG_UP
from sca_service.delivery.channels.whatsapp.cloud import wire as whatsapp
from sca_service.delivery.channels.whatsapp.cloud.settings import Button, Template
from sca_service.delivery.supplier import Message, Word, WordReader
from sca_service.kernel.secret import Secret
from sca_service.policy.template import Placeholder
from tests.adapters import DELIVERY
from tests.unit.delivery.channels.examples import TWILIO, VONAGE, WHATSAPP, Example

CODE = "2, 7, 1, 8, 2, 8"
NAMES = st.text(st.characters(exclude_categories=()), max_size=80) | st.lists(
    st.sampled_from(
        [
            "</Say>",
            "<Hangup/>",
            "<speak>",
            "]]>",
            "&amp;",
            "&#0;",
            '"',
            "'",
            "\\",
            "\0",
            "\ud800",
            "\ufffe",
            "{code}",
        ]
    ),
    max_size=8,
).map("".join)
LOCALES = st.sampled_from(["de-DE", "en", "fr", "hi-IN", "tlh", ""])


@cache
def reader(kind: Example) -> WordReader:
    """The reader of an example's call-backs, which also says what is to be said."""
    made = make_reader(kind.context())
    assert made
    return made


def message(kind: Example, payee: str, locale: str) -> Message:
    """A payment's message to a payee of this name."""
    return replace(
        kind.message(),
        text=Secret(f"Sie zahlen 49,99 € an {payee}. Ihr Code ist: {CODE}."),
        locale=locale,
        values={**kind.message().values, Placeholder.PAYEE: Secret(payee)},
    )


def in_xml(text: str) -> str:
    """A text as XML 1.0 can hold it and as a parser gives it back."""
    allowed = re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", " ", text)
    return allowed.replace("\r\n", "\n").replace("\r", "\n")


@given(NAMES, LOCALES)
@example("</Say></Gather><Say>0, 0, 0</Say>", "de")
def test_twiml_says_the_text_and_nothing_else(payee: str, locale: str) -> None:
    """The whole text lies in the one `Say`; a machine's answer and the question before a key hold no code."""
    told = message(TWILIO, payee, locale)
    said = reader(TWILIO).answer(Word(again=DELIVERY, note="1"), told).body
    root = ET.fromstring(said)  # noqa: S314 - what we wrote
    assert [verb.tag for verb in root.iter()] == ["Response", "Gather", "Say", "Hangup"]
    say = root[0][0]
    assert say.text == in_xml(f"{told.text.reveal()} {sentence(locale)}")
    say.text = ""
    assert CODE not in ET.tostring(root, "unicode")
    for quiet in (
        reader(TWILIO).answer(Word(again=DELIVERY, note="0"), told).body,
        reader(TWILIO).answer(Word(), told).body,
        HANG_UP,
    ):
        ET.fromstring(quiet)  # noqa: S314 - what we wrote
        assert CODE.encode() not in quiet


@given(NAMES, LOCALES)
@example("</speak><speak>", "de")
def test_an_ncco_says_the_text_and_nothing_else(payee: str, locale: str) -> None:
    """It is JSON of two actions; its text is SSML of one element, whose text is the whole message."""
    told = message(VONAGE, payee, locale)
    talk, keys = json.loads(reader(VONAGE).answer(Word(again=DELIVERY, note="2"), told).body)
    speak = ET.fromstring(talk.pop("text"))  # noqa: S314 - what we wrote
    assert (speak.tag, list(speak)) == ("speak", [])
    assert speak.text == in_xml(f"{told.text.reveal()} {sentence(locale)}")
    assert CODE not in json.dumps([talk, keys])
    assert reader(VONAGE).answer(Word(), told).body == b""


@given(NAMES.map(lambda name: name.encode(errors="replace").decode()), LOCALES)
def test_a_template_s_parameters_stay_in_their_places(payee: str, locale: str) -> None:
    """Amount, payee and code, each one line, whatever stands in them."""
    template = Template(
        name="payment",
        parameters=(Placeholder.AMOUNT, Placeholder.PAYEE, Placeholder.CODE),
        button=Button.DECLINE,
    )
    filled = json.loads(whatsapp.body(message(WHATSAPP, payee, locale), template))
    body, button = filled["template"]["components"]
    assert [one["text"] for one in body["parameters"]] == ["49,99 €", " ".join(payee.split()), "271828"]
    assert button["parameters"] == [{"type": "payload", "payload": f"not-me {DELIVERY}"}]


@given(NAMES.map(lambda name: name.encode(errors="replace").decode()), LOCALES)
def test_an_rcs_message_is_its_text(payee: str, locale: str) -> None:
    """And its button declines this delivery, in at most 25 characters."""
    sent = json.loads(rcs.body(payee, asks=True, expires_at_ms=1, decline=DELIVERY, locale=locale))
    content = sent["contentMessage"]
    assert content["text"] == payee
    (suggestion,) = content["suggestions"]
    assert suggestion["reply"]["postbackData"] == f"not-me {DELIVERY}"
    assert len(suggestion["reply"]["text"]) <= 25
