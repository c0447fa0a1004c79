"""Witnesses: what they sign is served, what they refuse or forge is not, and none of them holds a checkpoint up."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sca_service.audit.log import postgres_store as log_store
from sca_service.audit.log.note import NoteSigner, NoteVerifier, Signature, open_note, sign
from sca_service.audit.log.postgres_store import PublishedCheckpoint
from sca_service.audit.log.sequencer import Sequencer
from sca_service.audit.log.witnesses.client import Answer as HttpReply
from sca_service.audit.log.witnesses.client import Http, Witness
from sca_service.audit.log.witnesses.postgres_store import WitnessStore
from sca_service.audit.log.witnesses.publisher import Publisher
from sca_service.audit.postgres_store import insert_events
from sca_service.delivery.http_client import ANSWER_SECONDS, HttpClient
from sca_service.kernel.errors import ConfigurationError
from tests.harness import Deployment
from tests.logs import own_schema
from tests.ports import free_port
from tests.rude_server import Answer, RudeRequest, RudeServer
from tests.storeroom import an_event, eventually
from tests.witness import WitnessPeer

ORIGIN = "sca.example/log"
SIGNER = NoteSigner(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
PATIENT_SECONDS = 10.0
HASTY_SECONDS = 0.3


@pytest.fixture
async def pool(quiet_stores: Deployment) -> AsyncIterator[asyncpg.Pool]:
    """A log of its own, in which nothing has happened."""
    async with own_schema(quiet_stores) as pool:
        yield pool


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    """The client that witnesses are called with."""
    client = HttpClient()
    yield client
    await client.close()


@pytest.fixture
def peer() -> WitnessPeer:
    """A witness that follows our log."""
    return WitnessPeer({ORIGIN: SIGNER.verifier_key})


@pytest.fixture
async def server(peer: WitnessPeer) -> AsyncIterator[RudeServer]:
    """Where it is reached."""
    async with RudeServer() as server:
        server.answer_by(peer.answer)
        yield server


@pytest.fixture
def publisher(pool: asyncpg.Pool, http: HttpClient, peer: WitnessPeer, server: RudeServer) -> Publisher:
    """A publisher that knows this one witness."""
    return made(pool, http, (peer, server.url))


def made(
    pool: asyncpg.Pool,
    http: Http,
    *witnesses: tuple[WitnessPeer, str],
    deadline_seconds: float = PATIENT_SECONDS,
) -> Publisher:
    """A publisher with these witnesses, named w0, w1, …"""
    known = [Witness.parse(f"w{at}", url, peer.verifier_key) for at, (peer, url) in enumerate(witnesses)]
    return Publisher(WitnessStore(pool), http, known, deadline_seconds=deadline_seconds, pause_seconds=0.01)


async def grow(pool: asyncpg.Pool, leaves: int) -> None:
    """Add leaves to the log; the signed checkpoint waits for its witnesses."""
    sequencer = Sequencer(pool, [SIGNER], awaits_witnesses=True)
    async with pool.acquire() as connection:
        async with connection.transaction():
            await insert_events(connection, [an_event() for _ in range(leaves)])
        assert await sequencer.sequence_once(connection) == leaves


async def newest(pool: asyncpg.Pool) -> PublishedCheckpoint:
    """The published checkpoint."""
    published = await log_store.published(pool)
    assert published
    return published


async def cosigners(pool: asyncpg.Pool, *peers: WitnessPeer) -> list[str]:
    """Whose line the published checkpoint has; lines of others, or ones that are forged, are a failure."""
    verifiers = [NoteVerifier.parse(key) for key in (SIGNER.verifier_key, *(p.verifier_key for p in peers))]
    opened = open_note((await newest(pool)).note, verifiers)
    assert opened.unknown == ()
    assert opened.signatures[0].name == ORIGIN
    return [signature.name for signature in opened.signatures[1:]]


async def standing(pool: asyncpg.Pool) -> list[tuple[str, int]]:
    """What is remembered of the witnesses."""
    return [(known.name, known.size) for known in await WitnessStore(pool).standings()]


async def test_a_checkpoint_is_served_with_the_line_of_its_witness(
    pool: asyncpg.Pool, publisher: Publisher, peer: WitnessPeer, server: RudeServer
) -> None:
    """Each time with a proof from what it signed before, which the witness checks by itself."""
    size = 0
    for leaves in (1, 2, 5, 300, 700):
        await grow(pool, leaves)
        size += leaves
        assert await publisher.publish_once() == size
        assert await cosigners(pool, peer) == [peer.name]
        assert peer.seen[ORIGIN] == (size, (await newest(pool)).root)
    assert await standing(pool) == [("w0", size)]
    assert len(server.requests) == 5
    assert await publisher.publish_once() is None


async def test_nothing_is_out_before_it_is_published(pool: asyncpg.Pool) -> None:
    """While a checkpoint waits for its witnesses, nobody is shown it."""
    await grow(pool, 3)
    assert await log_store.published(pool) is None


async def test_without_witnesses_a_checkpoint_goes_out_as_it_was_signed(
    pool: asyncpg.Pool, http: HttpClient
) -> None:
    """So a log role that has lost its witnesses from the configuration publishes what waits."""
    await grow(pool, 3)
    assert await made(pool, http).publish_once() == 3
    assert await cosigners(pool) == []


async def test_a_witness_that_knows_another_size_is_believed(
    pool: asyncpg.Pool, http: HttpClient, peer: WitnessPeer, server: RudeServer
) -> None:
    """409: a restarted publisher that knows nothing learns the size and proves from there, in the same round."""
    publisher = made(pool, http, (peer, server.url))
    await grow(pool, 7)
    await publisher.publish_once()
    await grow(pool, 6)
    assert await made(pool, http, (peer, server.url)).publish_once() == 13
    assert await cosigners(pool, peer) == [peer.name]
    assert [request.body.split(b"\n")[0] for request in server.requests] == [b"old 0", b"old 0", b"old 7"]


async def test_a_restarted_publisher_remembers_the_sizes(
    pool: asyncpg.Pool, http: HttpClient, publisher: Publisher, peer: WitnessPeer, server: RudeServer
) -> None:
    """They are on record, so that no witness is asked twice."""
    await grow(pool, 7)
    await publisher.publish_once()
    await grow(pool, 6)
    restarted = made(pool, http, (peer, server.url))
    await restarted.learn()
    assert await restarted.publish_once() == 13
    assert [request.body.split(b"\n")[0] for request in server.requests] == [b"old 0", b"old 7"]


async def test_a_witness_refuses_a_fork(
    pool: asyncpg.Pool, publisher: Publisher, peer: WitnessPeer, server: RudeServer
) -> None:
    """A history that is not the one it signed gets no line: that is what a witness is for."""
    await grow(pool, 7)
    await publisher.publish_once()
    peer.seen[ORIGIN] = (7, b"f" * 32)
    await grow(pool, 6)
    assert await publisher.publish_once() == 13
    assert await cosigners(pool, peer) == []
    assert peer.seen[ORIGIN][0] == 7
    assert await standing(pool) == [("w0", 7)]


async def test_a_witness_that_is_ahead_does_not_sign_less(
    pool: asyncpg.Pool, publisher: Publisher, peer: WitnessPeer, server: RudeServer
) -> None:
    """Were our log rolled back, the witness would know; it is not asked for a proof that cannot be."""
    peer.seen[ORIGIN] = (1000, b"f" * 32)
    await grow(pool, 7)
    assert await publisher.publish_once() == 7
    assert await cosigners(pool, peer) == []
    assert len(server.requests) == 1


async def test_a_line_is_put_under_a_checkpoint_once(
    pool: asyncpg.Pool, publisher: Publisher, peer: WitnessPeer
) -> None:
    """Were it found late twice, it would stand there once."""
    await grow(pool, 2)
    await publisher.publish_once()
    note = (await newest(pool)).note
    line = Signature.parse(note.splitlines()[-1])
    await WitnessStore(pool).add_line(2, line)
    assert (await newest(pool)).note == note
    assert await cosigners(pool, peer) == [peer.name]


Forge = Callable[[WitnessPeer, RudeRequest], Answer]


def text_in(request: RudeRequest) -> str:
    """The checkpoint's text in a request."""
    return request.body.decode().split("\n\n")[1] + "\n"


