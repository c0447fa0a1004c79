"""The API keys of the sandbox's bank and auditor, as `sca dev` keeps them in `sandbox.json`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from sca_service.kernel.errors import NotFound
from sca_service.kernel.secret import Secret


class _Entry(msgspec.Struct, frozen=True):
    api_key: Annotated[str, msgspec.Meta(min_length=1)]


class _File(msgspec.Struct, frozen=True):
    clients: dict[str, _Entry]


@dataclass(frozen=True, slots=True)
class PageKeys:
    """With what the page calls the API: as the bank, and to read the log as the auditor."""

    bank: Secret[str]
    auditor: Secret[str]


@dataclass(frozen=True, slots=True)
class SandboxKeys:
    """Reads the keys from the sandbox's file. A class because it holds where that is."""

    path: Path

    def read(self) -> PageKeys:
        """The keys as they are now. Raises NotFound where there is no such file, or not these keys in it."""
        try:
            clients = msgspec.json.decode(self.path.read_bytes(), type=_File).clients
            return PageKeys(Secret(clients["bank"].api_key), Secret(clients["auditor"].api_key))
        except (OSError, KeyError, msgspec.DecodeError) as error:
            raise NotFound from error
