"""Redis and PostgreSQL are set alike by `sca dev`, by k8s/, and by what docs/operations.md tells others to set."""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sca_service.sandbox.store_parameters import POSTGRES, REDIS, VALKEY, Parameter

ROOT = Path(__file__).parents[2]
_ROW = re.compile(r"^\| (`[^|]+`) \| ([^|]+) \|", re.MULTILINE)


def _documents(path: str) -> list[dict[str, Any]]:
    text = (ROOT / "k8s" / path).read_bytes()
    return [msgspec.yaml.decode(one) for one in re.split(rb"^---$", text, flags=re.MULTILINE)]


def _arguments(name: str) -> list[str]:
    """What a server of the local overlay is called with."""
    (server,) = (
        one
        for one in _documents("overlays/local/stores.yaml")
        if one["kind"] == "Deployment" and one["metadata"]["name"] == name
    )
    arguments: list[str] = server["spec"]["template"]["spec"]["containers"][0]["args"]
    return arguments


def _valkey_locally() -> Mapping[str, str]:
    return {name.removeprefix("--"): value for name, value in pairwise(_arguments("valkey"))}


def _postgres_locally() -> Mapping[str, str]:
    return dict(one.split("=", 1) for one in _arguments("postgres") if one != "-c")


def _valkey_cluster() -> Mapping[str, str]:
    found: Mapping[str, str] = _documents("examples/valkey-cluster.yaml")[0]["spec"]["config"]
    return found


def _postgres_cluster() -> Mapping[str, str]:
    found: Mapping[str, str] = _documents("examples/postgres-cnpg.yaml")[0]["spec"]["postgresql"][
        "parameters"
    ]
    return found


def differing(parameters: Sequence[Parameter], found: Mapping[str, str]) -> list[str]:
    """The parameters that are not there, or with another value than everywhere."""
    return [
        one.name
        for one in parameters
        if one.name not in found or not (one.is_sized or str(found[one.name]) == one.value)
    ]


@pytest.mark.parametrize("place", [_valkey_locally, _valkey_cluster])
def test_every_valkey_is_set_alike(place: Any) -> None:
    """Each parameter of the list is there with its value; sizes are anybody's."""
    assert differing([*REDIS, *VALKEY], place()) == []


@pytest.mark.parametrize("place", [_postgres_locally, _postgres_cluster])
def test_every_postgres_is_set_alike(place: Any) -> None:
    """Each parameter of the list is there with its value; sizes are anybody's."""
    assert differing(POSTGRES, place()) == []


def test_operators_are_told_the_same() -> None:
    """The tables have a row for each parameter, with its value where that is not a matter of size."""
    page = (ROOT / "docs/operations.md").read_text("utf-8")
    told = {name: value for names, value in _ROW.findall(page) for name in re.findall(r"`([^`]+)`", names)}
    every = [*REDIS, *VALKEY, *POSTGRES]
    assert [one.name for one in every if one.name not in told] == []
    expected = {one.name: one.value or '""' for one in every if not one.is_sized}
    assert {name: told[name].strip("`") for name in expected} == expected


def test_a_difference_is_noticed() -> None:
    """A parameter that is left out, and one with another value; a size may differ."""
    wanted = [
        Parameter("a", "1"),
        Parameter("b", "1"),
        Parameter("c", "1"),
        Parameter("d", "1", is_sized=True),
    ]
    assert differing(wanted, {"a": "1", "b": "2", "d": "9"}) == ["b", "c"]
