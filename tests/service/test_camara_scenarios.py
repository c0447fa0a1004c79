"""CAMARA's published scenarios for one-time-password-sms 1.1.1, each under the name of its tag (release r3.2)."""

import time
from collections.abc import Awaitable, Callable

import asyncpg
import pytest
from redis.asyncio import Redis

from sca_service.api.clients import ClientRegistry, Scope
from sca_service.api.postgres_store import ClientStore
from sca_service.compat.short_id import lengthened
from tests.harness import PATIENCE_SECONDS, Bank, Deployment, wrong
from tests.service.camara import MESSAGE, SEND, VALIDATE, Application
from tests.service.situations import age

OWN = "ONE_TIME_PASSWORD_SMS"
UNKNOWN = "AiABYGkjRWeJq83vASNFZ4mrze"
MOST_SENDS, MOST_TRIES = 30, 5
LANDLINE, PREMIUM, OF_NOBODY = "+493012345678", "+499001234567", "+4915912"


@pytest.fixture
def application(bank: Bank) -> Application:
    """The background of every scenario."""
    return Application(bank)


Scenario = Callable[[Application], Awaitable[None]]


async def sends_a_code(app: Application) -> None:
    """200 with an authenticationId, in the words that were sent."""
    response = await app.send()

    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-correlator"] == app.correlator
    assert set(response.json()) == {"authenticationId"}
    message = await app.bank.message(app.number)
    assert message["text"][6:] == MESSAGE.removeprefix("{{code}}")


async def sends_a_code_without_correlator(app: Application) -> None:
    """A correlator is made where none was sent."""
    response = await app.bank.http.post(SEND, json={"phoneNumber": app.number, "message": MESSAGE})

    assert response.status_code == 200, response.text
    assert response.headers["x-correlator"]
    assert 0 < len(response.json()["authenticationId"]) <= 36


async def too_many_codes(app: Application) -> None:
    """What the policy allows for one number is sent, and no more."""
    for _ in range(MOST_SENDS):
        assert (await app.send()).status_code == 200

    app.assert_fault(await app.send(), 403, f"{OWN}.MAX_OTP_CODES_EXCEEDED")


async def number_blocked(app: Application) -> None:
    """A number that answered wrongly too often gets nothing for a while."""
    authentication, code = await app.sent()
    await app.validate_wrongly(authentication, code, times=MOST_TRIES)

    app.assert_fault(await app.send(), 403, f"{OWN}.PHONE_NUMBER_BLOCKED")


SEND_SCENARIOS: dict[str, Scenario | tuple[dict[str, str | None], int, str]] = {
    "01_send_code_success_scenario": sends_a_code,
    "02_send_code_success_scenario_without_x-correlator": sends_a_code_without_correlator,
    "400.4_send_code_incorrect_phone_number_request_body": ({"phoneNumber": "3301"}, 400, "INVALID_ARGUMENT"),
    "400.5_send_code_missing_message": ({"message": None}, 400, "INVALID_ARGUMENT"),
    "400.6_send_code_missing_code_request_body": (
        {"message": "message without code"},
        400,
        "INVALID_ARGUMENT",
    ),
    "400.7_send_code_message_too_long": ({"message": f"{MESSAGE:<161}"}, 400, "INVALID_ARGUMENT"),
    "03_send_code_max_otp_code": too_many_codes,
    "04_send_code_phone_number_not_allowed": (
        {"phoneNumber": PREMIUM},
        403,
        f"{OWN}.PHONE_NUMBER_NOT_ALLOWED",
    ),
    "05_send_code_phone_number_not_allowed_3": (
        {"phoneNumber": LANDLINE},
        403,
        f"{OWN}.PHONE_NUMBER_NOT_ALLOWED",
    ),
    "06_send_code_phone_number_blocked": number_blocked,
    "404.1_send_code_phone_number_not_belong_to_operator": ({"phoneNumber": OF_NOBODY}, 404, "NOT_FOUND"),
}


@pytest.mark.parametrize("scenario", SEND_SCENARIOS)
async def test_otpvalidationapi_send_code(application: Application, scenario: str) -> None:
    """A scenario of sendCode with a body."""
    expected = SEND_SCENARIOS[scenario]
    if not isinstance(expected, tuple):
        await expected(application)
        return
    members, status, code = expected
    application.assert_fault(await application.send(**members), status, code)
    assert await application.bank.messages(application.number) == []


async def right_code(app: Application) -> None:
    """204, and nothing in it."""
    authentication, code = await app.sent()
    response = await app.validate(authentication, code)

    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["x-correlator"] == app.correlator


async def right_code_without_correlator(app: Application) -> None:
    """The same without a correlator."""
    authentication, code = await app.sent()
    body = {"authenticationId": authentication, "code": code}

    assert (await app.bank.http.post(VALIDATE, json=body)).status_code == 204


async def code_missing(app: Application) -> None:
    """A code is required."""
    authentication, _ = await app.sent()
    response = await app.post(VALIDATE, {"authenticationId": authentication})

    app.assert_fault(response, 400, "INVALID_ARGUMENT")


async def code_too_long(app: Application) -> None:
    """More than ten characters are no code."""
    authentication, _ = await app.sent()

    app.assert_fault(
        await app.validate(authentication, "thisCodeExceedsTenCharacters"), 400, "INVALID_ARGUMENT"
    )


