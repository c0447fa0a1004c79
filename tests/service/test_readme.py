"""The README and the guides, run as a reader would: every block in order, in one shell, against the service."""

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest

from tests.guides import as_pattern, follow, run, steps_of
from tests.harness import Deployment
from tests.storeroom import eventually

README = Path(__file__).resolve().parents[2] / "README.md"


def walkthrough(section: str = "One payment with curl") -> list[tuple[str, str | None]]:
    """Each block of commands in a section, with the output that the README shows for it, if it shows any."""
    return steps_of(README.read_text("utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0])


@pytest.fixture
def sandbox(service: Deployment, tmp_path: Path) -> Path:
    """A folder as that of a reader of the README."""
    return readers_folder(service, tmp_path)


def readers_folder(service: Deployment, folder: Path) -> Path:
    """A folder as that of a reader: the service has left its address and keys there, as `sca dev` does."""
    clients = {name: {"api_key": key} for name, key in service.keys.items()}
    (folder / ".sca").mkdir()
    (folder / ".sca" / "sandbox.json").write_text(
        json.dumps({"base_url": service.api.url, "clients": clients}), "utf-8"
    )
    settings = service.config(service.api.port).read_text("utf-8")
    keyring = json.dumps(str(service.keyring_file))
    (folder / ".sca" / "sca.toml").write_text(settings.replace('"keyring.json"', keyring), "utf-8")
    for name, place in (("policies", README.parent / "policies"), (".venv", Path(sys.prefix))):
        (folder / name).symlink_to(place)
    return folder


async def test_the_payment_in_the_readme_goes_as_it_says(sandbox: Path) -> None:
    """Every block runs, in its order, and prints what stands below it."""
    await follow(walkthrough(), sandbox)


async def test_the_payment_in_the_readme_can_be_played_twice(sandbox: Path) -> None:
    """A reader who pastes it again meets no leftover of the first time."""
    script = "".join(commands for commands, _ in walkthrough())
    first, second = await run(script, sandbox), await run(script, sandbox)
    for printed in (first, second):
        assert "\napproved\napproved\nalready_used\n" in printed
        assert printed.endswith("transaction_mismatch\nrejected\n")


def test_the_payment_in_the_readme_shows_what_it_promises() -> None:
    """The walk-through issues, reads the message, fails, passes, proves, and shows the record; none of it got lost."""
    commands = "".join(text for text, _ in walkthrough())
    for call in ("/v1/challenges", "/sandbox/messages", "/verify", "/v1/audit/events", "authentication_code"):
        assert call in commands
    assert sum(shown is not None for _, shown in walkthrough()) >= 7


async def test_the_payment_from_python_goes_as_it_says(sandbox: Path) -> None:
    """The program is written, runs, and prints what stands below it: issue, listen, verify, believe."""
    [(commands, shown)] = walkthrough("The same from Python")
    assert shown
    issuer = 'issuer=sandbox["base_url"]'  # so it is in `sca dev`; the test's service says another name
    assert issuer in commands
    printed = await run(commands.replace(issuer, 'issuer="https://sca.example"'), sandbox)
    assert re.fullmatch(as_pattern(shown), printed), printed


DOCS = README.parent / "docs"
GUIDES = sorted({DOCS / "tutorial.md", *(DOCS / "howto").glob("*.md")} - {DOCS / "howto" / "recover.md"})


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
async def test_a_guide_goes_as_it_says(guide: Path, sandbox: Path) -> None:
    """Each block of a guide runs and prints what stands below it."""
    await follow(steps_of(await asyncio.to_thread(guide.read_text, "utf-8")), sandbox)


async def test_after_a_disaster_it_goes_as_it_says(tmp_path: Path) -> None:
    """The guide's record is whole: a service of its own, since other tests break the one that they share."""
    deployment = Deployment(tmp_path / "service")
    (tmp_path / "service").mkdir()
    (tmp_path / "reader").mkdir()
    guide = await asyncio.to_thread((DOCS / "howto" / "recover.md").read_text, "utf-8")
    try:
        await asyncio.to_thread(deployment.start_stores)
        for role in ("api", "log"):
            await asyncio.to_thread(deployment.start, role)
        async with deployment.bank() as bank:
            await bank.issue()

            async def has_checkpoint() -> bool:
                return (await bank.http.get("/log/checkpoint")).status_code == 200

            await eventually(has_checkpoint)
        await follow(steps_of(guide), readers_folder(deployment, tmp_path / "reader"))
    finally:
        await asyncio.to_thread(deployment.stop)
