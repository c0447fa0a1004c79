"""What the properties of scripts share: a line to a real Valkey that no role works on."""

from collections.abc import Iterator

import pytest

from tests.harness import Deployment
from tests.properties.line import Line


@pytest.fixture(scope="module")
def line(quiet_stores: Deployment) -> Iterator[Line]:
    """The line, to a Valkey without what the tests before have left in it."""
    with Line(quiet_stores.servers.valkey.url) as line:
        line.command("FLUSHALL")
        yield line
