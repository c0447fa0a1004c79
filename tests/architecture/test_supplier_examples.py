"""The page on suppliers is true: its examples load, and it names every option and every secret of every kind."""

import re
import shutil
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
from msgspec import inspect

from sca_service.delivery.channels.kinds import KINDS
from sca_service.policy.load import load, mistakes
from sca_service.policy.supply import SupplierRule
from sca_service.policy_command import adapter_mistakes

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "suppliers.md").read_text("utf-8")
_TOML = re.compile(r"^```toml\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| `(?P<name>[^`]+)` \| (?P<left_out>.*?) ?\| (?P<allowed>.*?) ?\| .+ \|$", re.MULTILINE)
_ASKED = re.compile(r"""(?:context\.secret|shared_secret)\((?:context, )?(?P<name>["']\w+["']|[A-Z_]+)\)""")

every_kind = pytest.mark.parametrize("kind", KINDS)


def section(kind: str) -> str:
    """What the page says of a kind."""
    return PAGE.split(f"\n## {kind}\n")[1].split("\n## ")[0]


def examples(text: str) -> list[str]:
    """The blocks of TOML in a text."""
    return [block["text"] for block in _TOML.finditer(text)]


def suppliers_with(folder: Path, example: str) -> tuple[SupplierRule, ...]:
    """The suppliers of the shipped policies with an example besides, checked as `sca policy check` does."""
    shutil.copytree(ROOT / "policies", folder, dirs_exist_ok=True)
    with (folder / "suppliers.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n{example}")
    assert mistakes(folder) == []
    supply = load(folder).supply
    assert adapter_mistakes(supply) == []
    return supply.suppliers


def options(shape: type[msgspec.Struct], above: str = "") -> Iterator[tuple[str, inspect.Field]]:
    """Every option with those inside it, by its name: `answer.id`, `titles.*.notice`."""
    told = inspect.type_info(shape)
    assert isinstance(told, inspect.StructType)
    for field in told.fields:
        yield f"{above}{field.name}", field
        inner, star = inside(field.type)
        if inner:
            yield from options(inner, f"{above}{field.name}{star}.")


def inside(kind: inspect.Type) -> tuple[type[msgspec.Struct] | None, str]:
    """The shape of a table's members, and a star where their names are free."""
    if isinstance(kind, inspect.StructType):
        return kind.cls, ""
    if isinstance(kind, inspect.DictType):
        return inside(kind.value_type)[0], ".*"
    if isinstance(kind, inspect.UnionType):
        return next((found for one in kind.types if (found := inside(one))[0]), (None, ""))
    return None, ""


def left_out(field: inspect.Field) -> str:
    """What the page has to say of an option that is left out."""
    if field.required:
        return "needed"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    values = value if isinstance(value, tuple) else (value,)
    return ", ".join(f"`{shown(one)}`" for one in values if one not in (None, "", {}))


def shown(value: object) -> str:
    """A value as the page writes it."""
    if isinstance(value, Enum):
        return str(value.value)
    return str(value).lower() if isinstance(value, bool) else plain(value)


def plain(value: object) -> str:
    """A whole number without its point, anything else as it is."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def bounds(kind: inspect.Type) -> str:
    """The bounds of a number as the page writes them; nothing for what has none."""
    kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    for one in kinds:
        if isinstance(one, inspect.IntType | inspect.FloatType) and one.ge is not None and one.le is not None:
            return f"{plain(one.ge)} to {plain(one.le)}"
    return ""


def secrets_of(kind: str) -> set[str]:
    """The secrets that an adapter's code asks for, in capital letters."""
    settings: ModuleType = KINDS[kind].part("settings")
    folder = Path(str(settings.__file__)).parent
    code = "".join(file.read_text("utf-8") for file in folder.glob("*.py"))
    asked = {found["name"] for found in _ASKED.finditer(code)}
    return {str(getattr(settings, name) if name.isupper() else name.strip("\"'")).upper() for name in asked}


@every_kind
def test_every_kind_has_an_example_that_loads(kind: str, tmp_path: Path) -> None:
    """What an operator copies passes `sca policy check` beside the shipped suppliers."""
    found = examples(section(kind))
    assert found
    for at, example in enumerate(found):
        shipped = {rule.name for rule in load(ROOT / "policies").supply.suppliers}
        rules = suppliers_with(tmp_path / str(at), example)
        added = [rule for rule in rules if rule.name not in shipped]
        assert [rule.kind for rule in added] == [kind]


def test_all_examples_load_together(tmp_path: Path) -> None:
    """A bank may have every kind of supplier at once, and no two examples share a name."""
    found = examples(PAGE)
    rules = suppliers_with(tmp_path, "\n".join(found))
    assert {rule.kind for rule in rules} == {"sandbox", *KINDS}


def test_an_example_with_a_mistake_is_found(tmp_path: Path) -> None:
    """The check sees into the options: an unknown one does not pass."""
    (example,) = examples(section("smtp"))
    with pytest.raises(AssertionError, match="coulour"):
        suppliers_with(tmp_path, example.replace("[mail.options]\n", '[mail.options]\ncoulour = "blue"\n'))


@every_kind
def test_every_option_stands_in_the_table_of_its_kind(kind: str) -> None:
    """The page names each option, no other, and says truly what is left out and what is allowed."""
    rows = {row["name"]: row for row in _ROW.finditer(section(kind))}
    known = dict(options(KINDS[kind].part("settings").Settings))
    assert list(rows) == list(known)
    for name, field in known.items():
        assert rows[name]["left_out"] == left_out(field), name
        assert bounds(field.type) in rows[name]["allowed"], name


@every_kind
def test_every_secret_stands_in_the_section_of_its_kind(kind: str) -> None:
    """The page names each secret that the adapter asks the environment for."""
    asked = secrets_of(kind)
    assert asked
    for name in asked:
        assert f"`{name}`" in section(kind)


@every_kind
def test_every_section_shows_the_variable_of_its_example(kind: str) -> None:
    """The variable that a section spells out is that of the supplier in its example."""
    names = [
        name.upper().replace("-", "_")
        for example in examples(section(kind))
        for name in re.findall(r"^\[([a-z0-9-]+)\]$", example, re.MULTILINE)
    ]
    (spelled, *more) = re.findall(r"`SCA_SUPPLIER_(\w+)`", section(kind))
    assert not more
    assert any(spelled.startswith(f"{name}_") for name in names)
