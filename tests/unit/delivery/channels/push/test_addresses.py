"""What may be registered as a device: keys that are keys, and push services that are on the list."""

from base64 import urlsafe_b64encode

import pytest

from sca_service.delivery.channels.push.addresses import (
    PUSH_SERVICES,
    apns_address,
    fcm_address,
    is_push_service,
    web_push_address,
)
from sca_service.delivery.channels.push.model import Address, WebPushAddress
from sca_service.kernel.errors import InvalidInput
from tests.devices import Browser

GOOD = "https://updates.push.services.mozilla.com/wpush/v2/abc-_123"


def encoded(raw: bytes) -> str:
    """Base64url as a browser writes it."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def parsed(**changes: str) -> WebPushAddress:
    """A browser's subscription with changes."""
    browser = Browser()
    members = {"endpoint": GOOD, "public_key": encoded(browser.public), "auth": encoded(browser.auth)}
    return web_push_address(**members | changes)


def pointers(error: InvalidInput) -> list[str]:
    """Where the mistakes are."""
    return [mistake.pointer for mistake in error.mistakes]


@pytest.mark.parametrize(
    "endpoint",
    [
        GOOD,
        "https://fcm.googleapis.com/fcm/send/abc:def",
        "https://fcm.googleapis.com:443/wp/abc",
        "https://wns2-par02p.notify.windows.com/w/?code=abc%3d",
        "https://web.push.apple.com/abc",
    ],
)
def test_the_browsers_push_services(endpoint: str) -> None:
    """Those of Chrome, Firefox, Edge and Safari are allowed without being configured."""
    assert is_push_service(endpoint, PUSH_SERVICES)


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "push",
        "http://fcm.googleapis.com/x",
        "https://169.254.169.254/latest/meta-data",
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://[::1]/x",
        "https://redis:6379/",
        "https://evil.example/x",
        "https://fcm.googleapis.com.evil.example/x",
        "https://evilfcm.googleapis.com/x",
        "https://notify.windows.com/x",
        "https://.notify.windows.com/x",
        "https://evilnotify.windows.com/x",
        "https://fcm.googleapis.com@evil.example/x",
        "https://evil.example@fcm.googleapis.com/x",
        "https://fcm.googleapis.com:8443/x",
        "https://fcm.googleapis.com:0443x/",
        "https://fcm.googleapis.com/x#y",
        "https://fcm.googleapis.com./x",
        "https://evil.example\\@fcm.googleapis.com/x",
        "https://fcm.googleapis.com\\.evil.example/x",
        "https://fcm.googleapis.com /x",
        "https://fcm.googleapis.com/x\r\nHost: evil.example",
        "https://fcm.googleapis.com/" + "x" * 2_048,
        "https://fcm。googleapis。com/x",
        "ftp://fcm.googleapis.com/x",
        "//fcm.googleapis.com/x",
    ],
)
def test_anything_else_is_no_push_service(endpoint: str) -> None:
    """A client cannot make us call an address of its choice, however it is written."""
    assert not is_push_service(endpoint, PUSH_SERVICES)
    with pytest.raises(InvalidInput) as refused:
        parsed(endpoint=endpoint)
    assert pointers(refused.value) == ["/endpoint"]


def test_a_loopback_address_must_be_listed() -> None:
    """Then it may have any port and do without TLS; another host of the same list may not."""
    listed = ("127.0.0.1", "push.example")
    assert is_push_service("http://127.0.0.1:8090/x", listed)
    assert not is_push_service("http://127.0.0.2:8090/x", listed)
    assert not is_push_service("http://push.example/x", listed)


@pytest.mark.parametrize(
    "key", ["", "AA", "!", "A" * 300, encoded(b"\4" + bytes(64)), encoded(b"\2" + bytes(32))]
)
def test_a_key_that_is_none(key: str) -> None:
    """Not base64url, of another length, or no point on the curve: an invalid one would give our key away."""
    with pytest.raises(InvalidInput) as refused:
        parsed(public_key=key)
    assert pointers(refused.value) == ["/keys/p256dh"]


def test_every_mistake_is_told_at_once() -> None:
    """And none of them quotes what was sent."""
    with pytest.raises(InvalidInput) as refused:
        parsed(endpoint="https://evil.example/x", public_key="evil", auth="evil")
    assert pointers(refused.value) == ["/endpoint", "/keys/p256dh", "/keys/auth"]
    assert "evil" not in str(refused.value)


def test_padding_makes_no_difference() -> None:
    """Some libraries write it."""
    browser = Browser()
    padded = urlsafe_b64encode(browser.auth).decode()
    assert padded.endswith("==")
    assert parsed(auth=padded).auth == browser.auth


def test_apps() -> None:
    """What Firebase and Apple give apps; hexadecimal has one spelling."""
    assert fcm_address("a" * 20 + ":APA91b-_x").registration.startswith("aaa")
    assert apns_address("AB" * 32).device == "ab" * 32


@pytest.mark.parametrize("registration", ["", "short", "a b" * 20, "a" * 5_000, "ä" * 30, "a" * 30 + "\n"])
def test_a_registration_that_is_none(registration: str) -> None:
    """It stands in a JSON member and nowhere else, but it is bounded all the same."""
    with pytest.raises(InvalidInput):
        fcm_address(registration)


@pytest.mark.parametrize(
    "device", ["", "ab" * 31, "abc" * 33, "zz" * 32, "../" * 30, "ab" * 200, "ab" * 32 + "\n"]
)
def test_a_device_that_is_none(device: str) -> None:
    """It stands in the path of a URL."""
    with pytest.raises(InvalidInput):
        apns_address(device)


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        (WebPushAddress(GOOD, b"", b""), "updates.push.services.mozilla.com …_123"),
        (fcm_address("a" * 30 + "wxyz"), "…wxyz"),
        (apns_address("ab" * 30 + "0123" + "4567"), "…4567"),
    ],
)
def test_what_may_be_shown(address: Address, masked: str) -> None:
    """Enough to tell one device from another, too little to write to it; `repr` shows nothing."""
    assert address.masked == masked
    assert address.named not in repr(address)