FORGED: dict[str, Forge] = {
    "over another text": lambda peer, _: Answer(200, peer.line("x\n1\ny\n")),
    "another witness's": lambda peer, request: Answer(200, WitnessPeer({}).line(text_in(request))),
    "with another time": lambda peer, request: Answer(200, with_time(peer.line(text_in(request)), 7)),
    "without a time": lambda peer, request: Answer(200, at_zero(peer).line(text_in(request))),
    "no line": lambda peer, _: Answer(200, b""),
    "no UTF-8": lambda peer, _: Answer(200, b"\xff\xfe\n"),
    "a page": lambda peer, _: Answer(200, "<!doctype html>\n"),
    "a text with more to it": lambda peer, request: Answer(
        200, "more\n\n" + peer.line(text_in(request) + "\nmore\n")
    ),
    "without its newline": lambda peer, request: Answer(200, peer.line(text_in(request))[:-1]),
}


def with_time(line: str, at_seconds: int) -> str:
    """The same line, which says that it was signed at another time."""
    signature = Signature.parse(line[:-1])
    return Signature(signature.name, signature.key_id, at_seconds.to_bytes(8) + signature.value[8:]).line


def at_zero(peer: WitnessPeer) -> WitnessPeer:
    """The same witness, whose clock stands at the epoch."""
    return WitnessPeer(peer.logs, peer.name, peer.private_key, clock_seconds=0)


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
async def test_a_line_that_the_witness_did_not_sign_is_not_served(
    pool: asyncpg.Pool, publisher: Publisher, peer: WitnessPeer, server: RudeServer, forge: Forge
) -> None:
    """The checkpoint goes out with the log's line alone, and the next one has the witness's."""
    server.answer_by(lambda request: forge(peer, request))
    await grow(pool, 2)
    assert await publisher.publish_once() == 2
    assert await cosigners(pool) == []
    assert await standing(pool) == []


