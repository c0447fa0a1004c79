"""The sandbox's page in a real browser: a checkout, a handset that is a device of its own, and the log beside them.

Debian's chromium is driven by playwright, whose own browsers are never downloaded. One browser and one api serve all
tests of this file; each test is a payer of its own. Screenshots stay in `.artefacts`.
"""

import json
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Literal, cast

import httpx
import pytest
import pytest_asyncio
from litestar import Litestar
from litestar.di import Provide
from playwright.async_api import Browser, Page, async_playwright

from sca_service.api.routes import on_exception
from sca_service.console.bank.keys import SandboxKeys
from sca_service.console.bank.routes import ROUTES
from tests.harness import Deployment, wrong
from tests.ports import free_port
from tests.service.test_desk_browser import _LOW_CONTRAST

_CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
_ARTEFACTS = Path(__file__).parents[2] / ".artefacts"
_WIDE, _PHONE = 1440, 390
_MOST_TABS = 60
_PATIENCE_MS = 40_000
_PAYMENT_WINDOW = (
    "--enable-features=SecurePaymentConfirmation,SecurePaymentConfirmationBrowser,SecurePaymentConfirmationDebug",
    "--enable-blink-features=SecurePaymentConfirmation,SecurePaymentConfirmationDebug",
)
"""Chromium has Secure Payment Confirmation on Linux too, but does not offer it there by itself."""
_FEATURES_OF_PLAYWRIGHT = [
    "--enable-features=CDPScreenshotNewSurface",
    "--enable-features=CDPScreenshotNewSurface,DestroyProfileOnBrowserClose",
]
"""As playwright spells them; of two such switches the browser takes one."""

pytestmark = [
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not Path(_CHROMIUM).exists(), reason="chromium is missing: apt-get install chromium"),
]

Open = Callable[..., Awaitable[Page]]


@pytest.fixture(scope="module")
def address(service: Deployment) -> Iterator[str]:
    """Where the page is: an api that takes passkeys of this very address, beside the keys that `sca dev` would keep."""
    keys = {name: {"api_key": key} for name, key in service.keys.items()}
    (service.folder / "sandbox.json").write_text(json.dumps({"clients": keys}), "utf-8")
    _ARTEFACTS.mkdir(exist_ok=True)
    port, before = free_port(), service.more_settings
    service.more_settings = (
        *before,
        'passkeys.rp_id = "localhost"',
        f'passkeys.origins = ["http://localhost:{port}"]',
    )
    role = service.start("api", port=port)
    service.more_settings = before
    yield f"http://localhost:{port}"
    role.stop()
    service.forget(role)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    """One browser for all."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=_CHROMIUM,
            args=["--no-sandbox", *_PAYMENT_WINDOW],
            ignore_default_args=_FEATURES_OF_PLAYWRIGHT,
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def browse(chromium: Browser, address: str) -> AsyncIterator[Open]:
    """Opens the page in a context of its own, so for a new payer; whatever a script complains of fails the test."""
    complaints: list[str] = []

    async def opened(*, width: int = _WIDE, **options: Any) -> Page:
        context = await chromium.new_context(
            base_url=address,
            viewport={"width": width, "height": 900 if width == _WIDE else 844},
            reduced_motion="reduce",
            **options,
        )
        page = await context.new_page()
        page.set_default_timeout(_PATIENCE_MS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        await page.goto("/")
        await page.wait_for_selector("body[data-ready]")
        return page

    yield opened
    for context in chromium.contexts:
        await context.close()
    assert complaints == []


async def _choose(page: Page, name: str, value: str) -> None:
    await page.check(f"[name={name}][value={value}]")


async def _pay(page: Page, ladder: str = "sms") -> None:
    await page.select_option("[name=ladder]", ladder)
    await page.click("#pay")
    await page.wait_for_selector("#code")


async def _code(page: Page) -> str:
    """The code as the payer reads it: in the newest message of the handset."""
    if await page.locator(".in-messages").count() == 0:
        await page.click("#home")
        await page.click("[data-app=messages].app")
    return await page.inner_text(".thread li:last-child .bubble b")


async def _confirm(page: Page, code: str) -> None:
    await page.fill("#code", code)
    await page.press("#code", "Enter")


async def _ended(page: Page, status: str) -> str:
    """What the checkout says once the challenge has this status."""
    await page.wait_for_selector(f"#confirm [data-status={status}]")
    return await page.inner_text("#confirm")


async def _set_up(page: Page, app: str) -> None:
    await page.click("#home")
    await page.click(f"[data-app={app}].app")
    await page.click(f".in-{app} .setup .primary")


async def _approve_enrolment(page: Page) -> None:
    """The payer has something enrolled already, so the code of an approval is filled in from Messages."""
    await page.click(".asked .fill")


async def _ask_the_device(page: Page) -> str:
    """A payment to be approved in the bank's app, which is opened; the digits that the checkout shows."""
    await _choose(page, "method", "device_signature")
    await page.click("#pay")
    await page.wait_for_selector(".digits span")
    digits = re.sub(r"\D", "", await page.inner_text(".digits"))
    await page.click("#home")
    await page.click("[data-app=bank].app")
    await page.wait_for_selector(".approval #digits")
    return digits


