"""The auditor's desk in a real browser: proofs verified by it, forged pages found out, no mouse, both schemes, a phone.

Debian's chromium is driven by playwright, whose own browsers are never downloaded. Screenshots stay in `.artefacts`.
"""

import json
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Literal

import asyncpg
import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Error, Page, Route, StorageState, async_playwright
from redis.asyncio import Redis

from sca_service.kernel.ids import new_id
from tests.harness import PATIENCE_SECONDS, Bank, Deployment, unique_psu, wrong
from tests.record import recorded
from tests.service.situations import SITUATIONS
from tests.storeroom import eventually
from tests.valkeys import raw_async_client

_CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
_ARTEFACTS = Path(__file__).parents[2] / ".artefacts"
_WIDE, _PHONE = 1280, 390
_MOST_TABS = 80

pytestmark = [
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="module"),  # a browser that is started once belongs to one loop
    pytest.mark.skipif(not Path(_CHROMIUM).exists(), reason="chromium is missing: apt-get install chromium"),
]

Open = Callable[..., Any]

_LOW_CONTRAST = """() => {
  const channel = (value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const parsed = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = ([red, green, blue]) =>
    0.2126 * channel(red / 255) + 0.7152 * channel(green / 255) + 0.0722 * channel(blue / 255);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parsed(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  let looked = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    if (element.closest("svg, script")) continue;
    const style = getComputedStyle(element);
    const pair = [luminance(parsed(style.color)), luminance(behind(element))];
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    looked += 1;
    if (ratio < (isLarge ? 3 : 4.5)) found.push(`${element.tagName}.${element.className} ${ratio.toFixed(2)}`);
  }
  return { found, looked };
}"""
"""Every text on the page whose contrast is below level AA of WCAG 2.2 (1.4.3), computed from what the browser shows."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    """One browser for the tests of this file: each opens a context of its own in it."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def signed_in(chromium: Browser, service: Deployment) -> StorageState:
    """The cookies of an auditor who has signed in."""
    context = await chromium.new_context(base_url=service.api.url)
    await _sign_in(await context.new_page(), service)
    cookies = await context.storage_state()
    await context.close()
    return cookies


async def _sign_in(page: Page, service: Deployment) -> None:
    await page.goto("/desk")
    await page.fill("#key", service.keys["auditor"])
    await page.press("#key", "Enter")
    await page.wait_for_selector("#checkpoint")


@pytest_asyncio.fixture(loop_scope="module")
async def complaints() -> AsyncIterator[list[str]]:
    """What the scripts of the test's pages complain of: anything fails the test."""
    complaints: list[str] = []
    yield complaints
    assert complaints == []


@pytest_asyncio.fixture(loop_scope="module")
async def browser(
    service: Deployment, chromium: Browser, signed_in: StorageState, complaints: list[str]
) -> AsyncIterator[Open]:
    """Opens pages, each in a context of its own. The auditor has signed in; without scripts they do it anew."""
    async with AsyncExitStack() as contexts:

        async def open_page(
            *, scheme: Literal["light", "dark"] = "light", width: int = _WIDE, scripts: bool = True
        ) -> Page:
            context = await chromium.new_context(
                base_url=service.api.url,
                color_scheme=scheme,
                viewport={"width": width, "height": 900},
                java_script_enabled=scripts,
                permissions=["clipboard-read", "clipboard-write"],
                storage_state=signed_in if scripts else None,
            )
            contexts.push_async_callback(context.close)
            page = await context.new_page()
            page.set_default_timeout(1000 * PATIENCE_SECONDS)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
            if not scripts:
                await _sign_in(page, service)
            return page

        yield open_page


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tab(service: Deployment, chromium: Browser, signed_in: StorageState) -> AsyncIterator[Page]:
    """A signed-in page for many tests: to open one takes longer than what most of them do in it."""
    context = await chromium.new_context(base_url=service.api.url, storage_state=signed_in)
    page = await context.new_page()
    page.set_default_timeout(1000 * PATIENCE_SECONDS)
    yield page
    await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(tab: Page, complaints: list[str]) -> AsyncIterator[Page]:
    """The tab, for a test that loads what it looks at and leaves nothing but a route of its own."""

    def on_error(error: Error) -> None:
        complaints.append(str(error))

    def on_word(said: ConsoleMessage) -> None:
        if said.type == "error":
            complaints.append(said.text)

    tab.on("pageerror", on_error)
    tab.on("console", on_word)
    yield tab
    tab.remove_listener("pageerror", on_error)
    tab.remove_listener("console", on_word)
    await tab.unroute_all()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bank(service: Deployment) -> AsyncIterator[Bank]:
    """A bank that calls the service, on the loop of the browser."""
    async with service.bank() as bank:
        yield bank


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def redis(service: Deployment) -> AsyncIterator[Redis]:
    """The store behind the service, to let time pass."""
    client = raw_async_client(service.servers.valkey.url, protocol=2)
    yield client
    await client.aclose()


