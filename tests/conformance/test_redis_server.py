"""Debian's Redis, over TLS with a client's certificate, as the user that docs/operations.md grants what is needed."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest

import sca_service
from sca_service.challenges.redis_store import ChallengeStore
from sca_service.custody.redis_store import HotStore
from sca_service.delivery.redis_store import RedisDueSignal
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import ScaError, StoreUnavailable
from tests.certificates import TestAuthority, make_certificate
from tests.ports import free_node_port
from tests.storeroom import answered, eventually, issued, new_payer
from tests.stores.test_keys import play
from tests.valkeys import Node

_PROGRAM = shutil.which("redis-server") or ""
pytestmark = pytest.mark.skipif(not _PROGRAM, reason="redis-server is not installed")

_PACKAGE = Path(sca_service.__file__).parent
_PASSWORD = "a-long-password"
_IN_SCRIPTS = re.compile(r"redis\.p?call\(\s*'([A-Z]+)'")
_IN_STORES = re.compile(r"\b(?:[cC]ommand|SET|DEL)\(\(?\"([A-Z]+)\"|\(\"(SET|DEL)\"")


def granted() -> str:
    """The user's line in the documentation."""
    text = (_PACKAGE.parent / "docs" / "operations.md").read_text("utf-8")
    found = re.search(r"^user sca on .*$", text, re.MULTILINE)
    assert found
    return found[0].replace(">the-password", f">{_PASSWORD}")


@dataclass(frozen=True, slots=True)
class Secured:
    """The server, and the files to reach it."""

    node: Node
    port: int
    folder: Path

    def url(self, *, password: str = _PASSWORD, with_certificate: bool = True) -> str:
        """How it is reached."""
        files = {"ssl_ca_certs": self.folder / "localhost.pem"}
        if with_certificate:
            files |= {"ssl_certfile": self.folder / "client.pem", "ssl_keyfile": self.folder / "client.pem"}
        return f"rediss://sca:{password}@127.0.0.1:{self.port}?{urlencode(files)}"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A Redis that speaks TLS, and plainly to the test alone, which looks at its log of refusals."""
    folder = tmp_path_factory.mktemp("redis")
    certificate, authority = make_certificate(folder), TestAuthority.make()
    (folder / "authority.pem").write_bytes(authority.issued.pem)
    (folder / "client.pem").write_bytes(authority.issue("sca").pem_with_key)
    (folder / "users.acl").write_text(f"user default on nopass ~* &* +@all\n{granted()}\n", "utf-8")
    port = free_node_port()
    tls = {
        "tls-port": str(port),
        "tls-cert-file": str(certificate.path),
        "tls-key-file": str(certificate.path),
        "tls-ca-cert-file": str(folder / "authority.pem"),
        "tls-auth-clients": "yes",
        "aclfile": str(folder / "users.acl"),
    }
    node = Node(folder, program=_PROGRAM, **tls)
    try:
        node.start()
        node.await_answer()
        yield Secured(node, port, folder)
    finally:
        node.end()


@pytest.fixture
async def redis(secured: Secured) -> AsyncIterator[RedisConnection]:
    """A connection as the service makes it."""
    connection = RedisConnection(secured.url())
    yield connection
    await connection.close()


async def test_the_service_needs_no_more_than_is_granted(secured: Secured, redis: RedisConnection) -> None:
    """Every script of challenges, listening, looking at keys: the server's log of refusals stays empty."""
    await redis.ready()
    redis.may_lose = True  # the scripts that ask the server whose reign it is
    await play(redis)
    store = ChallengeStore(redis)
    challenge = await issued(store, new_payer())
    assert (await answered(store, challenge, right=True)).word == "approved"
    assert sum((await HotStore(redis).challenges()).values()) > 0
    signal, stop = RedisDueSignal(redis), asyncio.Event()
    listening = asyncio.create_task(signal.listen(stop))
    async with asyncio.timeout(60):
        while not await signal.wait(0.2):
            state = await store.get(await issued(store, new_payer()))
            assert state is not None
            await store.release(state)
    stop.set()
    await listening
    assert await redis.now_ms() > 0
    assert secured.node.client.acl_log() == []


def test_every_command_of_scripts_and_stores_is_granted() -> None:
    """Also those that only some ways of a script come to; and nothing is granted that none of them uses."""
    scripts = [path.read_text("utf-8") for path in _PACKAGE.rglob("*.lua")]
    stores = [path.read_text("utf-8") for path in _PACKAGE.rglob("redis_store.py")]
    used = {word.lower() for text in scripts for word in _IN_SCRIPTS.findall(text)}
    used |= {(one or other).lower() for text in stores for one, other in _IN_STORES.findall(text)}
    allowed = set(re.findall(r" \+(\S+)", granted()))
    of_connections = {
        "evalsha",
        "script|load",
        "ping",
        "info",
        "time",
        "wait",
        "asking",
        "cluster|nodes",
        "scan",
    }
    of_connections |= {"subscribe", "unsubscribe"}
    assert len(used) > 30
    assert used <= allowed
    assert allowed - used <= of_connections


@pytest.mark.parametrize("command", [("FLUSHALL",), ("CONFIG", "GET", "*"), ("KEYS", "*"), ("ACL", "LIST")])
async def test_what_is_not_granted_is_refused(redis: RedisConnection, command: tuple[str, ...]) -> None:
    """Whoever gets hold of the password cannot empty it, or set it otherwise."""
    with pytest.raises(ScaError) as refused:
        await redis.command(*command)
    assert "permissions" in str(refused.value.__cause__)


async def test_who_has_no_certificate_or_password_is_away(secured: Secured) -> None:
    """The connection does not come about, and says neither what it was tried with."""
    before = _sockets()
    for url in (secured.url(with_certificate=False), secured.url(password="another")):
        connection = RedisConnection(url)
        with pytest.raises(StoreUnavailable) as away:
            await connection.command("PING")
        assert _PASSWORD not in str(away.value)
        await connection.close()

    async def are_closed() -> bool:
        return _sockets() <= before

    await eventually(are_closed)  # the loop goes on: TLS says its goodbye first


def _sockets() -> int:
    """How many sockets this process holds."""
    return sum(one.is_socket() for one in Path("/proc/self/fd").iterdir())


async def test_a_server_of_another_authority_is_not_believed(secured: Secured, tmp_path: Path) -> None:
    """Whoever stands between is told nothing."""
    other = make_certificate(tmp_path)
    url = secured.url().replace("localhost.pem", "nothing.pem")
    (secured.folder / "nothing.pem").write_bytes(other.path.read_bytes())
    connection = RedisConnection(url)
    with pytest.raises(StoreUnavailable):
        await connection.command("PING")
    await connection.close()
