"""Exemptions over HTTP: assess, execute, report fraud, trust a payee, and read the figures."""

import asyncio
import secrets
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.harness import TRANSACTION, Bank, unique_psu

OTHER_IBAN = "GB29NWBK60161331926819"
CARD = {"type": "card", "context": "remote"}


def case(euros: str = "10.00", psu: dict[str, str] | None = None, **members: Any) -> dict[str, Any]:
    """The body of an assessment: a remote card payment of a payer nobody else has."""
    amount = {"currency": "EUR", "amount": euros}
    body = {
        "psu": psu or unique_psu(),
        "transaction": TRANSACTION | {"amount": amount},
        "payment": CARD,
    }
    return {name: value for name, value in (body | members).items() if value is not None}


async def assess(bank: Bank, *arguments: Any, **members: Any) -> dict[str, Any]:
    """Assess; asserts that it was done."""
    response = await bank.http.post("/v1/exemptions/assess", json=case(*arguments, **members))
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


async def executed(bank: Bank, assessment: str, challenge: str | None = None) -> dict[str, Any]:
    """Report an execution; asserts that it was taken."""
    sent = {"challenge": challenge} if challenge else {}
    response = await bank.http.post(f"/v1/exemptions/{assessment}/executed", json=sent)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


async def approved(bank: Bank, psu: dict[str, str], *, number: int = 1, **members: Any) -> dict[str, Any]:
    """What the verify of a challenge with two elements came to, the payer's first one unless said otherwise."""
    challenge = await bank.issue(psu=psu, elements_presented=["knowledge"], **members)
    code = await bank.code(psu["phone"], number=number)
    done = await bank.verify(challenge["id"], code, members.get("transaction", TRANSACTION))
    assert done["outcome"] == "approved"
    return done


async def test_a_small_payment_is_exempt_executed_and_counted(bank: Bank) -> None:
    """Until the limit, and again after an authentication that this service saw."""
    psu = unique_psu()
    for _ in range(4):
        body = await assess(bank, "25.00", psu)
        assert (body["exempt"], body["article"], body["state"], body["basis"]) == (True, "16", "open", None)
        assert (await executed(bank, body["id"]))["basis"] == "16"
    refused = await assess(bank, "25.00", psu)
    assert (refused["exempt"], refused["article"]) == (False, None)
    assert {"article": "16", "obstacle": "cumulative_amount"} in refused["reasons"]
    paid = TRANSACTION | {"amount": {"currency": "EUR", "amount": "25.00"}}
    challenge = (await approved(bank, psu, transaction=paid))["challenge"]["id"]
    done = await executed(bank, refused["id"], challenge)
    assert (done["state"], done["basis"]) == ("executed", "sca")
    assert (await assess(bank, "25.00", psu))["exempt"]


@pytest.mark.parametrize(
    "other",
    [
        {"amount": {"currency": "EUR", "amount": "25.01"}},
        {"payee": TRANSACTION["payee"] | {"account": {"iban": OTHER_IBAN}}},
        {"reference": "another"},
    ],
    ids=["amount", "payee", "reference"],
)
async def test_an_authentication_for_another_payment_resets_nothing(
    bank: Bank, other: dict[str, Any]
) -> None:
    """RTS Art. 16: a cent, a payee or a reference apart, the payer has not agreed to this payment."""
    psu = unique_psu()
    for _ in range(4):
        await executed(bank, (await assess(bank, "25.00", psu))["id"])
    body = await assess(bank, "25.00", psu)
    different = TRANSACTION | {"amount": {"currency": "EUR", "amount": "25.00"}} | other
    challenge = (await approved(bank, psu, transaction=different))["challenge"]["id"]
    refused = await bank.http.post(f"/v1/exemptions/{body['id']}/executed", json={"challenge": challenge})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/challenge")
    assert not (await assess(bank, "25.00", psu))["exempt"]
    mine = TRANSACTION | {"amount": {"currency": "EUR", "amount": "25.00"}}
    right = (await approved(bank, psu, number=2, transaction=mine))["challenge"]["id"]
    assert (await executed(bank, body["id"], right))["basis"] == "sca"
    assert (await assess(bank, "25.00", psu))["exempt"]


