"""A verifier of logs made of golang.org/x/mod/sumdb (note, tlog): `tlog_go/main.go`, compiled once per test run."""

import base64
import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sca_service.sandbox.server_process import launcher
from tests.peers import PEERS, program

_GOPATH = Path("/usr/share/gocode")
"""Where Debian's packages put the sources of Go's modules."""

_MODULE = _GOPATH / "src/golang.org/x/mod/sumdb/tlog/tlog.go"
_COMPILE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class GoVerifier:
    """The running program: one question a line, one answer a line. It raises nothing: an answer says `ok` or not."""

    process: "subprocess.Popen[str]"

    def opens(self, note: str, *keys: str) -> dict[str, Any]:
        """Whether all of these verifier keys signed a checkpoint; and its origin, size and root."""
        answer = self._ask(ask="open", note=note, keys=list(keys))
        if answer["ok"]:
            answer.setdefault("size", 0)
            answer["root"] = base64.b64decode(answer["root"])
        return answer

    def has_record(self, leaf: bytes, index: int, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
        """Whether an inclusion proof verifies."""
        return self._holds(
            ask="record", leaf=_text(leaf), index=index, size=size, root=_text(root), proof=_texts(proof)
        )

    def adds_only(
        self, old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]
    ) -> bool:
        """Whether a consistency proof verifies."""
        return self._holds(
            ask="tree",
            old_size=old_size,
            old_root=_text(old_root),
            size=size,
            root=_text(root),
            proof=_texts(proof),
        )

    def reads(
        self,
        source: str | Path,
        size: int,
        root: bytes,
        *,
        indexes: Sequence[int] = (),
        old: tuple[int, bytes] = (0, b""),
    ) -> list[bytes] | str:
        """The entries at these indexes, read and proven from tiles alone; what was wrong with them otherwise."""
        answer = self._ask(
            ask="tiles",
            source=str(source),
            size=size,
            root=_text(root),
            indexes=list(indexes),
            old_size=old[0],
            old_root=_text(old[1]),
        )
        if not answer["ok"]:
            return str(answer["error"])
        return [base64.b64decode(entry) for entry in answer.get("entries", ())]

    def _holds(self, **question: Any) -> bool:
        return bool(self._ask(**question)["ok"])

    def _ask(self, **question: Any) -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


@contextmanager
def running_go_verifier(folder: Path) -> Iterator[GoVerifier]:
    """Compile the program into a folder and run it; skips the test where Go or its packages are not installed."""
    go = program("go")
    if not _MODULE.is_file():
        pytest.skip("golang-golang-x-mod-dev is not installed: tests/peers/install")
    compiled = folder / "tlog_go"
    subprocess.run(
        [str(go), "build", "-o", str(compiled), "main.go"],
        cwd=PEERS / "tlog_go",
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("GO")},
            "GO111MODULE": "off",
            "GOPATH": str(_GOPATH),
            "GOFLAGS": "",
            "GOCACHE": str(folder / "cache"),
            "CGO_ENABLED": "0",
        },
        check=True,
        timeout=_COMPILE_SECONDS,
    )
    environ = {"NO_PROXY": "*", "PATH": os.environ.get("PATH", "")}
    with subprocess.Popen(
        [*launcher(death_signal="KILL"), str(compiled)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    ) as process:
        yield GoVerifier(process)
        assert process.stdin
        process.stdin.close()


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _texts(raw: Iterable[bytes]) -> list[str]:
    return [_text(one) for one in raw]
