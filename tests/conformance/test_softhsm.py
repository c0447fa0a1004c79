"""A keyring in an envelope that an HSM opens: SoftHSM2, an implementation of PKCS #11 that others wrote."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sca_service.kernel.custody.envelope import unwrap, wrap
from sca_service.kernel.custody.keyring_file import change, put_into_envelope, read, take_out_of_envelope
from sca_service.kernel.custody.model import CustodySettings, Keeper
from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.keyring import Keyring, add_root, create_keyring_text, write_keyring
from sca_service.kernel.secret import Secret
from sca_service.settings import read_custody, read_settings
from tests.peers import program

PIN = "73519468"
KEY = "sca-keyring"
_MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)
TEXT = create_keyring_text()


@dataclass(frozen=True, slots=True)
class Hsm:
    """An HSM with one slot, and what the service knows of it."""

    settings: CustodySettings

    def make_key(self, label: str = KEY, *, bits: int = 256) -> None:
        """A key that never leaves the HSM."""
        pkcs11: Any = pytest.importorskip("pkcs11")
        assert self.settings.pkcs11_pin
        module = pkcs11.lib(self.settings.pkcs11_module)
        slot = module.get_token(token_label=self.settings.pkcs11_slot)
        with slot.open(rw=True, user_pin=PIN) as session:
            key = session.generate_key(pkcs11.KeyType.AES, bits, label=label, store=True)
            assert (key[pkcs11.Attribute.SENSITIVE], key[pkcs11.Attribute.EXTRACTABLE]) == (True, False)
        module.finalize()


@pytest.fixture
def empty_hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hsm:
    """An HSM of this test alone; the test is skipped where SoftHSM2 is not installed."""
    tool = program("softhsm2-util")
    module = next((path for path in _MODULES if Path(path).exists()), None)
    if module is None:
        pytest.skip("SoftHSM2's module is not where it is looked for")
    (tmp_path / "hsm").mkdir()
    conf = tmp_path / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {tmp_path / 'hsm'}\nobjectstore.backend = file\n", "utf-8")
    monkeypatch.setenv("SOFTHSM2_CONF", str(conf))
    command = [str(tool), "--init-token", "--free", "--label", "sca", "--pin", PIN, "--so-pin", "12345678"]
    subprocess.run(command, check=True, capture_output=True)
    return Hsm(
        CustodySettings(
            deployment="sca.example", pkcs11_module=module, pkcs11_slot="sca", pkcs11_pin=Secret(PIN)
        )
    )


@pytest.fixture
def hsm(empty_hsm: Hsm) -> Hsm:
    """An HSM with the service's key."""
    empty_hsm.make_key()
    return empty_hsm


def refusal(act: Callable[[], object]) -> str:
    """What it says; never the PIN, nor anything of the keyring."""
    with pytest.raises(ConfigurationError) as refused:
        act()
    said = str(refused.value)
    assert PIN not in said and not any(key in said for key in json.loads(TEXT)["roots"].values())
    return said


def test_what_the_hsm_closes_it_opens(hsm: Hsm) -> None:
    """The whole keyring, and nothing of it shows in the envelope; twice closed are two envelopes."""
    texts = {wrap(TEXT, Keeper.PKCS11, KEY, hsm.settings) for _ in range(3)}
    assert len(texts) == 3
    for text in texts:
        assert unwrap(text, hsm.settings) == TEXT
        assert json.loads(text).keys() == {"wrapped_by", "key", "wrapped"}
        closed = base64.urlsafe_b64decode(json.loads(text)["wrapped"])
        assert b"roots" not in closed and len(closed) == 12 + len(TEXT) + 16


def test_every_part_of_the_envelope_counts(hsm: Hsm) -> None:
    """A bit of nonce, text or tag that flipped, and bytes that are missing."""
    text = wrap(TEXT, Keeper.PKCS11, KEY, hsm.settings)
    closed = base64.urlsafe_b64decode(json.loads(text)["wrapped"])

    def altered(raw: bytes) -> str:
        return json.dumps({**json.loads(text), "wrapped": base64.urlsafe_b64encode(raw).decode()})

    for at in (0, 11, 12, 100, len(closed) - 17, len(closed) - 16, len(closed) - 1):
        flipped = bytearray(closed)
        flipped[at] ^= 1
        assert "does not open" in refusal(partial(unwrap, altered(bytes(flipped)), hsm.settings))
    assert "does not open" in refusal(lambda: unwrap(altered(closed[:-1]), hsm.settings))
    assert unwrap(altered(closed), hsm.settings) == TEXT


def test_an_envelope_of_another_deployment_does_not_open(hsm: Hsm) -> None:
    """One of the test system is not taken into production, though the HSM is the same."""
    text = wrap(TEXT, Keeper.PKCS11, KEY, replace(hsm.settings, deployment="test.sca.example"))
    assert "custody.deployment" in refusal(lambda: unwrap(text, hsm.settings))


