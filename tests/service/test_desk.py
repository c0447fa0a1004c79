"""The auditor's desk over HTTP: who gets in, what they are shown, and what is on record of it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import msgspec
import pytest
from redis.asyncio import Redis

from sca_service.api.clients import ClientRegistry, Scope
from sca_service.api.postgres_store import ClientStore
from sca_service.audit.model import AuditEvent
from sca_service.audit.postgres_store import insert_events
from sca_service.console.session import COOKIE, SESSION_SECONDS
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from tests.harness import PATIENCE_SECONDS, Bank, Deployment, unique_psu, wrong
from tests.storeroom import eventually

_FORM = re.compile(r'name="form" value="([0-9a-f]{64})"')
_STORY = re.compile(r"/desk/challenges/(chl_[0-9a-f]{38})")
_ALL_PAGES = ("/desk", "/desk/events", "/desk/sign-in", "/desk/events?colour=red", "/desk/challenges/chl_0")


class Browser:
    """What a browser does without scripts: keeps the cookie, sends forms with their origin."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS, trust_env=False)

    async def submit(self, path: str, **fields: str) -> httpx.Response:
        """Send a form from one of the desk's pages."""
        return await self.http.post(path, data=fields, headers={"Origin": self.url})

    async def sign_in(self, key: str, **fields: str) -> httpx.Response:
        """Fill in the first form."""
        return await self.submit("/desk/sign-in", key=key, **fields)

    async def page(self, path: str, status: int = 200) -> str:
        """A page; asserts its status."""
        response = await self.http.get(path)
        assert response.status_code == status, response.text
        return response.text


@pytest.fixture
async def stranger(service: Deployment, redis: Redis) -> AsyncIterator[Browser]:
    """A browser in which nobody is signed in, at an address that has not failed yet."""
    async for key in redis.scan_iter("{limit:*}:desk_sign_in"):
        await redis.delete(key)
    browser = Browser(service.api.url)
    yield browser
    await browser.http.aclose()


@pytest.fixture
async def desk(stranger: Browser, service: Deployment) -> Browser:
    """A browser in which the auditor is signed in."""
    response = await stranger.sign_in(service.keys["auditor"])
    assert response.status_code == 303
    return stranger


