"""A log over HTTP: read in parallel, tried again, and bounded in every way."""

import gzip
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sca_service.audit.offline import source as sources
from sca_service.audit.offline.findings import Kind, Refused
from sca_service.audit.offline.mirror import Mirrored, mirror
from sca_service.audit.offline.note import VerifierKey
from sca_service.audit.offline.source import Folder, TooLong, Web, open_source
from sca_service.audit.offline.verify import Demands, verify
from tests.unit.audit.offline.made_log import LOG, leaf, path_of, write_log

LEAVES = [leaf(number) for number in range(3000)]
KEYS = (VerifierKey.parse(LOG.vkey),)
BOMB = gzip.compress(bytes(200_000_000), 9)


@dataclass
class Served:
    """A server of files, and how it misbehaves: by path, what it answers first or always."""

    url: str
    folder: Path
    first: dict[str, int] = field(default_factory=dict)
    always: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A real server on loopback."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(sources, "_PAUSE_SECONDS", 0.001)
    write_log(tmp_path / "log", LEAVES)

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.removeprefix("/log/")
            made.asked[path] += 1
            if path in made.first:
                return self.answer(made.first.pop(path), {}, b"")
            if path in made.always:
                return self.answer(*made.always[path])
            file = made.folder / path
            if not file.is_file():
                return self.answer(404, {}, b"nothing here")
            if path.startswith("tile/entries"):
                return self.answer(200, {"Content-Encoding": "gzip"}, gzip.compress(file.read_bytes()))
            return self.answer(200, {}, file.read_bytes())

        def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    made = Served(f"http://127.0.0.1:{server.server_port}/log/", tmp_path / "log")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def web(served: Served) -> Iterator[Web]:
    """The source that reads from it."""
    source = open_source(served.url)
    assert isinstance(source, Web)
    yield source
    source.close()


def test_a_log_over_http_verifies_and_is_copied(served: Served, web: Web, tmp_path: Path) -> None:
    """Packed entries are unpacked; the copy is the same as the folder that was served."""
    report = verify(web, Demands(KEYS))
    assert (report.findings, report.leaves_read) == ([], 3000)
    assert mirror(web, tmp_path / "copy", KEYS) == Mirrored(0, 3000)
    assert verify(Folder(tmp_path / "copy"), Demands(KEYS)).holds


def test_a_busy_server_is_asked_again_and_one_that_stays_away_is_told(served: Served, web: Web) -> None:
    """A few times, then the reason is said."""
    path = path_of("entries", 3, 256)
    served.first = {path: 503, "checkpoint": 429}
    assert verify(web, Demands(KEYS)).holds
    assert served.asked[path] == 2
    served.always = {path: (500, {}, b"")}
    with pytest.raises(Refused, match=r"tile/entries/003 cannot be read: the answer was 500"):
        verify(web, Demands(KEYS))
    nobody = Web("http://127.0.0.1:9/log")
    with pytest.raises(Refused, match="cannot be read"):
        nobody.read("checkpoint", 100)
    nobody.close()


def test_what_a_server_sends_is_bounded(served: Served, web: Web) -> None:
    """Too much, too much once it is unpacked, packed wrongly, broken off, sent elsewhere: refused."""
    for answer, why in (
        ((200, {}, bytes(10_000)), "longer than it can be"),
        ((200, {"Content-Encoding": "gzip"}, BOMB), "longer than it can be"),
        ((200, {"Content-Encoding": "gzip"}, b"no gzip"), "damaged"),
        ((200, {"Content-Encoding": "gzip"}, gzip.compress(bytes(99))[:-5]), "broken off"),
        ((200, {"Content-Encoding": "br"}, b"x"), "not asked for"),
        ((302, {"Location": "/log/checkpoint"}, b""), "the answer was 302"),
    ):
        served.always = {"tile/0/000": answer}
        with pytest.raises(Refused, match=why):
            web.read("tile/0/000", 8192)
    assert served.asked["checkpoint"] == 0


def test_a_tile_that_is_too_long_is_a_finding_and_no_end(served: Served, web: Web) -> None:
    """The rest of the log is verified all the same."""
    served.always = {"tile/0/000": (200, {}, bytes(10_000))}
    report = verify(web, Demands(KEYS))
    assert [(one.kind, one.path) for one in report.findings] == [(Kind.TILE, "tile/0/000")]
    assert report.leaves_read == 3000


def test_a_place_that_is_no_log_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, nothing, another scheme, half an address."""
    monkeypatch.setattr(sources, "_PAUSE_SECONDS", 0.001)
    (tmp_path / "file").write_bytes(bytes(11))
    for place in (str(tmp_path / "file"), "nowhere", "ftp://x/log", "http://", "http://[/log"):
        with pytest.raises(Refused):
            open_source(place).read("checkpoint", 10)
    with pytest.raises(TooLong):
        Folder(tmp_path).read("file", 10)
    assert Folder(tmp_path).read("file/below", 10) is None
    with pytest.raises(Refused, match="cannot be read"):
        Folder(tmp_path).read(".", 10)
