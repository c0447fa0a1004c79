"""A call of the API as a value: what is sent, and the type of what comes back.

The functions beside this file make calls; `Sca` and `AsyncSca` send them. So a call is written once for both, can be
kept and sent again, and says in its type what it answers.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec

T = TypeVar("T")
NOTHING = type(None)
"""The answer of a call that answers nothing."""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list: what is on it, and where the next one begins (None after the last)."""

    items: tuple[T, ...] = msgspec.field(name="data")
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request and the type `answer` that its answer is read as.

    Members of `body` and `query` that are None are left out. The `repr` shows neither of them: codes, numbers and
    payees are in there. `key` is the `Idempotency-Key` (IETF draft): made with the call, so that the same call sent
    again is the same request; `repeats` claims that the service takes it so, and else it is not sent again by itself
    once it may have arrived. Sending it raises what `sca_service.client.faults` lists.
    """

    method: str
    path: str
    answer: type[T]
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    query: Mapping[str, Any] = field(default_factory=dict, repr=False)
    repeats: bool = True
    key: str = field(default_factory=lambda: str(uuid.uuid4()), repr=False)

    def keyed(self, key: str) -> "Call[T]":
        """The same call under your own idempotency key: one you have kept, so that it outlives a crash of yours."""
        return replace(self, key=key)

    def after(self, cursor: str) -> "Call[T]":
        """The call for the page of a list that begins at `cursor`."""
        return replace(self, query={**self.query, "cursor": cursor})

    @property
    def content(self) -> bytes | None:
        """The body as JSON, None without one."""
        return None if self.body is None else msgspec.json.encode(_present(self.body))

    @property
    def headers(self) -> dict[str, str]:
        """What the body and a repetition need; a GET needs neither."""
        if self.method == "GET":
            return {}
        headers = {"Idempotency-Key": self.key} if self.method == "POST" else {}
        return headers if self.body is None else {**headers, "Content-Type": "application/json"}

    @property
    def parameters(self) -> dict[str, str]:
        """The query, as text."""
        return {name: _text(value) for name, value in _present(self.query).items()}

    def read(self, content: bytes) -> T:
        """The answer of this body. Raises msgspec.DecodeError when it is none."""
        if self.answer is bytes:
            return content  # type: ignore[return-value]
        if self.answer is str:
            return content.decode()  # type: ignore[return-value]
        if self.answer is NOTHING:
            return None  # type: ignore[return-value]
        return msgspec.json.decode(content, type=self.answer)


@dataclass(frozen=True, slots=True)
class Stream(Generic[T]):
    """A stream of server-sent events (WHATWG HTML, section 9.2), each of them an `answer`."""

    path: str
    answer: type[T]


def quoted(part: str | int) -> str:
    """One segment of a path; whatever is in it stays within it."""
    return quote(str(part), safe="")


def _present(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