async def _answered(bank: Bank, auditor: Bank) -> tuple[str, dict[str, str]]:
    """A challenge that is over, all of whose six events are on record; and its payer."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu, signals={"ip": "203.0.113.9"})
    code = await bank.code(psu["phone"])
    await bank.verify(challenge["id"], wrong(code))
    await bank.verify(challenge["id"], code)
    await bank.settled(challenge["id"])

    async def is_on_record() -> bool:  # a receipt is where a client sees it before it is in the log
        return len(await _events(auditor, challenge=challenge["id"])) == 6

    await eventually(is_on_record)
    return challenge["id"], psu


async def _events(auditor: Bank, **filters: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        response = await auditor.http.get("/v1/audit/events", params={"limit": "200", **filters, **cursor})
        assert response.status_code == 200, response.text
        found += response.json()["data"]
        if not response.json()["next_cursor"]:
            return found
        cursor = {"cursor": response.json()["next_cursor"]}


async def test_the_cookie_is_kept_from_scripts_and_other_sites(
    stranger: Browser, service: Deployment
) -> None:
    """HttpOnly, SameSite=Strict, only for the desk and for eight hours; without TLS on this machine only."""
    local = (await stranger.sign_in(service.keys["auditor"])).headers["set-cookie"]
    assert "HttpOnly" in local
    assert "SameSite=strict" in local
    assert "Path=/desk" in local
    assert f"Max-Age={SESSION_SECONDS}" in local
    assert "Secure" not in local
    named = {"Host": "sca.example", "Origin": "https://sca.example"}
    public = await stranger.http.post("/desk/sign-in", data={"key": service.keys["auditor"]}, headers=named)
    assert "Secure" in public.headers["set-cookie"]
    assert service.keys["auditor"] not in public.headers["set-cookie"]


async def test_every_wrong_key_is_answered_alike(stranger: Browser, service: Deployment) -> None:
    """Unknown, malformed, empty, or of a client without the scope: nobody learns which."""
    answers = [
        await stranger.sign_in(key) for key in ("", "x", "sca_" + "A" * 43, service.keys["bank"], "ключ")
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    assert not any("set-cookie" in answer.headers for answer in answers)


async def test_failed_sign_ins_are_slowed_and_right_ones_are_not(
    stranger: Browser, service: Deployment
) -> None:
    """After ten failures an address has to wait; an auditor at the same address gets in all the same."""
    statuses = [(await stranger.sign_in("x")).status_code for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    slowed = await stranger.sign_in("x")
    assert 1 <= int(slowed.headers["retry-after"]) <= 6
    assert (await stranger.sign_in(service.keys["auditor"])).status_code == 303


@pytest.mark.parametrize(
    "path",
    ["/desk", "/desk/events?type=challenge.answered", "/desk/challenges/chl_1", "/desk/export?format=csv"],
)
async def test_nobody_reads_without_a_session(stranger: Browser, path: str) -> None:
    """Whoever is not signed in is asked to be, and then led to where they wanted to go."""
    for cookie in (None, "x", "AQ" * 40):
        headers = {"Cookie": f"{COOKIE}={cookie}"} if cookie else {}
        response = await stranger.http.get(path, headers=headers)
        assert response.status_code == 303
        assert response.headers["location"] == f"/desk/sign-in?{httpx.QueryParams({'next': path})}"


@pytest.mark.parametrize(
    ("wanted", "led_to"),
    [
        ("/desk/events?client=bank", "/desk/events?client=bank"),
        ("https://evil.example/desk", "/desk"),
        ("//evil.example/desk/", "/desk"),
        ("/desk/../docs\\@evil.example", "/desk"),
        ("/deskevil", "/desk"),
        ("javascript:alert(1)", "/desk"),
    ],
)
async def test_signing_in_leads_into_the_desk_only(
    stranger: Browser, service: Deployment, wanted: str, led_to: str
) -> None:
    """No link makes the sign-in lead elsewhere."""
    response = await stranger.sign_in(service.keys["auditor"], next=wanted)
    assert response.headers["location"] == led_to


async def test_signing_out_ends_the_session_everywhere(desk: Browser) -> None:
    """A copy of the cookie is worth nothing afterwards."""
    cookie = desk.http.cookies[COOKIE]
    form = _FORM.search(await desk.page("/desk/events"))
    assert form
    response = await desk.submit("/desk/sign-out", form=form[1])
    assert response.status_code == 303
    assert "Max-Age=0" in response.headers["set-cookie"]
    again = await desk.http.get("/desk", headers={"Cookie": f"{COOKIE}={cookie}"})
    assert again.status_code == 303


async def test_a_form_of_another_site_does_nothing(desk: Browser, service: Deployment) -> None:
    """A form without the session's value, or from another origin or none, is refused; the session goes on."""
    form = _FORM.search(await desk.page("/desk"))
    assert form
    for value in ("", "0" * 64, form[1][:-1]):
        assert (await desk.submit("/desk/sign-out", form=value)).status_code == 403
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {}):
        response = await desk.http.post("/desk/sign-out", data={"form": form[1]}, headers=headers)
        assert response.status_code == 403
        response = await desk.http.post(
            "/desk/sign-in", data={"key": service.keys["auditor"]}, headers=headers
        )
        assert response.status_code == 403
        assert "set-cookie" not in response.headers
    await desk.page("/desk")


async def test_the_value_of_a_form_belongs_to_one_session(desk: Browser, service: Deployment) -> None:
    """The same auditor's other session has another one."""
    first = _FORM.search(await desk.page("/desk"))
    await desk.sign_in(service.keys["auditor"])
    second = _FORM.search(await desk.page("/desk"))
    assert first
    assert second
    assert first[1] != second[1]


async def test_a_session_ends_with_its_key(stranger: Browser, service: Deployment) -> None:
    """When the key is revoked the session is over within the second that the clients are read anew."""
    async with asyncpg.create_pool(service.servers.postgres.url, min_size=1, max_size=1) as pool:
        registry = ClientRegistry(ClientStore(pool), service.keyring)
        key = (await registry.create("auditor-for-a-day", [Scope.AUDIT])).reveal()

        async def is_let_in() -> bool:
            return (await stranger.sign_in(key)).status_code == 303

        await eventually(is_let_in)
        await stranger.page("/desk/events")
        await registry.revoke("auditor-for-a-day")

        async def is_over() -> bool:
            return (await stranger.http.get("/desk/events")).status_code == 303

        await eventually(is_over)


