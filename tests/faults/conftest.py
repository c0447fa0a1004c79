"""Every module of fault tests has a service of its own: what it breaks, it breaks for nobody else."""

from collections.abc import Iterator

import pytest

from tests.faults.cuts import await_started
from tests.harness import Deployment


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The whole service, on a folder of its own."""
    deployment = Deployment(tmp_path_factory.mktemp("sca"))
    deployment.start_stores()
    try:
        deployment.start_all()
        for role in deployment.roles:
            await_started(deployment, role)
        yield deployment
    finally:
        deployment.stop()
