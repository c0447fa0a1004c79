"""A keyring in an envelope that AWS KMS opens: boto3 against moto's server, a KMS that others wrote."""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from sca_service.kernel.custody.envelope import unwrap, wrap
from sca_service.kernel.custody.keyring_file import change, put_into_envelope, read
from sca_service.kernel.custody.model import CustodySettings, Keeper
from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.keyring import Keyring, add_root, create_keyring_text, write_keyring
from sca_service.sandbox.server_process import launcher
from sca_service.settings import read_settings
from tests.ports import free_port

TEXT = create_keyring_text()
REGION = "eu-central-1"
PATIENCE_SECONDS = 40.0


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """moto's server, as a process of its own on loopback."""
    pytest.importorskip("moto")
    port = free_port()
    command = [*launcher(death_signal="KILL"), sys.executable, "-m", "moto.server", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            await_listening(f"http://127.0.0.1:{port}", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def await_listening(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait until it answers. Raises AssertionError when it does not, in time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "moto's server ended"
        try:
            if httpx.get(f"{url}/moto-api/", timeout=1, trust_env=False).status_code:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise AssertionError("moto's server did not answer in time")


@pytest.fixture
def settings(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> CustodySettings:
    """How the service reaches KMS, with credentials where AWS's library looks for them."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-account")
    return CustodySettings(deployment="sca.example", aws_region=REGION, aws_endpoint=endpoint)


@pytest.fixture
def kms(settings: CustodySettings) -> Iterator[Any]:
    """A client to KMS, to do what its operator does."""
    boto3: Any = pytest.importorskip("boto3")
    client = boto3.client("kms", region_name=REGION, endpoint_url=settings.aws_endpoint)
    yield client
    client.close()


@pytest.fixture
def key(kms: Any) -> str:
    """A key of KMS, by its ARN."""
    arn: str = kms.create_key(Description="sca keyring")["KeyMetadata"]["Arn"]
    return arn


def refusal(act: Callable[[], object]) -> str:
    """What it says; never a secret."""
    with pytest.raises(ConfigurationError) as refused:
        act()
    said = str(refused.value)
    assert "secret-of" not in said and not any(key in said for key in json.loads(TEXT)["roots"].values())
    return said


def parts(text: str) -> tuple[bytes, bytes]:
    """An envelope's key as KMS closed it, and what is closed under that key."""
    closed = base64.urlsafe_b64decode(json.loads(text)["wrapped"])
    start = 2 + int.from_bytes(closed[:2], "big")
    return closed[2:start], closed[start:]


def with_parts(text: str, blob: bytes, rest: bytes) -> str:
    """The envelope with others."""
    closed = len(blob).to_bytes(2, "big") + blob + rest
    return json.dumps({**json.loads(text), "wrapped": base64.urlsafe_b64encode(closed).decode()})


def test_what_kms_closes_it_opens(settings: CustodySettings, key: str) -> None:
    """Also a keyring that is longer than the 4096 bytes which KMS itself takes; nothing of it shows."""
    long = json.dumps({**json.loads(TEXT), "note": "x" * 6000})
    for plain in (TEXT, long):
        text = wrap(plain, Keeper.AWS_KMS, key, settings)
        assert unwrap(text, settings) == plain
        assert b"roots" not in base64.urlsafe_b64decode(json.loads(text)["wrapped"])
        assert json.loads(text)["key"] == key


def test_every_envelope_has_a_key_of_its_own(settings: CustodySettings, key: str) -> None:
    """So a nonce is never used twice under one key, and what KMS opens for one is of no use to another."""
    one, other = (wrap(TEXT, Keeper.AWS_KMS, key, settings) for _ in range(2))
    mixed = with_parts(one, parts(one)[0], parts(other)[1])
    assert "does not open" in refusal(lambda: unwrap(mixed, settings))


def test_every_part_of_the_envelope_counts(settings: CustodySettings, key: str) -> None:
    """A bit of the closed key, nonce, text or tag that flipped, and bytes that are missing."""
    text = wrap(TEXT, Keeper.AWS_KMS, key, settings)
    blob, rest = parts(text)
    for at in (0, 12, 100, len(rest) - 1):
        flipped = bytearray(rest)
        flipped[at] ^= 1
        assert "does not open" in refusal(partial(unwrap, with_parts(text, blob, bytes(flipped)), settings))
    flipped_blob = blob[:-1] + bytes((blob[-1] ^ 1,))
    assert "does not open" in refusal(lambda: unwrap(with_parts(text, flipped_blob, rest), settings))
    assert "does not open" in refusal(lambda: unwrap(with_parts(text, blob, rest[:-1]), settings))
    assert "cut off" in refusal(lambda: unwrap(with_parts(text, blob, rest[:11]), settings))
    assert unwrap(with_parts(text, blob, rest), settings) == TEXT


def test_an_envelope_of_another_deployment_does_not_open(settings: CustodySettings, key: str) -> None:
    """The encryption context is another one; KMS refuses."""
    text = wrap(TEXT, Keeper.AWS_KMS, key, settings)
    for other in ("test.sca.example", ""):
        assert "custody.deployment" in refusal(partial(unwrap, text, replace(settings, deployment=other)))


def test_what_kms_refuses_is_said_in_plain_words(settings: CustodySettings, kms: Any, key: str) -> None:
    """Another key, and one that is not there."""
    text = wrap(TEXT, Keeper.AWS_KMS, key, settings)
    other = kms.create_key()["KeyMetadata"]["Arn"]
    assert "another account" in refusal(
        lambda: unwrap(json.dumps({**json.loads(text), "key": other}), settings)
    )
    assert "knows no such key" in refusal(lambda: wrap(TEXT, Keeper.AWS_KMS, "alias/gone", settings))


def test_a_service_that_is_not_there_is_said(
    settings: CustodySettings, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens, nobody is known, or no region: each in a sentence."""
    text = wrap(TEXT, Keeper.AWS_KMS, key, settings)
    nowhere = replace(settings, aws_endpoint=f"http://127.0.0.1:{free_port()}")
    assert "cannot be asked (EndpointConnectionError)" in refusal(lambda: unwrap(text, nowhere))
    homeless = replace(settings, aws_region="")
    assert "cannot be asked (NoRegionError)" in refusal(lambda: unwrap(text, homeless))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert "cannot be asked (NoCredentialsError)" in refusal(lambda: unwrap(text, settings))


def test_a_role_reads_the_keyring_through_kms(settings: CustodySettings, key: str, tmp_path: Path) -> None:
    """From a file that was put into an envelope and got another root there."""
    path, config = tmp_path / "keyring.json", tmp_path / "sca.toml"
    write_keyring(path)
    plain = Keyring.parse(path.read_text("utf-8"))
    put_into_envelope(path, Keeper.AWS_KMS, key, settings)
    change(path, add_root, settings)
    assert "roots" not in path.read_text("utf-8")
    assert Keyring.parse(read(path, settings)).versions == (1, 2)
    config.write_text(
        f"""
        issuer = "https://sca.example"
        keyring = "keyring.json"
        redis.url = "redis://redis.example"
        postgres.url = "postgresql://db.example/sca"
        [custody]
        deployment = "{settings.deployment}"
        aws_region = "{REGION}"
        aws_endpoint = "{settings.aws_endpoint}"
        """,
        "utf-8",
    )
    found = read_settings(config, {}).keyring
    assert (found.versions, found.pseudonym("payer", "x")) == ((1, 2), plain.pseudonym("payer", "x"))
