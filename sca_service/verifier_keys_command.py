"""`sca audit keys`: by what an auditor checks the log, given by whoever runs the service."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sca_service.log_keys import log_signers
from sca_service.settings import read_settings

Config = Annotated[Path, Parameter(help="The configuration file (see sca_service/settings.py).")]


def verifier_keys(*, config: Config) -> None:
    """Show the keys that verify the log's checkpoints, the newest first. They are no secrets: publish them widely."""
    for signer in log_signers(read_settings(config)):
        print(signer.verifier_key)
