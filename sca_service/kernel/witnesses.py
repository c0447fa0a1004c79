"""Who is asked to sign checkpoints, as the configuration names them."""

import re
from dataclasses import dataclass

_WITNESS_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_VERIFIER_KEY = re.compile(r"[^\s+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}")


@dataclass(frozen=True, slots=True)
class WitnessAddress:
    """Who is asked to sign checkpoints: our name for it, its URL, and its verifier key."""

    name: str
    url: str
    key: str


def read_witnesses(content: object, mistakes: list[str]) -> tuple[WitnessAddress, ...]:
    """The section `[log.witnesses]` of the configuration. Notes what is wrong with it."""
    if not isinstance(content, dict):
        mistakes.append("log.witnesses: must be a table")
        return ()
    found = []
    for name, section in content.items():
        inner = section if isinstance(section, dict) else {}
        witness = WitnessAddress(name, str(inner.get("url", "")), str(inner.get("key", "")))
        checks = {
            ": must be a table": isinstance(section, dict),
            ": must be named with a to z, 0 to 9 and hyphens": _WITNESS_NAME.fullmatch(name),
            ".url: must be an https:// URL": witness.url and is_public(witness.url),
            ".key: must be a verifier key": _VERIFIER_KEY.fullmatch(witness.key),
        }
        mistakes += [f"log.witnesses.{name}{rule}" for rule, holds in checks.items() if not holds]
        unknown = sorted(inner.keys() - {"url", "key"})
        mistakes += [f"log.witnesses.{name}.{setting}: is not a setting" for setting in unknown]
        found.append(witness)
    if len({witness.key for witness in found}) != len(found):
        mistakes.append("log.witnesses: two have the same key")
    return tuple(found)


def is_public(url: str) -> bool:
    """Whether a URL may be called from outside: by https://, or on this machine; empty where there is none."""
    return not url or url.startswith(("https://", "http://127.0.0.1", "http://localhost"))
