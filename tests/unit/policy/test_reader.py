"""Reading a file: whatever stands in it, all that comes of it is a list of mistakes."""

import datetime
import itertools
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sca_service.policy.load import FILES, mistakes
from sca_service.policy.model import Purpose
from sca_service.policy.words import Occasion

Edit = Callable[[str, str, str], list[str]]


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_a_mistake(folder: Path, file: str) -> None:
    """Every file is needed; the others are checked all the same."""
    (folder / file).unlink()
    assert mistakes(folder) == [f"{file}: missing; every policy needs this file"]


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_is_no_toml_is_told_with_its_line(folder: Path, file: str) -> None:
    """A typing error is found where it was made."""
    (folder / file).write_text("# a comment\nhalf = \n", encoding="utf-8")
    found = mistakes(folder)
    assert len(found) == 1
    assert found[0].startswith(f"{file}: is not TOML 1.0: ")
    assert "line 2" in found[0]


def test_a_file_that_is_not_utf_8_is_a_mistake(folder: Path) -> None:
    """Texts saved in another encoding would reach payers as garbage."""
    (folder / "texts.toml").write_bytes('warning = "gültig"'.encode("latin-1"))
    assert mistakes(folder) == ["texts.toml: is not UTF-8 (byte 12); allowed: TOML 1.0 in UTF-8"]


def test_a_file_that_is_too_large_is_a_mistake(folder: Path) -> None:
    """A start-up reads no more than a policy can need."""
    (folder / "code.toml").write_bytes(b"#" * 1_048_577)
    assert mistakes(folder) == ["code.toml: is too large; allowed: 1048576 bytes"]


def test_a_file_that_cannot_be_read_is_a_mistake(folder: Path) -> None:
    """A folder in the place of a file is told like a missing one."""
    (folder / "code.toml").unlink()
    (folder / "code.toml").mkdir()
    found = mistakes(folder)
    assert len(found) == 1
    assert found[0].startswith("code.toml: cannot be read: ")


def test_a_file_nested_too_deeply_is_a_mistake(folder: Path) -> None:
    """A hostile file ends in a message, not in a crash."""
    (folder / "code.toml").write_text(f"digits = {'[' * 100_000}", encoding="utf-8")
    found = mistakes(folder)
    assert len(found) == 1
    assert found[0].startswith("code.toml: is ")


def test_a_number_of_any_size_is_told(edit: Edit) -> None:
    """Python refuses to print numbers of more than 4,300 digits; the check does not fail over it."""
    found = edit("code.toml", "digits = 6", f"digits = 0x{'f' * 5_000}")
    assert len(found) == 1
    assert found[0].startswith(
        "code.toml:digits: a number of more than 40 digits is too much; allowed: 6 to 10"
    )


ODD_VALUES: tuple[object, ...] = (
    "",
    "\x00",
    -1,
    10**30,
    1.5,
    [],
    {},
    [[]],
    [{}],
    datetime.date(2026, 1, 1),
)


MAY_BE_EMPTY = (
    *("step_on", "countries", "suppliers", "must_register", "sender", "network", "rate"),
    *("hosts", "topic", "notices", "stop_words", "start_words"),
)
MAY_BE_LEFT_OUT = ("sender", "network", "suppliers", "rate")
SPOILED_FILES = [file for file in FILES if file != "texts.toml"]
OCCASIONS = set(Occasion)
PURPOSES = set(Purpose)


def spoiled(content: Any) -> Iterator[Any]:
    """The same content with one value replaced by something odd, or one key left out; an array may be empty.

    Of an array's tables with the same keys, and of purposes, which are read alike, one is taken apart.
    """
    if not isinstance(content, dict | list):
        return
    taken_apart: set[frozenset[str]] = set()
    for key in content if isinstance(content, dict) else range(len(content)):
        for odd in ODD_VALUES:
            if odd == [] and key in MAY_BE_EMPTY:
                continue
            yield content | {key: odd} if isinstance(content, dict) else replaced(content, key, odd)
        is_alike = isinstance(content, list) or key in PURPOSES
        shape = frozenset(content[key]) if is_alike and isinstance(content[key], dict) else None
        for inner in spoiled(content[key]) if shape not in taken_apart else ():
            yield content | {key: inner} if isinstance(content, dict) else replaced(content, key, inner)
        taken_apart |= {shape} if shape is not None else set()
        is_template = key in OCCASIONS and isinstance(content[key], str)
        if isinstance(content, dict) and key not in MAY_BE_LEFT_OUT and not is_template:
            yield {other: value for other, value in content.items() if other != key}


