"""The pages the API serves: complete, well-formed, safe to look at, and readable."""

import json
import re
import shlex
import warnings
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar import Litestar
from litestar.di import Provide
from litestar.exceptions import LitestarDeprecationWarning
from litestar.openapi.config import OpenAPIConfig

from sca_service.api import audit, challenges, operation_routes, payers, push_subscriptions, receipts, sandbox
from sca_service.api.document import KEYED, openapi_document
from sca_service.api.forms import AnswerForm, CreateChallenge, NextForm, UnblockForm
from sca_service.api.json_body import parse_json
from sca_service.api.pages import docs_page, errors_markdown, problem_page, problems_page
from sca_service.api.problems import PROBLEMS as PROBLEM_STATUSES
from sca_service.api.problems import ProblemPage, problem, problem_pages
from sca_service.api.reference import Operation, Reference, read_reference
from sca_service.api.requests import answer_of, order_of
from sca_service.api.responses import ChallengeBody, ChallengeListBody, PayerBody, VerifyBody
from sca_service.api.routes import StrictRequest
from sca_service.api.samples import ANSWERS, REQUESTS, curl, sample_of
from sca_service.kernel import errors

ROOT = Path(__file__).parents[3]
VOID = {"meta", "link", "wbr", "br", "hr", "img", "input"}
PROBLEMS = problem_pages()
REQUEST_SHAPES = {
    "next_channel": NextForm,
    "unblock_payer": UnblockForm,
    "add_push_subscription": push_subscriptions.PushSubscriptionForm,
    "sandbox_script": sandbox.ScriptForm,
    "sandbox_receipt": sandbox.ReceiptForm,
}
ANSWER_SHAPES = {
    "create_challenge": ChallengeBody,
    "list_challenges": ChallengeListBody,
    "verify_challenge": VerifyBody,
    "get_payer": PayerBody,
    "sandbox_messages": sandbox.MessageListBody,
}
HOSTILE = "\"><script>alert(1)</script>' onload=x &amp; `</code><b>`"


class Page(HTMLParser):
    """What stands in a page: its elements, its text, and whether every element is closed where it should be."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element; no attribute may stand twice."""
        assert len({name for name, _ in attrs}) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that closes itself."""
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Close the element that was opened last."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note the text."""
        self.text += data

    def values(self, attribute: str) -> list[str]:
        """The values that an attribute has anywhere."""
        return [attributes[attribute] or "" for _, attributes in self.elements if attribute in attributes]


def as_document() -> dict[str, Any]:
    """The OpenAPI document of every route there is."""
    names = (
        "challenges",
        "payers",
        "push_subscriptions",
        "audit",
        "receipts",
        "sandbox",
        "readiness",
        "public_keys",
    )
    rooms = (challenges, payers, push_subscriptions, audit, receipts, sandbox, operation_routes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LitestarDeprecationWarning)  # of the routes' signatures
        app = Litestar(
            [route for room in rooms for route in room.ROUTES],
            dependencies={name: Provide(lambda: None, sync_to_thread=False) for name in names},
            request_class=StrictRequest,
            openapi_config=OpenAPIConfig(title="SCA service", version="1", components=KEYED),
        )
        return openapi_document(app)


DOCUMENT = as_document()
REFERENCE = read_reference(DOCUMENT)
PAGES = {
    "docs": docs_page(DOCUMENT),
    "problems": problems_page(PROBLEMS),
    **{page.code: problem_page(page) for page in PROBLEMS},
}


def operations(reference: Reference = REFERENCE) -> dict[str, Operation]:
    """Every operation by its id."""
    return {operation.id: operation for section in reference.sections for operation in section.operations}


