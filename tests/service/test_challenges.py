"""Challenges over HTTP: issued, read in every state, and listed."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from sca_service.policy.load import load
from tests.harness import TRANSACTION, Bank, Deployment, order, unique_psu
from tests.service.situations import FINAL, SITUATIONS, challenge_key

MEMBERS = {
    "id", "status", "purpose", "method", "psu", "transaction", "message_shown", "channel", "next_channel_at",
    "deliveries", "attempts_left", "created_at", "expires_at", "elements", "sca", "risk", "policy", "reference",
    "metadata",
}  # fmt: skip
DELIVERY_MEMBERS = {
    "id", "channel", "supplier", "to", "status", "reason", "segments", "cost", "queued_at", "sent_at", "final_at",
    "route",
}  # fmt: skip
SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
NOT_PAYMENTS = ("login", "account_access", "other")


def moment(text: str) -> datetime:
    """A time of an answer; asserts that it is written as the contract says."""
    assert RFC3339.fullmatch(text)
    return datetime.fromisoformat(text)


def full_order(psu: dict[str, str]) -> dict[str, Any]:
    """The contract's example, for a payer of our own."""
    return {
        "psu": psu,
        "purpose": "payment",
        "transaction": TRANSACTION,
        "method": "one_time_code",
        "channels": [
            {"channel": "push", "timeout_s": 20},
            {"channel": "sms", "timeout_s": 45},
            {"channel": "voice"},
        ],
        "elements_presented": ["knowledge"],
        "signals": {"ip": "203.0.113.7", "device_id": "d-77", "user_agent": "a browser", "session_id": "s-1"},
        "expires_in_s": 300,
        "reference": "case-77",
        "metadata": {"case": "77"},
    }


async def test_issue_answers_with_every_member_of_the_contract(bank: Bank) -> None:
    """The contract's example is answered 201 with its place and every member it shows."""
    psu = unique_psu()
    response = await bank.http.post("/v1/challenges", json=full_order(psu))
    challenge = response.json()

    assert response.status_code == 201
    assert response.headers["content-type"] == "application/json"
    assert response.headers["location"] == f"/v1/challenges/{challenge['id']}"
    assert set(challenge) >= MEMBERS
    assert re.fullmatch(r"chl_[0-9a-z]{32,}", challenge["id"])
    assert challenge["status"] == "pending"
    assert challenge["purpose"] == "payment"
    assert challenge["method"] == "one_time_code"
    assert challenge["psu"] == {"id": psu["id"]}
    digest = challenge["transaction"].pop("digest")
    assert SHA256.fullmatch(digest)
    assert challenge["transaction"] == TRANSACTION
    assert challenge["message_shown"] == "49,99 € an ACME GmbH …3000"
    assert challenge["channel"] == "push"
    assert challenge["attempts_left"] == 5
    assert challenge["elements"] == ["knowledge", "possession"]
    assert challenge["sca"] is True
    assert challenge["risk"]["decision"] == "challenge"
    assert challenge["risk"]["reasons"] == []
    assert isinstance(challenge["risk"]["score"], int)
    assert SHA256.fullmatch(challenge["policy"]["digest"])
    assert challenge["reference"] == "case-77"
    assert challenge["metadata"] == {"case": "77"}


async def test_issue_tells_when_it_ends_and_steps_on(bank: Bank) -> None:
    """The lifetime asked for is the lifetime given, and the first channel has the time asked for."""
    challenge = await bank.issue(
        channels=[{"channel": "push", "timeout_s": 20}, {"channel": "sms"}], expires_in_s=61
    )
    created = moment(challenge["created_at"])

    assert moment(challenge["expires_at"]) - created == timedelta(seconds=61)
    assert moment(challenge["next_channel_at"]) - created == timedelta(seconds=20)


async def test_issue_without_wishes_follows_the_policy(bank: Bank) -> None:
    """Without channels and lifetime the policy's ladder and its five minutes hold."""
    challenge = await bank.issue(channels=None)

    assert challenge["channel"] == "push"
    assert moment(challenge["expires_at"]) - moment(challenge["created_at"]) == timedelta(minutes=5)
    assert challenge["elements"] == ["possession"]
    assert challenge["sca"] is False
    assert challenge["reference"] is None


