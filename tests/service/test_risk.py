"""Risk over HTTP: what a bank says of a request is weighed, decides, is told, goes on record, and is learned from."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from sca_service.kernel.errors import InvalidInput
from sca_service.risk_command import explain
from sca_service.settings import shipped_policies
from tests import device
from tests.harness import TRANSACTION, Bank, Deployment, order, unique_psu
from tests.ports import free_port
from tests.rude_server import RudeServer
from tests.service.test_phone_lines import enrolled
from tests.storeroom import eventually
from tests.unit.risk.operator_gateway import (
    ACCESS,
    CLIENT_ID,
    CLIENT_SECRET,
    NUMBER_RECYCLING,
    OPERATIONS,
    Gateway,
)

_CALM = {"decision": "challenge", "score": 0, "reasons": []}
SECRETS = ("203.0.113.66", "d-risk-77", "Mozilla/risk")


async def event_of(service: Deployment, challenge: str, kind: str) -> dict[str, Any]:
    """The audit event of this kind about a challenge, once it has its index."""
    async with service.bank(client="auditor") as auditor:
        for _ in range(400):
            response = await auditor.http.get(
                "/v1/audit/events", params={"challenge": challenge, "type": kind}
            )
            if found := response.json()["data"]:
                event: dict[str, Any] = found[0]
                return event
            await asyncio.sleep(0.05)
    raise AssertionError(f"no {kind} on record")


async def test_nothing_said_is_nothing_weighed(bank: Bank) -> None:
    """A request of which the bank says nothing is challenged, with a score of 0 and no reasons."""
    assert (await bank.issue())["risk"] == _CALM


async def test_what_the_bank_says_is_weighed_and_told(bank: Bank, service: Deployment) -> None:
    """Two signs that come to less than a refusal: challenged, with the score and both reasons, and on record.

    The record says what was made of each factor of RTS Art. 2(2), and repeats nothing of what was said.
    """
    signals = {
        "ip": SECRETS[0],
        "device_id": SECRETS[1],
        "user_agent": SECRETS[2],
        "scenarios": ["fake-invoice"],
        "ip_anonymous": True,
        "malware": False,
    }
    challenge = await bank.issue(signals=signals)
    risk = challenge["risk"]
    assert (risk["decision"], set(risk["reasons"])) == ("step_up", {"known_scenario", "anonymous_address"})
    assert risk["score"] == 50
    assert challenge["status"] == "pending"
    event = await event_of(service, challenge["id"], "challenge.issued")
    told = event["risk"]
    assert (told["decision"], told["score"]) == ("step_up", 50)
    assert (told["factors"]["malware"], told["factors"]["known_scenario"]) == ("clear", "found")
    assert told["factors"]["spending"] in {"in_part", "not_supplied"}
    assert (
        told["factors"]["compromised_elements"] == "in_part"
    )  # our own list was looked at, the bank's was not given
    assert told["policy"].startswith("sha256:")
    assert not any(secret in json.dumps(event) for secret in SECRETS)
    assert await bank.get(challenge["id"]) | {"deliveries": []} == challenge | {"deliveries": []}


async def test_what_must_not_go_on_is_refused_and_nothing_is_sent(bank: Bank, service: Deployment) -> None:
    """A sign of malware: 201 with status refused and the reason; no message, no answer, an event of its own."""
    psu = unique_psu()
    response = await bank.http.post("/v1/challenges", json=order(psu=psu, signals={"malware": True}))
    challenge = response.json()
    assert (response.status_code, challenge["status"], challenge["reason"]) == (201, "refused", "risk")
    assert challenge["risk"] == {"decision": "refuse", "score": 100, "reasons": ["malware_sign"]}
    assert challenge["deliveries"] == []
    verified = await bank.verify(challenge["id"], "123456")
    assert verified["outcome"] == "refused"
    event = await event_of(service, challenge["id"], "challenge.refused")
    assert (event["reason"], event["risk"]["decision"]) == ("risk", "refuse")
    calm = await bank.issue(psu=psu)
    await bank.message(psu["phone"])
    assert len(await bank.messages(psu["phone"])) == 1
    assert calm["status"] == "pending"


async def test_a_phone_that_is_lost_gets_no_message(bank: Bank) -> None:
    """The line is named as compromised: its channels are left out, and where nothing else is left nothing is sent."""
    lost = {"compromised": ["phone"]}
    psu = unique_psu()
    by_phone = await bank.issue(psu=psu, signals=lost)
    assert (by_phone["status"], by_phone["risk"]["decision"]) == ("refused", "refuse")
    assert "phone_compromised" in by_phone["risk"]["reasons"]
    whole = await bank.issue(psu=unique_psu(), channels=None, signals=lost)
    assert (whole["status"], whole["risk"]["decision"]) == ("pending", "step_up")
    stepped = await bank.http.post(f"/v1/challenges/{whole['id']}/next", json={"reason": "user_request"})
    assert stepped.json()["code"] == "no-more-channels"


async def test_a_repeated_request_is_assessed_once(bank: Bank) -> None:
    """The same Idempotency-Key tells the same decision, though the payer was counted meanwhile."""
    body = order(signals={"scenarios": ["mule"]})
    key = {"Idempotency-Key": unique_psu()["id"]}
    first, again = [(await bank.http.post("/v1/challenges", json=body, headers=key)).json() for _ in range(2)]
    assert first["risk"] == again["risk"]
    assert first["id"] == again["id"]


async def test_not_me_is_remembered_of_where_it_came_from(bank: Bank) -> None:
    """A payer disowns a request: the next one from the same device of the session scores higher, whoever it is for."""
    psu, signals = unique_psu(), {"device_id": f"d-{unique_psu()['id']}"}
    phone = await device.enrolled(bank, psu)
    before = await bank.issue(psu=unique_psu(), signals=signals)
    assert "origin_reported" not in before["risk"]["reasons"]
    issued = await device.asked(bank, psu, signals=signals)
    (shown,) = await phone.asked()
    assert await phone.answered(issued["id"], phone.refusal(shown, "not_me")) == ("declined", 5)
    after = await bank.issue(psu=unique_psu(), signals=signals)
    assert "origin_reported" in after["risk"]["reasons"]
    assert after["risk"]["score"] > before["risk"]["score"]


async def test_what_was_approved_is_known_later(bank: Bank) -> None:
    """A device that the payer approved with is not new; another one is, and says so only then."""
    psu, mine = unique_psu(), {"device_id": "mine"}
    challenge = await bank.issue(psu=psu, signals=mine)
    assert "new_device" not in challenge["risk"]["reasons"]  # nothing is new to somebody who was never seen
    await bank.verify(challenge["id"], await bank.code(psu["phone"]))
    known = await bank.issue(psu=psu, signals=mine)
    assert "new_device" not in known["risk"]["reasons"]
    other = await bank.issue(psu=psu, signals={"device_id": "another"})
    assert "new_device" in other["risk"]["reasons"]


async def test_the_record_explains_a_challenge(
    bank: Bank, service: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    """Decision, score, each signal with its reason, each factor with its article, the policy; and who asked."""
    challenge = await bank.issue(
        signals={"scenarios": ["mule"], "ip_anonymous": True, "device_id": SECRETS[1]}
    )
    config = service.config(service.api.port)
    await asyncio.to_thread(explain, challenge["id"], config=config)
    told = capsys.readouterr().out
    lines = [line.split() for line in told.splitlines()]
    policy = (await event_of(service, challenge["id"], "challenge.issued"))["risk"]["policy"]
    assert f"in force: step_up, score 50, policy {policy}" in told
    assert ["scenario-named", "+40", "holds", "known_scenario"] in lines
    assert ["anonymous-address", "+10", "holds", "anonymous_address"] in lines
    assert next(line for line in lines if line[:1] == ["malware"])[1] == "not_supplied"
    assert SECRETS[1] not in told
    async with service.bank(client="auditor") as auditor:

        async def is_on_record() -> bool:
            since = {"type": "audit.read", "limit": "200", "from": challenge["created_at"]}
            read = await auditor.http.get("/v1/audit/events", params=since)
            return challenge["id"] in [one.get("subject") for one in read.json()["data"]]

        await eventually(is_on_record)


async def test_the_record_explains_an_exemption(
    bank: Bank, service: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    """What stood against each article, and the score; an access has none, and an id that is unknown no record."""
    psu, config = {"id": unique_psu()["id"]}, service.config(service.api.port)
    payment = {"type": "card", "context": "remote"}
    bodies: list[dict[str, Any]] = [
        {"transaction": TRANSACTION, "payment": payment, "signals": {"remote_access": True}},
        {"account_access": {"shows": "balance"}},
    ]
    paid, access = [
        (await bank.http.post("/v1/exemptions/assess", json={"psu": psu, **body})).json() for body in bodies
    ]
    assert (paid["risk"]["score"], paid["risk"]["decision"]) == (50, "step_up")
    await asyncio.to_thread(explain, paid["id"], config=config)
    told = capsys.readouterr().out
    assert "not exempt" in told
    assert "in force: step_up, score 50, policy sha256:" in told
    assert ["remote-access", "+50", "holds", "remote_access"] in [line.split() for line in told.splitlines()]
    for request in (access["id"], "ass_" + "0" * 32, "chl_00"):
        with pytest.raises(InvalidInput):
            await asyncio.to_thread(explain, request, config=config)


@pytest.mark.parametrize(
    ("signals", "pointer"),
    [
        ({"latitude": 91, "longitude": 0}, "/signals/latitude"),
        ({"latitude": 50.1}, "/signals/longitude"),
        ({"payer_country": "Germany"}, "/signals/payer_country"),
        ({"scenarios": ["Ein Satz"]}, "/signals/scenarios/0"),
        ({"scenarios": ["a"] * 17}, "/signals/scenarios"),
        ({"payee_check": "perhaps"}, "/signals/payee_check"),
        ({"number_age_days": -1}, "/signals/number_age_days"),
        ({"malware": "yes"}, "/signals/malware"),
        ({"horoscope": "bad"}, "/signals/horoscope"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_odd_signals_are_refused(bank: Bank, signals: dict[str, Any], pointer: str) -> None:
    """Each mistake is named by its place, and nothing is sent."""
    response = await bank.http.post("/v1/challenges", json=order(signals=signals))
    assert response.status_code == 422
    assert [mistake["pointer"] for mistake in response.json()["errors"]] == [pointer]


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment with a risk policy on trial, which would refuse what the other lets through."""
    folder = tmp_path_factory.mktemp("trial")
    policies = folder / "policies"
    shutil.copytree(shipped_policies(), policies)
    _put_on_trial(policies)
    known_as = {"SCA_CAMARA_CLIENT_ID": CLIENT_ID, "SCA_CAMARA_CLIENT_SECRET": CLIENT_SECRET}
    deployment = Deployment(folder, policies=policies, environ=known_as)
    deployment.start_stores()
    for role in ("api", "worker", "log"):
        deployment.start(role)
    yield deployment
    deployment.stop()


