"""What operators, auditors and machines ask: alive, ready, metrics, keys, the API's description, the audit log."""

import asyncio
import re
import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from joserfc.jwk import OKPKey
from prometheus_client.parser import text_string_to_metric_families
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from tests.harness import PATIENCE_SECONDS, Bank, unique_psu, wrong
from tests.record import recorded
from tests.service.situations import Challenge

ROUTES = {
    ("POST", "/v1/challenges"),
    ("GET", "/v1/challenges"),
    ("GET", "/v1/challenges/{challenge_id}"),
    ("POST", "/v1/challenges/{challenge_id}/verify"),
    ("POST", "/v1/challenges/{challenge_id}/next"),
    ("GET", "/v1/challenges/{challenge_id}/events"),
    ("POST", "/v1/challenges/{challenge_id}/cancel"),
    ("GET", "/v1/psus/{psu_id}"),
    ("POST", "/v1/psus/{psu_id}/unblock"),
    ("GET", "/v1/blocks"),
    ("POST", "/v1/blocks/{entry_id}/lift"),
    ("GET", "/v1/allow-list"),
    ("POST", "/v1/allow-list"),
    ("POST", "/v1/allow-list/{entry_id}/remove"),
    ("POST", "/v1/psus/{psu_id}/authenticators"),
    ("GET", "/v1/psus/{psu_id}/authenticators"),
    ("DELETE", "/v1/psus/{psu_id}/authenticators/{authenticator_id}"),
    ("POST", "/v1/psus/{psu_id}/authenticators/{authenticator_id}/activate"),
    ("POST", "/v1/psus/{psu_id}/authenticators/{authenticator_id}/resynchronise"),
    ("POST", "/v1/psus/{psu_id}/authenticators/{authenticator_id}/suspend"),
    ("POST", "/v1/psus/{psu_id}/authenticators/{authenticator_id}/resume"),
    ("POST", "/v1/exemptions/assess"),
    ("GET", "/v1/exemptions/{assessment_id}"),
    ("POST", "/v1/exemptions/{assessment_id}/executed"),
    ("POST", "/v1/exemptions/{assessment_id}/cancel"),
    ("POST", "/v1/fraud-reports"),
    ("GET", "/v1/fraud-reports/{report_id}"),
    ("POST", "/v1/fraud-reports/{report_id}/withdraw"),
    ("POST", "/v1/risk-listings"),
    ("GET", "/v1/risk-listings"),
    ("POST", "/v1/risk-listings/{listing_id}/remove"),
    ("GET", "/v1/reports/fraud-rates"),
    ("GET", "/v1/reports/quarterly"),
    ("POST", "/v1/psus/{psu_id}/trusted-beneficiaries"),
    ("GET", "/v1/psus/{psu_id}/trusted-beneficiaries"),
    ("POST", "/v1/psus/{psu_id}/trusted-beneficiaries/{beneficiary_id}/remove"),
    ("POST", "/device/v1/activate"),
    ("GET", "/device/v1/challenges"),
    ("GET", "/device/v1/challenges/{challenge_id}"),
    ("POST", "/device/v1/challenges/{challenge_id}/answer"),
    ("POST", "/v1/alerts"),
    ("POST", "/v1/alerts/batch"),
    ("GET", "/v1/alerts"),
    ("GET", "/v1/alerts/{alert_id}"),
    ("POST", "/v1/webhooks"),
    ("GET", "/v1/webhooks"),
    ("GET", "/v1/webhooks/{webhook_id}"),
    ("PATCH", "/v1/webhooks/{webhook_id}"),
    ("DELETE", "/v1/webhooks/{webhook_id}"),
    ("POST", "/v1/webhooks/{webhook_id}/rotate"),
    ("POST", "/v1/webhooks/{webhook_id}/test"),
    ("GET", "/v1/webhooks/{webhook_id}/messages"),
    ("GET", "/v1/webhooks/{webhook_id}/messages/{message_id}"),
    ("POST", "/v1/webhooks/{webhook_id}/replay"),
    ("PUT", "/v1/cards/{card_ref}/balance"),
    ("GET", "/v1/cards/{card_ref}"),
    ("DELETE", "/v1/cards/{card_ref}"),
    ("POST", "/v1/cards/{card_ref}/upcoming-charges"),
    ("GET", "/v1/cards/{card_ref}/upcoming-charges"),
    ("DELETE", "/v1/cards/{card_ref}/upcoming-charges/{charge_id}"),
    ("POST", "/v1/cards/{card_ref}/charges"),
    ("GET", "/v1/psus/{psu_id}/alert-consent"),
    ("PUT", "/v1/psus/{psu_id}/alert-consent"),
    ("GET", "/l/{link}"),
    ("GET", "/v1/analytics/deliveries"),
    ("GET", "/v1/analytics/deliveries/list"),
    ("GET", "/v1/analytics/challenges"),
    ("GET", "/v1/analytics/alerts"),
    ("POST", "/v1/psus/{psu_id}/push-subscriptions"),
    ("GET", "/v1/psus/{psu_id}/push-subscriptions"),
    ("DELETE", "/v1/psus/{psu_id}/push-subscriptions/{subscription_id}"),
    ("GET", "/v1/challenges/{challenge_id}/evidence"),
    ("GET", "/v1/audit/events"),
    ("GET", "/v1/audit/events/{index}/proof"),
    ("GET", "/log/checkpoint"),
    ("GET", "/log/tile/{path}"),
    ("GET", "/v1/audit/export"),
    ("GET", "/receipts/{supplier}"),
    ("POST", "/receipts/{supplier}"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/sandbox/messages"),
    ("POST", "/sandbox/suppliers/{name}"),
    ("POST", "/sandbox/receipts"),
}
LABELS = {
    "purpose": {"login", "account_access", "payment", "enrolment", "other"},
    "status": None,
    "outcome": None,
    "channel": {"sms", "voice", "push", "rcs", "whatsapp", "email"},
    "how": {"payer_call", "payer_reply", "payer_app", "not_me", "mistake", "other"},
    "why": None,
    "table": None,
    "supplier": {f"sandbox-{channel}" for channel in ("sms", "voice", "push", "rcs", "whatsapp", "email")},
    "reason": None,
    "follower": None,
    "code": None,
    "le": None,
}
"""Labels of our metrics: closed sets, all of words."""


async def metrics(bank: Bank) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by its name and labels."""
    response = await bank.http.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


async def test_alive_and_ready(bank: Bank) -> None:
    """The process answers, and names each part that has to be there."""
    alive, ready = await bank.http.get("/healthz"), await bank.http.get("/readyz")

    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (200, {"policy": "ok", "redis": "ok", "audit_log": "ok"})


async def test_metrics_count_what_happened(bank: Bank) -> None:
    """A challenge, a wrong and a right answer, and a problem each add one to their count."""
    psu = unique_psu()
    before = await metrics(bank)
    challenge = await bank.issue(psu=psu)
    code = await bank.code(psu["phone"])
    await bank.verify(challenge["id"], wrong(code))
    await bank.verify(challenge["id"], code)
    await bank.http.delete("/v1/challenges")
    after = await metrics(bank)
    counted = {
        ("sca_challenges_issued_total", (("purpose", "payment"), ("status", "pending"))),
        ("sca_challenges_answered_total", (("outcome", "incorrect"), ("purpose", "payment"))),
        ("sca_challenges_answered_total", (("outcome", "approved"), ("purpose", "payment"))),
        ("sca_requests_failed_total", (("code", "method-not-allowed"),)),
    }

    assert {sample: after[sample] - before.get(sample, 0) for sample in counted} == dict.fromkeys(counted, 1)


async def test_metrics_name_nobody(bank: Bank) -> None:
    """Labels are words of closed sets: no id, number, reference or code is in any metric."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    code = await bank.code(psu["phone"])
    await bank.verify(challenge["id"], code)
    await bank.http.get(f"/{psu['id']}")
    labels = [
        (name, value)
        for (sample, pairs) in await metrics(bank)
        if sample.startswith("sca_")
        for name, value in pairs
    ]
    text = (await bank.http.get("/metrics")).text

    assert {name for name, _ in labels} <= set(LABELS)
    for name, value in labels:
        allowed = LABELS[name]
        assert value in allowed if allowed else re.fullmatch(r"[a-z][a-z_-]*|[\d.]+|\+Inf", value)
    for secret in (
        psu["id"],
        psu["phone"],
        psu["phone"][1:],
        challenge["id"],
        "ACME",
        "DE89370400440532013000",
    ):
        assert secret not in text


async def test_jwks_holds_public_keys_only(bank: Bank) -> None:
    """The keys of authentication codes are published, each with its id, and no private part."""
    response = await bank.http.get("/.well-known/jwks.json")
    keys = response.json()["keys"]

    assert response.status_code == 200
    assert "max-age" in response.headers["cache-control"]
    assert len(keys) >= 1
    for key in keys:
        assert set(key) == {"kty", "crv", "x", "kid", "use", "alg"}
        assert (key["kty"], key["crv"], key["use"], key["alg"]) == ("OKP", "Ed25519", "sig", "EdDSA")
        assert not OKPKey.import_key(key).is_private


async def openapi(bank: Bank) -> dict[str, Any]:
    """The document that describes the API."""
    response = await bank.http.get("/openapi.json")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    document: dict[str, Any] = response.json()
    return document


async def test_openapi_is_valid_and_has_every_route(bank: Bank) -> None:
    """The document is OpenAPI 3.1 by its own schema and lists every route, each named once."""
    document = await openapi(bank)
    OPENAPI_31_VALIDATOR.validate(document)
    routes = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    names = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]

    assert document["openapi"].startswith("3.1.")
    assert routes == ROUTES
    assert len(names) == len(set(names))


