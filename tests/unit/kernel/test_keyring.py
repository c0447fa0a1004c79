"""The keyring: derivation as written down, seals that open for their record only, and files only their owner reads."""

import base64
import hmac
import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.keyring import Keyring, SealBroken, create_keyring_text, key_id, write_keyring

ROOT_1, ROOT_2, INDEX, SEED = (bytes(range(start, start + 32)) for start in (0, 40, 80, 120))
OLD = Keyring(current=1, roots={1: ROOT_1}, index=INDEX, signing=[SEED])
ROTATED = Keyring(current=2, roots={1: ROOT_1, 2: ROOT_2}, index=INDEX, signing=[SEED])
NEW_ONLY = Keyring(current=2, roots={2: ROOT_2}, index=INDEX, signing=[SEED])


def encoded(key: bytes) -> str:
    """A key as it stands in the file."""
    return base64.urlsafe_b64encode(key).decode()


def content(**changes: object) -> str:
    """The text of a keyring."""
    members = {
        "current": 1,
        "roots": {"1": encoded(ROOT_1)},
        "index": encoded(INDEX),
        "signing": [encoded(SEED)],
    }
    return json.dumps({**members, **changes})


def expand(root: bytes, purpose: bytes) -> bytes:
    """The first block of HKDF-Expand (RFC 5869, section 2.3), written from its text."""
    return hmac.digest(root, b"sca-service " + purpose + b"\x01", "sha256")


def test_the_key_of_a_code_is_derived_as_written_down() -> None:
    """A change here would make every pending code wrong."""
    assert OLD.code_key(1, b"record") == hmac.digest(expand(ROOT_1, b"one-time code"), b"record", "sha256")


def test_every_root_and_every_record_has_its_own_code_key() -> None:
    """Nothing that is known of one says anything of another."""
    keys = {ROTATED.code_key(version, record) for version in (1, 2) for record in (b"a", b"b", b"")}
    assert len(keys) == 6
    assert ROTATED.code_key(1, b"a") == OLD.code_key(1, b"a")


def test_a_code_under_a_lost_root_is_an_error() -> None:
    """It is never taken for a wrong code."""
    with pytest.raises(SealBroken):
        OLD.code_key(2, b"record")