@pytest.mark.parametrize("payment", [CARD, CARD | {"context": "contactless", "instrument": "card-1"}])
async def test_what_risk_refuses_is_never_exempt(bank: Bank, payment: dict[str, str]) -> None:
    """RTS Art. 2(1): monitoring goes for every exemption, also at a terminal."""
    psu = unique_psu()
    body = await assess(bank, "5.00", psu, payment=payment, signals={"malware": True})
    article = "11" if payment["context"] == "contactless" else "16"
    assert (body["exempt"], body["article"], body["risk"]["decision"]) == (False, None, "refuse")
    assert {"article": article, "obstacle": "risk_refused"} in body["reasons"]
    calm = await assess(bank, "5.00", psu, payment=payment, signals={"malware": False})
    assert (calm["exempt"], calm["article"]) == (True, article)


async def test_an_assessment_says_all_that_it_was_made_of(bank: Bank) -> None:
    """Reasons, risk and policy; the place to read it again."""
    response = await bank.http.post("/v1/exemptions/assess", json=case("31.00"))
    body = response.json()
    assert response.headers["Location"] == f"/v1/exemptions/{body['id']}"
    assert set(body) == {
        *("id", "exempt", "article", "reasons", "risk", "state", "basis", "created_at", "expires_at"),
        "policy",
    }
    assert body["policy"]["digest"].startswith("sha256:")
    assert body["risk"]["score"] == 0
    assert len(body["risk"]["conditions"]) == 6
    assert (await bank.http.get(response.headers["Location"])).json() == body


async def test_the_same_request_again_holds_one_place(bank: Bank) -> None:
    """By its Idempotency-Key."""
    body, headers = case("30.00"), {"Idempotency-Key": secrets.token_hex(8)}
    answers = [await bank.http.post("/v1/exemptions/assess", json=body, headers=headers) for _ in range(3)]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    assert [(await assess(bank, "30.00", body["psu"]))["exempt"] for _ in range(3)] == [True, True, False]


@pytest.mark.race
async def test_twenty_at_once_are_exempt_as_often_as_allowed(bank: Bank) -> None:
    """EUR 100 hold three of EUR 30."""
    psu = unique_psu()
    bodies = await asyncio.gather(*(assess(bank, "30.00", psu) for _ in range(20)))
    assert sum(body["exempt"] for body in bodies) == 3


async def test_a_cancelled_one_makes_room(bank: Bank) -> None:
    """And again is as once."""
    psu = unique_psu()
    bodies = [await assess(bank, "25.00", psu) for _ in range(4)]
    for _ in range(2):
        response = await bank.http.post(f"/v1/exemptions/{bodies[0]['id']}/cancel", json={})
        assert (response.status_code, response.json()["state"]) == (200, "cancelled")
    assert (await assess(bank, "25.00", psu))["exempt"]


async def test_an_access_is_exempt_after_an_authenticated_one(bank: Bank) -> None:
    """For the payer, and for a service by itself."""
    psu = unique_psu()
    look = {"transaction": None, "payment": None, "account_access": {"shows": "balance"}}
    first = await assess(bank, "0", psu, **look)
    assert (first["exempt"], first["risk"]) == (False, None)
    assert {"article": "10", "obstacle": "first_access"} in first["reasons"]
    login = await approved(bank, psu, purpose="login", transaction=None)
    await executed(bank, first["id"], login["challenge"]["id"])
    assert (await assess(bank, "0", psu, **look))["article"] == "10"
    by_aisp = look | {"account_access": {"shows": "transactions", "oldest_days": 90, "aisp": "aisp-1"}}
    assert not (await assess(bank, "0", psu, **by_aisp))["exempt"]


def beneficiaries(psu: dict[str, str]) -> str:
    """Where a payer's list is."""
    return f"/v1/psus/{psu['id']}/trusted-beneficiaries"


