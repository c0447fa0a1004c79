"""Reads a stream of server-sent events (WHATWG HTML, section 9.2), line by line."""

from collections.abc import Iterator
from typing import Generic, TypeVar

import msgspec

from sca_service.client.call import Stream
from sca_service.client.faults import Unreadable

T = TypeVar("T")


class _Standing(msgspec.Struct):
    status: str


class EventReader(Generic[T]):
    """Puts lines together to events. A class because it remembers the last one, where a new connection goes on."""

    def __init__(self, stream: Stream[T]) -> None:
        self._answer = stream.answer
        self._said: list[str] = []
        self._name = ""
        self._last_name = ""
        self.is_over = False

    @property
    def headers(self) -> dict[str, str]:
        """What a connection is begun with: the last event that was heard is not told again."""
        begun = {"Accept": "text/event-stream"}
        self._said.clear()
        return {**begun, "Last-Event-ID": self._last_name} if self._last_name else begun

    def feed(self, line: str) -> Iterator[T]:
        """The event that this line completes, if it does. Raises Unreadable."""
        if line.startswith("data:"):
            self._said.append(line[5:].removeprefix(" "))
        elif line.startswith("id:"):
            self._name = line[3:].strip()
        elif not line and self._said:
            content = "\n".join(self._said).encode()
            self._said.clear()
            self._last_name = self._name
            try:
                self.is_over = msgspec.json.decode(content, type=_Standing).status != "pending"
                event = msgspec.json.decode(content, type=self._answer)
            except msgspec.DecodeError:
                raise Unreadable("an event of another shape") from None
            yield event