def _sealed(keyring: Keyring, key: str, record: str, *, expires_at_ms: int, client: str = "auditor") -> str:
    members = {
        "id": "dsk_1",
        "client": client,
        "key_hash": keyring.key_hash(key),
        "expires_at_ms": expires_at_ms,
    }
    return keyring.seal(msgspec.json.encode(members), record)


async def test_only_our_own_unexpired_cookies_count(stranger: Browser, service: Deployment) -> None:
    """Past its time, sealed for something else, of another client, or of a key without the scope: not signed in."""
    later, key = 2**52, service.keys["auditor"]
    good = _sealed(service.keyring, key, "desk session", expires_at_ms=later)
    assert (await stranger.http.get("/desk", headers={"Cookie": f"{COOKIE}={good}"})).status_code == 200
    for cookie in (
        _sealed(service.keyring, key, "desk session", expires_at_ms=1_764_300_000_000),
        _sealed(service.keyring, key, "payer key x", expires_at_ms=later),
        _sealed(service.keyring, key, "desk session", expires_at_ms=later, client="bank"),
        _sealed(service.keyring, service.keys["bank"], "desk session", expires_at_ms=later, client="bank"),
    ):
        assert (await stranger.http.get("/desk", headers={"Cookie": f"{COOKIE}={cookie}"})).status_code == 303


@pytest.mark.parametrize("path", [*_ALL_PAGES, "/desk/nowhere", "/desk/static/verify.js"])
async def test_every_page_has_a_strict_policy(desk: Browser, path: str) -> None:
    """Nothing but our own files is loaded or run, nobody frames a page or keeps it, faults included."""
    response = await desk.http.get(path)
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "same-origin"
    if "static" not in path:
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["content-type"].startswith("text/html")
        assert " style=" not in response.text


@pytest.mark.parametrize(
    "path", ["/desk/static/..%2Froutes.py", "/desk/static/routes.py", "/desk/static/none.js"]
)
async def test_only_static_files_are_served(stranger: Browser, path: str) -> None:
    """Nothing of the program is."""
    assert (await stranger.http.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("colour=red", "colour"),
        ("type=challenge.answered&type=challenge.issued", "type"),
        ("challenge=chl_1", "challenge"),
        ("from=yesterday", "from"),
        ("cursor=!", "cursor"),
    ],
)
async def test_what_cannot_be_a_filter_is_a_clear_page(desk: Browser, query: str, named: str) -> None:
    """422, and the name of what is wrong; nothing was searched."""
    page = await desk.page(f"/desk/events?{query}", 422)
    assert f"<code>{named}</code>" in page
    assert "<table" not in page
    await desk.page(f"/desk/export?format=csv&{query}", 422)


@pytest.mark.parametrize(
    "path", ["/desk?x=1", "/desk/export", "/desk/export?format=xml", "/desk/challenges?id=&x=1"]
)
async def test_no_parameter_is_ignored(desk: Browser, path: str) -> None:
    """Every page refuses what it does not know."""
    await desk.page(path, 422)


async def test_filters_narrow_the_list(desk: Browser, bank: Bank, auditor: Bank) -> None:
    """By challenge, payer's pseudonym, client's reference, type, client and time, alone and together."""
    challenge, psu = await _answered(bank, auditor)
    pseudonym = (await _events(auditor, challenge=challenge))[0]["psu"]
    for query, count in (
        (f"challenge={challenge}", 6),
        (f"psu={pseudonym}", 6),
        (f"psu={psu['id']}", 6),
        (f"psu={psu['id']}&type=challenge.answered", 2),
        (f"challenge={challenge}&client=bank&type=challenge.issued&from=&to=", 1),
        (f"challenge={challenge}&client=other-bank", 0),
        (f"challenge={challenge}&from=2126-01-01", 0),
        (f"challenge={challenge}&to=2026-01-01T00:00", 0),
    ):
        page = await desk.page(f"/desk/events?{query}")
        assert page.count('<tr role="row"><td') == count, query
        assert count == 0 or challenge in page