def replaced(values: list[Any], at: int, value: object) -> list[Any]:
    """The same list with another value at one place."""
    return [*values[:at], value, *values[at + 1 :]]


def as_toml(value: object) -> str:
    """A value as inline TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}" = {as_toml(inner)}' for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(as_toml(inner) for inner in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(character):08x}" for character in value) + '"'
    return str(value)


def shortened(file: str, text: str) -> str:
    """A file with one supplier, sender, network, rate, topic or signal of each kind: the others are read alike."""
    if file == "suppliers.toml":
        return text[: text.index("[sandbox-voice]")] + text[text.index("[routing.login]") :]
    if file == "senders.toml":
        return text[: text.index('[[sender]]\ncountry = "AE"')]
    if file == "networks.toml":
        return text[: text.index("[[network]]", text.index("[[network]]") + 1)]
    if file == "alerts.toml":
        return "[[notices.topic]]".join(text.split("[[notices.topic]]")[:2])
    if file == "exemptions.toml":
        return "[[rate]]".join(text.split("[[rate]]")[:2])
    if file == "risk.toml":
        head, *signals = text.split("[[signal]]")
        first = {one.split('factor = "')[1].split('"')[0]: one for one in reversed(signals)}
        return "[[signal]]".join([head, *first.values()])
    return text


def write_short(folder: Path) -> dict[str, dict[str, Any]]:
    """Shorten every file of the folder, since each try reads all; what then stands in those that are spoiled."""
    texts = (folder / "texts.toml").read_text(encoding="utf-8")
    (folder / "texts.toml").write_text(texts[: texts.index("[de]")], encoding="utf-8")
    contents = {}
    for file in SPOILED_FILES:
        text = shortened(file, (folder / file).read_text(encoding="utf-8"))
        (folder / file).write_text(text, encoding="utf-8")
        contents[file] = tomllib.loads(text)
    assert mistakes(folder) == []
    return contents


def write(path: Path, content: dict[str, Any]) -> None:
    """Write a file anew."""
    lines = [f'"{key}" = {as_toml(value)}' for key, value in content.items()]
    path.write_text("\n".join(lines), encoding="utf-8")


def test_whatever_stands_at_any_place_there_is_no_crash_and_no_policy_beyond_its_bounds(folder: Path) -> None:
    """Every value of every file in turn is replaced by every odd one; each file that has one has a mistake.

    One place of each file is spoiled at once: a try takes as long as a start.
    """
    contents = write_short(folder)
    tried = 0
    for odds in itertools.zip_longest(*map(spoiled, contents.values())):
        now = {file: odd for file, odd in zip(contents, odds, strict=True) if odd is not None}
        for file, content in contents.items():
            write(folder / file, now.get(file, content))
        found = mistakes(folder)
        assert {line.split(":")[0] for line in found} == set(now), now
        tried += len(now)
    assert tried > 3_000


@pytest.mark.parametrize("file", SPOILED_FILES)
def test_a_mistake_is_told_of_the_file_that_it_is_in(folder: Path, file: str) -> None:
    """Every eleventh of these spoils alone, so that each odd value comes by: no other file is accused."""
    content = write_short(folder)[file]
    may_say = (
        ("senders.toml", file) if file == "suppliers.toml" else (file,)
    )  # one that is gone is missed there
    tried = 0
    for odd in itertools.islice(spoiled(content), 0, None, len(ODD_VALUES) + 1):
        write(folder / file, odd)
        found = mistakes(folder)
        assert found, odd
        assert all(line.startswith(may_say) for line in found), odd
        tried += 1
    assert tried