@pytest_asyncio.fixture(loop_scope="module")
async def every_supplier_delivers_afterwards(bank: Bank) -> AsyncIterator[None]:
    """Whatever a test scripts."""
    yield
    for supplier in ("sms", "voice", "push"):
        await bank.script(supplier, "deliver")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def story(bank: Bank, service: Deployment) -> str:
    """A payment that was sent, answered wrongly and rightly, every event of it under a checkpoint.

    The tests read it; whoever changes what is stored of it puts it back.
    """
    return await _tell_story(bank, service)


async def _tell_story(bank: Bank, service: Deployment) -> str:
    psu = unique_psu()
    challenge = await bank.issue(psu=psu, elements_presented=["knowledge"], signals={"ip": "203.0.113.9"})
    code = await bank.code(psu["phone"])
    async with service.bank(client="auditor") as auditor:  # so that the answers come last, in every run
        await recorded(auditor, challenge["id"], "delivery.settled", count=2)
    await bank.verify(challenge["id"], wrong(code))
    await bank.verify(challenge["id"], code)
    path = f"/v1/challenges/{challenge['id']}/evidence"

    async def is_proven() -> bool:
        evidence = await bank.http.get(path)
        return evidence.status_code == 200 and len(evidence.json()["events"]) == 6

    await eventually(is_proven)
    return str(challenge["id"])


@pytest_asyncio.fixture(loop_scope="module")
async def connection(service: Deployment) -> AsyncIterator[asyncpg.Connection]:
    """Somebody who may change the tables."""
    connection = await asyncpg.connect(service.servers.postgres.url)
    yield connection
    await connection.close()


async def _verdict(page: Page, challenge: str) -> str:
    await page.goto(f"/desk/challenges/{challenge}")
    await page.wait_for_selector("#verdict.good, #verdict.bad, #verdict.open")
    return await page.inner_text("#verdict-said")


async def _keep(page: Page, name: str) -> None:
    _ARTEFACTS.mkdir(exist_ok=True)
    await page.screenshot(path=_ARTEFACTS / f"desk-{name}.png", full_page=True)


async def test_every_proof_is_verified_in_the_browser(page: Page, story: str) -> None:
    """The page says the root that it reached from each leaf, and it is the checkpoint's."""
    assert await _verdict(page, story) == "Verified in your browser: all 6 events"
    note = await page.inner_text("#checkpoint")
    root = note.splitlines()[2]
    reached = await page.eval_on_selector_all("[data-reached]", "all => all.map(one => one.textContent)")
    assert reached == [f"Root reached from this leaf: {root}"] * 6
    how = await page.inner_text("#verdict-how")
    assert root in how
    assert re.search(r"Its signature by the key [0-9a-f]{8} holds", how)
    opened = await page.eval_on_selector_all("[data-committed]", "all => all.map(one => one.textContent)")
    assert opened
    assert set(opened) == {"✓ is what the leaf commits to"}


