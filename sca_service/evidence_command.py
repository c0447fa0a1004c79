"""`sca audit evidence`: what proves a challenge, for an auditor, by whoever runs the service."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from sca_service.api.evidence_page import evidence_page
from sca_service.core import open_core
from sca_service.settings import Settings, read_settings

Config = Annotated[Path, Parameter(help="The configuration file (see sca_service/settings.py).")]


def evidence(
    challenge: str, *, config: Config, output: Path | None = None, client: str | None = None
) -> None:
    """Write what proves a challenge: a page to read and print, which `sca audit check-evidence` verifies.

    Parameters
    ----------
    challenge
        The challenge's id, chl_….
    output
        The file; JSON when it ends with .json, else a page. Standard output when left out.
    client
        The client whose challenge it is: then with every value it sent. Without, with those an auditor may see.
    """
    text = asyncio.run(_evidence(read_settings(config), challenge, client, output))
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, "utf-8")
        print(output)


async def _evidence(settings: Settings, challenge: str, client: str | None, output: Path | None) -> str:
    async with open_core(settings) as core:
        maker = core.evidence()
        made = await (maker.of_client(challenge, client) if client else maker.for_auditor(challenge))
        await core.readings().put_down(
            "evidence.read",
            client=client or "",
            request="",
            members={"actor": "operator", "subject": challenge, "format": "file"},
        )
    if output is not None and output.suffix == ".json":
        return msgspec.json.encode(made.evidence).decode()
    return evidence_page(made)
