"""Records: proven when disputed (PSD2 Art. 72), kept for five years (Art. 21), a person forgotten (GDPR Art. 17)."""

import asyncio
import json
import os
import re
import shutil
import tomllib
from pathlib import Path

import pytest

from sca_service.audit.offline.evidence import check_evidence
from sca_service.audit.offline.note import VerifierKey
from sca_service.log_keys import log_signers
from sca_service.policy.load import mistakes
from sca_service.settings import read_settings, shipped_policies
from tests import warm
from tests.generator import path, pin_enrolled
from tests.harness import Bank, Deployment, unique_psu
from tests.record import recorded


def keys_of(service: Deployment) -> list[VerifierKey]:
    """The log's verifier keys, as an auditor has them from the bank."""
    settings = read_settings(service.config(service.api.port))
    return [VerifierKey.parse(signer.verifier_key) for signer in log_signers(settings)]


async def sca(*arguments: str, operator: str = "") -> str:
    """What a command prints; asserts that it did what it was told."""
    environ = {**os.environ, "SCA_OPERATOR_KEY": operator}
    done = await asyncio.to_thread(warm.run, "sca_service", *arguments, env=environ)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("form", ["json", "html"])
async def test_psd2_72_an_authentication_is_proven_with_one_file(
    bank: Bank, service: Deployment, form: str
) -> None:
    """That the payment was authenticated and recorded: from one file and the log's key, without us."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    await bank.verify(challenge["id"], await bank.code(psu["phone"]))
    response = await bank.evidence(challenge["id"], format=form)
    checked = check_evidence(response.content, keys_of(service))
    assert [event.disclosed["message_shown"] for event in checked.events if event.disclosed] == [
        challenge["message_shown"]
    ]
    outcomes = [event.members.get("outcome") for event in checked.events]
    assert outcomes.count("approved") == 1


def test_psd2_21_records_are_kept_for_five_years_at_least(tmp_path: Path) -> None:
    """The policy that comes with the service says so, and one that says less is refused."""
    assert tomllib.loads((shipped_policies() / "retention.toml").read_text("utf-8"))["years"] >= 5
    shutil.copytree(shipped_policies(), tmp_path, dirs_exist_ok=True)
    assert mistakes(tmp_path) == []
    (tmp_path / "retention.toml").write_text("years = 4\n", "utf-8")
    assert [one for one in mistakes(tmp_path) if "retention.toml" in str(one) and "years" in str(one)]


async def test_gdpr_17_a_payer_is_forgotten_and_every_proof_holds(
    bank: Bank, service: Deployment, tmp_path: Path
) -> None:
    """One payer among three, by two operators: the values are gone wherever they are read, the log verifies."""
    config = str(service.config(service.api.port))
    second = (
        await sca("clients", "create", f"ops-{os.getpid()}", "--scopes", "admin", "--config", config)
    ).strip()
    payers = [unique_psu() for _ in range(3)]
    for psu in payers:
        await pin_enrolled(bank, psu, "493817")
    challenges = [(await bank.issue(psu=psu))["id"] for psu in payers]
    async with service.bank(client="auditor") as auditor:
        for challenge in challenges:
            await recorded(auditor, challenge, "delivery.settled", count=2)
            await bank.http.post(f"/v1/challenges/{challenge}/cancel", json={})
    gone, psu = challenges[1], payers[1]
    before = await bank.evidence(gone)
    assert psu["phone"] in before.text

    asked = await sca(
        *(
            "audit",
            "erase",
            "--client",
            "bank",
            "--psu",
            psu["id"],
            "--reason",
            "asked for",
            "--config",
            config,
        ),
        operator=service.keys["operator"],
    )
    told = await sca("audit", "confirm-erasure", asked.strip(), "--config", config, operator=second)
    assert "keys 1, " in told and "authenticators 1." in told and "personal values: 1." in told

    after = await bank.evidence(gone)
    checked = check_evidence(after.content, keys_of(service))
    assert [event.members for event in checked.events] == [
        json.loads(one["leaf"]) for one in before.json()["events"]
    ]
    assert not any(event.disclosed for event in checked.events)
    assert psu["phone"] not in after.text and psu["id"] not in after.text
    assert (await bank.get(gone))["psu"] == {"id": ""}
    left = [len((await bank.http.get(path(one))).json()["data"]) for one in payers]
    assert left == [1, 0, 1], "authenticators are forgotten too"
    for other, challenge in ((payers[0], challenges[0]), (payers[2], challenges[2])):
        assert other["phone"] in (await bank.evidence(challenge)).text
    key = (await sca("audit", "keys", "--config", config)).split()[0]
    assert await sca("audit", "verify", f"{service.api.url}/log", "--key", key)
    async with service.bank(client="auditor") as auditor:
        export = await auditor.http.get("/v1/audit/export", params={"format": "jsonl", "challenge": gone})
        erased = (await auditor.http.get("/v1/audit/events", params={"type": "payer.erased"})).json()["data"][
            -1
        ]
    assert export.status_code == 200 and psu["phone"] not in export.text
    assert erased["requested_by"] == "client:operator" and re.fullmatch(r"client:ops-\d+", erased["actor"])
