"""The Twilio Verify facade, called by Twilio's own library with another base URL and nothing else changed."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from sca_service.compat.twilio.sids import challenge_of
from tests.harness import Bank, Deployment, code_in, unique_number, wrong
from tests.service.situations import age

SERVICE = f"VA{'0123456789abcdef' * 2}"
PAYMENT = {"amount": "€39.99", "payee": "Acme Inc."}


@pytest.fixture
def library(service: Deployment) -> Iterator[Client]:
    """Twilio's library, as an application sets it up, with our address."""
    transport = TwilioHttpClient(pool_connections=True)
    transport.session.trust_env = False
    client = Client("bank", service.keys["bank"], http_client=transport)
    client.verify.base_url = service.api.url
    yield client
    transport.session.close()


class Checkout:
    """An application with one number. A class because it counts the messages that the number has received."""

    def __init__(self, library: Client, bank: Bank, service: str = SERVICE) -> None:
        self.service = library.verify.v2.services(service)
        self.bank = bank
        self.number = unique_number()
        self.received = 0

    async def start(self, channel: str = "sms", **parameters: str) -> Any:
        """Start a verification."""
        return await asyncio.to_thread(
            lambda: self.service.verifications.create(to=self.number, channel=channel, **parameters)
        )

    async def code(self) -> str:
        """The code in the number's next message."""
        self.received += 1
        return code_in((await self.bank.message(self.number, number=self.received))["text"])

    async def check(self, code: str, **parameters: str) -> Any:
        """Check a code for the number, unless a verification is named."""
        named = {} if "verification_sid" in parameters else {"to": self.number}
        return await asyncio.to_thread(
            lambda: self.service.verification_checks.create(code=code, **named, **parameters)
        )

    async def fetch(self, named: str) -> Any:
        """Look a verification up."""
        return await asyncio.to_thread(lambda: self.service.verifications(named).fetch())

    async def update(self, named: str, status: str) -> Any:
        """Change a verification."""
        return await asyncio.to_thread(lambda: self.service.verifications(named).update(status=status))


@pytest.fixture
def checkout(library: Client, bank: Bank) -> Checkout:
    """An application whose number nobody else has."""
    return Checkout(library, bank)


async def refused(call: Any) -> tuple[int, int]:
    """The HTTP status and Twilio's number of what a call is refused with."""
    with pytest.raises(TwilioRestException) as caught:
        await call
    assert str(caught.value.msg)
    assert caught.value.code is not None
    return caught.value.status, caught.value.code


async def test_a_payment_is_started_and_checked(checkout: Checkout) -> None:
    """With its PSD2 parameters; the payer reads amount and payee, and the bank gets a proof besides."""
    started = await checkout.start(locale="de", **PAYMENT)
    assert (started.status, started.valid, started.channel, started.to) == (
        "pending",
        False,
        "sms",
        checkout.number,
    )
    assert (started.amount, started.payee, started.service_sid) == ("39.99 EUR", "Acme Inc.", SERVICE)
    assert started.sid.startswith("VE")
    assert started.account_sid.startswith("AC")
    assert started.url == f"{checkout.bank.http.base_url}/v2/Services/{SERVICE}/Verifications/{started.sid}"
    assert started.date_created.tzinfo is not None
    [attempt] = started.send_code_attempts
    assert attempt["channel"] == "sms"
    assert attempt["attempt_sid"].startswith("VL")
    text = (await checkout.bank.message(checkout.number))["text"]
    assert "39,99 €" in text
    assert "Acme Inc." in text

    code = await checkout.code()
    missed = await checkout.check(wrong(code), **PAYMENT)
    assert (missed.status, missed.valid, missed.sid) == ("pending", False, started.sid)
    checked = await checkout.check(code, **PAYMENT)
    assert (checked.status, checked.valid, checked.sid) == ("approved", True, started.sid)
    assert (await checkout.fetch(started.sid)).status == "approved"


async def test_another_amount_or_payee_voids_it(checkout: Checkout) -> None:
    """Any change invalidates the code, and going back does not help (RTS Art. 5(1)(d))."""
    for parameters in ({"amount": "€40.00"}, {"payee": "Acme Ltd."}):
        await checkout.start(**PAYMENT)
        code = await checkout.code()

        changed = await checkout.check(code, **PAYMENT | parameters)
        assert (changed.status, changed.valid) == ("failed", False)
        again = await checkout.check(code, **PAYMENT)
        assert (again.status, again.valid) == ("failed", False)