_FORGERIES: dict[str, tuple[str, str, str]] = {
    "a leaf": (r"(data-leaf[^>]*>[^<]*\"attempts_left\":)4", r"\g<1>3", "1 of 6 events"),
    "the id in a leaf": (r"(data-leaf[^>]*>[^<]*\"id\":\"evt_)[0-9a-f]{4}", r"\g<1>0000", "1 of 6 events"),
    "the index of a proof": (r"(data-proof[^>]*>[^<]*index )(\d+)", r"\g<1>0", "1 of 6 events"),
    "a hash of a proof": (
        r"(data-proof[^>]*>[^<]*index \d+\n)[A-Za-z0-9+/]{42}",
        r"\g<1>" + "A" * 42,
        "1 of 6 events",
    ),
    "the text shown": (r"(data-disclosed=\"message_shown\"[^>]*>)49,99", r"\g<1>59,99", "1 of 6 events"),
    "the text at the top": (r"(data-shows=\"message_shown\">)49,99", r"\g<1>59,99", "the text shown"),
    "a salt": (
        r"(data-disclosed=\"transaction\" data-salt=\")[0-9a-f]{8}",
        r"\g<1>00000000",
        "1 of 6 events",
    ),
    "the checkpoint's root": (
        r"(id=\"checkpoint\"[^>]*>[^\n]*\n\d+\n)[A-Za-z0-9+/]{42}",
        r"\g<1>" + "A" * 42,
        "checkpoint",
    ),
    "the checkpoint's size": (r"(id=\"checkpoint\"[^>]*>[^\n]*\n)(\d+)", r"\g<1>\g<2>0", "checkpoint"),
    "the checkpoint's signature": (
        r"(id=\"checkpoint\"[^>]*>[^<]*— \S+ \S{20})\S{8}",
        r"\g<1>AAAAAAAA",
        "checkpoint",
    ),
    "the verifier key": (
        r"(data-verifier-key[^>]*>[^<]*\+[0-9a-f]{8}\+\S{10})\S{8}",
        r"\g<1>AAAAAAAA",
        "checkpoint",
    ),
}
_FORGERIES |= {
    "the title of an answer": (
        r"(<h3 id=\"title-\d+\">Answered: )incorrect",
        r"\g<1>approved",
        "1 of 6 events",
    ),
    "a fact": (r"(<dt>Attempts left</dt><dd>)4", r"\g<1>3", "1 of 6 events"),
    "a fact left out": (r"<div><dt>Attempts left</dt><dd>4</dd></div>", "", "1 of 6 events"),
    "a fact made up": (
        r"(<div><dt>Attempts left</dt>)",
        r"<div><dt>Place</dt><dd>Rome</dd></div>\1",
        "1 of 6 events",
    ),
    "a sentence made up": (
        r"(<h3 id=\"title-4\">.*?</div>)",
        r"\1<p>By the payer's wife.</p>",
        "1 of 6 events",
    ),
    "a time": (
        r"(<div class=\"when\"><time datetime=\"[^\"]*\"><span class=\"date\">)20",
        r"\g<1>19",
        "1 of 6 events",
    ),
    "the machine's time": (r"(<div class=\"when\"><time datetime=\")20", r"\g<1>19", "1 of 6 events"),
    "an index": (r"(<span class=\"place\">index )\d+", r"\g<1>0", "1 of 6 events"),
    "who did it": (r"(</code> by )client:bank", r"\g<1>client:other", "1 of 6 events"),
    "how an event is marked": (r"class=\"step bad\"", 'class="step good"', "1 of 6 events"),
    "the name of a value": (r"<dt>Text shown</dt>", "<dt>Text not shown</dt>", "1 of 6 events"),
    "what stays closed": (
        r"Kept closed from auditors: ",
        r"Kept closed from auditors: Name, ",
        "1 of 6 events",
    ),
    "the order": (
        r"(?s)(<li class=\"step bad\" (?:(?!</li>).)*</li>)(<li class=\"step good\".*?</li>)",
        r"\2\1",
        "1 of 6 events",
    ),
    "the badge": (r"(<span class=\"badge )good\">approved", r"\g<1>bad\">rejected", "the headline"),
    "the amount in the headline": (r"<h1>EUR 49.99", "<h1>EUR 4999.00", "the headline"),
    "the purpose": (r"(<p class=\"eyebrow\">)[^<]*", r"\g<1>Login", "the headline"),
    "the client": (r"(<dt>Client</dt><dd>)[^<]*", r"\g<1>another-bank", "Client"),
    "the beginning": (r"(<dt>Began</dt>.*?\"clock\">)\d\d", r"\g<1>99", "Began"),
    "a text without its mark": (r" data-shows=\"message_shown\">49,99", ">59,99", "the text shown"),
    "the challenge": (r"(<p class=\"under\"><code[^>]*>)chl_\w+", r"\g<1>chl_0", "the challenge"),
}
"""What a forger could change on the page, once each: where, into what, and what the page then says."""


@pytest.mark.parametrize("forgery", list(_FORGERIES))
async def test_a_forged_page_is_found_out(page: Page, story: str, forgery: str) -> None:
    """One changed byte of leaf, proof, opened value, checkpoint or key: not verified, and the page says where."""
    where, into, said = _FORGERIES[forgery]

    async def forge(route: Route) -> None:
        response = await route.fetch()
        body, count = re.subn(where, into, await response.text(), count=1)
        assert count == 1
        await route.fulfill(response=response, body=body)

    await page.route("**/desk/challenges/*", forge)
    verdict = await _verdict(page, story)
    assert verdict.startswith("Not verified: ")
    assert said in verdict
    assert await page.get_attribute("#verdict", "class") == "verdict bad"
    assert await page.locator("[data-mark].bad").count() == (1 if "events" in said else 0)