async def test_openapi_says_what_the_contract_says(bank: Bank) -> None:
    """Schemas have the contract's members and words; requests are strict; problems are problems; keys are asked for."""
    document = await openapi(bank)
    schemas, paths = document["components"]["schemas"], document["paths"]
    create = paths["/v1/challenges"]["post"]

    def schema_of(part: dict[str, Any]) -> str:
        [(media_type, content)] = part["content"].items()
        return f"{media_type} {content['schema']['$ref'].rpartition('/')[2]}"

    assert schema_of(create["requestBody"]) == "application/json CreateChallenge"
    assert schema_of(create["responses"]["201"]) == "application/json ChallengeBody"
    problems = {status: schema_of(told) for status, told in create["responses"].items() if status != "201"}
    assert set(problems) == {"401", "403", "409", "413", "415", "422", "429", "503"}
    assert set(problems.values()) == {"application/problem+json ProblemBody"}
    assert set(schemas["CreateChallenge"]["properties"]) == {
        "psu", "purpose", "transaction", "method", "channels", "elements_presented", "signals", "expires_in_s",
        "reference", "metadata", "presented_over", "instrument",
    }  # fmt: skip
    assert schemas["Status"]["enum"] == [
        "pending", "approved", "declined", "rejected", "blocked", "expired", "cancelled", "undeliverable", "refused",
    ]  # fmt: skip
    assert set(schemas["Outcome"]["enum"]) == {
        "approved", "incorrect", "transaction_mismatch", "expired", "blocked", "already_used", "cancelled", "refused",
        "undeliverable", "declined",
    }  # fmt: skip
    for form in ("CreateChallenge", "PsuForm", "TransactionForm", "AnswerForm", "NextForm", "StepForm"):
        assert schemas[form]["additionalProperties"] is False
    assert paths["/v1/challenges/{challenge_id}/cancel"]["post"]["requestBody"]["required"] is False
    assert create["requestBody"]["required"] is True
    [(scheme, scopes)] = create["security"][0].items()
    assert document["components"]["securitySchemes"][scheme]["scheme"] == "bearer"
    assert scopes == ["challenges"]
    assert not any("400" in operation["responses"] for item in paths.values() for operation in item.values())


