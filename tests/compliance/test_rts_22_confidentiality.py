"""RTS Art. 22: confidentiality of personalised security credentials (the byte-for-byte scan is the canary test's)."""

import json

from tests.harness import TRANSACTION, Bank, Deployment, unique_psu
from tests.valkeys import raw_async_client


async def test_22_2_a_credentials_are_masked_when_displayed(bank: Bank) -> None:
    """The number a message went to is shown with four digits at most, in every answer about the challenge."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    await bank.message(psu["phone"])
    shown = (await bank.get(challenge["id"]))["deliveries"][0]["to"]
    assert shown == f"+49…{psu['phone'][-4:]}"
    listed = await bank.http.get("/v1/challenges", params={"psu": psu["id"]})
    assert psu["phone"] not in listed.text


async def test_22_2_b_what_is_personal_is_not_stored_in_plain_text(bank: Bank, service: Deployment) -> None:
    """The challenge in Redis has neither the payer's reference nor number, nor payee, account or code in clear."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    code = await bank.code(psu["phone"])
    async with raw_async_client(service.servers.valkey.url) as redis:
        stored = await redis.get(f"{{p{int(challenge['id'][4:6], 16):02d}}}:challenge:{challenge['id']}")
    assert stored is not None
    assert challenge["id"].encode() in stored
    account = TRANSACTION["payee"]["account"]["iban"]
    for secret in (psu["id"], psu["phone"][1:], "ACME", account, f'"{code}"', "49,99"):
        assert secret.encode() not in stored


async def test_22_2_c_no_answer_holds_a_code(bank: Bank) -> None:
    """Neither issuing nor answering, reading or listing gives the code away."""
    psu = unique_psu()
    texts = []
    challenge = await bank.issue(psu=psu)
    texts.append(json.dumps(challenge))
    code = await bank.code(psu["phone"])
    path = f"/v1/challenges/{challenge['id']}"
    texts += [(await bank.http.get(path)).text, (await bank.http.get("/v1/challenges")).text]
    texts += [(await bank.answer(challenge["id"], code)).text, (await bank.http.get("/metrics")).text]
    assert not any(f'"{code}"' in text or f" {code} " in text for text in texts)