async def wrong_code(app: Application) -> None:
    """Another code than the one received, also one that no code looks like."""
    authentication, code = await app.sent()

    for presented in (wrong(code), "AJY", f"{code}7", "x y z"):
        app.assert_fault(await app.validate(authentication, presented), 400, f"{OWN}.INVALID_OTP")


async def superseded(app: Application) -> None:
    """A second send for a number expires the first, and is good itself."""
    first, first_code = await app.sent()
    second, second_code = await app.sent()

    app.assert_fault(await app.validate(first, first_code), 400, f"{OWN}.VERIFICATION_EXPIRED")
    assert (await app.validate(second, second_code)).status_code == 204


async def used(app: Application) -> None:
    """Nothing is accepted twice."""
    authentication, code = await app.sent()
    assert (await app.validate(authentication, code)).status_code == 204

    app.assert_fault(await app.validate(authentication, code), 400, f"{OWN}.VERIFICATION_EXPIRED")


async def tried_too_often(app: Application) -> None:
    """The last wrong answer that is allowed fails the verification; after it the right one is no better."""
    authentication, code = await app.sent()
    await app.validate_wrongly(authentication, code, times=MOST_TRIES - 1)

    for presented in (wrong(code), code):
        app.assert_fault(await app.validate(authentication, presented), 400, f"{OWN}.VERIFICATION_FAILED")


async def unknown(app: Application) -> None:
    """What was never given out is not found, whatever it looks like."""
    for authentication in (UNKNOWN, "ea0840f3-3663-4149-bd10-c7c6b8912105", "x", ""):
        app.assert_fault(await app.validate(authentication, "123456"), 404, "NOT_FOUND")


VALIDATE_SCENARIOS: dict[str, Scenario] = {
    "01_validate_code_sucess_scenario": right_code,
    "02_validate_code_sucess_scenario_without_x-correlator": right_code_without_correlator,
    "400.3_validate_code_missing_code": code_missing,
    "400.4_validate_code_exceed_code_max_length": code_too_long,
    "400.5_validate_code_invalid_otp_scenario": wrong_code,
    "400.7_validate_code_verification_expired_scenario_2": superseded,
    "400.8_validate_code_verification_expired_scenario_3": used,
    "400.9_validate_code_verification_failed_scenario": tried_too_often,
    "404_validate_code_resource_not_found": unknown,
}


@pytest.mark.parametrize("scenario", VALIDATE_SCENARIOS)
async def test_otpvalidationapi_validate_code(application: Application, scenario: str) -> None:
    """A scenario of validateCode."""
    await VALIDATE_SCENARIOS[scenario](application)


async def test_otpvalidationapi_400_6_validate_code_verification_expired_scenario_1(
    application: Application, redis: Redis
) -> None:
    """The time since the send is over."""
    authentication, code = await application.sent()
    challenge = lengthened(authentication)
    assert challenge
    await age(redis, challenge.text, 301)

    response = await application.validate(authentication, code)
    application.assert_fault(response, 400, f"{OWN}.VERIFICATION_EXPIRED")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param(SEND, None, id="400.1_send_code_no_request_body"),
        pytest.param(SEND, {}, id="400.2_send_code_empty_request_body"),
        pytest.param(VALIDATE, None, id="400.1_validate_code_no_request_body"),
        pytest.param(VALIDATE, {}, id="400.2_validate_code_empty_request_body"),
        pytest.param(VALIDATE, {"code": "123456"}, id="400.3_validate_code_missing_authenticationId"),
    ],
)
async def test_otpvalidationapi_400(application: Application, path: str, body: dict[str, str] | None) -> None:
    """A body that is not there, or lacks what is required."""
    application.assert_fault(await application.post(path, body), 400, "INVALID_ARGUMENT")


@pytest.mark.parametrize("operation", ["send_code", "validate_code"])
@pytest.mark.parametrize(
    "scenario", ["401.1_no_authorization_header", "401.2_expired_access_token", "401.3_invalid_access_token"]
)
async def test_otpvalidationapi_401(
    application: Application, service: Deployment, operation: str, scenario: str
) -> None:
    """No access key, one that was good until a moment ago, and one that never was."""
    path = SEND if operation == "send_code" else VALIDATE
    authorization = {"401.1": "", "401.3": f"Bearer sca_{'A' * 43}"}.get(scenario[:5])
    headers = {"Authorization": authorization if authorization is not None else await ended_key(service)}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (response := await application.post(path, {}, headers=headers)).status_code != 401:
        assert time.monotonic() < deadline  # revoked keys end within a second

    application.assert_fault(response, 401, "UNAUTHENTICATED")


async def ended_key(service: Deployment) -> str:
    """The authorization of a client whose key was rotated out."""
    async with asyncpg.create_pool(service.servers.postgres.url, min_size=1, max_size=1) as pool:
        registry = ClientRegistry(ClientStore(pool), service.keyring)
        name = f"camara-{time.monotonic_ns()}"
        key = await registry.create(name, [Scope.ONE_TIME_PASSWORD_SMS])
        await registry.rotate(name, overlap_seconds=0)
    return f"Bearer {key.reveal()}"
