"""What every test of the policy room may ask for: the shipped policy, and a copy to spoil."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sca_service.policy.load import mistakes


@pytest.fixture(scope="session")
def shipped() -> Path:
    """The folder of the policy that the service is shipped with."""
    return Path(__file__).resolve().parents[3] / "policies"


@pytest.fixture
def folder(shipped: Path, tmp_path: Path) -> Path:
    """A copy of the shipped policy that a test may spoil."""
    return Path(shutil.copytree(shipped, tmp_path / "policies"))


@pytest.fixture
def edit(folder: Path) -> Callable[[str, str, str], list[str]]:
    """Replace a text that stands once in a file of the copy, and tell the mistakes of the whole."""

    def replace(file: str, old: str, new: str) -> list[str]:
        path = folder / file
        content = path.read_text(encoding="utf-8")
        assert content.count(old) == 1, f"{old!r} stands {content.count(old)} times in {file}"
        path.write_text(content.replace(old, new), encoding="utf-8")
        return mistakes(folder)

    return replace
