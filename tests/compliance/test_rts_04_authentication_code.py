"""RTS Art. 4: the authentication code."""

import asyncio
import base64
import itertools
import json
import warnings
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from joserfc import jws
from joserfc.errors import BadSignatureError, SecurityWarning
from joserfc.jwk import KeySet

from sca_service.challenges import code
from sca_service.challenges.model import ChallengeId
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Purpose
from tests.device import asked, claims_of, enrolled
from tests.harness import TRANSACTION, Bank, Deployment, unique_psu, wrong
from tests.storeroom import let_expire
from tests.valkeys import raw_async_client

DIGEST = "sha256:" + "ab" * 32
CODES = 100_000


def _keyring(fill: int) -> Keyring:
    def key(start: int) -> bytes:
        return bytes((start + 7 * place) % 256 for place in range(32))

    return Keyring(current=1, roots={1: key(fill)}, index=key(fill + 1), signing=[key(fill + 2)])


def _challenge(number: int) -> ChallengeId:
    return ChallengeId.new(
        partition=number % 64, purpose=Purpose.PAYMENT, key_version=1, digits=6, unique=f"{number:032x}"
    )


async def _fail(bank: Bank, challenge: str, right: str, times: int) -> dict[str, Any]:
    answered: dict[str, Any] = {}
    for _ in range(times):
        answered = await bank.verify(challenge, wrong(right))
    return answered


async def _blocked_payer(bank: Bank, psu: dict[str, str], *, number: int = 1) -> dict[str, Any]:
    challenge = await bank.issue(psu=psu)
    answered = await _fail(bank, challenge["id"], await bank.code(psu["phone"], number=number), 5)
    assert answered["challenge"]["status"] == "blocked"
    return answered


async def test_4_1_a_code_is_accepted_once(bank: Bank) -> None:
    """The right code is approved, and the same code again is not."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    right = await bank.code(psu["phone"])
    outcomes = [(await bank.verify(challenge["id"], right))["outcome"] for _ in range(3)]
    assert outcomes == ["approved", "already_used", "already_used"]


async def test_4_1_a_code_of_one_challenge_does_not_answer_another(bank: Bank) -> None:
    """A code belongs to its challenge, even when payer and payment are the same (OWASP ASVS 6.6.2)."""
    psu = unique_psu()
    first = await bank.issue(psu=psu)
    first_code = await bank.code(psu["phone"])
    second = await bank.issue(psu=psu)
    second_code, messages = await bank.code(psu["phone"], number=2), 2
    while second_code == first_code:  # by chance, once in a million times
        second, messages = await bank.issue(psu=psu), messages + 1
        second_code = await bank.code(psu["phone"], number=messages)
    assert (await bank.verify(second["id"], first_code))["outcome"] == "incorrect"
    assert (await bank.verify(first["id"], first_code))["outcome"] == "approved"


def test_4_2_a_codes_are_spread_evenly() -> None:
    """A hundred thousand codes have no digit in any place more often than chance gives it (chi-square, 9 degrees)."""
    keyring = _keyring(1)
    spread = [Counter[str]() for _ in range(6)]
    for number in range(CODES):
        for place, digit in enumerate(code.derive(keyring, _challenge(number), DIGEST).reveal()):
            spread[place][digit] += 1
    expected = CODES / 10
    for counts in spread:
        statistic = sum((counts[str(digit)] - expected) ** 2 / expected for digit in range(10))
        assert statistic < 33.7  # one in ten thousand by chance; the keys are fixed, so it never flickers


def test_4_2_b_a_code_follows_from_nothing_but_the_key() -> None:
    """Under another key every code is another; neighbouring challenges share codes no more often than by chance."""
    one, other = _keyring(1), _keyring(100)
    mine = [code.derive(one, _challenge(number), DIGEST).reveal() for number in range(2_000)]
    theirs = [code.derive(other, _challenge(number), DIGEST).reveal() for number in range(2_000)]
    assert sum(a == b for a, b in zip(mine, theirs, strict=True)) <= 2
    assert sum(a == b for a, b in itertools.pairwise(mine)) <= 2


@pytest.mark.parametrize("what", ["challenge", "purpose", "transaction", "key version"])
def test_4_2_c_a_code_is_for_exactly_one_thing(what: str) -> None:
    """Whatever it was derived for is changed, the code does not match any more."""
    keyring = Keyring(
        current=1,
        roots={1: bytes(range(32)), 2: bytes(range(1, 33))},
        index=bytes(range(2, 34)),
        signing=[bytes(range(3, 35))],
    )
    challenge = _challenge(7)
    presented = code.derive(keyring, challenge, DIGEST)
    assert code.matches(keyring, challenge, DIGEST, presented)
    version = 2 if what == "key version" else 1
    purpose = Purpose.LOGIN if what == "purpose" else Purpose.PAYMENT
    number = 8 if what == "challenge" else 7
    changed = ChallengeId.new(
        partition=number % 64, purpose=purpose, key_version=version, digits=6, unique=f"{number:032x}"
    )
    digest = "sha256:" + "ac" * 32 if what == "transaction" else DIGEST
    assert not code.matches(keyring, changed, digest, presented)


def test_4_2_c_one_wrong_digit_is_a_wrong_code() -> None:
    """No code but the right one matches: each of its digits counts."""
    keyring, challenge = _keyring(1), _challenge(3)
    right = code.derive(keyring, challenge, DIGEST).reveal()
    for place in range(6):
        for digit in "0123456789":
            presented = right[:place] + digit + right[place + 1 :]
            assert code.matches(keyring, challenge, DIGEST, Secret(presented)) == (presented == right)


async def test_4_2_c_an_authentication_code_cannot_be_forged(bank: Bank) -> None:
    """The signed authentication code verifies as it is, and not with any of its claims changed."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    verified = await bank.verify(challenge["id"], await bank.code(psu["phone"]))
    keys = KeySet.import_key_set((await bank.http.get("/.well-known/jwks.json")).json())
    header, payload, signature = verified["authentication_code"].split(".")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        claims = json.loads(jws.deserialize_compact(verified["authentication_code"], keys, ["EdDSA"]).payload)
        assert (claims["challenge"], claims["sub"], claims["aud"]) == (challenge["id"], psu["id"], "bank")
        assert claims["transaction"] == challenge["transaction"]["digest"]
        assert claims["exp"] - claims["iat"] <= 300  # RTS Art. 4(3)(d)
        changed = payload[:40] + ("A" if payload[40] != "A" else "B") + payload[41:]
        for forged in (f"{header}.{changed}.{signature}", f"{header}.{payload}.{signature[::-1]}"):
            with pytest.raises((BadSignatureError, ValueError)):
                jws.deserialize_compact(forged, keys, ["EdDSA"])


