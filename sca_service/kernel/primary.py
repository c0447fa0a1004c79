"""Which PostgreSQL server is the primary: of the URL's hosts, the writable one that is furthest along.

A URL may name several servers: `postgresql://sca@a:5432,b:5432/sca`. A standby that is promoted begins a new timeline,
one more than its primary had. Nothing tells the old primary, which takes writes again when it comes back: a server on
an earlier timeline than one that was seen is refused, and connections to it are given up (decision 26).
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
import structlog

_STANDING = """
    SELECT system_identifier AS cluster,
           CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_insert_lsn()) END AS wal_file
    FROM pg_control_system()
"""
"""The name of a file of the write-ahead log begins with the timeline that it is written on."""
_TIMELINE_DIGITS = 8
_DEFAULT_PORT = 5432
_ANSWER_SECONDS = 5.0
"""How long a server may take to say how far it is; as long as it may take to let us in."""
_OTHERS_SECONDS = 0.2
"""For how long those hosts are waited for that have not answered when one has that will do."""

log = structlog.get_logger()


class NotPrimary(ConnectionError):
    """The server is a standby, another cluster's, or on a timeline that was left."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens: a host or the folder of its Unix socket, and the port."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a primary is: the cluster that it belongs to, and its timeline, which grows by each promotion."""

    cluster: int
    timeline: int


@dataclass(frozen=True, slots=True)
class _Reached:
    connection: asyncpg.Connection
    standing: Standing


class Primary:
    """Connects to the primary. A class because it holds how far that was, and which pools lead to it.

    One for all pools of a process: what one of them has seen holds for all.
    """

    def __init__(self, url: str, *, is_pooler: bool = False) -> None:
        """`is_pooler`: what the URL leads to hands out its own sessions, one transaction at a time."""
        self.url = url
        self.is_pooler = is_pooler
        self._addresses: Sequence[Address | None] = addresses_of(url) or (None,)
        self._seen: Standing | None = None
        self._pools: list[asyncpg.Pool] = []

    def watch(self, pool: asyncpg.Pool) -> None:
        """Have the pool's connections made anew once another server is the primary."""
        self._pools.append(pool)

    async def connect(self, *_: object, **options: Any) -> asyncpg.Connection:
        """A connection to the primary, with asyncpg's options but for the address.

        All hosts are asked at once: one that is cut off holds nobody up. Raises NotPrimary, and what asyncpg does.
        """
        asked = [asyncio.ensure_future(self._reach(address, options)) for address in self._addresses]
        chosen: _Reached | None = None
        try:
            chosen = await self._furthest(asked)
            await self._move_to(chosen.standing)
            return chosen.connection
        finally:
            for one in asked:
                _let_go(one, unless=chosen)

    async def _reach(self, address: Address | None, options: Mapping[str, Any]) -> _Reached:
        where = {"host": address.host, "port": address.port} if address else {}
        connection = await asyncpg.connect(self.url, **{**options, **where})
        try:
            standing = await standing_of(connection)
            self._check(standing)
            return _Reached(connection, standing)
        except BaseException:
            connection.terminate()
            raise

    async def _furthest(self, asked: "Collection[asyncio.Future[_Reached]]") -> _Reached:
        """Of those that will do the one on the latest timeline. Raises what the first that will not do raised."""
        pending: set[asyncio.Future[_Reached]] = set(asked)
        while pending and not (reached := _reached(asked)):
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if pending:
            await asyncio.wait(pending, timeout=_OTHERS_SECONDS)
        reached = _reached(asked)
        if not reached:
            raise next(error for one in asked if (error := one.exception()))
        return max(reached, key=lambda one: one.standing.timeline)

    def _check(self, standing: Standing) -> None:
        if self._seen is None:
            return
        if standing.cluster != self._seen.cluster:
            raise NotPrimary("the server belongs to another cluster than the one before")
        if standing.timeline < self._seen.timeline:
            log.warning("postgres.stale_primary", timeline=standing.timeline, newest=self._seen.timeline)
            raise NotPrimary("the server was replaced as the primary")

    async def _move_to(self, standing: Standing) -> None:
        """Remember how far the primary is; when it is another one, leave the connections to the one before."""
        self._check(standing)  # another connection may have come further meanwhile
        before, self._seen = self._seen, standing
        if before is not None and before != standing:
            log.warning("postgres.new_primary", timeline=standing.timeline)
            for pool in self._pools:
                await pool.expire_connections()


def primaries_of(url: str, pooler_url: str) -> tuple[Primary, Primary]:
    """The primary itself, and the way to it that is shared: through the pooler, or the same where there is none."""
    direct = Primary(url)
    return direct, Primary(pooler_url, is_pooler=True) if pooler_url else direct


async def standing_of(connection: asyncpg.Connection) -> Standing:
    """How far the server is that it leads to. Raises NotPrimary for a standby, and what asyncpg does."""
    row = await connection.fetchrow(_STANDING, timeout=_ANSWER_SECONDS)
    if row is None or row["wal_file"] is None:
        raise NotPrimary("the server is a standby")
    return Standing(row["cluster"], int(row["wal_file"][:_TIMELINE_DIGITS], 16))


def names_servers(url: str) -> bool:
    """Whether it is a `postgresql://` URL, with as many ports as hosts."""
    try:
        addresses_of(url)
    except ValueError:
        return False
    return url.startswith("postgresql://")


def addresses_of(url: str) -> tuple[Address, ...]:
    """The servers that a URL names, in its order, as libpq and asyncpg read it; none when it names none.

    Hosts stand before the path or in `?host=`, ports beside them or in `?port=`, one for each host or one for all.
    Raises ValueError for ports that are none or do not fit the hosts.
    """
    parts = urlsplit(url)
    query = {name: texts[-1] for name, texts in parse_qs(parts.query).items()}
    named = unquote(parts.netloc.rpartition("@")[2]) or query.get("host", "")
    if not named:
        return ()
    hosts = [_split(text) for text in named.split(",")]
    ports = [int(text) for text in query.get("port", "").split(",") if text]
    if len(ports) == 1:
        ports *= len(hosts)
    if ports and len(ports) != len(hosts):
        raise ValueError("as many ports as hosts, or one")
    given = ports or [port for _, port in hosts]
    return tuple(Address(host, port) for (host, _), port in zip(hosts, given, strict=True))


def _split(text: str) -> tuple[str, int]:
    """`[::1]:5433`, `host:5433`, `host`, or the folder of a socket."""
    if text.startswith("/"):
        return text, _DEFAULT_PORT
    bracketed, closing, rest = text.removeprefix("[").partition("]")
    host, _, port = (bracketed, "", rest.removeprefix(":")) if closing else text.partition(":")
    return host, int(port) if port else _DEFAULT_PORT


def _reached(asked: "Collection[asyncio.Future[_Reached]]") -> list[_Reached]:
    return [one.result() for one in asked if one.done() and not one.cancelled() and not one.exception()]


def _let_go(one: "asyncio.Future[_Reached]", *, unless: _Reached | None) -> None:
    """End what was asked and not chosen, whether it has answered or not."""
    if not one.done():
        one.cancel()
    elif not one.cancelled() and not one.exception() and one.result() is not unless:
        one.result().connection.terminate()