async def test_delivery_is_shown_with_every_member_and_masked(bank: Bank) -> None:
    """A delivery has the contract's members, tells what it cost, and shows the number's end only."""
    psu = unique_psu()
    issued = await bank.issue(psu=psu)
    [queued] = issued["deliveries"]
    [delivery] = (await bank.settled(issued["id"]))["deliveries"]

    assert set(queued) == set(delivery) == DELIVERY_MEMBERS
    assert queued["status"] == "queued"
    assert re.fullmatch(r"dlv_[0-9a-z]{32,}", delivery["id"])
    assert delivery["to"] == f"+49…{psu['phone'][-4:]}"
    assert psu["phone"] not in str(delivery)
    assert delivery["supplier"] == "sandbox-sms"
    assert delivery["route"] == {
        "network": "262-01",
        "sender": "BANK",
        "price": {"currency": "EUR", "amount": "0.07"},
        "reasons": ["only_route"],
        "passed_over": {},
    }
    assert queued["route"] is None
    assert delivery["segments"] >= 1
    assert delivery["cost"]["currency"] == "EUR"
    assert float(delivery["cost"]["amount"]) > 0
    assert moment(delivery["queued_at"]) <= moment(delivery["sent_at"]) <= moment(delivery["final_at"])


async def test_delivery_to_a_device_is_masked(bank: Bank) -> None:
    """A push goes to a device, of which a few characters are shown."""
    challenge = await bank.issue(channels=[{"channel": "push"}])

    assert re.fullmatch(r"device …[0-9a-f]{4}", challenge["deliveries"][0]["to"])


async def test_no_answer_holds_the_code(bank: Bank) -> None:
    """The code travels to the handset and is in no answer: not at issue, not when read, not when listed."""
    psu = unique_psu()
    response = await bank.http.post(
        "/v1/challenges", json=full_order(psu) | {"channels": [{"channel": "sms"}]}
    )
    code = await bank.code(psu["phone"])
    challenge_id = response.json()["id"]
    answers = [
        response,
        await bank.http.get(f"/v1/challenges/{challenge_id}"),
        await bank.http.get("/v1/challenges", params={"psu": psu["id"]}),
        await bank.answer(challenge_id, code),
    ]

    found = [re.search(rf"(?<![0-9a-f]){code}(?![0-9a-f])", answer.text) for answer in answers]
    assert found == [None] * 4


async def test_transaction_is_answered_in_canonical_form(bank: Bank) -> None:
    """Amounts get their minor digits and an IBAN its electronic form; spellings of one transaction share its digest."""
    spellings: list[Any] = [
        {"amount": {"currency": "EUR", "amount": "10"}, "payee": {"name": "ACME", "account": {"iban": iban}}}
        for iban in ("DE89370400440532013000", "de89 3704 0044 0532 0130 00")
    ]
    spellings.append(spellings[0] | {"amount": {"currency": "EUR", "amount": "10.0"}})
    shown = [(await bank.issue(transaction=spelling))["transaction"] for spelling in spellings]

    assert shown[0]["amount"] == {"currency": "EUR", "amount": "10.00"}
    assert shown[0]["payee"]["account"] == {"iban": "DE89370400440532013000"}
    assert shown[0] == shown[1] == shown[2]


@pytest.mark.parametrize(
    "transaction",
    [
        {
            "total": {"currency": "EUR", "amount": "30.00"},
            "payees": [
                {"payee": {"name": "One"}, "amount": {"currency": "EUR", "amount": "10.00"}},
                {"payee": {"name": "Two"}, "amount": {"currency": "EUR", "amount": "20.00"}},
            ],
        },
        {
            "kind": "preauthorisation",
            "amount": {"currency": "JPY", "amount": "5000"},
            "payee": {"name": "Hotel", "account": {"bban": "0123456789"}},
        },
    ],
    ids=["batch", "preauthorisation"],
)
async def test_batch_and_preauthorisation_are_payments_too(bank: Bank, transaction: dict[str, Any]) -> None:
    """A batch and a preauthorisation are issued, shown as they were sent, and approved with the same again."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu, transaction=transaction)
    verified = await bank.verify(challenge["id"], await bank.code(psu["phone"]), transaction)

    assert {name: challenge["transaction"][name] for name in transaction} == transaction
    assert verified["outcome"] == "approved"


@pytest.mark.parametrize("purpose", NOT_PAYMENTS)
async def test_other_purposes_have_no_transaction(bank: Bank, purpose: str) -> None:
    """A login, an account access and anything else are approved by their code alone."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu, purpose=purpose, transaction=None)
    verified = await bank.verify(challenge["id"], await bank.code(psu["phone"]), None)

    assert challenge["purpose"] == purpose
    assert challenge["transaction"] is None
    assert verified["outcome"] == "approved"
    assert verified["challenge"]["status"] == "approved"


