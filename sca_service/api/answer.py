"""One HTTP answer, before anything sends it."""

import msgspec
from msgspec.structs import replace

JSON = "application/json"


class HttpAnswer(msgspec.Struct, frozen=True):
    """Status, body and headers; the same for the framework's routes and the two that go without it."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    media_type: str = JSON

    def with_headers(self, more: tuple[tuple[str, str], ...]) -> "HttpAnswer":
        """The same answer with further headers."""
        return replace(self, headers=(*self.headers, *more)) if more else self
