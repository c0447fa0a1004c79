"""privacyIDEA beside ours: gunicorn on our core, an embedded PostgreSQL like ours, codes by its HTTP SMS gateway.

It runs as a program of its own, from an environment of its own (`.compare`), as it comes, but for its log's level, and
for how dear a hash of a PIN is: enrolment makes one (seconds for each payer), and what is measured asks for none.
"""

import asyncio
import json
import os
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx2

from loadtests import generator
from loadtests.generator import Load, Request, Result
from loadtests.place import API_CORE, OTHER_CORE, await_port
from sca_service.sandbox.server_process import launcher
from sca_service.sandbox.servers import PostgresProcess
from tests.ports import free_port
from tests.rude_server import Answer, RudeRequest, RudeServer

_THREADS = 8
_SETTINGS = """SQLALCHEMY_DATABASE_URI = {url!r}
SECRET_KEY = {secret!r}
PI_PEPPER = {pepper!r}
PI_ENCFILE = {folder!r} + "/enckey"
PI_AUDIT_KEY_PRIVATE = {folder!r} + "/private.pem"
PI_AUDIT_KEY_PUBLIC = {folder!r} + "/public.pem"
PI_LOGFILE = {folder!r} + "/privacyidea.log"
PI_LOGLEVEL = 40
PI_HASH_ALGO_PARAMS = {{"argon2__rounds": 1, "argon2__memory_cost": 1024}}
SUPERUSER_REALM = []
"""
_GATEWAY = "privacyidea.lib.smsprovider.HttpSMSProvider.HttpSMSProvider"
_CHECKS = "SELECT count(*) FROM pidea_audit WHERE action LIKE '%/validate/check' AND success = 1"


@dataclass(slots=True)
class PrivacyIdea:
    """What runs, and the payers' phones. A class because messages arrive while others are triggered."""

    url: str
    key: str
    postgres: str
    pid: int
    serials: Sequence[str] = ()
    texts: dict[str, str] = field(default_factory=dict)
    """By number: the newest code."""

    def enrol(self, count: int) -> None:
        """So many payers with a phone each. Raises RuntimeError."""
        self.serials = [f"SMS{number:05d}" for number in range(count)]
        bodies = [
            {"type": "sms", "genkey": 1, "serial": serial, "phone": f"+49151{serial[3:]}", "pin": ""}
            for serial in self.serials
        ]
        self._exchange([Request("/token/init", json.dumps(body)) for body in bodies])

    def triggers(self) -> list[Request]:
        """A challenge for each payer."""
        return [
            Request("/validate/triggerchallenge", json.dumps({"serial": serial})) for serial in self.serials
        ]

    def answers(self) -> list[Request]:
        """A new challenge for each payer, unmeasured, and the right answers to them."""
        told = self._exchange(self.triggers())
        asked = []
        for serial, body in zip(self.serials, told, strict=True):
            transaction = body["detail"]["transaction_id"]
            members = {
                "serial": serial,
                "pass": self.texts[f"+49151{serial[3:]}"],
                "transaction_id": transaction,
            }
            asked.append(Request("/validate/check", json.dumps(members)))
        return asked

    def put(self, requests: Sequence[Request], seconds: int, *, each_once: bool) -> Result:
        """Put a load on. Raises RuntimeError when a request failed."""
        load = Load(self.url, self.key, requests, each_once=each_once, scheme="", connections=_THREADS)
        result = generator.run(load, seconds=seconds, core=OTHER_CORE)
        if result.failed:
            raise RuntimeError(f"privacyIDEA: {result.failed} requests failed")
        return result

    def put_and_count(self, requests: Sequence[Request], seconds: int) -> Result:
        """As `put`, for right answers, each once. Raises RuntimeError unless all are in its audit as good."""
        before = asyncio.run(self._good_checks())
        result = self.put(requests, seconds, each_once=True)
        good = asyncio.run(self._good_checks()) - before
        if good < result.requests:
            raise RuntimeError(f"privacyIDEA: {result.requests} right answers, {good} accepted")
        return result

    async def _good_checks(self) -> int:
        connection = await asyncpg.connect(self.postgres)
        try:
            return int(await connection.fetchval(_CHECKS))
        finally:
            await connection.close()

    def _exchange(self, requests: Sequence[Request]) -> list[Any]:
        told = asyncio.run(generator.exchange(self.url, self.key, requests, connections=_THREADS, scheme=""))
        bodies = [json.loads(body or "{}") for body in told]
        if not all(body.get("result", {}).get("status") for body in bodies):
            raise RuntimeError(f"privacyIDEA answered {bodies[0]}")
        return bodies