async def test_every_purpose_says_what_it_is_for(bank: Bank) -> None:
    """No two purposes read alike, on the bank's page or on the handset."""
    shown, sent = set(), set()
    for purpose in (*NOT_PAYMENTS, "payment"):
        psu = unique_psu()
        transaction = TRANSACTION if purpose == "payment" else None
        shown.add((await bank.issue(psu=psu, purpose=purpose, transaction=transaction))["message_shown"])
        sent.add(re.sub(r"\d", "", (await bank.message(psu["phone"]))["text"]))

    assert len(shown) == len(sent) == 4


@pytest.mark.parametrize("status", SITUATIONS)
async def test_read_in_every_state(bank: Bank, redis: Redis, script: Any, status: str) -> None:
    """A challenge is read with all its members in whatever state; a final one says since when."""
    reached = await SITUATIONS[status](bank, redis)
    response = await bank.http.get(f"/v1/challenges/{reached['id']}")
    challenge = response.json()

    assert response.status_code == 200
    assert set(challenge) >= MEMBERS
    assert challenge["status"] == status
    assert challenge == reached
    assert (challenge["settled_at"] is not None) == (status != "pending")
    assert all(RFC3339.fullmatch(challenge[at]) for at in ("created_at", "expires_at"))


@pytest.mark.parametrize("status", FINAL)
async def test_final_challenge_stays_readable(bank: Bank, redis: Redis, script: Any, status: str) -> None:
    """Once Redis has let go of it, a final challenge reads as before, and its answers come to the same."""
    challenge = await SITUATIONS[status](bank, redis)
    before = await bank.verify(challenge["id"], "123456")
    assert await redis.delete(challenge_key(challenge["id"])) == 1
    after = await bank.verify(challenge["id"], "123456")
    read = await bank.get(challenge["id"])

    assert after["outcome"] == before["outcome"]
    assert after["authentication_code"] is None
    assert read["status"] == status
    settled = ("status", "settled_at", "transaction", "attempts_left", "message_shown", "blocked_until")
    assert {name: read[name] for name in settled} == {name: challenge[name] for name in settled}


async def test_refused_challenge_says_why_and_sends_nothing(bank: Bank, redis: Redis) -> None:
    """A blocked payer's challenge is created as refused, with the reason and the end of the block."""
    challenge = await SITUATIONS["refused"](bank, redis)

    assert challenge["risk"]["decision"] == "refuse"
    assert challenge["risk"]["reasons"] == ["payer_blocked"]
    assert moment(challenge["blocked_until"]) > moment(challenge["created_at"])
    assert challenge["deliveries"] == []
    assert challenge["channel"] is None
    assert challenge["attempts_left"] == 0


async def test_list_is_newest_first_and_pages_hold_everything_once(bank: Bank) -> None:
    """Pages follow each other by cursor, newest first, and together are the whole list."""
    psu = unique_psu()
    issued = [(await bank.issue(psu=psu, channels=[{"channel": "push"}]))["id"] for _ in range(5)]
    pages: list[list[str]] = []
    cursor: str | None = ""
    while cursor is not None:
        asked = {"psu": psu["id"], "limit": "2"} | ({"cursor": cursor} if cursor else {})
        response = await bank.http.get("/v1/challenges", params=asked)
        assert response.status_code == 200, response.text
        body = response.json()
        assert set(body) == {"data", "next_cursor"}
        pages.append([challenge["id"] for challenge in body["data"]])
        cursor = body["next_cursor"]

    assert [len(page) for page in pages] == [2, 2, 1]
    assert [challenge_id for page in pages for challenge_id in page] == issued[::-1]


