"""`sca compliance report` of a running deployment: what is in force there."""

import asyncio
from pathlib import Path

from sca_service.policy.load import load
from tests import warm
from tests.harness import Bank, Deployment
from tests.storeroom import eventually


async def test_a_report_is_about_the_deployment(service: Deployment, bank: Bank, tmp_path: Path) -> None:
    """It names the policies by their digest, the keys of the log and its newest checkpoint, and every requirement."""

    async def has_checkpoint() -> bool:
        return (await bank.http.get("/log/checkpoint")).status_code == 200

    await bank.issue()
    await eventually(has_checkpoint)
    path = tmp_path / "report.md"
    done = await asyncio.to_thread(
        warm.run,
        *("sca_service", "compliance", "report"),
        *("--config", str(service.config(service.api.port)), "--output", str(path)),
    )
    assert done.returncode == 0, done.stderr
    page = path.read_text("utf-8")
    assert load(service.policies).digest in page
    assert "| environment | sandbox |" in page
    assert "| key of the log | `sca.example" in page
    assert "\n— sca.example" in page  # a line of the signed checkpoint
    assert "### RTS-5.1d" in page
