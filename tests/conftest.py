"""What tests share: the stores and the service are started once per test process; and which files run first."""

import gc
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from sca_service.compliance.requirements import requirements
from tests.harness import Bank, Deployment
from tests.shown import shown
from tests.valkeys import ON_CLUSTER

_TESTS = Path(__file__).parent
_LONGEST = (
    "faults/test_seeds.py",
    "conformance/test_sip_trunk.py",
    "service/test_desk_browser.py",
    "faults/test_worker_killed.py",
    "faults/test_log_system_calls.py",
    "faults/test_receipts_abused.py",
    "conformance/test_sip_telephone.py",
    "faults/test_api_killed.py",
    "faults/test_stores_away.py",
    "service/test_key_rotation.py",
    "unit/policy/test_reader.py",
    "stores/test_reconcile.py",
    "unit/audit/offline/test_verify.py",
    "stores/test_witnesses.py",
)
"""Files that take longer than twenty seconds each; those that wait most come first, beside those that compute."""
_FOLDERS = ("faults", "conformance", "service", "architecture", "stores", "properties", "compliance", "unit")
"""The others: what takes seconds before what takes less, so that the processes end at about the same time."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `make test` gives to its second try."""
    parser.addoption(
        "--second-try", action="store_true", help="fail what is marked `race` at once: it has failed before"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Collect no garbage while tests are collected: that took more than half of the time. Watch what is named."""
    gc.disable()
    config.pluginmanager.register(shown({test for row in requirements() for test in row.tests}))


def pytest_collection_finish() -> None:
    """From now on; what was made until here stays to the end, and is not looked at again."""
    gc.freeze()
    gc.enable()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Whoever loses a race only sometimes may not try again; and on a cluster there is no one server."""
    if ON_CLUSTER and item.get_closest_marker("one_server"):
        pytest.skip("needs the one Redis that it stops, floods or looks into as a whole")
    if item.config.getoption("--second-try") and item.get_closest_marker("race"):
        pytest.fail("failed before: a race or a crash is not tried again", pytrace=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files first: with `--dist loadfile` one that begins last leaves the other process idle."""
    items.sort(key=lambda item: _place(item.path.relative_to(_TESTS).parts))


def _place(parts: Sequence[str]) -> int:
    name = "/".join(parts)
    if name in _LONGEST:
        return _LONGEST.index(name)
    return len(_LONGEST) + (_FOLDERS.index(parts[0]) if parts[0] in _FOLDERS else len(_FOLDERS))


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
