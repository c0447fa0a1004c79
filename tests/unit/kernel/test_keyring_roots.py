"""The roots of a keyring: which one a sealed text lies under, and how one is added, taken into use and taken out."""

import base64
import json

import pytest

from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.keyring import (
    Keyring,
    SealBroken,
    add_root,
    create_keyring_text,
    remove_root,
    use_newest_root,
)


def text_of(roots: dict[int, bytes], current: int) -> str:
    """A keyring with these roots."""
    encoded = {str(version): base64.urlsafe_b64encode(root).decode() for version, root in roots.items()}
    return json.dumps({**json.loads(create_keyring_text()), "roots": encoded, "current": current})


def roots_of(text: str) -> dict[str, str]:
    """The roots as they stand in the text."""
    roots: dict[str, str] = json.loads(text)["roots"]
    return roots


ROOT = bytes(range(32))


def test_a_sealed_text_tells_its_version() -> None:
    """All 255 of them, without opening it."""
    for version in range(1, 256):
        keyring = Keyring.parse(text_of({version: ROOT}, version))
        assert Keyring.version_of(keyring.seal(b"personal", "chl_1")) == version


@pytest.mark.parametrize("text", ["", "A", "ä", "===="])
def test_what_is_no_sealed_text_has_no_version(text: str) -> None:
    """It is told, and not taken for a version."""
    with pytest.raises(SealBroken):
        Keyring.version_of(text)


def test_a_root_that_was_added_is_not_used_yet() -> None:
    """A replica that was not restarted could not open what another one sealed under it."""
    before = create_keyring_text()
    after = add_root(before)
    keyring = Keyring.parse(after)
    assert (keyring.current, keyring.versions, keyring.older_versions) == (1, (1, 2), ())
    assert roots_of(after)["1"] == roots_of(before)["1"] != roots_of(after)["2"]
    assert Keyring.version_of(keyring.seal(b"personal", "r")) == 1


def test_nothing_but_the_roots_changes() -> None:
    """Pseudonyms, API keys and signatures outlive every rotation."""
    before = json.loads(create_keyring_text())
    after = json.loads(remove_root(use_newest_root(add_root(json.dumps(before))), 1))
    assert [after[name] for name in ("index", "signing", "log")] == [
        before[name] for name in ("index", "signing", "log")
    ]


def test_the_newest_root_is_taken_into_use() -> None:
    """From then on it seals, and the older one still opens."""
    old = create_keyring_text()
    sealed = Keyring.parse(old).seal(b"personal", "r")
    keyring = Keyring.parse(use_newest_root(add_root(old)))
    assert (keyring.current, keyring.older_versions) == (2, (1,))
    assert keyring.open(sealed, "r") == b"personal"
    assert Keyring.version_of(keyring.seal(b"personal", "r")) == 2


def test_the_current_root_is_not_taken_into_use_again() -> None:
    """Without a newer one there is nothing to rotate to."""
    with pytest.raises(ConfigurationError):
        use_newest_root(create_keyring_text())


def test_only_an_older_root_is_taken_out() -> None:
    """The current one is in use, a newer one's number would be given out again, an unknown one is a slip."""
    text = add_root(use_newest_root(add_root(create_keyring_text())))
    assert Keyring.parse(remove_root(text, 1)).versions == (2, 3)
    for version in (0, 2, 3, 4):
        with pytest.raises(ConfigurationError):
            remove_root(text, version)


def test_numbers_are_never_given_out_twice() -> None:
    """A text of long ago must not be tried under a root that has its number by chance."""
    text, seen = create_keyring_text(), {1}
    for _ in range(5):
        text = use_newest_root(add_root(text))
        keyring = Keyring.parse(text)
        assert keyring.current not in seen
        seen.add(keyring.current)
        text = remove_root(text, keyring.older_versions[0])


def test_there_is_an_end_to_the_numbers() -> None:
    """A version is one byte."""
    with pytest.raises(ConfigurationError):
        add_root(text_of({255: ROOT}, 255))


@pytest.mark.parametrize("edit", [add_root, use_newest_root, lambda text: remove_root(text, 1)])
def test_what_is_no_keyring_is_left_alone(edit: object) -> None:
    """An error that quotes nothing of it."""
    assert callable(edit)
    with pytest.raises(ConfigurationError) as refused:
        edit('{"current": 1, "roots": {"1": "secret-of-somebody"}}')
    assert "secret-of-somebody" not in str(refused.value)