@contextmanager
def running(folder: Path, programs: Path) -> Iterator[PrivacyIdea]:
    """All of it on loopback, in a folder of its own; ended afterwards. `programs` is where its commands are."""
    folder.mkdir()
    postgres, port = PostgresProcess(), free_port()
    postgres.start(folder / "postgres")
    try:
        environ = {
            **os.environ,
            "PRIVACYIDEA_CONFIGFILE": str(_settings(folder, postgres.url)),
            "HOME": str(folder),
        }
        environ.pop("PYTHONPATH", None)
        password = secrets.token_urlsafe(12)
        for command in ("setup create_enckey", "setup create_audit_keys", "setup create_tables"):
            _manage(programs, environ, *command.split())
        _manage(programs, environ, "admin", "add", "-p", password, "admin")
        factory = f'privacyidea.app:create_app(config_name="production", config_file="{folder}/pi.cfg")'
        options = ("--workers", "1", "--worker-class", "gthread", "--threads", str(_THREADS))
        with (folder / "gunicorn.log").open("wb") as log:
            server = subprocess.Popen(
                [
                    *("taskset", "-c", str(API_CORE)),
                    *launcher(death_signal="TERM"),
                    *(str(programs / "gunicorn"), *options, "--keep-alive", "60"),
                    *("--bind", f"127.0.0.1:{port}", factory),
                ],
                env=environ,
                stdout=log,
                stderr=log,
            )
        try:
            asyncio.run(await_port(port, "/"))
            url = f"http://127.0.0.1:{port}"
            texts: dict[str, str] = {}
            with _gateway(texts) as gateway:
                key = _set_up(url, password, gateway)
                yield PrivacyIdea(url, key, postgres.url, _worker_of(server.pid), texts=texts)
        finally:
            server.terminate()
            server.wait(30)
    finally:
        postgres.stop()


def _settings(folder: Path, url: str) -> Path:
    path = folder / "pi.cfg"
    path.touch(mode=0o600)
    values = {
        "url": url.replace("postgresql://", "postgresql+psycopg2://"),
        "secret": secrets.token_hex(24),
        "pepper": secrets.token_hex(24),
        "folder": str(folder),
    }
    path.write_text(_SETTINGS.format(**values), "utf-8")
    return path


def _manage(programs: Path, environ: dict[str, str], *arguments: str) -> None:
    subprocess.run([str(programs / "pi-manage"), *arguments], env=environ, check=True, capture_output=True)


def _set_up(url: str, password: str, gateway: str) -> str:
    """Its administrator's key, once it sends by the gateway."""
    with httpx2.Client(base_url=url, timeout=60, trust_env=False) as http:
        told = http.post("/auth", json={"username": "admin", "password": password})
        told.raise_for_status()
        key = str(told.json()["result"]["value"]["token"])
        http.headers["Authorization"] = key
        options = {
            "option.URL": gateway,
            "option.HTTP_METHOD": "POST",
            "option.to": "{phone}",
            "option.text": "{otp}",
        }
        http.post("/smsgateway", json={"name": "own", "module": _GATEWAY, **options}).raise_for_status()
        http.post("/system/setConfig", json={"sms.identifier": "own"}).raise_for_status()
    return key


def _worker_of(pid: int) -> int:
    """The process of gunicorn that answers."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if children := Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split():
            return int(children[0])
        time.sleep(0.1)
    raise RuntimeError("gunicorn has no worker")


@contextmanager
def _gateway(texts: dict[str, str]) -> Iterator[str]:
    """An SMS gateway that takes every message and keeps its code by number; where it listens."""

    def take(request: RudeRequest) -> Answer:
        form = request.form()
        texts[form["to"]] = form["text"]
        return Answer(200, "ok")

    server, loop = RudeServer(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
    server.answer_by(take)
    try:
        yield f"{server.url}/send"
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
