"""What is put under load: the three roles and the embedded stores as processes, a witness, and the shipped policies."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sca_service.log_keys import log_signers
from sca_service.settings import read_settings, shipped_policies
from tests.harness import Deployment, unique_psu
from tests.ports import free_port
from tests.rude_server import RudeServer
from tests.witness import WitnessPeer

_PUMPING = ('at_block_in_sandbox = "off"', 'at_block_in_sandbox = "refuse"')
"""Pumping is refused, as in production; all lines are new here, as on a company's first day."""


@dataclass(frozen=True, slots=True)
class Service:
    """The service under load. `witness` has signed what the log published."""

    deployment: Deployment
    witness: WitnessPeer

    def processes(self) -> dict[str, int]:
        """Process ids by name: the roles, Valkey and PostgreSQL's first process."""
        deployment = self.deployment
        return {
            **{role.name: role.process.pid for role in deployment.roles},
            "valkey": deployment.servers.valkey.pid,
            "postgres": deployment.servers.postgres.pid,
        }


@contextmanager
def running(folder: Path, *, fault: str = "") -> Iterator[Service]:
    """All of it on loopback, in this folder; ended afterwards. `fault` breaks the api (broken.py)."""
    with _witness() as (url, witness):
        deployment = Deployment(
            folder,
            policies=_policies(folder / "policies"),
            log_level="WARNING",
            more_settings=("[log.witnesses.own]", f'url = "{url}"', f'key = "{witness.verifier_key}"'),
        )
        try:
            deployment.start_stores()
            for signer in log_signers(read_settings(deployment.config(free_port()))):
                witness.logs[signer.name] = signer.verifier_key
            module = ("loadtests.scenario.broken", fault) if fault else ("sca_service", "api")
            deployment.start("api", module=module)
            for role in ("worker", "log"):
                deployment.start(role)
            asyncio.run(_warm(deployment))
            yield Service(deployment, witness)
        finally:
            deployment.stop()


async def _warm(deployment: Deployment) -> None:
    """Wait until a code arrives and the log has published: a role that starts is not what is measured."""
    psu = unique_psu()
    async with deployment.bank() as bank, deployment.bank(client="auditor") as auditor:
        challenge = await bank.issue(psu=psu)
        await bank.verify(challenge["id"], await bank.code(psu["phone"]))
        await bank.evidence(challenge["id"])
        (await auditor.http.get("/v1/audit/events/0/proof")).raise_for_status()


@contextmanager
def _witness() -> Iterator[tuple[str, WitnessPeer]]:
    """A witness in a thread, and where it listens."""
    peer, server = WitnessPeer({}), RudeServer()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
    server.answer_by(peer.answer)
    try:
        yield server.url, peer
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def _policies(folder: Path) -> Path:
    folder.mkdir()
    for path in shipped_policies().glob("*.toml"):
        text = path.read_text("utf-8")
        if path.name == "pumping.toml":
            old, new = _PUMPING
            if old not in text:
                raise RuntimeError(f"pumping.toml says no more: {old}")
            text = text.replace(old, new)
        (folder / path.name).write_text(text, "utf-8")
    return folder
