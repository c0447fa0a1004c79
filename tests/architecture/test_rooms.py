"""The shape of the code: rooms and what they may import, words, sizes, docstrings, and where a secret is revealed."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PACKAGE = _ROOT / "sca_service"

_FORBIDDEN_WORDS = frozenset(
    {
        *("token", "tokens", "user", "users", "customer", "customers", "manager", "managers"),
        *("helper", "helpers", "util", "utils", "common", "data", "info", "provider", "providers"),
    }
)
_FORBIDDEN_FUNCTIONS = frozenset({"handle", "process"})
_WORDS_OF_OTHERS = {
    "data": "what Litestar calls a request's body, and the contract a page's items",
    "auth_token": "what Twilio calls the key that it signs with",
    "more_info": "what Twilio calls where an error is explained",
    "handle_data": "what html.parser calls what it is given to override",
    "data_received": "what asyncio calls a protocol's method",
    "_auth_token": "the same, kept",
    "USER_REQUEST": "the contract's word for what the payer asks for",
    "user": "the part of a SIP address before the @ (RFC 3261 section 19.1.1)",
    "auth_user": "whom a SIP trunk asks to authenticate",
    "key_of_info": "the key in a SIP INFO",
    "data_dir": "the option `--data-dir` of `sca dev`",
    "user_agent": "the contract's name of a signal, and HTTP's",
}
"""Names with a forbidden word in them that are not ours to choose."""

_LUA_NAMES = re.compile(
    r"^\s*(?:local(?: function)?|for|function) ([a-zA-Z_, ]+?)(?: =| in|\(|$)", re.MULTILINE
)
_USE_CASES = {"challenges/issue.py issue": 78}
"""Use cases with more than 50 lines, and how many they may have."""

_MAY_REVEAL = {
    "challenges/code.py": "next to the MAC that it is compared by",
    "challenges/delivery_book.py": "the number, whose network is looked up and whose segments are counted",
    "routing/portability.py": "the authorization of the look-up, next to the request",
    "delivery/channels/sms/call_back.py": "next to the MACs that call-backs are believed by",
    "delivery/channels/sms/smpp/session.py": "the password of the bind",
    "delivery/channels/voice/sip/speech.py": "the text that is spoken",
    "delivery/render.py": "next to the text of the message",
    "delivery/inbox.py": "a payer's reply is looked up among the policy's words, its number next to the MAC",
    "delivery/redis_store.py": "the number a text went to, next to the MAC that is its pseudonym",
    "texts_command.py": "a preview: the code is an example",
    "sandbox/supplier/supplier.py": "a supplier counts the text's segments, and tells who replied",
    "sandbox/supplier/wire.py": "next to the MAC that signs a receipt",
    "delivery/channels/context.py": "an empty secret is no secret",
    "delivery/channels/google_access.py": "next to the claim that Google is asked with",
    "delivery/channels/rsa_jwt.py": "next to the key that signs",
    "delivery/channels/push/fan_out.py": "the payer's pseudonym, whose devices are looked up",
    "sandbox/mailbox.py": "the handset: the only place where a code can be read",
    "webhooks/signature.py": "next to the MAC and the key that sign a message",
    "api/webhooks.py": "an endpoint's secret, told once to the client that it is for",
    "compat/ciba/operations.py": "the two digits, shown by whoever asked",
    "compat/issuer/hooks.py": "the two digits, shown by whoever asked",
    "api/sandbox.py": "the handset, over HTTP",
    "api/oauth/grants.py": "the form of a secret, before Argon2 sees it",
    "api/oauth/routes.py": "the access JWT, told to the client that it is for",
    "api/clients.py": "next to the MAC that an API key is stored as",
    "challenges/erasure.py": "next to the MAC that an operator's API key is known by",
    "audit/private/vault.py": "a payer's key, next to the cipher",
    "console/bank/routes.py": "the sandbox's two keys, told to the sandbox's own page",
    "risk/camara.py": "the access key and the client's secret, next to the request",
    "kernel/custody/pkcs11.py": "the PIN of the HSM, next to the login",
    "authenticators/enrolment/contents.py": "a key that the bank imports, on its way under the seal",
    "authenticators/enrolment/proofs.py": "a device's activation code, next to the comparison",
    "authenticators/qr.py": "the URI with the seed, drawn",
    "challenges/answer.py": "next to the MAC that an answer is named by",
    "api/operations.py": "the two digits that the bank's page shows and the payer repeats in the app",
    "authenticators/otp.py": "next to the MAC of a generator's codes, and the seed in the one URI it leaves by",
    "authenticators/ocra/response.py": "next to the MAC that it is computed and compared by",
    "authenticators/pin/rules.py": "a PIN is held against the rules",
    "authenticators/pin/hashing.py": "next to the MAC that Argon2 sees",
    "authenticators/device_key/approval.py": "next to the MAC and the comparison of the digits",
    "api/authenticator_operations.py": "what leaves once: a seed's URI, a key, an activation code, to the bank",
    "clients_commands.py": "an API key is shown once, to the operator who made it",
    "dev.py": "the sandbox's API keys, shown and kept in sandbox.json",
}


_IN_ADAPTER = re.compile(r"delivery/channels/[a-z]+/[a-z_]+/(?:wire|supplier|receipts)\.py")
"""Where a supplier is given the message, authorised and believed: next to the text, the number and the MACs."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file of the package."""

    path: str
    text: str
    tree: ast.Module


