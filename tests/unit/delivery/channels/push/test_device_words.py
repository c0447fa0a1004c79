"""What devices post back: believed with the MAC that came with the message, and no further than that."""

import json
from typing import Any

import pytest

from sca_service.delivery.channels.kinds import make_reader
from sca_service.delivery.channels.push.device_words import DeviceWords
from sca_service.delivery.supplier import CallBack, CallBackAnswer, Receipt, ReceiptStatus, Word
from sca_service.kernel.errors import InvalidInput, Unauthorized
from sca_service.kernel.keyring import Keyring, create_keyring_text
from tests.devices import DELIVERY, context_for

KEYRING = Keyring.parse(create_keyring_text())
OPTIONS: dict[str, dict[str, object]] = {
    "web-push": {"contact": "mailto:push@bank.example"},
    "fcm": {},
    "apns": {"team": "ABCDE12345", "key_id": "ABC123DEFG", "topic": "example.bank.app"},
}


def words(kind: str = "fcm") -> DeviceWords:
    """The reader of a supplier."""
    return DeviceWords(context_for(kind, OPTIONS[kind], {}, keyring=KEYRING))


def call(body: Any) -> CallBack:
    """A device's call with a body; its other parts do not matter."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return CallBack("POST", "https://sca.example/receipts/fcm", {}, {"content-type": "text/plain"}, raw)


@pytest.mark.parametrize("kind", OPTIONS)
def test_a_confirmation(kind: str) -> None:
    """Every kind's reader believes the MAC that its own messages carry, and gives its own name."""
    reader = make_reader(context_for(kind, OPTIONS[kind], {}, keyring=KEYRING))
    assert reader
    reply_to = words(kind).reply_to(DELIVERY)
    assert reply_to.url == f"https://sca.example/receipts/{kind}"
    word = reader.read(call({"delivery": DELIVERY, "mac": reply_to.mac}))
    assert word == Word((Receipt(kind, DELIVERY, ReceiptStatus.DELIVERED, 0),))
    assert reader.answer(word, None).body == CallBackAnswer().body == b""


def test_the_payer_says_no() -> None:
    """Whoever declines has received it."""
    mac = words().reply_to(DELIVERY).mac
    word = words().read(call({"delivery": DELIVERY, "mac": mac, "decision": "declined"}))
    assert word.declined == (DELIVERY,)
    assert [receipt.status for receipt in word.receipts] == [ReceiptStatus.DELIVERED]


@pytest.mark.parametrize(
    "mac",
    [
        "",
        "A" * 43,
        "ä",
        words().reply_to(DELIVERY + "0").mac,
        words("apns").reply_to(DELIVERY).mac,
        words().reply_to(DELIVERY).mac + "=",
        words().reply_to(DELIVERY).mac[:-1],
        words().reply_to(DELIVERY).mac.swapcase(),
    ],
    ids=[
        "none",
        "made up",
        "not ASCII",
        "another delivery's",
        "another supplier's",
        "longer",
        "shorter",
        "other case",
    ],
)
def test_a_forged_confirmation(mac: str) -> None:
    """Another delivery's, another supplier's, or any other MAC."""
    with pytest.raises(Unauthorized):
        words().read(call({"delivery": DELIVERY, "mac": mac}))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"{" * 100_000,
        {"delivery": DELIVERY},
        {"delivery": 1, "mac": "x"},
        {"delivery": DELIVERY, "mac": "x", "decision": "approved"},
        {"delivery": DELIVERY, "mac": "x", "more": 1},
        b'{"delivery": "\\ud800", "mac": "x"}',
    ],
)
def test_what_is_no_confirmation(body: Any) -> None:
    """Nothing is read from it; above all nobody can approve this way."""
    with pytest.raises((InvalidInput, Unauthorized)):
        words().read(call(body))
