"""The filters of the event list, as they stand in the URL. Pure.

A name that is unknown or given twice is refused, never ignored; an empty value leaves its filter open.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlencode

from sca_service.api.requests import moment_of, psu_id_of
from sca_service.kernel.errors import InvalidInput, Mistake

_FORMS = {
    "type": (re.compile(r"[a-z_]{1,40}(?:\.[a-z_]{1,40}){1,3}"), "must be a type such as challenge.answered"),
    "challenge": (re.compile(r"chl_[0-9a-f]{38}"), "must be the id of a challenge, chl_ and 38 digits"),
    "client": (re.compile(r"[a-z0-9][a-z0-9-]{1,39}"), "must be the id of a client"),
}
_LOCAL = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?)?")
_NAMES = {"type": "kind", "from": "since", "to": "until"}
"""What a name of the URL is called here, where that is another word."""

FILTERS = ("type", "challenge", "psu", "client", "from", "to")
"""Every filter by its name in the URL."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What an auditor looks for; None leaves a filter open. `cursor` is the place that a page begins behind.

    `psu` is a payer's pseudonym or any client's own reference of the payer: a reference may look like a pseudonym, so
    both are looked for.
    """

    kind: str | None = None
    challenge: str | None = None
    psu: str | None = None
    client: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    cursor: tuple[int, int] | None = None

    @classmethod
    def parse(cls, pairs: Iterable[tuple[str, str]]) -> "Filters":
        """Read a query string's pairs. Raises InvalidInput with every mistake."""
        mistakes: list[Mistake] = []
        seen: set[str] = set()
        values: dict[str, object] = {}
        for name, text in pairs:
            if name not in (*FILTERS, "cursor"):
                mistakes.append(Mistake(f"/{name[:40]}", "is not a filter of this page"))
            elif name in seen:
                mistakes.append(Mistake(f"/{name}", "is given twice"))
            elif text.strip():
                try:
                    values[_NAMES.get(name, name)] = _value(name, text.strip())
                except InvalidInput as error:
                    mistakes.extend(error.mistakes)
            seen.add(name)
        if mistakes:
            raise InvalidInput(*mistakes)
        return cls(**values)  # type: ignore[arg-type]

    @property
    def texts(self) -> dict[str, str]:
        """Each filter that is not open, by its name in the URL."""
        given = {name: getattr(self, _NAMES.get(name, name)) for name in FILTERS}
        return {
            name: value.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else value
            for name, value in given.items()
            if value is not None
        }

    def query(self) -> str:
        """The filters as they stand in a URL."""
        return urlencode(self.texts | ({"cursor": cursor_text(self.cursor)} if self.cursor else {}))

    def without(self, name: str) -> "Filters":
        """The same with one filter open, from the first page on."""
        return replace(self, **{_NAMES.get(name, name): None, "cursor": None})


def cursor_text(place: tuple[int, int]) -> str:
    """A place in the log as it stands in a URL."""
    return base64.urlsafe_b64encode(f"{place[0]}.{place[1]}".encode()).decode().rstrip("=")


def _value(name: str, text: str) -> object:
    if name == "psu":
        return psu_id_of(text, "/psu")
    if name in ("from", "to"):
        return _moment(name, text)
    if name == "cursor":
        return _place(text)
    form, told = _FORMS[name]
    if not form.fullmatch(text):
        raise InvalidInput.at(f"/{name}", told)
    return text


def _moment(name: str, text: str) -> datetime:
    """A time with its offset, or as a form field has it: without, and then in UTC."""
    if _LOCAL.fullmatch(text):
        text += {10: "T00:00:00Z", 16: ":00Z"}.get(len(text), "Z")
    return moment_of(text, f"/{name}").replace(microsecond=0)


def _place(text: str) -> tuple[int, int]:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        txid, position = (int(part) for part in raw.decode("ascii").split("."))
    except (ValueError, binascii.Error) as error:
        raise InvalidInput.at("/cursor", "is not a page of this list") from error
    if not (0 <= txid < 2**63 and 0 <= position < 2**63):
        raise InvalidInput.at("/cursor", "is not a page of this list")
    return txid, position