async def test_pages_of_the_list_hold_every_event_once(desk: Browser, bank: Bank, auditor: Bank) -> None:
    """Newest first, page by page: nothing is left out and nothing comes twice."""
    psu = unique_psu()
    issued = [(await bank.issue(psu=psu))["id"] for _ in range(18)]

    async def are_delivered() -> bool:
        settled = await _events(auditor, psu=psu["id"], type="delivery.settled")
        return [event["status"] for event in settled].count("delivered") == len(issued)

    await eventually(are_delivered)
    wanted = {event["id"] for event in await _events(auditor, psu=psu["id"])}
    path, shown = f"/desk/events?psu={psu['id']}", list[str]()
    while path:
        page = await desk.page(path)
        shown += _STORY.findall(page)
        following = re.search(r'rel="next" class="button" href="([^"]+)"', page)
        path = following[1].replace("&amp;", "&") if following else ""
    assert len(shown) == len(wanted)
    assert shown[-1] == issued[0]
    assert set(shown) == set(issued)


async def test_a_challenge_is_found_by_its_id(desk: Browser, bank: Bank) -> None:
    """The form on the first page leads to the story; an id that cannot be is refused, an unknown one not found."""
    challenge = (await bank.issue())["id"]
    response = await desk.http.get("/desk/challenges", params={"id": f" {challenge} "})
    assert response.headers["location"] == f"/desk/challenges/{challenge}"
    await desk.page("/desk/challenges?id=chl_1", 422)
    await desk.page(f"/desk/challenges/chl_{'0' * 38}", 404)


async def test_a_story_has_the_text_shown_and_every_leaf(desk: Browser, bank: Bank, auditor: Bank) -> None:
    """What the payer was shown, each event's exact leaf, and, once a checkpoint has it, its proof."""
    challenge, psu = await _answered(bank, auditor)
    events = await _events(auditor, challenge=challenge)

    async def is_proven() -> bool:
        return (await desk.page(f"/desk/challenges/{challenge}")).count("data-proof") == len(events)

    await eventually(is_proven)
    page = await desk.page(f"/desk/challenges/{challenge}")
    assert "EUR 49.99 to ACME GmbH" in page
    assert "49,99 € an ACME GmbH" in page
    assert all(event["id"] in page for event in events)
    assert "Answered: incorrect" in page
    assert "Answered: approved" in page
    for kept_closed in (psu["phone"], psu["id"], "203.0.113.9"):
        assert kept_closed not in page


async def test_an_erased_payer_is_said_to_be(
    desk: Browser, bank: Bank, auditor: Bank, service: Deployment
) -> None:
    """Nothing personal is left on the page; the leaves, their commitments and proofs are."""
    challenge, psu = await _answered(bank, auditor)
    before = await desk.page(f"/desk/challenges/{challenge}")
    assert "ACME GmbH" in before
    await _erase(service, psu["id"])
    page = await desk.page(f"/desk/challenges/{challenge}")
    assert "This payer was erased." in page
    assert "ACME" not in page
    assert "49,99" not in page
    assert page.count("data-leaf") == before.count("data-leaf")
    assert "sha256:" in page


async def test_lost_values_are_no_erasure(desk: Browser, bank: Bank, service: Deployment) -> None:
    """Values that are gone without an erasure on record after their event are said to be missing, here and in evidence.

    The payer was erased once before: that says nothing of what came later.
    """
    psu = unique_psu()
    await _erase(service, psu["id"])
    challenge = await _proven(bank, psu)
    await _on_private(service, challenge, "DELETE FROM audit_private")
    page = await desk.page(f"/desk/challenges/{challenge}")
    assert "erased" not in page
    assert "Personal values: missing" in page
    evidence = await bank.evidence(challenge, format="html")
    assert "are missing" in evidence.text
    assert "erased" not in evidence.text
    await _erase(service, psu["id"])
    assert "This payer was erased." in await desk.page(f"/desk/challenges/{challenge}")
    evidence = await bank.evidence(challenge, format="html")
    assert "The payer's personal values were erased." in evidence.text


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_private SET sealed = set_byte(sealed, 20, get_byte(sealed, 20) # 1)",
        "UPDATE audit_private SET sealed = '\\x01'",
        "UPDATE payer_keys SET wrapped = 'AQ' || wrapped",
    ],
)
async def test_an_altered_value_hides_nothing_else(
    desk: Browser, bank: Bank, service: Deployment, change: str
) -> None:
    """One flipped byte beside the log: the event says so, and every leaf and proof can still be read."""
    challenge = await _proven(bank, unique_psu())
    await _on_private(service, challenge, change)
    page = await desk.page(f"/desk/challenges/{challenge}")
    assert page.count("do not open: altered") == 1
    assert "erased" not in page
    evidence = await bank.evidence(challenge)
    assert evidence.status_code == 200
    assert page.count("data-leaf") == len(evidence.json()["events"])
    assert [event["disclosures"] for event in evidence.json()["events"]] == [[]] * page.count("data-leaf")
    shown = await bank.evidence(challenge, format="html")
    assert "do not open" in shown.text
    assert "erased" not in shown.text