@pytest.mark.parametrize(
    "answer",
    [
        *(Answer(status) for status in (400, 403, 404, 422, 429, 500, 503, 302, 204)),
        *(Answer(409, body) for body in (b"", b"7", b"-1\n", b"007\n", b"7\n7\n", b"9" * 19 + b"\n", b"x\n")),
    ],
    ids=lambda answer: f"{answer.status} {answer.body!r}",
)
async def test_a_witness_that_does_not_sign_holds_nothing_up(
    pool: asyncpg.Pool, publisher: Publisher, server: RudeServer, answer: Answer
) -> None:
    """Whatever it answers."""
    server.answer_by(lambda _: answer)
    await grow(pool, 2)
    assert await publisher.publish_once() == 2
    assert await cosigners(pool) == []


async def test_only_known_lines_of_an_answer_are_taken(
    pool: asyncpg.Pool, publisher: Publisher, peer: WitnessPeer, server: RudeServer
) -> None:
    """A witness may send lines of keys that nobody here knows; they are ignored."""
    stranger = WitnessPeer({}, "stranger.example")

    def both(request: RudeRequest) -> Answer:
        text = text_in(request)
        return Answer(200, stranger.line(text) + peer.line(text))

    server.answer_by(both)
    await grow(pool, 2)
    await publisher.publish_once()
    assert await cosigners(pool, peer) == [peer.name]


async def test_a_dead_witness_is_waited_for_once_and_then_left_alone(
    pool: asyncpg.Pool, http: HttpClient, peer: WitnessPeer, server: RudeServer
) -> None:
    """It never answers, and all the same two checkpoints are out before the client gives it up."""
    silent = WitnessPeer({ORIGIN: SIGNER.verifier_key}, "silent.example")
    async with RudeServer() as deaf:
        deaf.silence_next()
        nowhere = f"http://127.0.0.1:{free_port()}"
        witnesses = ((peer, server.url), (silent, deaf.url), (silent, nowhere))
        publisher = made(pool, http, *witnesses, deadline_seconds=1.5)
        async with asyncio.timeout(ANSWER_SECONDS - 1):
            for size in (5, 10):
                await grow(pool, 5)
                assert await publisher.publish_once() == size
                assert await cosigners(pool, peer) == [peer.name]
        assert len(deaf.requests) == 1


