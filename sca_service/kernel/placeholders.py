"""Tells secrets that keep nothing secret: left empty, as a program was shipped with it, or copied from an example.

In production the service does not start with one. It does not judge how hard to guess a real secret is: suppliers and
HSMs give out what they give out.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import parse_qs, unquote, urlsplit

_SHIPPED = frozenset(
    {
        *("password", "passwd", "passw0rd", "pass", "secret", "default", "admin", "root", "guest", "test"),
        *(
            "changeit",
            "letmein",
            "postgres",
            "redis",
            "valkey",
            "foobared",
            "sca",
            "none",
            "null",
            "undefined",
        ),
        *("0000", "1111", "1234", "12345", "123456", "1234567", "12345678", "123456789", "1234567890"),
    }
)
"""What programs come with, or what stands there when nobody has set anything; without its signs."""
_EXAMPLE = re.compile(
    r"example|change_?me|replace_?me|placeholder|dummy|your_(?:key|secret|password)|todo|xxxx"
)
_TO_BE_FILLED_IN = re.compile(r"<[^<>]*>|\$\{[^{}]*\}|\{\{.*\}\}|.*(?:…|\.\.\.).*")
_FEWEST_CHARACTERS = 3
"""Different ones: `aaaaaaaa` and `abababab` were typed to get on."""


def is_placeholder(text: str) -> bool:
    """Whether a secret is empty, what a program is shipped with, or an example's."""
    plain = re.sub(r"[\s_-]+", "_", text.strip().lower())
    return (
        len(set(plain)) < _FEWEST_CHARACTERS
        or plain.replace("_", "") in _SHIPPED
        or _EXAMPLE.search(plain) is not None
        or _TO_BE_FILLED_IN.fullmatch(text.strip()) is not None
    )


def placeholders(secrets: Mapping[str, str], urls: Mapping[str, str]) -> Iterator[str]:
    """The names of the secrets that are placeholders, and of the URLs whose password is one; a URL may have none."""
    yield from (name for name, text in secrets.items() if is_placeholder(text))
    yield from (name for name, url in urls.items() if any(map(is_placeholder, _passwords(url))))


def refused(environ: Mapping[str, str], names: Sequence[str], urls: Mapping[str, str]) -> list[str]:
    """What is said of variables whose names begin with one of `names`, and of URLs; no secret is quoted.

    A URL's name is its section and its setting in one: `redis_url`.
    """
    given = {name: text for name, text in environ.items() if name.startswith(tuple(names))}
    return [
        f"{name}: is empty, a default or an example; production needs a secret of its own"
        for name in placeholders(given, {name.replace("_", ".", 1): url for name, url in urls.items()})
    ]


def _passwords(url: str) -> Iterator[str]:
    """Those in a URL, also in one of several hosts; one that cannot be read has none, and is refused elsewhere."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    names, at, _ = parts.netloc.rpartition("@")
    if at and ":" in names:
        yield unquote(names.partition(":")[2])
    yield from parse_qs(parts.query, keep_blank_values=True).get("password", ())