async def test_answer_has_the_members_that_openapi_says(bank: Bank) -> None:
    """What is really answered has exactly the members that the document describes, none more and none less."""
    schemas = (await openapi(bank))["components"]["schemas"]
    psu = unique_psu()
    issued = await bank.issue(psu=psu)
    challenge = await bank.settled(issued["id"])
    verified = await bank.verify(issued["id"], await bank.code(psu["phone"]))
    answered = {
        "ChallengeBody": challenge,
        "DeliveryBody": challenge["deliveries"][0],
        "RouteBody": challenge["deliveries"][0]["route"],
        "RiskBody": challenge["risk"],
        "VerifyBody": verified,
    }

    for name, body in answered.items():
        assert set(body) == set(schemas[name]["properties"]) == set(schemas[name]["required"])


async def test_docs_page_stands_alone(bank: Bank) -> None:
    """The reference loads nothing from elsewhere, shows every route, and its own files are there."""
    response = await bank.http.get("/docs", headers={"Authorization": ""})
    loaded = re.findall(r"""<(?:link|script|img|iframe)\b[^>]*?(?:href|src)="([^"]+)\"""", response.text)

    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "unsafe" not in response.headers["content-security-policy"]
    assert all(place.startswith(("/static/", "data:")) for place in loaded)
    for place in loaded:
        if place.startswith("/static/"):
            assert (await bank.http.get(place)).status_code == 200
    operations = [
        one["operationId"] for item in (await openapi(bank))["paths"].values() for one in item.values()
    ]
    assert all(f'id="{name}"' in response.text for name in operations)


