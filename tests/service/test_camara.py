"""The CAMARA facade beyond its published scenarios: what is on record, whom it lets in, and what races come to."""

import asyncio
import json
from typing import Any

import jsonschema_rs
import pytest
from redis.asyncio import Redis

from sca_service.compat.short_id import lengthened, shortened
from sca_service.facades import facade_routes
from sca_service.kernel.facades import Facades
from tests.harness import Bank, code_in
from tests.service.camara import SEND, VALIDATE, Application
from tests.service.situations import challenge_key


@pytest.fixture
def application(bank: Bank) -> Application:
    """An application with a number of its own."""
    return Application(bank)


def challenge_of(authentication_id: str) -> str:
    """The challenge behind an authenticationId."""
    challenge = lengthened(authentication_id)
    assert challenge
    return challenge.text


async def test_it_is_a_challenge_like_any_other(application: Application) -> None:
    """Its client reads it, with the words that the payer saw, and nothing tells the number or the code."""
    authentication, code = await application.sent()
    assert (await application.validate(authentication, code)).status_code == 204

    body = await application.bank.get(challenge_of(authentication))
    assert (body["status"], body["purpose"]) == ("approved", "other")
    assert body["message_shown"] == "… is your short code to authenticate with Cool App via SMS"
    assert body["elements"] == ["possession"]
    assert body["psu"]["id"].startswith("tel_")
    assert application.number not in json.dumps(body)
    assert code not in json.dumps(body)


async def test_evidence_has_the_words_that_were_sent(application: Application) -> None:
    """What was sent is proven as what a policy's text says is (RTS Art. 29)."""
    authentication, _ = await application.sent()

    proof = (await application.bank.evidence(challenge_of(authentication))).json()
    assert "… is your short code" in json.dumps(proof, ensure_ascii=False)


async def test_of_sends_at_once_one_stays_good(application: Application, redis: Redis) -> None:
    """A second send expires the first, in the step that issues: no two codes of a number are ever good together."""
    responses = await asyncio.gather(*(application.send() for _ in range(8)))
    challenges = [challenge_of(response.json()["authenticationId"]) for response in responses]

    assert len({challenge_key(challenge) for challenge in challenges}) == 8
    statuses = [(await application.bank.get(challenge))["status"] for challenge in challenges]
    assert sorted(statuses) == ["cancelled"] * 7 + ["pending"]


async def test_of_answers_at_once_one_is_right(application: Application) -> None:
    """The code is accepted once, whatever arrives in parallel."""
    authentication, code = await application.sent()

    answers = await asyncio.gather(*(application.validate(authentication, code) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [204] + [400] * 7


@pytest.mark.parametrize("path", [SEND, VALIDATE])
async def test_a_client_needs_the_scope(application: Application, other_clients: Bank, path: str) -> None:
    """Whoever may read the log may not send codes."""
    application.bank = other_clients

    application.assert_fault(await application.post(path, {}), 403, "PERMISSION_DENIED")


@pytest.fixture
def other_clients(auditor: Bank) -> Bank:
    """A client without the scope."""
    return auditor


async def test_another_client_finds_nothing(application: Application, other_bank: Bank) -> None:
    """An authenticationId of another client answers as an unknown one does, and costs nothing."""
    authentication, code = await application.sent()
    stranger = Application(other_bank)

    stranger.assert_fault(await stranger.validate(authentication, code), 404, "NOT_FOUND")
    assert (await application.validate(authentication, code)).status_code == 204


async def test_what_is_no_code_of_the_facade_is_not_found(application: Application) -> None:
    """A payment is not approved through a call that says nothing of amount and payee (RTS Art. 5)."""
    challenge = await application.bank.issue()
    short = Application(application.bank)

    response = await short.validate(shortened(challenge["id"]), "123456")
    short.assert_fault(response, 404, "NOT_FOUND")


@pytest.mark.parametrize("sent", ["x y", "a(b)", "a" * 257, "a|b"])
async def test_a_correlator_that_is_none_is_refused(application: Application, sent: str) -> None:
    """And not repeated: what is written into a header has to be known."""
    response = await application.post(
        SEND, {"phoneNumber": application.number, "message": "{{code}}"}, headers={"x-correlator": sent}
    )

    assert (response.status_code, response.json()["code"]) == (400, "INVALID_ARGUMENT")
    assert response.headers["x-correlator"] != sent


@pytest.mark.parametrize(
    "text",
    [
        "{{code}} 안녕하세요",
        "Ihr Code für Müller & Söhne: {{code}}",
        "{{code}} {{code}}",
        "{ {{code}} }",
        "{{code}}",
    ],
)
async def test_a_text_arrives_as_it_was_written(application: Application, text: str) -> None:
    """In any alphabet, with the code in each of its places."""
    assert (await application.send(message=text)).status_code == 200

    arrived = (await application.bank.message(application.number))["text"]
    assert arrived == text.replace("{{code}}", code_in(arrived))


@pytest.mark.parametrize(
    "text", ["{{code}}\nhttps://x.example", "{{code}}\u202e", " ", "{{ code }}", "{{CODE}}", 7]
)
async def test_a_text_that_shows_other_than_it_is_is_refused(application: Application, text: Any) -> None:
    """Line breaks, invisible characters, and no place for the code."""
    application.assert_fault(await application.send(message=text), 400, "INVALID_ARGUMENT")


def test_no_facade_is_open_unless_it_is_named() -> None:
    """A service that is configured as before answers as before."""
    assert facade_routes(Facades()) == []


async def test_answers_are_those_of_the_published_document(application: Application, shared: Any) -> None:
    """Each body fits the schema that CAMARA's document has for its status."""
    yaml = pytest.importorskip("yaml")
    document = yaml.safe_load((shared / "vectors/camara/one-time-password-sms.yaml").read_text("utf-8"))
    authentication, code = await application.sent()
    answers = {
        "/send-code": [
            await application.send(),
            await application.send(message="x"),
            await application.send(phoneNumber="+493012345678"),
            await application.send(phoneNumber="+4915912"),
            await application.post(SEND, {}, headers={"Authorization": ""}),
        ],
        "/validate-code": [
            await application.validate(authentication, code),
            await application.validate(authentication, "1" * 11),
            await application.validate("unknown", code),
            await application.post(VALIDATE, {}, headers={"Authorization": ""}),
        ],
    }
    for path, responses in answers.items():
        for response in responses:
            said = document["paths"][path]["post"]["responses"][str(response.status_code)]
            if "$ref" in said:
                said = document["components"]["responses"][said["$ref"].rpartition("/")[2]]
            schema = said["content"]["application/json"]["schema"]
            validator = jsonschema_rs.validator_for(schema | {"components": document["components"]})
            validator.validate(response.json())