async def trust(bank: Bank, psu: dict[str, str], authorisation: str | None) -> httpx.Response:
    """Add a payee, whatever comes of it."""
    body = {"payee": TRANSACTION["payee"], "authorisation": authorisation}
    return await bank.http.post(
        beneficiaries(psu), json={name: value for name, value in body.items() if value is not None}
    )


async def test_a_list_changes_with_authentication_only(bank: Bank) -> None:
    """Without a word it is refused; with one it is changed, once."""
    psu = unique_psu()
    refused = await trust(bank, psu, None)
    assert refused.status_code in (403, 409)
    assert refused.json()["code"].endswith("authorisation-required")
    word = (await approved(bank, psu, purpose="other", transaction=None))["authentication_code"]
    added = await trust(bank, psu, word)
    assert added.status_code == 201, added.text
    assert (added.json()["name"], added.json()["account"]) == ("ACME GmbH", "…3000")
    assert (await bank.http.get(beneficiaries(psu))).json()["data"] == [added.json()]
    assert (await assess(bank, "900.00", psu))["article"] == "13"
    remove = f"{beneficiaries(psu)}/{added.json()['id']}/remove"
    again = await bank.http.post(remove, json={"authorisation": word})
    assert (again.status_code, again.json()["errors"][0]["pointer"]) == (422, "/authorisation")
    later = await approved(bank, psu, number=2, purpose="other", transaction=None)
    other = later["authentication_code"]
    assert (await bank.http.post(remove, json={"authorisation": other})).status_code == 204
    assert not (await assess(bank, "900.00", psu))["exempt"]


async def test_a_word_for_something_else_changes_no_list(bank: Bank) -> None:
    """That of a login, one of a single element, and another payer's."""
    psu, other = unique_psu(), unique_psu()
    login = (await approved(bank, psu, purpose="login", transaction=None))["authentication_code"]
    for word in (login, login[:-4] + "AAAA", "x"):
        answer = await trust(bank, psu, word)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/authorisation")
    theirs = (await approved(bank, other, purpose="other", transaction=None))["authentication_code"]
    assert (await trust(bank, psu, theirs)).status_code == 422


async def test_fraud_is_reported_once_and_moves_the_rate(bank: Bank) -> None:
    """The rate tells it at once, and which thresholds are open."""
    payee = {"name": "Shop", "account": {"iban": "FR7630006000011234567890189"}}  # a report speaks against it
    amount = {"currency": "EUR", "amount": "20.00"}
    body = await assess(bank, transaction=TRANSACTION | {"amount": amount, "payee": payee})
    early = await bank.http.post("/v1/fraud-reports", json={"assessment": body["id"], "kind": "unauthorised"})
    assert (early.status_code, early.json()["errors"][0]["pointer"]) == (422, "/assessment")
    await executed(bank, body["id"])
    before = await rate(bank)
    reports = [
        await bank.http.post("/v1/fraud-reports", json={"assessment": body["id"], "kind": "unauthorised"})
        for _ in range(2)
    ]
    assert [report.status_code for report in reports] == [201, 201]
    assert reports[0].json() == reports[1].json()
    after = await rate(bank)
    assert float(after["fraud_value_eur"]) == pytest.approx(float(before["fraud_value_eur"]) + 20)
    assert [band["up_to"]["amount"] for band in after["bands"]] == ["100.00", "250.00", "500.00"]
    assert [band["reference_percent"] for band in after["bands"]] == ["0.130000", "0.060000", "0.010000"]
    assert not any(band["open"] for band in after["bands"])


async def rate(bank: Bank) -> dict[str, Any]:
    """The rate of card payments."""
    response = await bank.http.get("/v1/reports/fraud-rates")
    assert response.status_code == 200, response.text
    card, transfer = response.json()["data"]
    assert (card["type"], transfer["type"]) == ("card", "credit_transfer")
    body: dict[str, Any] = card
    return body