def _sources() -> list[Source]:
    paths = sorted(_PACKAGE.rglob("*.py"))
    return [
        Source(path.relative_to(_PACKAGE).as_posix(), text, ast.parse(text))
        for path in paths
        for text in [path.read_text("utf-8")]
    ]


_SOURCES = _sources()
_PLANTED = {
    "kernel/ids.py": "import sca_service.policy.model",  # upwards
    "challenges/code.py": "import litestar",
    "api/responses.py": "import litestar",
    "delivery/dispatch.py": "import sca_service.limits.model",
    "challenges/issue.py": "import asyncpg",
    "audit/drain.py": "import redis",
    "audit/offline/verify.py": "import sca_service.audit.log.note",
    "api/idempotency.py": "import sqlalchemy",
    "api/operations.py": "import sca_service.sandbox.mailbox",
    "api/front.py": "import sca_service.settings",
    "delivery/spans.py": "import opentelemetry",
}
"""An import for each contract, which forbids it."""


def _lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [
        str(Path(sys.executable).with_name("lint-imports")),
        "--no-cache",
        "--config",
        "pyproject.toml",
    ]
    return subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False
    )


def _broken(said: str) -> int:
    found = re.search(r"Contracts: \d+ kept, (\d+) broken", said)
    assert found, said
    return int(found[1])


def test_every_room_imports_what_it_may() -> None:
    """The contracts of pyproject.toml hold (import-linter)."""
    done = _lint_imports(_ROOT)
    assert done.returncode == 0, done.stdout
    assert _broken(done.stdout) == 0