@given(st.binary(max_size=300), st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_what_is_sealed_opens_for_its_record(plain: bytes, record: str) -> None:
    """Whatever bytes, whatever name."""
    assert OLD.open(OLD.seal(plain, record), record) == plain


@given(st.data())
def test_a_seal_that_was_altered_does_not_open(data: st.DataObject) -> None:
    """Every bit counts: of the version, the nonce, the text and the tag."""
    raw = bytearray(base64.urlsafe_b64decode(OLD.seal(b"personal", "chl_1")))
    at = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[at // 8] ^= 1 << at % 8
    with pytest.raises(SealBroken):
        OLD.open(base64.urlsafe_b64encode(raw).decode(), "chl_1")


@pytest.mark.parametrize("sealed", ["", "A", "AQ==", "AQAA", encoded(b"\x01" * 13), "no base64 at all", "ä"])
def test_what_was_never_sealed_does_not_open(sealed: str) -> None:
    """Too short, cut off, or no base64: one error."""
    with pytest.raises(SealBroken):
        OLD.open(sealed, "chl_1")


def test_a_seal_does_not_open_for_another_record() -> None:
    """Nobody moves one payer's number to another's challenge."""
    with pytest.raises(SealBroken):
        OLD.open(OLD.seal(b"personal", "chl_1"), "chl_2")


def test_sealing_twice_gives_two_texts() -> None:
    """Equal numbers do not look equal, and nothing of the plain text shows."""
    sealed = {OLD.seal(b"+4915112345678", "chl_1") for _ in range(50)}
    assert len(sealed) == 50
    assert not any(b"4915112345678" in base64.urlsafe_b64decode(one) for one in sealed)


def test_after_a_rotation_the_old_opens_and_the_new_seals() -> None:
    """What was sealed before stays readable for as long as its root is kept."""
    before = OLD.seal(b"personal", "chl_1")
    after = ROTATED.seal(b"personal", "chl_1")
    assert ROTATED.open(before, "chl_1") == b"personal"
    assert NEW_ONLY.open(after, "chl_1") == b"personal"
    with pytest.raises(SealBroken):
        NEW_ONLY.open(before, "chl_1")
    with pytest.raises(SealBroken):
        OLD.open(after, "chl_1")


def test_names_outlive_a_rotation() -> None:
    """What is looked up must be found again."""
    assert OLD.pseudonym("payer", "bank", "cust_1") == NEW_ONLY.pseudonym("payer", "bank", "cust_1")
    assert OLD.key_hash("sca_key") == NEW_ONLY.key_hash("sca_key")
    assert OLD.channel_key("receipts") == NEW_ONLY.channel_key("receipts")


def test_names_of_different_things_differ() -> None:
    """By kind, by part, and by where one part ends and the next begins."""
    names = {
        OLD.pseudonym("payer", "bank", "cust_1"),
        OLD.pseudonym("phone", "bank", "cust_1"),
        OLD.pseudonym("payer", "bankcust_1"),
        OLD.pseudonym("payer", "ban", "kcust_1"),
        OLD.pseudonym("payer", "bank", "cust_2"),
        OLD.pseudonym("payer", "bank"),
        OLD.key_hash("payer")[:16].hex(),
        OLD.channel_key("payer")[:16].hex(),
    }
    assert len(names) == 8
    assert all(len(name) == 32 for name in names)


def test_a_name_depends_on_the_index_key() -> None:
    """Whoever has no key cannot find out which payer a name stands for."""
    other = Keyring(current=1, roots={1: ROOT_1}, index=ROOT_2, signing=[SEED])
    assert other.pseudonym("payer", "bank", "cust_1") != OLD.pseudonym("payer", "bank", "cust_1")


def test_a_keyring_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    """A new keyring, from the file that only its owner may read."""
    path = tmp_path / "keyring.json"
    write_keyring(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    keyring = Keyring.parse(path.read_text("utf-8"))
    assert (keyring.current, len(keyring.signing_keys)) == (1, 1)


def public(keyring: Keyring) -> list[bytes]:
    """The public keys that checkpoints are verified with."""
    return [key.public_key().public_bytes_raw() for key in keyring.log_signing_keys]


def test_the_log_has_keys_of_its_own() -> None:
    """In the order of the file, the newest first; none of them signs authentication codes."""
    seeds = [bytes(range(160, 192)), bytes(range(200, 232))]
    keyring = Keyring.parse(content(log=[encoded(seed) for seed in seeds]))
    wanted = [Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw() for seed in seeds]
    assert public(keyring) == wanted
    assert public(Keyring.parse(create_keyring_text())) != wanted[:1]
    assert not set(public(keyring)) & {key.public_key().public_bytes_raw() for key in keyring.signing_keys}


def test_a_keyring_without_log_keys_has_one_that_never_changes() -> None:
    """A keyring of an earlier release signs the log by a key made from `index`, also after its roots were rotated."""
    seed = hmac.digest(INDEX, b"log key", "sha256")
    assert public(OLD) == [Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()]
    assert public(OLD) == public(ROTATED) == public(NEW_ONLY)


def test_a_log_key_that_is_none_is_refused() -> None:
    """It has 32 random bytes like every other."""
    for seed in (encoded(b"x" * 32), encoded(b"short"), 7):
        with pytest.raises(ConfigurationError):
            Keyring.parse(content(log=[seed]))


def test_a_keyring_is_never_written_over_another(tmp_path: Path) -> None:
    """Lost keys are lost payments."""
    path = tmp_path / "keyring.json"
    write_keyring(path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        write_keyring(path)
    assert path.read_bytes() == before


def test_no_two_new_keyrings_share_a_key() -> None:
    """Each key is chance."""
    texts = [json.loads(create_keyring_text()) for _ in range(20)]
    keys = [key for one in texts for key in (one["roots"]["1"], one["index"], one["signing"][0])]
    assert len(set(keys)) == 60


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "no JSON",
        content(current=2),
        content(current="one"),
        content(roots={}),
        content(roots={"0": encoded(ROOT_1)}, current=0),
        content(roots={"256": encoded(ROOT_1)}, current=256),
        content(roots={"1": encoded(ROOT_1[:31])}),
        content(roots={"1": encoded(bytes(32))}),
        content(roots={"1": encoded(b"changeme" * 4)}),
        content(roots=[encoded(ROOT_1)]),
        content(index="short"),
        content(index=None),
        content(signing=[]),
        content(signing=None),
        content(signing=[encoded(SEED), encoded(b"x" * 32)]),
    ],
)
def test_a_keyring_that_is_none_is_refused(text: str) -> None:
    """Missing, short, empty and made-up keys; the error quotes none of them."""
    with pytest.raises(ConfigurationError) as refused:
        Keyring.parse(text)
    assert encoded(ROOT_1) not in str(refused.value)
    assert encoded(INDEX) not in str(refused.value)


def test_the_keyring_does_not_show_its_keys() -> None:
    """Not in a log, not in a traceback, not to a debugger's `vars`."""
    assert repr(ROTATED) == "Keyring(current=2, versions=[1, 2])"
    with pytest.raises(TypeError):
        vars(ROTATED)


def test_the_id_of_a_key_says_nothing_else() -> None:
    """SHA-256 over the raw public key, its first sixteen digits."""
    assert key_id(b"") == "e3b0c44298fc1c14"