async def test_a_payment_is_confirmed_by_the_code_in_a_message(browse: Open) -> None:
    """The code goes from checkout to handset and back; the same one again is already used; all of it is in the log."""
    page = await browse()
    await _pay(page)
    assert "€149.90" in await page.inner_text(".pending .shown")
    code = await _code(page)
    await _confirm(page, code)
    said = await _ended(page, "approved")
    assert "Paid" in said
    assert "knowledge + possession" in await page.inner_text("#claims")
    await page.click("text=Send the same code again")
    await page.wait_for_selector("[data-outcome=already_used]")
    await page.wait_for_selector("#events [data-type='challenge.answered'].proven")
    await page.click("#events [data-type='challenge.answered'].proven button")
    shown = await page.inner_text("#leaf")
    assert "c2sp.org/tlog-proof@v1" in shown
    assert code not in shown
    await page.keyboard.press("Escape")
    await page.click("#calls > summary")
    assert "/verify" in await page.inner_text("#calls-list")
    assert "$BANK_KEY" in await page.inner_html("#calls-list")
    assert "sca_" not in await page.inner_text("body")


async def test_a_changed_cent_and_a_wrong_code_are_refused(browse: Open) -> None:
    """A wrong code costs an attempt; the right one for a cent more voids the challenge."""
    page = await browse()
    await _pay(page)
    code = await _code(page)
    await _confirm(page, wrong(code))
    await page.wait_for_selector("text=4 attempts left")
    await page.fill("#code", code)
    await page.click("text=Change a cent before paying")
    assert "Not the payment that was confirmed" in await _ended(page, "rejected")


async def test_a_lost_push_is_followed_by_a_call_that_speaks_the_code(browse: Open) -> None:
    """The ladder goes on by itself; the call rings, is taken, and its code pays."""
    page = await browse()
    await _choose(page, "lost", "push")
    await _choose(page, "lost", "sms")
    await _pay(page, "push,sms,voice")
    await page.click("#ringing .accept")
    spelled = await page.get_attribute(".spelled", "aria-label")
    assert spelled
    await page.wait_for_selector(".rungs .bad + .bad")
    await page.click("#ringing .decline")
    await _confirm(page, re.sub(r"\D", "", spelled))
    await _ended(page, "approved")


async def test_the_handset_is_a_device_that_signs(browse: Open) -> None:
    """Wrong digits approve nothing, the right ones pay; the key is in this browser and cannot be read out of it."""
    page = await browse()
    await _set_up(page, "bank")
    await page.wait_for_selector(".ready")
    digits = await _ask_the_device(page)
    assert "€149.90" in await page.inner_text(".approval")
    await page.fill("#digits", f"{(int(digits) + 1) % 100:02d}")
    await page.click(".approval .primary")
    await page.wait_for_selector(".approval .fault:not([hidden])")
    await page.fill("#digits", digits)
    await page.click(".approval .primary")
    await page.wait_for_selector(".ended.good")
    await _ended(page, "approved")
    await page.wait_for_selector("#claims")
    assert await page.evaluate(_KEYS_IN_STORE) == [["device", "private", False, "InvalidAccessError"]]


_KEYS_IN_STORE = """async () => {
  const base = await new Promise((resolve) => {
    const request = indexedDB.open("sca-handset");
    request.onsuccess = () => resolve(request.result);
  });
  const shelf = base.transaction("kept").objectStore("kept");
  const answer = (request) => new Promise((resolve) => (request.onsuccess = () => resolve(request.result)));
  const names = await answer(shelf.getAllKeys());
  const found = await answer(shelf.getAll());
  base.close();
  return await Promise.all(found.map(async ({ key }, at) => {
    const said = await crypto.subtle.exportKey(key.type === "secret" ? "raw" : "jwk", key).catch((error) => error.name);
    return [names[at].split("/")[1], key.type, key.extractable, said];
  }));
}"""


async def test_a_payer_says_that_it_was_not_them(browse: Open) -> None:
    """No on the handset ends the challenge, and the bank is told why."""
    page = await browse()
    await _set_up(page, "bank")
    await page.wait_for_selector(".ready")
    await _ask_the_device(page)
    await page.click("text=No, this is not me")
    await page.wait_for_selector(".ended.bad")
    assert "This is not me" in await _ended(page, "declined")


