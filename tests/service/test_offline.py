"""The auditor's own tools against the running service, over HTTP and by processes of their own."""

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import httpx

from tests import warm
from tests.harness import PATIENCE_SECONDS, Bank, Deployment, unique_psu, wrong


async def sca(*arguments: str) -> tuple[int, str]:
    """`sca audit …` as a process: its exit status and everything it said."""
    done = await asyncio.to_thread(
        warm.run, "sca_service", "audit", *arguments, env={"NO_PROXY": "127.0.0.1"}
    )
    return done.returncode, done.stdout + done.stderr


async def key_of(service: Deployment) -> str:
    """The verifier key as the operator prints it."""
    status, said = await sca("keys", "--config", str(service.config(service.api.port)))
    assert status == 0, said
    return said.split()[0]


async def answered(bank: Bank) -> tuple[dict[str, Any], dict[str, str]]:
    """A payment that was answered wrongly, then rightly; and its payer."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    await bank.settled(challenge["id"])
    code = await bank.code(psu["phone"])
    await bank.verify(challenge["id"], wrong(code))
    await bank.verify(challenge["id"], code)
    return challenge, psu


async def grown(service: Deployment, size: int) -> bytes:
    """The log's checkpoint once it has more leaves than `size`."""
    until = time.monotonic() + PATIENCE_SECONDS
    async with httpx.AsyncClient(
        base_url=service.api.url, trust_env=False, timeout=PATIENCE_SECONDS
    ) as anybody:
        while time.monotonic() < until:
            response = await anybody.get("/log/checkpoint")
            if response.status_code == 200 and int(response.text.splitlines()[1]) > size:
                return response.content
            await asyncio.sleep(0.05)
    raise AssertionError("the log did not grow")


async def test_the_running_log_verifies_and_contains_what_it_was(
    bank: Bank, service: Deployment, tmp_path: Path
) -> None:
    """From the address alone, also against a checkpoint that was kept before it grew."""
    await answered(bank)
    kept = tmp_path / "kept"
    kept.write_bytes(await grown(service, 0))
    size = int(kept.read_text("utf-8").splitlines()[1])
    await answered(bank)
    await grown(service, size)
    status, said = await sca(
        *("verify", f"{service.api.url}/log", "--key", await key_of(service), "--checkpoint", str(kept))
    )
    assert status == 0, said
    recomputed = re.search(r"recomputed +(\d+) leaves, compared with 1 older", said)
    assert recomputed, said
    assert int(recomputed[1]) > size
    assert "given" not in said


async def test_a_copy_follows_the_running_log_and_shows_what_was_changed_since(
    bank: Bank, service: Deployment, tmp_path: Path
) -> None:
    """Copied twice while it grows; a copy that somebody changed afterwards names the leaf."""
    key, copy = await key_of(service), tmp_path / "copy"
    size = -1
    for _ in range(2):
        await answered(bank)
        size = int((await grown(service, size)).splitlines()[1])
        status, said = await sca("mirror", f"{service.api.url}/log", str(copy), "--key", key)
        assert status == 0, said
    held = sorted((copy / "checkpoints").iterdir())
    assert len(held) == 2
    olds = [word for one in held for word in ("--checkpoint", str(one))]
    status, said = await sca("verify", str(copy), "--key", key, *olds)
    assert (status, "compared with 2 older" in said) == (0, True), said
    bundle = next(path for path in sorted((copy / "tile" / "entries").rglob("*")) if path.is_file())
    content = bundle.read_bytes()
    bundle.write_bytes(content.replace(b'"type":"', b'"type":"x', 1).replace(b'"actor":"', b'"actor":', 1))
    status, said = await sca("verify", str(copy), "--key", key, *olds)
    assert status == 1
    assert "LEAF         leaf 0" in said
    status, said = await sca("verify", f"{service.api.url}/log", "--key", key, "--copy", str(copy))
    assert status == 0, said  # the service's log is what it was: the copy's tiles still say so


async def test_evidence_of_the_service_is_checked_by_its_file_alone(
    bank: Bank, service: Deployment, tmp_path: Path
) -> None:
    """As JSON and as the page; the text shown is told; another value in it is refused."""
    challenge, psu = await answered(bank)
    key, config = await key_of(service), str(service.config(service.api.port))
    await grown(service, 0)
    for name in ("evidence.json", "evidence.html"):
        file = tmp_path / name
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            status, said = await sca(
                "evidence", challenge["id"], "--config", config, "--output", str(file), "--client", "bank"
            )
            if status == 0 or time.monotonic() > until:
                break
        assert status == 0, said
        status, said = await sca("check-evidence", str(file), "--key", key)
        assert status == 0, said
        assert challenge["message_shown"] in said
        assert psu["phone"] in said
        assert "outcome: approved" in said
        assert said.count("It was answered") == 2
        assert "Events may be missing" in said
        status, said = await sca("mirror", f"{service.api.url}/log", str(tmp_path / "copy"), "--key", key)
        assert status == 0, said
        status, said = await sca("check-evidence", str(file), "--key", key, "--log", str(tmp_path / "copy"))
        assert (status, "has every event of it that the copy" in said) == (0, True), said
        text = file.read_text("utf-8")
        place = text.rindex(psu["phone"])
        file.write_text(f"{text[:place]}+999{text[place + 4 :]}", "utf-8")
        status, said = await sca("check-evidence", str(file), "--key", key)
        assert status == 1
        assert "phone is not the value that the leaf commits to" in said
