"""What the properties of scripts share: a line to a real Valkey that nothing else uses."""

from collections.abc import Iterator

import pytest

from tests.harness import Deployment
from tests.properties.line import Line


@pytest.fixture(scope="session")
def line(quiet_stores: Deployment) -> Iterator[Line]:
    """The line."""
    with Line(quiet_stores.servers.valkey.url) as line:
        yield line