async def test_a_device_that_is_revoked_is_set_up_anew(browse: Open, service: Deployment) -> None:
    """What the handset keeps of an authenticator that is none any more is dropped."""
    page = await browse()
    await _set_up(page, "bank")
    await page.wait_for_selector(".ready")
    payer = await page.evaluate("JSON.parse(localStorage.getItem('sca-payer')).id")
    path = f"/v1/psus/{payer}/authenticators"
    async with service.bank() as bank:
        (device,) = (await bank.http.get(path)).json()["data"]
        await bank.http.delete(f"{path}/{device['id']}")
    await page.reload()
    await page.wait_for_selector("body[data-ready]")
    assert await page.evaluate(_KEYS_IN_STORE) == []
    await page.click("[data-app=bank].app")
    await page.wait_for_selector("text=Set up this phone")


async def test_a_generator_logs_in_beside_a_device(browse: Open) -> None:
    """A second authenticator needs an approval (RTS Art. 24); its code logs in; its seed cannot be read out either."""
    page = await browse()
    await _choose(page, "occasion", "login")
    await _choose(page, "method", "totp")
    await page.click("#pay")
    await page.wait_for_selector(".in-authenticator")
    assert "no generator yet" in await page.inner_text("#order-fault")
    await _set_up(page, "bank")
    await page.wait_for_selector(".ready")
    await _set_up(page, "authenticator")
    await _approve_enrolment(page)
    await page.wait_for_selector("#generated")
    await page.click("#pay")
    await page.wait_for_selector("#code")
    await _confirm(page, re.sub(r"\D", "", await page.inner_text("#generated")))
    assert "Logged in" in await _ended(page, "approved")
    keys = await page.evaluate(_KEYS_IN_STORE)
    assert ["generator", "secret", False, "InvalidAccessError"] in keys
    await page.reload()
    await page.wait_for_selector("body[data-ready]")
    await page.click("[data-app=authenticator].app")
    await page.wait_for_selector("#generated")


async def _with_passkey(page: Page) -> None:
    """A payer who has a passkey, in the browser's own virtual authenticator."""
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("WebAuthn.enable")
    await devtools.send("Page.setSPCTransactionMode", {"mode": "autoAccept"})
    await devtools.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )
    await _set_up(page, "passkey")
    await page.wait_for_selector(".passkey .ended.good")


async def test_a_passkey_pays(browse: Open) -> None:
    """The browser makes a passkey for this address and signs a payment with it."""
    page = await browse()
    await _with_passkey(page)
    await _choose(page, "method", "passkey")
    await page.click("#pay")
    await page.click("#sign")
    await _ended(page, "approved")
    await page.wait_for_selector("#claims")


async def test_the_browser_itself_shows_a_payment(browse: Open) -> None:
    """Secure Payment Confirmation: what the browser's window showed is what is signed, and what is paid."""
    page = await browse()
    if not await page.is_visible("[data-method=payment_confirmation]"):
        pytest.skip("this chromium has no Secure Payment Confirmation")
    await _with_passkey(page)
    await _choose(page, "occasion", "invoice")
    await _choose(page, "method", "payment_confirmation")
    await page.click("#pay")
    await page.click("#sign")
    assert "€2,875.50" in await _ended(page, "approved")


async def test_a_payment_needs_no_mouse(browse: Open) -> None:
    """Tab, arrows and Enter lead from the first link to a paid order, with a visible focus all the way."""
    page = await browse()
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.className") == "skip"
    await page.keyboard.press("Enter")
    await _tab_to(page, "[name=ladder]")
    await page.keyboard.type("SMS only")
    await _tab_to(page, "#pay")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#code:focus")
    await _tab_to(page, ".app[data-app=messages]")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".in-messages h3:focus")
    code = await page.inner_text(".thread li:last-child .bubble b")
    await _tab_to(page, "#code", back=True)
    await page.keyboard.type(code)
    await page.keyboard.press("Enter")
    await page.wait_for_selector("[data-status=approved]:focus")


async def _tab_to(page: Page, selector: str, *, back: bool = False) -> None:
    for _ in range(_MOST_TABS):
        await page.keyboard.press("Shift+Tab" if back else "Tab")
        there = await page.evaluate(
            """(selector) => {
                const focused = document.activeElement;
                if (!focused.matches(selector)) return false;
                return getComputedStyle(focused).outlineStyle !== "none" ? true : "unseen";
            }""",
            selector,
        )
        assert there != "unseen", f"the focus on {selector} cannot be seen"
        if there:
            return
    raise AssertionError(f"{selector} was not reached by Tab")