async def answered_challenge(bank: Bank, auditor: Bank) -> tuple[Challenge, str]:
    """A challenge with a wrong and the right answer, and its payer's reference."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    code = await bank.code(psu["phone"])
    await recorded(auditor, challenge["id"], "delivery.settled", count=2)
    await bank.verify(challenge["id"], wrong(code))
    await bank.verify(challenge["id"], code)
    return challenge, psu["id"]


async def listed(auditor: Bank, **filters: str | int) -> list[dict[str, Any]]:
    """A page of audit events."""
    response = await auditor.http.get("/v1/audit/events", params=filters)
    assert response.status_code == 200, response.text
    events: list[dict[str, Any]] = response.json()["data"]
    return events


async def test_log_tells_the_whole_story(bank: Bank, auditor: Bank) -> None:
    """Every decision about a challenge is an event, in order, with who, when, and which policy; none holds a secret."""
    challenge, psu = await answered_challenge(bank, auditor)
    events = await listed(auditor, challenge=challenge["id"])

    assert [event["type"] for event in events] == [
        "challenge.issued",
        "delivery.attempted",
        "delivery.settled",
        "delivery.settled",
        "challenge.answered",
        "challenge.answered",
    ]
    assert [event["status"] for event in events if event["type"] == "delivery.settled"] == [
        "sent",
        "delivered",
    ]
    assert [event["outcome"] for event in events if event["type"] == "challenge.answered"] == [
        "incorrect",
        "approved",
    ]
    assert {event["challenge"] for event in events} == {challenge["id"]}
    assert {event["client"] for event in events} == {"bank"}
    assert {event["policy"] for event in events} == {challenge["policy"]["digest"]}
    assert [event["actor"] for event in events if event["type"].startswith("challenge.")] == [
        "client:bank"
    ] * 3
    assert [event["actor"] for event in events if event["type"] == "delivery.attempted"] == ["worker"]
    assert all(re.fullmatch(r"evt_[0-9a-f]{32,}", event["id"]) for event in events)
    assert all(event["at"].endswith("Z") for event in events)
    assert len({event["psu"] for event in events}) == 1
    for secret in (psu, "ACME", "DE89370400440532013000", "49.99", "pay_2026_001"):
        assert secret not in str(events)


async def test_log_names_the_request(bank: Bank, auditor: Bank) -> None:
    """An event carries the request id that its caller got or sent."""
    sent = f"bank-{unique_psu()['id']}"
    psu = unique_psu()
    response = await bank.http.post(
        "/v1/challenges",
        json={"psu": psu, "purpose": "login", "channels": [{"channel": "sms"}]},
        headers={"X-Request-Id": sent},
    )
    [event] = await listed(auditor, challenge=response.json()["id"], type="challenge.issued")

    assert event["request"] == sent


async def test_every_event_gets_its_index(bank: Bank, auditor: Bank) -> None:
    """The log role gives each event its place: growing in the order of the list, and it never changes."""
    challenge, _ = await answered_challenge(bank, auditor)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        events = await listed(auditor, challenge=challenge["id"])
        if all(event["index"] is not None for event in events):
            break
        await asyncio.sleep(0.05)
    indices = [event["index"] for event in events]
    again = [event["index"] for event in await listed(auditor, challenge=challenge["id"])]

    assert all(isinstance(index, int) for index in indices)
    assert indices == sorted(set(indices)) == again


async def test_log_is_filtered(bank: Bank, auditor: Bank) -> None:
    """By payer (reference or pseudonym), challenge, type, client and time; `from` includes, `to` excludes."""
    challenge, psu = await answered_challenge(bank, auditor)
    events = await listed(auditor, challenge=challenge["id"])
    ids = [event["id"] for event in events]

    async def ids_of(**filters: str) -> list[str]:
        return [event["id"] for event in await listed(auditor, challenge=challenge["id"], **filters)]

    assert [event["id"] for event in await listed(auditor, psu=psu)] == ids
    assert [event["id"] for event in await listed(auditor, psu=events[0]["psu"])] == ids
    assert await listed(auditor, psu=unique_psu()["id"]) == []
    assert await listed(auditor, challenge="chl_" + "0" * 38) == []
    assert await ids_of(type="challenge.answered") == ids[-2:]
    assert await ids_of(type="challenge.forgotten") == []
    assert await ids_of(client="bank") == ids
    assert await ids_of(client="issuer") == []
    first, last = events[0]["at"], events[-1]["at"]
    after = (datetime.fromisoformat(last) + timedelta(milliseconds=1)).isoformat().replace("+00:00", "Z")
    assert await ids_of(**{"from": first}) == ids
    assert await ids_of(**{"from": after}) == []
    assert await ids_of(to=first) == []
    assert await ids_of(**{"from": first, "to": after}) == ids


async def test_log_is_paged(bank: Bank, auditor: Bank) -> None:
    """Pages follow each other by cursor and together are the whole list."""
    challenge, _ = await answered_challenge(bank, auditor)
    whole = await listed(auditor, challenge=challenge["id"])
    pages: list[list[str]] = []
    cursor: str | None = ""
    while cursor is not None:
        asked = {"challenge": challenge["id"], "limit": "4"} | ({"cursor": cursor} if cursor else {})
        body = (await auditor.http.get("/v1/audit/events", params=asked)).json()
        pages.append([event["id"] for event in body["data"]])
        cursor = body["next_cursor"]

    assert [len(page) for page in pages] == [4, 2]
    assert pages[0] + pages[1] == [event["id"] for event in whole]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "/limit"),
        ("limit=201", "/limit"),
        ("kind=challenge.issued", "/kind"),
        ("since=2026-01-01T00:00:00Z", "/since"),
        ("audit=1", "/audit"),
        ("type=a&type=b", "/type"),
        ("from=yesterday", "/from"),
        ("from=2026-01-01T00:00:00", "/from"),
        ("from=0001-01-01T00:00:00%2B23:00", "/from"),
        ("to=1763812800", "/to"),
        ("cursor=x", "/cursor"),
        ("cursor=LTEuMQ==", "/cursor"),
        ("type=%00", "/type"),
        ("challenge=%00", "/challenge"),
        ("client=%00", "/client"),
        ("psu=%00", "/psu"),
    ],
)
async def test_log_refuses_what_it_does_not_know(auditor: Bank, query: str, pointer: str) -> None:
    """An unknown, repeated or impossible parameter is a 422 that points to it; a filter is never ignored."""
    response = await auditor.http.get(f"/v1/audit/events?{query}")

    assert response.status_code == 422
    assert [mistake["pointer"] for mistake in response.json()["errors"]] == [pointer]


@pytest.mark.parametrize(
    "query",
    [
        "challenge=%2B4915199887766%20Max%20Mustermann",
        "type=Max%20Mustermann",
        "client=DE89370400440532013000",
        "challenge=chl_1",
    ],
)
async def test_what_names_nothing_is_not_put_on_record(auditor: Bank, query: str) -> None:
    """What was looked for stands in the log for good: a filter that cannot name such a thing is refused first."""
    response = await auditor.http.get(f"/v1/audit/events?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/" + query.partition("=")[0]
    await auditor.http.get("/v1/audit/events?type=audit.read&limit=200")
    readings = (await auditor.http.get("/v1/audit/events?type=audit.read&limit=200")).text
    assert "Mustermann" not in readings
    assert "DE89" not in readings