def test_every_import_rule_can_be_broken(tmp_path: Path) -> None:
    """An import that it forbids breaks each contract, so none of them is empty."""
    shutil.copytree(_PACKAGE, tmp_path / "sca_service", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(_ROOT / "pyproject.toml", tmp_path)
    for path, statement in _PLANTED.items():
        planted = tmp_path / "sca_service" / path
        planted.write_text(f"{planted.read_text('utf-8')}\n{statement}\n", "utf-8")
    done = _lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout
    assert " KEPT" not in done.stdout
    assert _broken(done.stdout) == (_ROOT / "pyproject.toml").read_text("utf-8").count(
        "[[tool.importlinter.contracts]]"
    )


def test_a_new_room_has_to_be_placed(tmp_path: Path) -> None:
    """A folder that no layer names breaks the contract of the layers."""
    shutil.copytree(_PACKAGE, tmp_path / "sca_service", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(_ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "sca_service" / "lounge").mkdir()
    (tmp_path / "sca_service" / "lounge" / "__init__.py").write_text('"""Nowhere."""\n')
    done = _lint_imports(tmp_path)
    assert done.returncode == 1
    assert "sca_service.lounge" in done.stdout


def test_only_the_settings_read_the_environment() -> None:
    """`os.environ` and `os.getenv` stand in settings.py and nowhere else."""
    readers = {
        source.path
        for source in _SOURCES
        for node in ast.walk(source.tree)
        if (isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "getenvb"))
        or (isinstance(node, ast.ImportFrom) and {alias.name for alias in node.names} & {"environ", "getenv"})
    }
    assert readers == {"settings.py"}


def test_names_are_words_of_the_glossary() -> None:
    """No name that we give says token, user, manager, helper, data or another word that the glossary rules out."""
    offending = [
        f"{source.path}:{line} {name}"
        for source in _SOURCES
        for name, line in _ruled_out(source.tree)
        if name not in _WORDS_OF_OTHERS
    ]
    assert offending == []
    assert [source.path for source in _SOURCES if set(_words(source.path)) & _FORBIDDEN_WORDS] == []


def test_scripts_use_words_of_the_glossary() -> None:
    """The same for the names in a Lua script."""
    offending = [
        f"{path.name}: {name}"
        for path in sorted(_PACKAGE.rglob("*.lua"))
        for names in _LUA_NAMES.findall(path.read_text("utf-8"))
        for name in names.split(",")
        if set(_words(name)) & _FORBIDDEN_WORDS
    ]
    assert offending == []


def test_files_and_functions_fit() -> None:
    """A file has fewer than 400 lines, a function at most 50; a use case, which holds every `if`, may have more."""
    files = [source.path for source in _SOURCES if len(source.text.splitlines()) >= 400]
    functions = {
        f"{source.path} {node.name}": node.end_lineno - node.lineno + 1
        for source in _SOURCES
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    }
    assert files == []
    assert {name: lines for name, lines in functions.items() if lines > _USE_CASES.get(name, 50)} == {}


def test_what_is_public_says_what_it_is() -> None:
    """Every module, and every public class, function and method in it, has a docstring."""
    silent = [source.path for source in _SOURCES if not ast.get_docstring(source.tree)]
    silent += [
        f"{source.path} {name}"
        for source in _SOURCES
        for name, node in _public(source.tree)
        if not ast.get_docstring(node)
    ]
    assert silent == []


def test_secrets_are_revealed_only_where_they_must_be() -> None:
    """`reveal()` stands next to a MAC, a message's text and the sandbox; each other place would need its reason."""
    revealing = {
        source.path
        for source in _SOURCES
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and node.attr == "reveal"
    }
    assert {path for path in revealing if not _IN_ADAPTER.fullmatch(path)} == set(_MAY_REVEAL)


def test_nothing_is_left_to_be_done() -> None:
    """No TODO, FIXME or HACK: what is not done is an issue."""
    paths = [path for path in sorted(_PACKAGE.rglob("*")) if path.suffix in (".py", ".lua", ".js", ".css")]
    left = [path.name for path in paths if re.search(r"\b(?:TODO|FIXME|HACK)\b", path.read_text("utf-8"))]
    assert len(paths) > len(_SOURCES)
    assert left == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("def make_token(): ...", ["make_token"]),
        ("class UserInfo: ...", ["UserInfo"]),
        ("def spend(customer): ...", ["customer"]),
        ("raw_data = 1", ["raw_data"]),
        ("class Limit:\n    provider: str", ["provider"]),
        ("from somewhere import thing as helper", ["helper"]),
        ("def handle(): ...", ["handle"]),
        ("database = metadata = process = 1", []),
    ],
)
def test_the_rule_on_words_finds_what_it_rules_out(text: str, names: list[str]) -> None:
    """Each kind of name is looked at, word by word."""
    assert [name for name, _ in _ruled_out(ast.parse(text))] == names


def _given_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every name that the file gives to something, and its line."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node.lineno
            case (
                ast.arg(arg=name)
                | ast.Name(id=name, ctx=ast.Store())
                | ast.Attribute(attr=name, ctx=ast.Store())
            ):
                yield name, node.lineno
            case ast.alias(asname=str(name)):
                yield name, node.lineno


def _ruled_out(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The names among them that the glossary rules out; `handle` and `process` say nothing as names of functions."""
    functions = {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    for name, line in _given_names(tree):
        if set(_words(name)) & _FORBIDDEN_WORDS or (name in _FORBIDDEN_FUNCTIONS and name in functions):
            yield name, line


def _words(name: str) -> list[str]:
    """`UserInfo` and `user_info` are user, info."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name)]


def _public(
    node: ast.Module | ast.ClassDef, prefix: str = ""
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    for child in node.body:
        if isinstance(
            child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ) and not child.name.startswith("_"):
            yield f"{prefix}{child.name}", child
            if isinstance(child, ast.ClassDef):
                yield from _public(child, f"{prefix}{child.name}.")