async def test_a_line_that_comes_late_is_put_under_its_checkpoint(
    pool: asyncpg.Pool, http: HttpClient, peer: WitnessPeer, server: RudeServer
) -> None:
    """The next round does not ask anew meanwhile, finds the line, and proves from the size that was signed."""
    publisher = made(pool, http, (peer, server.url), deadline_seconds=HASTY_SECONDS)
    server.delay_next(HASTY_SECONDS * 4)
    await grow(pool, 3)
    assert await publisher.publish_once() == 3
    assert await cosigners(pool) == []

    async def arrived() -> bool:
        assert await publisher.publish_once() is None
        return bool(await cosigners(pool, peer))

    await eventually(arrived)
    await grow(pool, 4)
    patient = made(pool, http, (peer, server.url))
    await patient.learn()
    assert await patient.publish_once() == 7
    assert await cosigners(pool, peer) == [peer.name]
    assert [request.body.split(b"\n")[0] for request in server.requests] == [b"old 0", b"old 3"]


class _Together:
    """A client that lets no request out before all witnesses are asked. A class because it counts them."""

    def __init__(self, http: HttpClient, count: int) -> None:
        self._http = http
        self._all_asked = asyncio.Barrier(count)

    async def call(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes) -> HttpReply:
        await self._all_asked.wait()
        return await self._http.call(method, url, headers=headers, body=body)


async def test_several_witnesses_are_asked_at_once(
    pool: asyncpg.Pool, http: HttpClient, peer: WitnessPeer, server: RudeServer
) -> None:
    """Were they asked one after the other, no request would ever go out here."""
    peers = [peer, *(WitnessPeer(peer.logs, f"witness.example/w{number}") for number in (2, 3))]
    async with RudeServer() as second, RudeServer() as third:
        servers = (server, second, third)
        for one, at in zip(peers, servers, strict=True):
            at.answer_by(one.answer)
        await grow(pool, 3)
        witnesses = ((one, at.url) for one, at in zip(peers, servers, strict=True))
        await made(pool, _Together(http, 3), *witnesses).publish_once()
    assert sorted(await cosigners(pool, *peers)) == sorted(one.name for one in peers)


async def test_publishing_goes_on_until_it_is_told_to_stop(
    pool: asyncpg.Pool, publisher: Publisher, peer: WitnessPeer
) -> None:
    """What the sequencer signs meanwhile comes out with its line; the newest is enough."""
    stop = asyncio.Event()
    running = asyncio.create_task(publisher.run(stop))
    for size in (4, 8, 12):
        await grow(pool, 4)

        async def is_out(size: int = size) -> bool:
            found = await log_store.published(pool)
            return bool(found) and found.size == size if found else False

        await eventually(is_out)
        assert await cosigners(pool, peer) == [peer.name]
    stop.set()
    await asyncio.wait_for(running, PATIENT_SECONDS)


async def test_one_process_publishes_at_a_time(pool: asyncpg.Pool) -> None:
    """Witnesses are not asked by every log role; when the one ends, another takes over."""
    store = WitnessStore(pool)
    async with store.turn() as turn:
        assert turn
        assert turn.is_held
        async with store.turn() as other:
            assert other is None
    async with store.turn() as turn:
        assert turn


@pytest.mark.parametrize("key", [SIGNER.verifier_key, "x", ""])
def test_a_witness_needs_a_key_for_cosignatures(key: str) -> None:
    """A log's own key, or none, cannot be a witness's."""
    with pytest.raises(ConfigurationError, match=r"log\.witnesses\.north\.key"):
        Witness.parse("north", "https://witness.example", key)


def test_the_witness_of_these_tests_finds_what_is_wrong() -> None:
    """404 for an unknown log, 403 for one that another signed, 400 for what is no request."""
    peer = WitnessPeer({ORIGIN: SIGNER.verifier_key})
    stranger = NoteSigner("stranger.example", Ed25519PrivateKey.generate())
    impostor = NoteSigner(ORIGIN, Ed25519PrivateKey.generate())
    root = "A" * 43 + "="

    def status(body: str) -> int:
        return peer.answer(RudeRequest("POST", "/add-checkpoint", {}, body.encode(), 1)).status

    assert status("old 0\n\n" + sign(f"stranger.example\n1\n{root}\n", [stranger])) == 404
    assert status("old 0\n\n" + sign(f"{ORIGIN}\n1\n{root}\n", [impostor])) == 403
    assert status("old 2\n\n" + sign(f"{ORIGIN}\n1\n{root}\n", [SIGNER])) == 400
    assert status("old 1\n\n" + sign(f"{ORIGIN}\n1\n{root}\n", [SIGNER])) == 409
    assert status(f"old 0\n{root}\n\n" + sign(f"{ORIGIN}\n1\n{root}\n", [SIGNER])) == 422
    assert status("old x\n\n") == 400
