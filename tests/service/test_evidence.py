"""Evidence: one file that proves a challenge to somebody who trusts nobody here."""

import base64
import hashlib
import json
import re
from typing import Any

import pytest

from sca_service.audit.merkle import leaf_hash, root_from_inclusion
from sca_service.policy.load import load
from tests.harness import TRANSACTION, Bank, Deployment, unique_psu, wrong
from tests.record import recorded


async def answered(bank: Bank, auditor: Bank, **members: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """A payment that was answered wrongly, then rightly; and its payer."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu, signals={"ip": "203.0.113.7", "session_id": "s-1"}, **members)
    await recorded(auditor, challenge["id"], "delivery.settled", count=2)
    code = await bank.code(psu["phone"])
    await bank.verify(challenge["id"], wrong(code))
    await bank.verify(challenge["id"], code)
    return challenge, psu


async def evidence_of(reader: Bank, challenge: str) -> dict[str, Any]:
    """What a client is given; asserts that it was given something."""
    response = await reader.evidence(challenge)
    assert response.status_code == 200, response.text
    evidence: dict[str, Any] = response.json()
    return evidence


def opened(evidence: dict[str, Any]) -> dict[str, str]:
    """The values of the first event, each checked against its commitment as RTS and docs say it."""
    event = evidence["events"][0]
    commitments = json.loads(event["leaf"])["commitments"]
    for one in event["disclosures"]:
        salt = base64.urlsafe_b64decode(one["salt"])
        assert (
            commitments[one["name"]] == f"sha256:{hashlib.sha256(salt + one['value'].encode()).hexdigest()}"
        )
    return {one["name"]: one["value"] for one in event["disclosures"]}


async def test_every_event_is_proven(bank: Bank, auditor: Bank) -> None:
    """Each leaf leads to the root that the signed checkpoint names, and they tell the whole story."""
    challenge, _ = await answered(bank, auditor)
    evidence = await evidence_of(bank, challenge["id"])
    _, size, root = evidence["checkpoint"].splitlines()[:3]
    for event in evidence["events"]:
        proof = [base64.b64decode(one) for one in event["proof"]]
        reached = root_from_inclusion(leaf_hash(event["leaf"].encode()), event["index"], int(size), proof)
        assert base64.b64encode(reached).decode() == root
    told = [json.loads(event["leaf"]) for event in evidence["events"]]
    assert [one["type"] for one in told] == [
        *("challenge.issued", "delivery.attempted", "delivery.settled", "delivery.settled"),
        *("challenge.answered", "challenge.answered"),
    ]
    assert [one["outcome"] for one in told[4:]] == ["incorrect", "approved"]
    assert {one["challenge"] for one in told} == {challenge["id"]}


async def test_the_bank_sees_what_it_sent(bank: Bank, auditor: Bank) -> None:
    """Text, number, address and payment are opened, and are what was committed to."""
    challenge, psu = await answered(bank, auditor)
    values = opened(await evidence_of(bank, challenge["id"]))
    assert values["message_shown"] == challenge["message_shown"]
    assert (values["phone"], values["psu_id"], values["ip"]) == (psu["phone"], psu["id"], "203.0.113.7")
    digest = hashlib.sha256(values["transaction"].encode()).hexdigest()
    assert challenge["transaction"]["digest"] == f"sha256:{digest}"


async def test_an_auditor_sees_what_an_auditor_needs(bank: Bank, auditor: Bank) -> None:
    """The text and where it was sent, masked; number, address and the bank's own reference stay closed."""
    challenge, psu = await answered(bank, auditor)
    evidence = await evidence_of(auditor, challenge["id"])
    values = opened(evidence)
    assert set(values) == {"message_shown", "phone_masked", "transaction"}
    assert psu["phone"] not in json.dumps(evidence) and psu["id"] not in json.dumps(evidence)


async def test_the_page_holds_the_whole_evidence(bank: Bank) -> None:
    """What a judge reads and what is checked is one file, without a script, a font or an address of anybody."""
    payment = TRANSACTION | {"payee": {"name": "Tom & Söhne </b> GmbH", "account": {"bban": "1234567"}}}
    challenge = await bank.issue(psu=unique_psu(), transaction=payment)
    await bank.settled(challenge["id"])
    response = await bank.evidence(challenge["id"], format="html")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    style = re.search(r"<style>(.*?)</style>", response.text, re.DOTALL)
    assert style
    assert base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode() in policy
    found = re.search(
        r'<script type="application/json" id="evidence">(.*?)</script>', response.text, re.DOTALL
    )
    assert found
    inside = json.loads(found[1])
    assert opened(inside)["message_shown"] == challenge["message_shown"]
    assert "Tom &amp; Söhne &lt;/b&gt; GmbH" in response.text and "</b>" not in response.text
    assert "http" not in response.text.replace("http-equiv", "")


async def test_the_evidence_of_others_is_not_found(bank: Bank, auditor: Bank, service: Deployment) -> None:
    """An unknown challenge and another client's answer alike; a client without a scope is refused."""
    challenge, _ = await answered(bank, auditor)
    async with service.bank(client="other-bank") as other, service.bank(client="issuer") as issuer:
        for path in (challenge["id"], "chl_unknown"):
            response = await other.http.get(f"/v1/challenges/{path}/evidence")
            assert (response.status_code, response.json()["code"]) == (404, "not-found")
        assert (await issuer.http.get(f"/v1/challenges/{challenge['id']}/evidence")).status_code == 403


@pytest.mark.parametrize("query", ["format=pdf", "page=1", "format=json&format=html"])
async def test_an_unknown_format_is_refused(bank: Bank, query: str) -> None:
    """No parameter is ignored."""
    challenge = await bank.issue()
    response = await bank.http.get(f"/v1/challenges/{challenge['id']}/evidence?{query}")
    assert response.status_code == 422


async def test_reading_is_on_record(bank: Bank, auditor: Bank) -> None:
    """Who read what and by which request, apart from the challenge's own story; a payer by pseudonym only."""
    challenge, psu = await answered(bank, auditor)
    await evidence_of(auditor, challenge["id"])
    asked = await auditor.http.get("/v1/audit/events", params={"psu": psu["id"], "type": "challenge.issued"})
    pseudonym = asked.json()["data"][0]["psu"]
    answer = await auditor.http.get("/v1/audit/events", params={"type": "evidence.read", "limit": 200})
    read = [one for one in answer.json()["data"] if one["subject"] == challenge["id"]]
    answer = await auditor.http.get(
        "/v1/audit/events", params={"type": "audit.read", "from": challenge["created_at"], "limit": 200}
    )
    assert [(one["actor"], one["format"]) for one in read] == [("client:auditor", "json")]
    (searched,) = [one for one in answer.json()["data"] if one["request"] == asked.headers["x-request-id"]]
    assert searched["filters"] == {"payers": [pseudonym], "type": "challenge.issued"}
    assert searched["count"] == 1 and psu["id"] not in answer.text
    assert len((await evidence_of(bank, challenge["id"]))["events"]) == 6


async def test_policy_keys_and_clocks_are_on_record(service: Deployment) -> None:
    """Once for each change, however many processes start; the clocks with how far they are apart (RTS Art. 29(2))."""
    async with service.bank(client="auditor") as auditor:

        async def of(kind: str) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = (
                await auditor.http.get("/v1/audit/events", params={"type": kind})
            ).json()["data"]
            return found

        shipped = load(service.policies).digest  # other tests bring policies of their own
        (policy,) = [one for one in await of("policy.changed") if one["digest"] == shipped]
        (keys,) = await of("keys.changed")
        clocks = await of("clock.measured")
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", policy["digest"])
    assert (keys["current"], keys["versions"], len(keys["signing"]), len(keys["log"])) == (1, [1], 1, 1)
    assert clocks and clocks[0]["source"] == "redis"
    assert abs(clocks[0]["redis_offset_ms"]) < 5_000 and abs(clocks[0]["postgres_offset_ms"]) < 5_000
    assert isinstance(clocks[0]["synchronised"], bool)
