"""A QR code as somebody else's reader sees it (zxing-cpp): from the SVG to its text."""

import re
from xml.etree import ElementTree

import zxingcpp

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
