"""The QR code of an enrolment, read by somebody else's reader."""

from xml.etree import ElementTree

import pytest

from sca_service.authenticators.model import OtpShape
from sca_service.authenticators.otp import enrolment_uri
from sca_service.authenticators.qr import qr_svg
from sca_service.kernel.secret import Secret
from tests.qr import SVG, modules_of, read


@pytest.mark.parametrize("account", ["Anna", "Zoë & Söhne/№1", "x" * 64])
def test_a_reader_finds_the_uri(account: str) -> None:
    """The same text, whatever the label, with the quiet zone that a reader needs."""
    uri = enrolment_uri(
        OtpShape(digits=6, period_seconds=30),
        Secret(bytes(range(20))),
        issuer="Example Bank",
        account=account,
    )
    svg = qr_svg(uri).reveal()
    assert read(svg) == uri.reveal()
    assert not any(any(row) for row in modules_of(svg)[:4])


def test_the_picture_runs_nothing_and_tells_nothing_in_its_text() -> None:
    """No script, no style, no link: it passes a strict Content-Security-Policy; the seed is in the modules only."""
    svg = qr_svg(Secret("otpauth://totp/x?secret=GEZDGNBVGY3TQOJQ")).reveal()
    picture = ElementTree.fromstring(svg)  # noqa: S314 - our own picture
    assert {one.tag for one in picture.iter()} <= {f"{SVG}svg", f"{SVG}g", f"{SVG}path"}
    assert "GEZDGNBVGY3TQOJQ" not in svg
    assert "style" not in svg and "href" not in svg


def test_more_than_a_code_holds_is_refused() -> None:
    """An error instead of a picture that no reader can read."""
    with pytest.raises(ValueError, match="too large"):
        qr_svg(Secret("x" * 4000))