async def test_a_check_of_a_payment_names_amount_and_payee(checkout: Checkout) -> None:
    """What is executed has to be said, both when it is started and when it is checked."""
    started = await checkout.start(**PAYMENT)
    code = await checkout.code()

    assert await refused(checkout.check(code, verification_sid=started.sid)) == (400, 60206)
    assert await refused(checkout.check(code, amount="€39.99")) == (400, 60206)
    assert await refused(checkout.start(payee="Acme Inc.")) == (400, 60206)
    assert (await checkout.check(code, verification_sid=started.sid, **PAYMENT)).valid


async def test_what_was_approved_is_not_approved_again(checkout: Checkout) -> None:
    """No 404 once a check succeeded, and no status that an application would believe twice."""
    started = await checkout.start()
    code = await checkout.code()
    assert (await checkout.check(code)).status == "approved"

    again = await checkout.check(code)
    assert (again.status, again.valid, again.sid) == ("deleted", False, started.sid)


async def test_of_checks_at_once_one_is_approved(checkout: Checkout) -> None:
    """A code is accepted once, whatever arrives in parallel."""
    await checkout.start()
    code = await checkout.code()

    checks = await asyncio.gather(*(checkout.check(code) for _ in range(6)))
    assert [check.status for check in checks].count("approved") == 1
    assert [check.valid for check in checks].count(True) == 1


async def test_a_second_start_sends_the_same_code(checkout: Checkout) -> None:
    """The verification stays, with one more attempt; asked for once more in the same moment it is too early."""
    first = await checkout.start()
    code = await checkout.code()
    second = await checkout.start()

    assert second.sid == first.sid
    assert [attempt["channel"] for attempt in second.send_code_attempts] == ["sms", "sms"]
    assert await checkout.code() == code
    assert await refused(checkout.start()) == (429, 60212)
    assert (await checkout.check(code)).valid


async def test_another_channel_is_another_code(checkout: Checkout) -> None:
    """Risk has a say in every channel; the verification before is void."""
    first = await checkout.start()
    await checkout.code()
    second = await checkout.start("call")

    assert second.channel == "call"
    assert second.sid != first.sid
    assert (await checkout.fetch(first.sid)).status == "canceled"
    assert (await checkout.check(await checkout.code())).sid == second.sid


async def test_two_payments_of_a_number_do_not_disturb_each_other(checkout: Checkout) -> None:
    """Each has its code, found by what is paid to whom."""
    other = {"amount": "12.50 GBP", "payee": "Bcme Ltd."}
    await checkout.start(**PAYMENT)
    code = await checkout.code()
    await checkout.start(**other)
    other_code = await checkout.code()

    assert (await checkout.check(code, **PAYMENT)).valid
    assert (await checkout.check(other_code, **other)).valid


async def test_wrong_codes_come_to_an_end(checkout: Checkout) -> None:
    """Five of them; after that neither the right one nor another start is any use for a while."""
    await checkout.start()
    code = await checkout.code()
    statuses = [(await checkout.check(wrong(code))).status for _ in range(5)]

    assert statuses == ["pending"] * 4 + ["max_attempts_reached"]
    assert await refused(checkout.check(code)) == (429, 60202)
    assert await refused(checkout.start()) == (429, 60202)


async def test_a_verification_that_is_over_says_so(checkout: Checkout, redis: Redis) -> None:
    """Cancelled or expired is a status; and another is started then."""
    started = await checkout.start()
    code = await checkout.code()
    assert (await checkout.update(started.sid, "canceled")).status == "canceled"
    assert (await checkout.check(code)).status == "canceled"

    second = await checkout.start()
    challenge, code = challenge_of(second.sid), await checkout.code()
    assert challenge
    await age(redis, challenge.text, 301)
    assert (await checkout.fetch(checkout.number)).status == "expired"
    assert (await checkout.check(code)).status == "expired"
    assert (await checkout.start()).sid not in (started.sid, second.sid)


