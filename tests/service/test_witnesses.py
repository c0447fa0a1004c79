"""The log role with a witness: what the service serves has its line, and the proof of an event too."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from sca_service.audit.log.note import NoteVerifier, open_note
from sca_service.audit.log.proof import TlogProof
from sca_service.log_keys import log_signers
from sca_service.settings import read_settings
from tests.harness import PATIENCE_SECONDS, Bank, Deployment
from tests.rude_server import RudeServer
from tests.witness import WitnessPeer


@pytest.fixture
async def watched(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Deployment, WitnessPeer]]:
    """The whole service, whose checkpoints a witness signs."""
    deployment, peer = Deployment(tmp_path_factory.mktemp("watched")), WitnessPeer({})
    async with RudeServer() as server:
        deployment.more_settings = (
            "[log.witnesses.north]",
            f'url = "{server.url}"',
            f'key = "{peer.verifier_key}"',
        )
        await asyncio.to_thread(deployment.start_stores)
        for signer in log_signers(read_settings(deployment.config(1))):
            peer.logs[signer.name] = signer.verifier_key
        server.answer_by(peer.answer)
        await asyncio.to_thread(deployment.start_all)
        yield deployment, peer
        await asyncio.to_thread(deployment.stop)


async def proof_of(auditor: Bank, index: int) -> TlogProof:
    """The proof of an event, once the log has it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        response = await auditor.http.get(f"/v1/audit/events/{index}/proof")
        if response.status_code == 200:
            return TlogProof.parse(response.text)
        await asyncio.sleep(0.05)
    raise AssertionError("the log did not come so far")


async def test_what_is_served_has_the_line_of_the_witness(watched: tuple[Deployment, WitnessPeer]) -> None:
    """From the configuration to the proof of an event that a bank caused."""
    service, peer = watched
    origin, log_key = next(iter(peer.logs.items()))
    async with service.bank() as bank, service.bank(client="auditor") as auditor:
        first = await proof_of(auditor, 0)
        await bank.issue()
        proof = await proof_of(auditor, peer.seen[origin][0])
    assert proof.index > first.index
    for note in (first.note, proof.note):
        opened = open_note(note, [NoteVerifier.parse(log_key), NoteVerifier.parse(peer.verifier_key)])
        assert [signature.name for signature in opened.signatures] == [origin, peer.name]
        assert opened.unknown == ()