_HONEST = re.compile(
    r"Verified in your browser: .*|\d+ of \d+ events verified in your browser, (1 waits|\d+ wait)"
)


async def _verified(page: Page, bank: Bank, challenge: str) -> None:
    async def is_proven() -> bool:
        return (await bank.http.get(f"/v1/challenges/{challenge}/evidence")).status_code == 200

    async def is_verified() -> bool:
        """Or events that came a moment ago still wait for their index; nothing else may be said."""
        verdict = await _verdict(page, challenge)
        assert _HONEST.fullmatch(verdict), verdict
        return verdict.startswith("Verified")

    await eventually(is_proven)
    await eventually(is_verified)


@pytest.mark.parametrize("status", list(SITUATIONS))
async def test_every_honest_story_is_verified(
    page: Page, bank: Bank, redis: Redis, every_supplier_delivers_afterwards: None, status: str
) -> None:
    """Whatever came of a challenge: what its page shows is what a browser makes of its leaves."""
    challenge = (await SITUATIONS[status](bank, redis))["id"]
    await _verified(page, bank, challenge)


@pytest.mark.parametrize("change", ["DELETE FROM audit_private", "UPDATE audit_private SET sealed = '\\x01'"])
async def test_a_story_without_its_values_is_verified(
    page: Page, bank: Bank, service: Deployment, connection: asyncpg.Connection, change: str
) -> None:
    """Values that are missing or altered leave every leaf and proof as they were."""
    story = await _tell_story(bank, service)
    await connection.execute(
        f"{change} WHERE event_id IN"  # noqa: S608 - no value in it
        " (SELECT id FROM audit_events WHERE challenge_id = $1)",
        story,
    )
    await _verified(page, bank, story)


async def test_other_challenges_are_verified(page: Page, bank: Bank) -> None:
    """A login has no payment, a batch no single payee, and a payer's words may be anything."""
    batch = {
        "total": {"currency": "EUR", "amount": "30.00"},
        "payees": [{"payee": {"name": "One"}, "amount": {"currency": "EUR", "amount": "30.00"}}],
    }
    odd = {
        "amount": {"currency": "JPY", "amount": "5000"},
        "payee": {"name": 'Ω "<b>" & {outcome}', "account": {"bban": "1234567"}},
    }
    for members in (
        {"purpose": "login", "transaction": None},
        {"transaction": batch, "reference": "r & <1>"},
        {
            "transaction": odd,
            "elements_presented": ["knowledge", "inherence"],
            "signals": {"session_id": "s"},
        },
    ):
        await _verified(page, bank, (await bank.issue(psu=unique_psu(), **members))["id"])


async def test_an_event_of_another_challenge_is_found_out(
    page: Page, story: str, connection: asyncpg.Connection
) -> None:
    """A leaf of the log that is about something else, filed under this challenge: red, and named."""
    foreign = await connection.fetchval(
        "SELECT event.id FROM audit_events AS event JOIN audit_leaves AS leaf ON leaf.event_id = event.id"
        " WHERE type = 'audit.read' AND challenge_id IS NULL ORDER BY txid LIMIT 1"
    )
    await connection.execute("UPDATE audit_events SET challenge_id = $1 WHERE id = $2", story, foreign)
    try:
        assert await _verdict(page, story) == "Not verified: 1 of 7 events"
    finally:
        await connection.execute("UPDATE audit_events SET challenge_id = NULL WHERE id = $1", foreign)
    assert "is not about this challenge" in await page.inner_text("[data-mark].bad")


@pytest.mark.parametrize(
    ("txid", "position", "said"),
    [
        ("'4611686018427387904'", "1", "6 of 7 events verified in your browser, 1 waits"),
        ("max(txid)::text", "0", "Not verified: 1 of 7 events"),
        ("'3'", "1", "Not verified: "),
    ],
    ids=["last", "between", "first"],
)
async def test_an_event_that_never_gets_an_index_proves_nothing(
    page: Page, story: str, connection: asyncpg.Connection, txid: str, position: str, said: str
) -> None:
    """An event slipped in beside the log: no green verdict, and the headline follows the proven events."""
    made_up = {
        "at_ms": 1_764_300_000_000,
        "challenge": story,
        "id": new_id("evt"),
        "type": "challenge.cancelled",
    }
    await connection.execute(
        "INSERT INTO audit_events (id, at, type, challenge_id, body, txid, position) OVERRIDING SYSTEM VALUE"  # noqa: S608
        f" SELECT $1, now(), 'challenge.cancelled', $2, $3, ({txid})::xid8, {position}"
        " FROM audit_events WHERE challenge_id = $2 HAVING count(*) > 0",
        *(made_up["id"], story, json.dumps(made_up)),
    )
    try:
        assert (await _verdict(page, story)).startswith(said)
    finally:
        await connection.execute("DELETE FROM audit_events WHERE id = $1", made_up["id"])
    assert await page.locator("#verdict.good").count() == 0
    assert await page.inner_text(".badge") == "approved"
    assert "left out" in await page.inner_text("#verdict")
    mark = await page.inner_text(f"[data-event={made_up['id']}] .mark-of-proof")
    assert mark == (
        "waiting for a checkpoint"
        if "waits" in said
        else "✗ not verified: it stands before an event of the log, and is not in it"
    )