OPERATOR_PORT = free_port()
_OPERATOR = f"""[line]
base_url = "http://127.0.0.1:{OPERATOR_PORT}"
access_url = "http://127.0.0.1:{OPERATOR_PORT}{ACCESS}"
"""


def _put_on_trial(policies: Path) -> None:
    text = (policies / "risk.toml").read_text("utf-8")
    text = text.replace("[line]\n", _OPERATOR).replace("timeout_ms = 300", "timeout_ms = 2_000")
    (policies / "risk.toml").write_text(text, "utf-8")
    (policies / "next").mkdir()
    stricter = text.replace("refuse = 100", "refuse = 40").replace("step_up = 50", "step_up = 30")
    (policies / "next" / "risk.toml").write_text(stricter, "utf-8")


async def recycled(bank: Bank, psu: dict[str, str], **signals: Any) -> dict[str, Any]:
    """A challenge for which the operator was heard: it may be too slow at first, and answers are remembered."""
    for _ in range(20):
        challenge = await bank.issue(psu=psu, channels=None, signals=signals)
        if "number_recycled" in challenge["risk"]["reasons"]:
            return challenge
        await asyncio.sleep(0.2)
    raise AssertionError("nobody said that the number was recycled")


async def test_the_operator_is_asked_whether_a_number_was_recycled(trial: Deployment) -> None:
    """From the day on which the payer proved to hold the line; of a vouched one, on which the bank learned it."""
    today, psu, vouched, unknown = datetime.now(UTC).date(), unique_psu(), unique_psu(), unique_psu()
    async with RudeServer(port=OPERATOR_PORT) as server, trial.bank() as bank:
        gateway = Gateway(server)
        await enrolled(bank, psu, psu["phone"])
        for one in (psu, vouched, unknown):
            gateway.lines[one["phone"]] = {path: path == NUMBER_RECYCLING for path in OPERATIONS}
        challenges = [
            await recycled(bank, {"id": psu["id"]}),
            await recycled(bank, vouched, number_age_days=30),
        ]
        undated = await bank.issue(psu=unknown, channels=None)
        asked = [one.json() for one in server.requests if one.path == NUMBER_RECYCLING]
    since = {one["phoneNumber"]: date.fromisoformat(one["specifiedDate"]) for one in asked}
    assert since.keys() == {psu["phone"], vouched["phone"]}
    assert (since[psu["phone"]] - today).days in (0, 1)  # midnight may have passed
    assert (today - since[vouched["phone"]]).days in (29, 30)
    assert "number_recycled" not in undated["risk"]["reasons"]
    for challenge in challenges:
        assert not {"sms", "voice"} & {one["channel"] for one in challenge["deliveries"]}


async def test_a_policy_on_trial_is_reported_and_never_applied(trial: Deployment) -> None:
    """What it would have decided stands in the record beside what was decided; the payer is asked as before."""
    async with trial.bank() as bank:
        challenge = await bank.issue(signals={"scenarios": ["mule"]})
        assert (challenge["status"], challenge["risk"]["decision"]) == ("pending", "challenge")
        told = (await event_of(trial, challenge["id"], "challenge.issued"))["risk"]
    assert (told["decision"], told["shadow"]["decision"]) == ("challenge", "refuse")
    assert told["policy"] != told["shadow"]["policy"]
    assert TRANSACTION["payee"]["name"] not in json.dumps(told)