def one_call(**said: Any) -> dict[str, Any]:
    """A document with a single call."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "T", "version": "1"},
        "paths": {"/x": {"post": {"operationId": "call", "responses": {}, **said}}},
    }


@pytest.mark.parametrize("name", PAGES)
def test_every_element_is_closed_and_every_id_stands_once(name: str) -> None:
    """A page is well-formed: a browser has nothing to guess."""
    ids = Page(PAGES[name]).values("id")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_runs_under_the_strict_policy(name: str) -> None:
    """No inline style or script, no handler in an attribute, nothing loaded but our own files and a data: picture."""
    page = Page(PAGES[name])
    assert "style" not in {tag for tag, _ in page.elements}
    assert page.values("style") == []
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    for tag, attributes in page.elements:
        if tag == "script":
            assert attributes["src"] == "/static/copy.js"
        if tag == "link":
            assert re.match(r"/static/|data:image/", attributes["href"] or "")
    assert all(source.startswith("/static/") for source in page.values("src"))
    assert all(re.match(r"[/#]|data:image/", target) for target in page.values("href"))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_navigable_by_keyboard_and_by_landmark(name: str) -> None:
    """Language, title, one first heading, a link that skips to the main landmark, and a name for each navigation."""
    page = Page(PAGES[name])
    tags = [tag for tag, _ in page.elements]
    assert (tags.count("main"), tags.count("h1"), tags.count("title")) == (1, 1, 1)
    assert page.values("lang") == ["en"]
    links = [attributes for tag, attributes in page.elements if tag == "a"]
    assert links[0]["href"] == "#main"
    assert all("aria-label" in attributes for tag, attributes in page.elements if tag == "nav")
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert all(deeper - level <= 1 for level, deeper in pairwise(levels))


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    """An anchor is on the page it points to, a path is one that the service serves."""
    served = {"/docs", "/problems", "/openapi.json", "/static/style.css"}
    served |= {f"/problems/{page.code}" for page in PROBLEMS}
    served |= {f"/problems#status-{page.status}" for page in PROBLEMS}
    assert {f"status-{page.status}" for page in PROBLEMS} <= set(Page(PAGES["problems"]).values("id"))
    page = Page(PAGES[name])
    here = {f"#{anchor}" for anchor in page.values("id")}
    targets = {target for target in page.values("href") if not target.startswith("data:")}
    assert targets <= here | served
    assert set(page.values("aria-labelledby")) <= set(page.values("id"))


def test_every_operation_of_the_document_is_on_the_page() -> None:
    """Each operation has its article, its place in the contents, its parameters and its statuses."""
    page = Page(PAGES["docs"])
    found = 0
    for path, item in DOCUMENT["paths"].items():
        for method, said in item.items():
            found += 1
            article = PAGES["docs"].split(f'id="{said["operationId"]}"')[1].split("</article>")[0]
            text = Page(f"<article>{article.partition('>')[2]}</article>").text
            assert f"#{said['operationId']}" in page.values("href")
            assert (method.upper() in text, path in text, said["summary"] in text) == (True, True, True)
            wanted = [*(one["name"] for one in said.get("parameters", ())), *said["responses"]]
            assert [name for name in wanted if name not in text] == []
    assert found == len(operations()) > 10


def test_members_are_unfolded_down_to_the_last() -> None:
    """A body's members are told with those inside them, through references, choices with null and arrays."""
    body = operations()["create_challenge"].body
    assert body
    members = {member.name: member for member in body.members}
    assert set(members) == set(CreateChallenge.__struct_fields__)
    assert (members["psu"].required, members["transaction"].required) == (True, False)
    payees = next(member for member in members["transaction"].shape.members if member.name == "payees")
    assert payees.shape.kind == "array of objects"
    assert payees.shape.rules == ("1 to 1,000 items",)
    assert [member.name for member in payees.shape.members] == ["payee", "amount"]
    assert "payment" in members["purpose"].shape.values


def test_a_schema_inside_itself_ends() -> None:
    """A schema that refers to itself is unfolded once."""
    tree = {
        "type": "object",
        "properties": {"inner": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}},
    }
    document = one_call(
        requestBody={"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Tree"}}}}
    )
    document["components"] = {"schemas": {"Tree": tree}}
    body = operations(read_reference(document))["call"].body
    assert body
    assert [member.name for member in body.members] == ["inner"]
    assert body.members[0].shape.members == ()
    Page(docs_page(document))


def test_scopes_are_told_where_the_document_tells_them() -> None:
    """An operation's own security, else the document's, tells whether a key is needed and with which scope."""
    told = {
        "API key with the scope <code>audit</code>": one_call(security=[{"api_key": ["audit"]}]),
        "Needs no API key": {**one_call(security=[]), "security": [{"api_key": []}]},
        "Needs an API key.": {**one_call(), "security": [{"api_key": []}]},
    }
    for text, document in told.items():
        assert text in docs_page(document)
    assert "Needs no API key." in docs_page(one_call())


def test_hostile_text_is_shown_as_it_is() -> None:
    """Whatever a document says, in whatever place, is text on the page and never markup."""
    schema = {
        "type": "object",
        "title": HOSTILE,
        "properties": {
            HOSTILE: {
                "type": "string",
                "description": HOSTILE,
                "enum": [HOSTILE],
                "pattern": HOSTILE,
                "examples": [HOSTILE],
            }
        },
        "required": [HOSTILE],
    }
    content = {"application/json": {"schema": schema}}
    document = one_call(
        operationId=HOSTILE,
        tags=[HOSTILE],
        summary=HOSTILE,
        description=HOSTILE,
        security=[{"api_key": [HOSTILE]}],
        parameters=[
            {"name": HOSTILE, "in": place, "schema": {"type": HOSTILE}}
            for place in ("path", "query", HOSTILE)
        ],
        requestBody={"content": content},
        responses={HOSTILE: {"description": HOSTILE, "content": content}, "200": {"content": content}},
    )
    document["info"] = {"title": HOSTILE, "version": HOSTILE, "description": HOSTILE}
    document["tags"] = [{"name": HOSTILE, "description": HOSTILE}]
    hostile = ProblemPage(code=HOSTILE, status=422, title=HOSTILE, meaning=HOSTILE)
    for html in (docs_page(document), problems_page([hostile]), problem_page(hostile)):
        page = Page(html)
        assert [attributes for tag, attributes in page.elements if tag == "script"] == [
            {"type": "module", "src": "/static/copy.js"}
        ]
        assert not {"onload", "b"} & {
            name for tag, attributes in page.elements for name in (tag, *attributes)
        }
        assert "<script>alert(1)</script>" in page.text