@pytest.mark.parametrize("width", [_WIDE, _PHONE])
async def test_every_text_can_be_read(browse: Open, width: int) -> None:
    """Every text has the contrast of level AA, nothing runs out of the page, by day and night, on desk and phone."""
    page = await browse(width=width)
    await _looks_right(page, "order", width)
    await _pay(page)
    await _looks_right(page, "confirm", width)
    await _place(page, "handset", width)
    await _looks_right(page, "home", width)
    await page.click(".app[data-app=bank]")
    await _looks_right(page, "setup", width)
    code = await _code(page)
    await _looks_right(page, "messages", width)
    await _place(page, "checkout", width)
    await _confirm(page, code)
    await _ended(page, "approved")
    await _looks_right(page, "approved", width)
    await _place(page, "log", width)
    await page.wait_for_selector("#events .proven")
    await _looks_right(page, "log", width)


async def _place(page: Page, place: str, width: int) -> None:
    if width == _PHONE:
        await page.click(f".places [data-place={place}]")


async def _looks_right(page: Page, name: str, width: int) -> None:
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        looked = await page.evaluate(_LOW_CONTRAST)
        assert looked["found"] == []
        assert looked["looked"] > 8
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        await page.screenshot(path=_ARTEFACTS / f"bank-{name}-{scheme}-{width}.png")


async def test_another_payer_starts_anew(browse: Open) -> None:
    """A new payer has another number and nothing of the one before."""
    page = await browse()
    before = await page.inner_text("#payer-phone")
    await page.click("#new-payer")
    await page.wait_for_function(
        "(before) => document.querySelector('#payer-phone')?.textContent !== before", arg=before
    )
    await page.wait_for_selector("body[data-ready]")
    assert await page.evaluate(_KEYS_IN_STORE) == []


_ONLY_HERE: dict[str, tuple[str, dict[str, str], int]] = {
    "the page": ("/", {}, 200),
    "the page under an address": ("/", {"Host": "127.0.0.1:{port}"}, 307),
    "the page under another's name": ("/", {"Host": "sca.example"}, 302),
    "a file": ("/sandbox/bank/static/main.js", {}, 200),
    "a file under another's name": ("/sandbox/bank/static/main.js", {"Host": "sca.example"}, 404),
    "a file beside the files": ("/sandbox/bank/static/..%2Fdesk.js", {}, 404),
    "the keys, to the page": ("/sandbox/keys", {"Sec-Fetch-Site": "same-origin"}, 200),
    "the keys, typed by hand": ("/sandbox/keys", {"Sec-Fetch-Site": "none"}, 200),
    "the keys, to another port": ("/sandbox/keys", {"Sec-Fetch-Site": "same-site"}, 403),
    "the keys, to another page": ("/sandbox/keys", {"Sec-Fetch-Site": "cross-site"}, 403),
    "the keys, to no page": ("/sandbox/keys", {}, 403),
    "the keys, under another's name": (
        "/sandbox/keys",
        {"Host": "sca.example", "Sec-Fetch-Site": "same-origin"},
        404,
    ),
    "the keys, with a parameter": ("/sandbox/keys?who=me", {"Sec-Fetch-Site": "same-origin"}, 422),
}


@pytest.mark.parametrize("asked", list(_ONLY_HERE))
async def test_only_the_page_itself_gets_the_keys(address: str, service: Deployment, asked: str) -> None:
    """The page and its files are for this machine, the keys for the page alone."""
    path, headers, status = _ONLY_HERE[asked]
    port = address.rpartition(":")[2]
    sent = {name: value.format(port=port) for name, value in headers.items()}
    async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
        response = await client.get(path, headers=sent)
    assert response.status_code == status, response.text
    assert (service.keys["bank"] in response.text) is (path == "/sandbox/keys" and status == 200)
    if status == 307:
        assert response.headers["location"] == f"{address}/"
    if status in {200, 307}:
        assert "script-src 'self'" in response.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("peer", "statuses"),
    [("127.0.0.1", [200, 200, 200]), ("::1", [200, 200, 200]), ("192.0.2.9", [302, 404, 404])],
)
async def test_another_machine_gets_nothing(
    service: Deployment, address: str, peer: str, statuses: list[int]
) -> None:
    """Whoever is not on this machine is shown the reference, and neither files nor keys, whatever they claim."""
    keys = SandboxKeys(service.folder / "sandbox.json")
    app = Litestar(
        ROUTES,
        dependencies={"sandbox_keys": Provide(lambda: keys, sync_to_thread=False)},
        exception_handlers={Exception: on_exception},
        openapi_config=None,
    )
    transport = httpx.ASGITransport(cast("Any", app), client=(peer, 40_000))
    async with httpx.AsyncClient(transport=transport, base_url=address) as client:
        paths = ("/", "/sandbox/bank/static/main.js", "/sandbox/keys")
        answers = [await client.get(path, headers={"Sec-Fetch-Site": "same-origin"}) for path in paths]
    assert [answer.status_code for answer in answers] == statuses
