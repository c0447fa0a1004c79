"""What the tests over HTTP share: more clients, and a way to script the sandbox's suppliers for one test."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from redis.asyncio import Redis

from tests.harness import Bank, Deployment
from tests.valkeys import raw_async_client

Script = Callable[..., Awaitable[None]]


@pytest.fixture
async def other_bank(service: Deployment) -> AsyncIterator[Bank]:
    """Another bank, which must not see what the first one has."""
    async with service.bank(client="other-bank") as bank:
        yield bank


@pytest.fixture
async def auditor(service: Deployment) -> AsyncIterator[Bank]:
    """A client with the scope audit only."""
    async with service.bank(client="auditor") as bank:
        yield bank


@pytest.fixture
async def operator(service: Deployment) -> AsyncIterator[Bank]:
    """A client with the scope admin and without challenges."""
    async with service.bank(client="operator") as bank:
        yield bank


@pytest.fixture
async def script(bank: Bank) -> AsyncIterator[Script]:
    """Script a supplier; when the test is over all suppliers deliver again."""
    yield bank.script
    for supplier in ("sms", "voice", "push"):
        await bank.script(supplier, "deliver")


@pytest.fixture
async def redis(service: Deployment) -> AsyncIterator[Redis]:
    """The store behind the service, to let time pass or to break something."""
    client = raw_async_client(service.servers.valkey.url, protocol=2)
    yield client
    await client.aclose()