async def test_nobody_approves_but_the_payer(checkout: Checkout) -> None:
    """A client's word is no element (RTS Art. 4(1))."""
    started = await checkout.start()

    assert await refused(checkout.update(started.sid, "approved")) == (403, 60204)
    assert await refused(checkout.update(started.sid, "expired")) == (400, 60200)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"to": "+49301234567"}, (403, 60205)),
        ({"to": "0151 12345678"}, (400, 60200)),
        ({"to": "+499001234567"}, (400, 60200)),
        ({"channel": "email"}, (403, 60223)),
        ({"channel": "whatsapp"}, (403, 60223)),
        ({"custom_code": "1234"}, (403, 60204)),
        ({"custom_message": "Hi"}, (403, 60204)),
        ({"locale": "xx-??"}, (400, 60200)),
        ({"device_ip": "here"}, (400, 60200)),
        ({"amount": "39.99", "payee": "Acme Inc."}, (400, 60200)),
        ({"amount": "€1.234", "payee": "Acme Inc."}, (400, 60200)),
        ({"amount": "€39.99", "payee": "Acme\u202eInc."}, (400, 60200)),
    ],
)
async def test_what_is_refused(
    checkout: Checkout, parameters: dict[str, str], expected: tuple[int, int]
) -> None:
    """What cannot be right, and what would not be what was asked for; nothing is sent."""
    said = {"to": checkout.number, "channel": "sms"} | parameters

    assert await refused(asyncio.to_thread(lambda: checkout.service.verifications.create(**said))) == expected
    assert await checkout.bank.messages(checkout.number) == []


async def test_others_find_nothing(checkout: Checkout, library: Client, service: Deployment) -> None:
    """Another service of the account, another account, and what was never given out."""
    started = await checkout.start()
    code = await checkout.code()
    stranger = Checkout(library, checkout.bank, SERVICE.replace("0", "1"))
    stranger.number = checkout.number

    assert await refused(stranger.fetch(started.sid)) == (404, 20404)
    assert await refused(stranger.check(code)) == (404, 20404)
    assert await refused(checkout.fetch("VE" + "0" * 32)) == (404, 20404)
    assert await refused(checkout.fetch(unique_number())) == (404, 20404)
    async with service.bank(client="other-bank") as other:
        path = f"/v2/Services/{SERVICE}/Verifications/{started.sid}"
        auth = httpx.BasicAuth("other-bank", service.keys["other-bank"])
        assert (await other.http.get(path, auth=auth)).json()["code"] == 20404
    assert (await checkout.check(code)).valid


@pytest.mark.parametrize(
    ("name", "key"), [("bank", "issuer"), ("other-bank", "bank"), ("issuer", "issuer"), ("bank", "")]
)
async def test_account_and_key_belong_together(service: Deployment, bank: Bank, name: str, key: str) -> None:
    """A key of another client, one without the scope, and none."""
    auth = httpx.BasicAuth(name, service.keys.get(key, ""))
    response = await bank.http.post(f"/v2/Services/{SERVICE}/Verifications", auth=auth)

    expected = (403, 20403) if name == key else (401, 20003)
    assert (response.status_code, response.json()["code"]) == expected
    assert response.json()["more_info"].endswith(str(expected[1]))


@pytest.mark.parametrize("body", ["To=1&To=2", "To", "To=%ff", "&" * 60, "\u00e9=1"])
async def test_a_body_that_is_no_form_is_refused(service: Deployment, bank: Bank, body: str) -> None:
    """Two readers of it would not read the same."""
    response = await bank.http.post(
        f"/v2/Services/{SERVICE}/VerificationCheck",
        content=body.encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        auth=httpx.BasicAuth("bank", service.keys["bank"]),
    )

    assert (response.status_code, response.json()["code"]) == (400, 60200)


async def test_auto_is_the_policys_ladder(checkout: Checkout) -> None:
    """With its order of channels; and another start goes on to the next one, with the same code."""
    first = await checkout.start("auto", **PAYMENT)
    challenge = challenge_of(first.sid)
    assert challenge
    second = await checkout.start("auto", **PAYMENT)

    assert second.sid == first.sid
    channels = [attempt["channel"] for attempt in second.send_code_attempts]
    assert channels[:2] == ["push", "sms"]
    deliveries = (await checkout.bank.get(challenge.text))["deliveries"]
    assert [delivery["channel"] for delivery in deliveries][:2] == ["push", "sms"]
    assert (await checkout.check(await checkout.code(), **PAYMENT)).valid