def test_an_envelope_opens_with_its_own_key_only(hsm: Hsm) -> None:
    """Another key of the same HSM does not do, nor a label that is not there."""
    hsm.make_key("other")
    envelope = json.loads(wrap(TEXT, Keeper.PKCS11, KEY, hsm.settings))
    assert "does not open" in refusal(lambda: unwrap(json.dumps({**envelope, "key": "other"}), hsm.settings))
    assert "no AES key" in refusal(lambda: unwrap(json.dumps({**envelope, "key": "gone"}), hsm.settings))


def test_what_the_hsm_refuses_is_said_in_plain_words(hsm: Hsm) -> None:
    """A wrong PIN, another slot, two keys of one name, and a key that is too short."""
    text = wrap(TEXT, Keeper.PKCS11, KEY, hsm.settings)
    wrong = replace(hsm.settings, pkcs11_pin=Secret("73519469"))
    assert "refuses the PIN in SCA_PKCS11_PIN" in refusal(lambda: unwrap(text, wrong))
    elsewhere = replace(hsm.settings, pkcs11_slot="elsewhere")
    assert "no slot" in refusal(lambda: unwrap(text, elsewhere))
    hsm.make_key("short", bits=128)
    assert "256 bits" in refusal(lambda: wrap(TEXT, Keeper.PKCS11, "short", hsm.settings))
    hsm.make_key()
    assert "several AES keys" in refusal(lambda: unwrap(text, hsm.settings))


def test_a_keyring_file_is_changed_in_its_envelope(hsm: Hsm, tmp_path: Path) -> None:
    """A root is added without the keyring ever lying open; then it moves to another key of the HSM."""
    path = tmp_path / "keyring.json"
    write_keyring(path)
    put_into_envelope(path, Keeper.PKCS11, KEY, hsm.settings)
    change(path, add_root, hsm.settings)
    assert "roots" not in path.read_text("utf-8")
    plain = read(path, hsm.settings)
    assert Keyring.parse(plain).versions == (1, 2)
    hsm.make_key("next")
    put_into_envelope(path, Keeper.PKCS11, "next", hsm.settings)
    assert json.loads(path.read_text("utf-8"))["key"] == "next"
    assert read(path, hsm.settings) == plain
    take_out_of_envelope(path, hsm.settings)
    assert path.read_text("utf-8") == plain
    assert "in no envelope" in refusal(lambda: take_out_of_envelope(path, hsm.settings))


def test_a_key_that_does_not_open_again_is_not_trusted(hsm: Hsm, tmp_path: Path) -> None:
    """What fails leaves the file as it was: bare, and readable."""
    path = tmp_path / "keyring.json"
    write_keyring(path)
    before = path.read_bytes()
    refusal(lambda: put_into_envelope(path, Keeper.PKCS11, "gone", hsm.settings))
    assert path.read_bytes() == before


def configuration(folder: Path, hsm: Hsm) -> Path:
    """A configuration whose keyring is in an envelope."""
    path = folder / "sca.toml"
    path.write_text(
        f"""
        issuer = "https://sca.example"
        keyring = "keyring.json"
        redis.url = "redis://redis.example"
        postgres.url = "postgresql://db.example/sca"
        [custody]
        deployment = "{hsm.settings.deployment}"
        pkcs11_module = "{hsm.settings.pkcs11_module}"
        pkcs11_slot = "{hsm.settings.pkcs11_slot}"
        """,
        "utf-8",
    )
    return path


def test_a_role_reads_the_keyring_through_the_hsm(hsm: Hsm, tmp_path: Path) -> None:
    """From the file or the variable, with the PIN from the environment; without it every mistake is told."""
    path = tmp_path / "keyring.json"
    write_keyring(path)
    keyring = Keyring.parse(path.read_text("utf-8"))
    config = configuration(tmp_path, hsm)
    environ = {"SCA_PKCS11_PIN": PIN}
    custody = read_custody(config, environ)
    assert PIN not in repr(custody)
    put_into_envelope(path, Keeper.PKCS11, KEY, custody)
    for given in (environ, {**environ, "SCA_KEYRING": path.read_text("utf-8")}):
        settings = read_settings(config, given)
        assert settings.keyring.pseudonym("payer", "x") == keyring.pseudonym("payer", "x")
        assert PIN not in repr(settings)
    with pytest.raises(ConfigurationError, match="set SCA_PKCS11_PIN"):
        read_settings(config, {})


def test_the_commands_work_on_an_envelope(hsm: Hsm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`wrap`, `add-root` and `rotate`, as an operator types them."""
    monkeypatch.setenv("SCA_PKCS11_PIN", PIN)
    path, config = tmp_path / "keyring.json", configuration(tmp_path, hsm)
    write_keyring(path)
    script = (
        "import sys\nfrom sca_service.cli import app\n"
        "for line in sys.argv[1:]: app(line, result_action='return_value')"
    )
    lines = [
        f"keys wrap {path} --by pkcs11 --key {KEY} --config {config}",
        f"keys add-root {path} --config {config}",
        f"keys rotate {path} --config {config}",
    ]
    done = subprocess.run([sys.executable, "-c", script, *lines], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "roots" not in path.read_text("utf-8")
    assert Keyring.parse(read(path, hsm.settings)).current == 2
    assert not any(key in done.stdout for key in json.loads(read(path, hsm.settings))["roots"].values())