async def test_4_3_a_a_failure_does_not_tell_what_was_wrong(bank: Bank) -> None:
    """Wrong answers that differ in everything are answered alike, and name no element."""
    answers = []
    for wrongly in (wrong, lambda right: right[::-1] + "0", lambda _: "abcdef", lambda right: right[:4]):
        psu = unique_psu()
        challenge = await bank.issue(psu=psu, elements_presented=["knowledge"])
        body = await bank.verify(challenge["id"], wrongly(await bank.code(psu["phone"])))
        assert body["challenge"]["status"] == "pending"
        answers.append({name: value for name, value in body.items() if name != "challenge"})
    assert answers == [{"outcome": "incorrect", "attempts_left": 4, "authentication_code": None}] * 4


async def test_4_3_a_an_unknown_challenge_answers_as_another_clients(bank: Bank, service: Deployment) -> None:
    """Nobody finds out by answering whether there is such a challenge, and the answer counts nothing."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    right = await bank.code(psu["phone"])
    unknown = challenge["id"][:10] + "0" * 32
    problems = []
    async with service.bank(client="other-bank") as other:
        for name in (challenge["id"], unknown, "chl_002ff6" + "0" * 32, "chl_unknown"):
            response = await other.answer(name, right)
            assert response.status_code == 404
            problems.append(
                {
                    member: value
                    for member, value in response.json().items()
                    if member not in ("instance", "request_id")
                }
            )
    assert problems == [problems[0]] * 4
    assert (await bank.verify(challenge["id"], right))["attempts_left"] == 4


async def test_4_3_d_a_code_ends_with_its_time(bank: Bank, service: Deployment) -> None:
    """Five minutes by default; a moment later the right code is nothing any more."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    right = await bank.code(psu["phone"])
    created, expires = (datetime.fromisoformat(challenge[name]) for name in ("created_at", "expires_at"))
    assert expires - created == timedelta(minutes=5)
    await let_expire(service, challenge["id"])
    verified = await bank.verify(challenge["id"], right)
    assert (verified["outcome"], verified["challenge"]["status"]) == ("expired", "expired")
    assert verified["authentication_code"] is None