@pytest.mark.parametrize("operation", operations().values(), ids=lambda operation: operation.id)
def test_every_operation_has_a_command_that_a_shell_can_read(operation: Operation) -> None:
    """The command names method, path and body; quotes are balanced; the path holds no braces."""
    words = shlex.split(curl(operation, REFERENCE.schemas))
    assert words[0] == "curl"
    address = next(word for word in words if word.startswith("$BASE"))
    pattern = re.sub(r"\\\{[^/]*\\\}", "[^/{}]+", re.escape(operation.path))
    assert re.fullmatch(pattern + r"(\?[^{}]+)?", address.removeprefix("$BASE"))
    assert ("-d" in words or "-X" in words) == (operation.method != "GET")
    if "-d" in words:
        assert isinstance(json.loads(words[words.index("-d") + 1]), dict)
    assert ("Authorization: Bearer $KEY" in words) == (operation.scopes is not None)


def test_the_example_payment_is_the_contract_s() -> None:
    """What the page tells a reader to send is what the contract shows, and the service takes it."""
    form = parse_json(json.dumps(REQUESTS["create_challenge"]).encode(), CreateChallenge)
    order = order_of(form)
    assert order.transaction
    assert (order.psu_id, order.transaction.total.text, order.lifetime_seconds) == ("cust_8841", "49.99", 300)
    answer = answer_of(parse_json(json.dumps(REQUESTS["verify_challenge"]).encode(), AnswerForm), key="")
    assert answer.transaction == order.transaction
    words = shlex.split(curl(operations()["create_challenge"], REFERENCE.schemas))
    assert json.loads(words[words.index("-d") + 1]) == REQUESTS["create_challenge"]


@pytest.mark.parametrize(("operation", "shape"), REQUEST_SHAPES.items())
def test_sample_requests_are_taken(operation: str, shape: type[msgspec.Struct]) -> None:
    """A sample request has the members that the service takes."""
    parse_json(json.dumps(REQUESTS[operation]).encode(), shape)


@pytest.mark.parametrize(("operation", "shape"), ANSWER_SHAPES.items())
def test_sample_answers_have_the_shape_of_answers(operation: str, shape: type[msgspec.Struct]) -> None:
    """A sample answer is one that the service could give."""
    schema = next(
        answer.schema for answer in operations()[operation].answers if answer.status.startswith("2")
    )
    assert schema
    sample = sample_of(schema, REFERENCE.schemas)
    given = json.loads(msgspec.json.encode(msgspec.convert(sample, shape)))
    assert {name: given[name] for name in sample} == json.loads(json.dumps(sample))


def test_samples_belong_to_something() -> None:
    """No sample is left behind when an operation or a schema is renamed."""
    assert set(REQUESTS) <= set(operations())
    assert set(ANSWERS) <= set(DOCUMENT["components"]["schemas"])


@pytest.mark.parametrize("page", PROBLEMS, ids=lambda page: page.code)
def test_every_problem_has_its_page_and_its_entry(page: ProblemPage) -> None:
    """The page and the list tell title and meaning, and lead to each other."""
    meaning = page.meaning.replace("`", "")
    listed, own = Page(PAGES["problems"]), Page(PAGES[page.code])
    for shown in (listed, own):
        assert (page.title in shown.text, meaning in shown.text, page.code in shown.text) == (
            True,
            True,
            True,
        )
    assert f"/problems/{page.code}" in listed.values("href")
    assert "/problems" in own.values("href")


@pytest.mark.parametrize("kind", PROBLEM_STATUSES, ids=lambda kind: kind.code)
def test_the_example_of_a_problem_is_what_the_api_answers(kind: type[errors.ScaError]) -> None:
    """Status, headers and document on the page are those of the real answer."""
    real: dict[type[errors.ScaError], errors.ScaError] = {
        errors.InvalidInput: errors.InvalidInput.at(
            "/transaction/amount/currency", "is not an active ISO 4217 currency"
        ),
        errors.MalformedRequest: errors.MalformedRequest("an object has a member name twice"),
        errors.MethodNotAllowed: errors.MethodNotAllowed("GET"),
        errors.TooEarly: errors.TooEarly(errors.TooEarly.title, 12),
        errors.ResendCooldown: errors.ResendCooldown(errors.ResendCooldown.title, 12),
    }
    error = real[kind] if kind in real else kind()
    answer = problem(error, path="/v1/challenges", request_id="req_…")
    head, _, document = Page(PAGES[kind.code]).text.partition("HTTP/1.1 ")[2].partition("\n\n")
    headers = [f"Content-Type: {answer.media_type}", *(f"{name}: {value}" for name, value in answer.headers)]
    assert head.splitlines() == [str(answer.status), *headers]
    assert json.loads(document) == json.loads(answer.body)


def test_errors_md_is_what_the_code_says() -> None:
    """`docs/errors.md` was generated from the problems as they are now; `make docs` writes it anew."""
    written = (ROOT / "docs/errors.md").read_text()
    assert written == errors_markdown(PROBLEMS)
    assert "make docs" in written.splitlines()[0]
