"""The QR code of an enrolment: what the payer's generator reads off the bank's page (ISO/IEC 18004)."""

import io

import segno

from sca_service.kernel.secret import Secret

_PIXELS_PER_MODULE = 6
_QUIET_MODULES = 4  # ISO/IEC 18004 section 6.3.8


def qr_svg(content: Secret[str]) -> Secret[str]:
    """An SVG that a page may show as it is or as an image: black on white, with the quiet zone around it.

    It holds the content, so it is as secret as that. Raises ValueError for more than a QR code can hold.
    """
    code = segno.make_qr(content.reveal(), error="m", boost_error=False)
    written = io.BytesIO()
    code.save(
        written,
        kind="svg",
        scale=_PIXELS_PER_MODULE,
        border=_QUIET_MODULES,
        dark="#000",
        light="#fff",
        xmldecl=False,
        nl=False,
        svgclass=None,
        lineclass=None,
    )
    return Secret(written.getvalue().decode())