async def _erase(service: Deployment, reference: str) -> None:
    """As `sca audit confirm-erasure` does it for a payer of the bank, without the operators."""
    psu = service.keyring.pseudonym("payer", "bank", reference)
    event = AuditEvent.create(
        event_id=new_id("evt"),
        kind="payer.erased",
        at_ms=SystemClock().now_ms(),
        members={"client": "bank", "psu": psu, "erasure": new_id("ers")},
    )
    async with (
        asyncpg.create_pool(service.servers.postgres.url, min_size=1, max_size=1) as pool,
        pool.acquire() as connection,
        connection.transaction(),
    ):
        await connection.execute(
            "DELETE FROM audit_private WHERE key_id IN (SELECT id FROM payer_keys WHERE psu = $1)", psu
        )
        await connection.execute(
            "UPDATE payer_keys SET wrapped = NULL, destroyed_at = now() WHERE psu = $1", psu
        )
        await insert_events(connection, [event])


async def _on_private(service: Deployment, challenge: str, change: str) -> None:
    """Change what stands beside the leaves of a challenge, and nothing else's."""
    of_challenge = "SELECT id FROM audit_events WHERE challenge_id = $1"
    where = (
        f"id IN (SELECT key_id FROM audit_private WHERE event_id IN ({of_challenge}))"  # noqa: S608 - no value in it
        if "payer_keys" in change
        else f"event_id IN ({of_challenge})"
    )
    connection = await asyncpg.connect(service.servers.postgres.url)
    tag = await connection.execute(f"{change} WHERE {where}", challenge)
    await connection.close()
    assert tag.endswith(" 1")


async def _proven(bank: Bank, psu: dict[str, str]) -> str:
    """A challenge of this payer, every event of it under a checkpoint."""
    challenge = await bank.issue(psu=psu)
    await bank.settled(challenge["id"])

    async def is_proven() -> bool:
        return (await bank.http.get(f"/v1/challenges/{challenge['id']}/evidence")).status_code == 200

    await eventually(is_proven)
    return str(challenge["id"])


async def test_a_reference_that_looks_like_a_pseudonym_is_a_reference_too(
    desk: Browser, bank: Bank, service: Deployment
) -> None:
    """A bank may name payers by UUIDs without dashes: they are found, and never stand in a leaf, found or not."""
    reference, unknown = uuid4().hex, uuid4().hex
    challenge = await bank.issue(psu=unique_psu() | {"id": reference})
    assert challenge["id"] in await desk.page(f"/desk/events?psu={reference}")
    assert "No event fits" in await desk.page(f"/desk/events?psu={unknown}")
    pseudonym = service.keyring.pseudonym("payer", "bank", reference)
    assert challenge["id"] in await desk.page(f"/desk/events?psu={pseudonym}")
    connection = await asyncpg.connect(service.servers.postgres.url)
    leaves = await connection.fetch(
        "SELECT body FROM audit_events WHERE body LIKE '%' || $1 || '%' OR body LIKE '%' || $2 || '%'",
        *(reference, unknown),
    )
    reads = await connection.fetch(
        "SELECT body FROM audit_events WHERE type = 'audit.read' ORDER BY txid DESC, position DESC LIMIT 3"
    )
    await connection.close()
    assert leaves == []
    told = [json.loads(row["body"])["filters"]["psu"] for row in reads]
    assert told == [[pseudonym], [], [pseudonym]]