async def test_4_3_d_an_authentication_code_lives_five_minutes_at_most(bank: Bank) -> None:
    """The proof says from when to when it may be used."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    verified = await bank.verify(challenge["id"], await bank.code(psu["phone"]))
    payload = verified["authentication_code"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert 0 < claims["exp"] - claims["iat"] <= 300
    assert claims["iat"] == int(datetime.fromisoformat(verified["challenge"]["settled_at"]).timestamp())


async def test_4_3_b_blocks_after_the_fifth_failure(bank: Bank) -> None:
    """Five wrong codes in a row block; after that the right code is blocked too."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    right = await bank.code(psu["phone"])
    left = [(await bank.verify(challenge["id"], wrong(right)))["attempts_left"] for _ in range(5)]
    assert left == [4, 3, 2, 1, 0]
    assert (await bank.get(challenge["id"]))["status"] == "blocked"
    assert (await bank.verify(challenge["id"], right))["outcome"] == "blocked"


async def test_4_3_b_counts_over_all_challenges_of_a_payer(bank: Bank) -> None:
    """Three failures on one challenge and two on another block the payer, for both of them."""
    psu = unique_psu()
    first, second = await bank.issue(psu=psu), await bank.issue(psu=psu)
    codes = {}
    for number in (1, 2):
        message = await bank.message(psu["phone"], number=number)
        codes["chl_" + message["delivery"][4:-2]] = await bank.code(psu["phone"], number=number)
    await _fail(bank, first["id"], codes[first["id"]], 3)
    last = await _fail(bank, second["id"], codes[second["id"]], 2)
    assert (last["outcome"], last["attempts_left"]) == ("incorrect", 0)
    for challenge in (first, second):
        assert (await bank.verify(challenge["id"], codes[challenge["id"]]))["outcome"] == "blocked"


async def test_4_3_b_counts_over_channels_and_resends(bank: Bank) -> None:
    """Another channel with the same code gives no further attempts."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu, channels=[{"channel": "sms"}, {"channel": "voice"}])
    right = await bank.code(psu["phone"])
    await _fail(bank, challenge["id"], right, 2)
    response = await bank.http.post(f"/v1/challenges/{challenge['id']}/next", json={"reason": "user_request"})
    assert response.json()["attempts_left"] == 3
    last = await _fail(bank, challenge["id"], right, 3)
    assert last["challenge"]["status"] == "blocked"


async def test_4_3_b_a_blocked_payer_gets_no_new_attempts(bank: Bank) -> None:
    """A new challenge of a blocked payer is refused, says until when, and sends nothing."""
    psu = unique_psu()
    await _blocked_payer(bank, psu)
    refused = await bank.issue(psu=psu)
    assert (refused["status"], refused["risk"]["reasons"]) == ("refused", ["payer_blocked"])
    assert refused["blocked_until"] > refused["created_at"]
    assert refused["deliveries"] == []
    await asyncio.sleep(0.3)
    assert len(await bank.messages(psu["phone"])) == 1


async def test_4_3_b_an_approval_starts_the_count_anew(bank: Bank) -> None:
    """Only failures in a row count: an approval between them forgets those before it."""
    psu = unique_psu()
    first = await bank.issue(psu=psu)
    right = await bank.code(psu["phone"])
    await _fail(bank, first["id"], right, 4)
    assert (await bank.verify(first["id"], right))["outcome"] == "approved"
    second = await bank.issue(psu=psu)
    assert second["attempts_left"] == 5


async def test_4_3_b_another_payer_is_not_blocked(bank: Bank) -> None:
    """A block is the payer's own: another payer of the same bank goes on."""
    await _blocked_payer(bank, unique_psu())
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    assert (await bank.verify(challenge["id"], await bank.code(psu["phone"])))["outcome"] == "approved"