async def test_an_auditor_searches_and_reads_without_a_mouse(browser: Open, story: str) -> None:
    """Tab, Enter and arrows lead from the first page over a filter to a story and its leaves, with a visible focus."""
    page = await browser()
    await page.goto("/desk")
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.className") == "skip"
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "main"
    await page.goto("/desk/events")
    await _tab_to(page, "#type")
    await page.keyboard.type("challenge.answered")
    await _tab_to(page, "#challenge")
    await page.keyboard.type(story)
    await page.keyboard.press("Enter")
    await page.wait_for_url(re.compile(rf"type=challenge\.answered.*challenge={story}"))
    assert await page.locator("tbody tr").count() == 2
    await _tab_to(page, f"td a[href$='{story}']")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#verdict.good")
    await _tab_to(page, "#step-0 details.source summary")
    await page.keyboard.press("Enter")
    assert await page.is_visible("#step-0 [data-leaf]")


async def _tab_to(page: Page, selector: str) -> None:
    for _ in range(_MOST_TABS):
        await page.keyboard.press("Tab")
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [_WIDE, _PHONE])
async def test_every_text_can_be_read(
    browser: Open, story: str, scheme: Literal["light", "dark"], width: int
) -> None:
    """Every text has the contrast of level AA, nothing runs out of the page, by day and night, on desk and phone."""
    page = await browser(scheme=scheme, width=width)
    for name, path in (
        ("overview", "/desk"),
        ("events", "/desk/events?client=bank"),
        ("story", f"/desk/challenges/{story}"),
        ("sign-in", "/desk/sign-in"),
    ):
        await page.goto(path)
        if name == "story":
            await page.wait_for_selector("#verdict.good")
        await _keep(page, f"{name}-{scheme}-{width}")
        await page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        looked = await page.evaluate(_LOW_CONTRAST)
        assert looked["found"] == []
        assert looked["looked"] > 8
        assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_the_desk_reads_without_javascript(browser: Open, story: str) -> None:
    """Every page is complete; a story claims nothing that nobody computed, and says how to check it elsewhere."""
    page = await browser(scripts=False)
    await page.goto(f"/desk/events?challenge={story}")
    assert await page.locator("tbody tr").count() == 6
    await page.click(f"tbody a[href$='{story}'] >> nth=0")
    assert "6 of 6 events have an inclusion proof" in await page.inner_text("#verdict-said")
    assert "sca audit check-evidence" in await page.inner_text("#verdict-how")
    await page.click("#step-0 details.source summary >> nth=0")
    assert await page.is_visible("#step-0 [data-leaf]")
    assert await page.locator("text=verified in your browser").count() == 0
    await page.click("text=Sign out")
    await page.wait_for_selector("#key")
    await page.goto(f"/desk/challenges/{story}")
    assert await page.is_visible("#key")


async def test_what_is_copied_and_printed_is_whole(browser: Open, story: str) -> None:
    """A shortened id is copied in full, and paper shows what is folded on screen, without buttons."""
    page = await browser(width=_PHONE)
    await page.goto(f"/desk/challenges/{story}")
    await page.click(".under .copy")
    assert await page.evaluate("navigator.clipboard.readText()") == story
    await page.wait_for_selector("#verdict.good")
    await page.emulate_media(media="print")
    assert not await page.is_visible("text=Sign out")
    assert not await page.is_visible(".under .copy")
    page_text = await page.evaluate(
        "document.querySelector('#step-0 [data-leaf]').getBoundingClientRect().height"
    )
    assert page_text > 20
    _ARTEFACTS.mkdir(exist_ok=True)
    await page.pdf(path=_ARTEFACTS / "desk-story.pdf", format="A4")
