"""The QR code of an enrolment, read by somebody else's reader."""

import re
from xml.etree import ElementTree

import pytest
import zxingcpp

from sca_service.authenticators.model import OtpShape
from sca_service.authenticators.otp import enrolment_uri
from sca_service.authenticators.qr import qr_svg
from sca_service.kernel.secret import Secret

SVG = "{http://www.w3.org/2000/svg}"
PIXELS = 4


def modules_of(svg: str) -> list[list[bool]]:
    """Which modules are dark, from the strokes of the picture: M and m move, h draws one module high."""
    picture = ElementTree.fromstring(svg)  # noqa: S314 - our own picture
    assert picture.tag == f"{SVG}svg"
    size = int(picture.attrib["width"]) // 6
    (strokes,) = [path.attrib["d"] for path in picture.iter(f"{SVG}path") if "stroke" in path.attrib]
    dark = [[False] * size for _ in range(size)]
    x, y = 0.0, 0.0
    for command, numbers in re.findall(r"([Mmh])([-0-9. ]+)", strokes):
        first, *rest = map(float, numbers.split())
        if command == "h":
            for column in range(int(x), int(x + first)):
                dark[int(y)][column] = True
            x += first
        else:
            x, y = (first, rest[0]) if command == "M" else (x + first, y + rest[0])
    return dark


def read(svg: str) -> str:
    """What a reader sees in the picture."""
    modules = modules_of(svg)
    rows = (bytes(0 if dark else 255 for dark in row for _ in range(PIXELS)) for row in modules)
    pixels = b"".join(row * PIXELS for row in rows)
    side = len(modules) * PIXELS
    (found,) = zxingcpp.read_barcodes(memoryview(pixels).cast("B", (side, side)))
    assert found.valid
    return str(found.text)


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
