"""What a voice says of the keys, in which language, and the URLs that count how often it said it."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from sca_service.delivery.channels.buttons import decline_label, declined_delivery
from sca_service.delivery.channels.voice.call_urls import CallStep, CallUrls, Step
from sca_service.delivery.channels.voice.keys import Key, greeting, sentence
from sca_service.delivery.channels.voice.languages import by_locale, spoken_language
from sca_service.kernel.errors import Unauthorized
from tests.adapters import DELIVERY, KEYRING, PUBLIC_URL

LOCALES = ("en", "de-AT", "fr_FR", "it", "es-MX", "hi-IN")
URLS = CallUrls(supplier="example", public_url=PUBLIC_URL, keyring=KEYRING)


def query_of(url: str) -> dict[str, str]:
    """The parameters of a URL."""
    return dict(parse_qsl(urlsplit(url).query))


@pytest.mark.parametrize("locale", LOCALES)
def test_every_language_names_both_keys(locale: str) -> None:
    """Whoever hears the sentence, or the question before it, knows what 1 and 9 do."""
    for text in (sentence(locale), greeting(locale)):
        assert Key.AGAIN in text
        assert Key.NOT_ME in text


def test_each_language_has_its_own_words() -> None:
    """No two are the same, and a language that is not there is told in English."""
    assert len({sentence(locale) for locale in LOCALES}) == len(LOCALES)
    assert sentence("tlh") == sentence("en") == sentence("")


@pytest.mark.parametrize(
    ("locale", "spoken"),
    [
        ("de", "de-DE"),
        ("de_CH", "de-DE"),
        ("en-US", "en-US"),
        ("en-ZA", "en-GB"),
        ("hi", "hi-IN"),
        ("fr-CA-x-private", "fr-CA"),
        ("pl-PL", "en-GB"),
        ("", "en-GB"),
    ],
)
def test_a_voice_speaks_a_language_that_suppliers_have(locale: str, spoken: str) -> None:
    """The nearest one, with the region that they want."""
    assert spoken_language(locale) == spoken


def test_a_table_by_locale_prefers_the_nearest() -> None:
    """The locale itself, then its language, then the default."""
    table = {"de": "one", "de-at": "two"}
    assert [by_locale(table, locale, "none") for locale in ("de-AT", "de-CH", "en")] == ["two", "one", "none"]


def test_a_url_says_what_it_was_made_for() -> None:
    """Delivery, step and count come back as they went out."""
    url = URLS.url(DELIVERY, Step.KEY, heard=2)
    assert url.startswith(f"{PUBLIC_URL}/receipts/example?")
    assert URLS.read(query_of(url)) == CallStep(DELIVERY, Step.KEY, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"heard": "0"},
        {"heard": "2 "},
        {"step": "taken"},
        {"delivery": DELIVERY[:-1] + "9"},
        {"mac": ""},
        {"mac": "0" * 32},
        {"mac": "é"},
        {"delivery": "\udc80"},
    ],
)
def test_a_url_that_was_changed_is_refused(change: dict[str, str]) -> None:
    """Nobody but us counts, or names another delivery."""
    query = query_of(URLS.url(DELIVERY, Step.KEY, heard=2))
    with pytest.raises(Unauthorized):
        URLS.read(query | change)
    with pytest.raises(Unauthorized):
        URLS.read({})


def test_a_url_of_one_supplier_is_not_another_one_s() -> None:
    """Each supplier's URLs have a key of their own."""
    other = CallUrls(supplier="other", public_url=PUBLIC_URL, keyring=KEYRING)
    with pytest.raises(Unauthorized):
        other.read(query_of(URLS.url(DELIVERY, Step.STATUS)))


def test_a_button_declines_the_delivery_it_stands_under() -> None:
    """What any other button sends back declines nothing; every label fits where it is shown."""
    assert declined_delivery(f"not-me {DELIVERY}") == DELIVERY
    assert declined_delivery(DELIVERY) == declined_delivery("") == ""
    assert all(0 < len(decline_label(locale)) <= 25 for locale in (*LOCALES, "tlh"))
