"""Where Redis is and what is asked of its replicas: the section `[redis]` of the configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.redis.address import RedisAddress
from sca_service.kernel.redis.replicas import MOST_REPLICAS, MOST_WAIT_MS, NO_REPLICAS, ReplicaRule

_FILES: Final = {"ca_file": "ssl_ca_certs", "certificate_file": "ssl_certfile", "key_file": "ssl_keyfile"}
"""Our names of the files of TLS, and redis-py's."""
_NUMBERS: Final = ("replicas", "acknowledged_by", "acknowledged_within_ms")
REDIS_SETTINGS: Final = frozenset({"url", *_FILES, *_NUMBERS})


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """What a `RedisConnection` is made with. The URL may hold a password, so it has no `repr`."""

    url: str = field(repr=False)
    replicas: ReplicaRule = NO_REPLICAS


def read_redis(content: Mapping[str, object], url: str, folder: Path, mistakes: list[str]) -> RedisSettings:
    """The section `[redis]`, with the URL of the environment if there is one, and files relative to `folder`.

    Notes what is wrong with it, and quotes none of it.
    """
    rule = _rule(content, mistakes)
    url = url or str(content.get("url", ""))
    files = {name: content[name] for name in _FILES if name in content}
    try:
        RedisAddress.parse(url)
    except ConfigurationError:
        mistakes.append("redis.url: must be a redis://, rediss:// or unix:// URL")
    if not all(isinstance(file, str) and file for file in files.values()):
        mistakes.append("redis.ca_file, .certificate_file, .key_file: each must name a file")
    if files and not url.startswith("rediss"):
        mistakes.append(
            "redis.ca_file, .certificate_file, .key_file: are for TLS, which a rediss:// URL asks for"
        )
    if ("certificate_file" in files) is not ("key_file" in files):
        mistakes.append("redis.certificate_file: needs its redis.key_file, and the other way round")
    if files:
        query = urlencode({_FILES[name]: str(folder / str(file)) for name, file in files.items()})
        url = f"{url}{'&' if '?' in url else '?'}{query}"
    return RedisSettings(url, rule)


def _rule(content: Mapping[str, object], mistakes: list[str]) -> ReplicaRule:
    """How many replicas there are and must acknowledge: one, if there are any and nothing else is said."""
    given = {name: content[name] for name in _NUMBERS if name in content}
    numbers = {name: number for name, number in given.items() if type(number) is int and number >= 0}
    mistakes += [f"redis.{name}: must be a whole number, 0 or more" for name in given if name not in numbers]
    count = numbers.get("replicas", 0)
    rule = ReplicaRule(
        count,
        numbers.get("acknowledged_by", min(count, 1)),
        numbers.get("acknowledged_within_ms", NO_REPLICAS.wait_ms),
    )
    checks = {
        f"redis.replicas: must be at most {MOST_REPLICAS}": count <= MOST_REPLICAS,
        "redis.acknowledged_by: must be at most redis.replicas": rule.must_have <= count,
        f"redis.acknowledged_within_ms: must be 1 to {MOST_WAIT_MS}": 1 <= rule.wait_ms <= MOST_WAIT_MS,
    }
    mistakes += [mistake for mistake, holds in checks.items() if not holds]
    return rule