async def test_the_quarterly_report_in_three_forms(bank: Bank) -> None:
    """JSON, CSV and a page that runs nothing say the same."""
    await executed(bank, (await assess(bank, "20.00"))["id"])
    now = datetime.now(UTC)
    quarter = f"{now.year}Q{(now.month + 2) // 3}"
    url = "/v1/reports/quarterly"
    told = await bank.http.get(url, params={"quarter": quarter})
    lines = told.json()["lines"]
    assert told.json()["quarter"] == quarter
    low = next(line for line in lines if line["basis"] == "16" and line["remote"])
    assert low["payments"] >= 1
    table = await bank.http.get(url, params={"quarter": quarter, "format": "csv"})
    assert table.headers["Content-Type"].startswith("text/csv")
    assert len(table.text.splitlines()) == len(lines) + 1
    page = await bank.http.get(url, params={"quarter": quarter, "format": "html"})
    assert page.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert f"<td>{low['value_eur']}</td>" in page.text
    wrong = await bank.http.get(url, params={"quarter": "2026Q5"})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/quarter")


BAD_CASES: list[tuple[dict[str, Any], set[str]]] = [
    ({"transaction": None}, {"/transaction"}),
    ({"payment": None}, {"/payment"}),
    ({"transaction": None, "payment": None}, {"/transaction", "/payment"}),
    ({"account_access": {"shows": "balance"}}, {"/transaction", "/payment"}),
    ({"payment": CARD | {"type": "cheque"}}, {"/payment/type"}),
    ({"payment": CARD | {"context": "moon"}}, {"/payment/context"}),
    ({"payment": CARD | {"merchant_category": "41111"}}, {"/payment/merchant_category"}),
    ({"payment": CARD | {"instrument": "a\u0000b"}}, {"/payment/instrument"}),
    ({"payment": CARD | {"recurring": {}}}, {"/payment/recurring/series"}),
    ({"payment": CARD | {"own_accounts": {"same_holder": True}}}, {"/payment/own_accounts/held_here"}),
    ({"payment": CARD | {"colour": "red"}}, {"/payment/colour"}),
    ({"signals": {"ip": "300.1.1.1"}}, {"/signals/ip"}),
    (
        {"transaction": TRANSACTION | {"amount": {"currency": "JPY", "amount": "10"}}},
        {"/transaction/amount/currency"},
    ),
    (
        {
            "transaction": None,
            "payment": None,
            "account_access": {"shows": "balance", "justified_reason": "fraud"},
        },
        {"/account_access/justified_reason"},
    ),
]


@pytest.mark.parametrize(("members", "pointers"), BAD_CASES, ids=[str(sorted(p)) for _, p in BAD_CASES])
async def test_what_is_wrong_is_told_with_its_pointer(
    bank: Bank, members: dict[str, Any], pointers: set[str]
) -> None:
    """All of it at once, and nothing is assessed."""
    response = await bank.http.post("/v1/exemptions/assess", json=case(**members))
    assert response.status_code == 422, response.text
    assert {mistake["pointer"] for mistake in response.json()["errors"]} == pointers


async def test_another_client_and_another_scope(bank: Bank, other_bank: Bank, auditor: Bank) -> None:
    """Another's assessment is not found; without the scope nothing is told."""
    body = await assess(bank)
    for path in (f"/v1/exemptions/{body['id']}/executed", f"/v1/exemptions/{body['id']}/cancel"):
        assert (await other_bank.http.post(path, json={})).status_code == 404
        assert (await auditor.http.post(path, json={})).status_code == 403
    assert (await other_bank.http.get(f"/v1/exemptions/{body['id']}")).status_code == 404
    assert (await auditor.http.get("/v1/reports/fraud-rates")).status_code == 403
    stolen = {"assessment": body["id"], "kind": "unauthorised"}
    await executed(bank, body["id"])
    assert (await other_bank.http.post("/v1/fraud-reports", json=stolen)).status_code == 422


async def test_a_challenge_of_one_element_is_no_authentication(bank: Bank) -> None:
    """Nor is one that nobody has approved."""
    psu = unique_psu()
    body = await assess(bank, "500.00", psu)
    pending = await bank.issue(psu=psu, elements_presented=["knowledge"])
    for challenge in (pending["id"], "chl_00"):
        response = await bank.http.post(
            f"/v1/exemptions/{body['id']}/executed", json={"challenge": challenge}
        )
        assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "/challenge")