async def test_4_4_each_block_is_longer_than_the_one_before(bank: Bank, service: Deployment) -> None:
    """When a first block is over and five more answers fail, the second block is longer."""
    psu = unique_psu()
    lengths = []
    payer = service.keyring.pseudonym("payer", "bank", psu["id"])
    key = f"{{p{int(payer[:2], 16) % 64:02d}}}:lockout:{payer}"
    async with raw_async_client(service.servers.valkey.url) as redis:
        for number in (1, 2, 3):
            await _blocked_payer(bank, psu, number=number)
            seconds, _ = await redis.time()
            until = await redis.hget(key, "blocked_until")
            assert until is not None
            lengths.append(round(int(until) / 1000 - seconds, -2))
            await redis.hset(key, "blocked_until", "1")  # the block is over
    assert lengths == [900, 3600, 14400]


async def test_4_4_an_unblocking_is_lifted_by_an_operator_and_on_record(
    bank: Bank, service: Deployment
) -> None:
    """Only the scope admin lifts a block; who did it and why is in the log, and the payer may go on."""
    psu = unique_psu()
    await _blocked_payer(bank, psu)
    body = {"reason": "called the payer back on the number on file", "client": "bank"}
    assert (await bank.http.post(f"/v1/psus/{psu['id']}/unblock", json=body)).status_code == 403
    async with service.bank(client="operator") as operator, service.bank(client="auditor") as auditor:
        lifted = await operator.http.post(f"/v1/psus/{psu['id']}/unblock", json=body)
        assert (lifted.status_code, lifted.json()["blocked"]) == (200, False)
        events = (
            await auditor.http.get("/v1/audit/events", params={"psu": psu["id"], "type": "payer.unblocked"})
        ).json()["data"]
    assert [(event["actor"], event["reason"]) for event in events] == [("client:operator", body["reason"])]
    assert (await bank.issue(psu=psu))["status"] == "pending"


async def test_4_1_the_right_code_for_the_wrong_payment_is_not_accepted(bank: Bank) -> None:
    """The right code with another amount voids the challenge instead of being accepted."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    right = await bank.code(psu["phone"])
    other = TRANSACTION | {"amount": {"currency": "EUR", "amount": "50.00"}}
    assert (await bank.verify(challenge["id"], right, other))["outcome"] == "transaction_mismatch"


async def test_4_1_an_authentication_code_names_the_elements_it_is_based_on(bank: Bank) -> None:
    """Two or more make it strong, and it says so; one does not, and it says that too."""
    for presented in (["knowledge"], []):
        psu = unique_psu()
        challenge = await bank.issue(psu=psu, elements_presented=presented)
        verified = await bank.verify(challenge["id"], await bank.code(psu["phone"]))
        said = claims_of(verified["authentication_code"])
        assert (said["elements"], said["sca"]) == ([*presented, "possession"], bool(presented))


async def test_4_1_what_a_device_signed_is_accepted_once(bank: Bank) -> None:
    """Approved, and the same signature again is not; the bank reads one and the same authentication code."""
    psu = unique_psu()
    device = await enrolled(bank, psu)
    challenge = await asked(bank, psu)
    signed = device.approval(challenge, challenge["matching_digits"])
    outcomes = [(await device.answered(challenge["id"], signed))[0] for _ in range(3)]
    assert outcomes == ["approved", "already_used", "already_used"]
    codes = {(await bank.get(challenge["id"]))["authentication_code"] for _ in range(2)}
    (said,) = map(claims_of, codes)
    assert (said["challenge"], said["elements"], said["sca"]) == (
        challenge["id"],
        ["possession", "inherence"],
        True,
    )


async def test_4_3_b_wrong_digits_of_a_device_are_failures_like_others(bank: Bank) -> None:
    """Five in a row, of codes and digits together, block the payer for every method."""
    psu = unique_psu()
    device = await enrolled(bank, psu)
    by_text = await bank.issue(psu=psu)
    await _fail(bank, by_text["id"], await bank.code(psu["phone"]), 2)
    challenge = await asked(bank, psu)
    bad = device.approval(challenge, wrong(challenge["matching_digits"]))
    assert [await device.answered(challenge["id"], bad) for _ in range(3)][-1] == ("incorrect", 0)
    right = device.approval(challenge, challenge["matching_digits"])
    assert (await device.answered(challenge["id"], right))[0] == "blocked"
    assert (await bank.issue(psu=psu))["status"] == "refused"