async def test_too_many_fields_are_refused(desk: Browser, stranger: Browser) -> None:
    """A flood of parameters or of form fields is the sender's mistake, and not ours."""
    many = "&".join(f"a{at}=1" for at in range(41))
    for path in ("/desk", "/desk/events", "/desk/export", "/desk/sign-in", "/desk/challenges"):
        await desk.page(f"{path}?{many}", 422)
    response = await stranger.submit("/desk/sign-in", **{f"a{at}": "1" for at in range(11)})
    assert response.status_code == 422


async def test_what_an_auditor_reads_is_on_record(desk: Browser, bank: Bank, auditor: Bank) -> None:
    """Each page is an event with the filters and the count; a payer's reference becomes a pseudonym."""
    challenge, psu = await _answered(bank, auditor)
    pseudonym = (await _events(auditor, challenge=challenge))[0]["psu"]
    await desk.page("/desk")
    await desk.page(f"/desk/challenges/{challenge}")
    await desk.page(f"/desk/events?psu={psu['id']}&type=challenge.answered")
    await desk.page("/desk/events?colour=red", 422)
    reads = [
        event
        for event in await _events(auditor, type="audit.read", client="auditor")
        if event.get("page", "").startswith("desk")
    ]
    assert [event["page"] for event in reads[-3:]] == ["desk overview", "desk challenge", "desk events"]
    assert {event["actor"] for event in reads} == {"client:auditor"}
    assert all(event["request"].startswith("req_") for event in reads)
    assert reads[-2]["subject"] == challenge
    assert reads[-1]["filters"] == {"psu": [pseudonym], "type": "challenge.answered"}
    assert reads[-1]["count"] == 2
    assert psu["id"] not in json.dumps(reads)
    assert len(await _events(auditor, challenge=challenge)) == 6


async def test_what_is_found_can_be_exported(desk: Browser, bank: Bank, auditor: Bank) -> None:
    """The buttons export what the filters fit, as a file, and that is on record as an export."""
    challenge, _ = await _answered(bank, auditor)

    async def is_sequenced() -> bool:
        return all(event["index"] is not None for event in await _events(auditor, challenge=challenge))

    await eventually(is_sequenced)
    page = await desk.page(f"/desk/events?challenge={challenge}")
    link = re.search(r'href="(/desk/export\?format=jsonl[^"]*)"', page)
    assert link
    response = await desk.http.get(link[1].replace("&amp;", "&"))
    assert response.status_code == 200
    assert response.headers["content-disposition"].startswith("attachment")
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert len(lines) == 6
    assert challenge in response.text
    exported = (await _events(auditor, type="audit.exported"))[-1]
    assert exported["actor"] == "client:auditor"
    assert exported["filters"] == {"challenge": challenge}


async def test_evidence_comes_from_the_story(desk: Browser, bank: Bank, auditor: Bank) -> None:
    """As a page to print, and as the file that can be checked offline."""
    challenge, _ = await _answered(bank, auditor)
    page = await desk.http.get(f"/desk/challenges/{challenge}/evidence")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    file = await desk.http.get(f"/desk/challenges/{challenge}/evidence?format=json")
    assert file.json()["challenge"] == challenge
    assert file.headers["content-disposition"] == f'attachment; filename="evidence-{challenge}.json"'
    await desk.page(f"/desk/challenges/{challenge}/evidence?format=pdf", 422)


async def test_the_overview_counts_what_happened(desk: Browser, bank: Bank, auditor: Bank) -> None:
    """The checkpoint with its key, and today's challenges among the figures."""
    await _answered(bank, auditor)
    for _ in range(60):  # what was counted may be ten seconds old
        page = await desk.page("/desk")
        if re.search(r'aria-label="Challenges by outcome: [^"]*approved', page):
            break
        await asyncio.sleep(0.5)
    assert "sca.example/log" in page
    assert re.search(r"sca\.example/log\+[0-9a-f]{8}\+", page)
    assert "No witness has signed this checkpoint" in page
    assert re.search(r'aria-label="Challenges by outcome: [^"]*approved', page)
    assert "No exemption and no fraud figure is on record" in page
