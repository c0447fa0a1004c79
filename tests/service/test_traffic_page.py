"""The page on traffic over HTTP and in a browser: who may see it, and that it is read light, dark and on a phone."""

import re
import shutil
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from typing import Literal

import httpx
import pytest
from playwright.async_api import async_playwright

from tests.harness import Bank, Deployment, unique_psu
from tests.service.test_desk_browser import _LOW_CONTRAST
from tests.storeroom import eventually

_CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
_ARTEFACTS = Path(__file__).parents[2] / ".artefacts"
LOOKS: tuple[tuple[Literal["light", "dark"], int], ...] = (
    *(("light", 1280), ("light", 390)),
    *(("dark", 1280), ("dark", 390)),
)
"""Colour schemes and widths of screens."""


@pytest.fixture
async def operator_desk(service: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    """A browser without scripts in which the operator has signed in."""
    async with _at_desk(service, "operator") as http:
        yield http


def _at_desk(service: Deployment, client: str) -> httpx.AsyncClient:
    async def sign_in(request: httpx.Request) -> None:
        if http.cookies or request.url.path == "/desk/sign-in":
            return
        origin = {"Origin": service.api.url}
        await http.post("/desk/sign-in", data={"key": service.keys[client]}, headers=origin)
        request.headers["cookie"] = "; ".join(f"{name}={value}" for name, value in http.cookies.items())

    http = httpx.AsyncClient(
        base_url=service.api.url, trust_env=False, timeout=20, event_hooks={"request": [sign_in]}
    )
    return http


async def test_an_operator_is_led_to_the_traffic_and_to_nothing_else(
    operator_desk: httpx.AsyncClient,
) -> None:
    """The log's pages are for auditors; the desk's first page leads an operator on."""
    first = await operator_desk.get("/desk")
    assert (first.status_code, first.headers["location"]) == (303, "/desk/traffic")
    page = await operator_desk.get("/desk/traffic")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "/desk/events" not in page.text
    for path in ("/desk/events", "/desk/challenges/chl_" + "0" * 38, "/desk/export?format=jsonl"):
        assert (await operator_desk.get(path)).status_code == 403


async def test_an_auditor_sees_no_traffic(service: Deployment) -> None:
    """Without the scope analytics the page is not there for them, nor in their navigation."""
    async with _at_desk(service, "auditor") as http:
        assert "/desk/traffic" not in (await http.get("/desk")).text
        assert (await http.get("/desk/traffic")).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/desk/traffic?window=year",
        "/desk/traffic?window=day&window=day",
        "/desk/traffic?client=bank",
        "/desk/traffic/messages",
        "/desk/traffic/messages?from=2026-11-28T00:00:00Z&to=0001-01-01T00:00:00Z",
        "/desk/traffic/messages?from=2026-11-28T00:00:00Z&to=2026-11-29T00:00:00Z&psu=1",
        "/desk/traffic/messages?from=2026-11-28T00:00:00Z&to=2026-11-29T00:00:00Z&counted=lost",
        "/desk/traffic/messages?from=2026-11-28T00:00:00Z&to=2026-11-29T00:00:00Z&cursor=x",
    ],
)
async def test_what_the_page_cannot_be_asked_is_refused(operator_desk: httpx.AsyncClient, path: str) -> None:
    """No filter is ignored."""
    assert (await operator_desk.get(path)).status_code == 422


async def test_a_figure_on_the_page_leads_to_its_messages(
    operator_desk: httpx.AsyncClient, bank: Bank
) -> None:
    """From the number of those attempted to a list that has the challenge, and not the payer."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    await bank.settled(challenge["id"])
    pages: list[str] = []

    async def is_listed() -> bool:
        page = (await operator_desk.get("/desk/traffic?window=hour")).text
        links = re.findall(r'href="(/desk/traffic/messages[^"]+counted=attempted)"', page)
        pages[:] = [(await operator_desk.get(unescape(link))).text for link in links[:1]]
        return any(challenge["id"] in listed for listed in pages)

    await eventually(is_listed)
    (listed,) = pages
    assert psu["id"] not in listed
    assert psu["phone"][-7:] not in listed


@pytest.mark.long
@pytest.mark.skipif(not Path(_CHROMIUM).exists(), reason="chromium is missing: apt-get install chromium")
async def test_the_page_is_read_light_and_dark_and_on_a_phone(service: Deployment, bank: Bank) -> None:
    """Nothing is wider than the screen, no text is too faint, and the browser complains of nothing."""
    await bank.settled((await bank.issue())["id"])
    complaints: list[str] = []
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        page = await chromium.new_page(base_url=service.api.url)
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        await page.goto("/desk")
        await page.fill("#key", service.keys["operator"])
        await page.press("#key", "Enter")
        await page.wait_for_selector("#routes")
        for scheme, width in LOOKS:
            await page.emulate_media(color_scheme=scheme)
            await page.set_viewport_size({"width": width, "height": 900})
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            contrast = await page.evaluate(_LOW_CONTRAST)
            assert contrast["looked"] > 20
            assert contrast["found"] == []
            _ARTEFACTS.mkdir(exist_ok=True)
            await page.screenshot(path=_ARTEFACTS / f"traffic-{scheme}-{width}.png", full_page=True)
        await chromium.close()
    assert complaints == []