async def test_list_filters(bank: Bank, redis: Redis) -> None:
    """Status, purpose and time narrow the list; what they leave out is not there."""
    psu = unique_psu()
    first = await bank.issue(psu=psu)
    await bank.http.post(f"/v1/challenges/{first['id']}/cancel")
    second = await bank.issue(psu=psu, purpose="login", transaction=None)

    async def listed(**filters: str) -> list[str]:
        response = await bank.http.get("/v1/challenges", params={"psu": psu["id"], **filters})
        assert response.status_code == 200, response.text
        return [challenge["id"] for challenge in response.json()["data"]]

    assert await listed() == [second["id"], first["id"]]
    assert await listed(status="cancelled") == [first["id"]]
    assert await listed(status="pending") == [second["id"]]
    assert await listed(status="approved") == []
    assert await listed(purpose="payment") == [first["id"]]
    assert await listed(purpose="login") == [second["id"]]
    assert await listed(created_after=first["created_at"]) == [second["id"]]
    assert await listed(created_after=second["created_at"]) == []
    assert await listed(created_after="2026-01-01T01:00:00+01:00") == [second["id"], first["id"]]


async def test_list_shows_what_is_read(bank: Bank, other_bank: Bank) -> None:
    """A listed challenge is the object that reading it gives, and another client's list does not have it."""
    psu = unique_psu()
    challenge = await bank.settled((await bank.issue(psu=psu))["id"])
    listed = await bank.http.get("/v1/challenges", params={"psu": psu["id"]})
    elsewhere = await other_bank.http.get("/v1/challenges", params={"psu": psu["id"]})

    assert listed.json() == {"data": [challenge], "next_cursor": None}
    assert elsewhere.json() == {"data": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "/limit"),
        ("limit=201", "/limit"),
        ("limit=-1", "/limit"),
        ("limit=ten", "/limit"),
        ("limit=5&limit=6", "/limit"),
        ("status=open", "/status"),
        ("purpose=shopping", "/purpose"),
        ("created_after=yesterday", "/created_after"),
        ("created_after=1763812800", "/created_after"),
        ("created_after=2026-01-01T00:00:00", "/created_after"),
        ("created_after=9999-12-31T23:59:59-23:59", "/created_after"),
        ("cursor=", "/cursor"),
        ("cursor=%21%21", "/cursor"),
        ("cursor=MSBjaGxfAA", "/cursor"),
        ("psu=", "/psu"),
        ("psu=%00", "/psu"),
        ("page=2", "/page"),
        ("request=1", "/request"),
        ("challenges=1", "/challenges"),
        ("a~b/c=1", "/a~0b~1c"),
    ],
)
async def test_list_refuses_what_it_does_not_know(bank: Bank, query: str, pointer: str) -> None:
    """An unknown, repeated or impossible parameter is a 422 that points to it; a filter is never ignored."""
    response = await bank.http.get(f"/v1/challenges?{query}")

    assert response.status_code == 422
    assert [mistake["pointer"] for mistake in response.json()["errors"]] == [pointer]


async def test_list_takes_200_at_most(bank: Bank) -> None:
    """The largest page and the smallest are both fine."""
    statuses = [
        (await bank.http.get("/v1/challenges", params={"limit": limit})).status_code for limit in (1, 200)
    ]

    assert statuses == [200, 200]


async def test_newest_challenge_supersedes_none_below_the_limit(bank: Bank) -> None:
    """Two challenges of one payer are open side by side, each with a code of its own."""
    psu = unique_psu()
    first = await bank.issue(psu=psu)
    code = await bank.code(psu["phone"])
    second = await bank.issue(psu=psu)
    await bank.code(psu["phone"], number=2)

    assert (await bank.verify(second["id"], code))["outcome"] == "incorrect"
    assert (await bank.verify(first["id"], code))["outcome"] == "approved"


async def test_one_challenge_too_many_supersedes_the_oldest(
    bank: Bank, auditor: Bank, service: Deployment
) -> None:
    """A payer has as many open challenges as the policy allows: one more cancels the oldest, on record."""
    psu = unique_psu()
    most = load(service.policies).most_pending
    issued = [await bank.issue(psu=psu, channels=[{"channel": "push"}]) for _ in range(most + 1)]
    events = await auditor.http.get(
        "/v1/audit/events", params={"challenge": issued[0]["id"], "type": "challenge.cancelled"}
    )

    assert (await bank.get(issued[0]["id"]))["status"] == "cancelled"
    assert (await bank.get(issued[1]["id"]))["status"] == "pending"
    assert [event["reason"] for event in events.json()["data"]] == ["superseded"]


async def test_unneeded_members_may_be_left_out_or_null(bank: Bank) -> None:
    """What is optional may be null as well as absent."""
    optional = dict.fromkeys(
        ("channels", "elements_presented", "signals", "expires_in_s", "reference", "metadata")
    )
    response = await bank.http.post("/v1/challenges", json=order() | optional)

    assert response.status_code == 201
