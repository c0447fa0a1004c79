"""What tests share: the stores and the service are started once per test process."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.harness import Bank, Deployment


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Embedded Valkey and PostgreSQL with the schema; no role runs unless a test starts it."""
    deployment = Deployment(tmp_path_factory.mktemp("sca"))
    deployment.start_stores()
    yield deployment
    deployment.stop()


@pytest.fixture(scope="session")
def quiet_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Stores of their own that no role ever works on: nothing but the test touches what is in them."""
    deployment = Deployment(tmp_path_factory.mktemp("quiet"))
    deployment.start_stores()
    yield deployment
    deployment.stop()


@pytest.fixture(scope="session")
def service(stores: Deployment) -> Deployment:
    """The whole service: one api, one worker, one log."""
    stores.start_all()
    return stores


@pytest.fixture
async def bank(service: Deployment) -> AsyncIterator[Bank]:
    """A bank that calls the service."""
    async with service.bank() as bank:
        yield bank


@pytest.fixture
def shared() -> Path:
    """The vectors that others published; the test is skipped where they are not."""
    folder = Path(__file__).parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("the published vectors are not beside the project")
    return folder
