"""The section of an `http-sms` supplier: an HTTP API described in TOML.

Texts of `headers` and `body` may hold placeholders (`{to}`, see `wire.py`) and secrets: `{secret:api_key}` is
`SCA_SUPPLIER_<NAME>_API_KEY`. More from the environment: with `basic_auth` `USERNAME` and `PASSWORD`; for call-backs
`CALL_BACK_SECRET`, or `CALL_BACK_USERNAME` and `CALL_BACK_PASSWORD`.
"""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from sca_service.delivery.http_client import check_base_url

HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
SECRET: Final = re.compile(r"secret:([a-z][a-z0-9_]{0,40})")
MOST_LEAVES: Final = 64
_OURS: Final = frozenset({"content-length", "host", "transfer-encoding", "connection", "content-type"})

Word = Annotated[str, Meta(min_length=1, max_length=80)]
Words = tuple[Word, ...]
Pointer = Annotated[str, Meta(pattern=r"\A(/([^~/]|~[01])*)*\Z", max_length=200)]
"""A JSON pointer (RFC 6901); empty: the answer does not tell. Into a form or a query it names one field: `/status`."""


class Encoding(StrEnum):
    """How the body template travels."""

    JSON = "json"
    FORM = "form"
    QUERY = (
        "query"  # in the URL: only for a supplier who takes nothing else, as URLs end in the supplier's logs
    )


class Proof(StrEnum):
    """How a call-back proves that it is the supplier's."""

    URL = "url"  # it has nothing: our own MAC in the URL that it was given
    HMAC = "hmac"  # a header with the HMAC of the body
    HEADER = "header"  # a header with a shared secret
    BASIC = "basic"  # name and password (RFC 7617)


class Digest(StrEnum):
    """The hash of an HMAC."""

    SHA256 = "sha256"
    SHA512 = "sha512"
    SHA1 = "sha1"


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where an answer tells what. `success` are the HTTP statuses of a message that was taken.

    `status` points at a word of the supplier's own. With it, only `accepted` words mean that the message was taken,
    `transient` ones that another try is welcome, `permanent` ones that it is not; any other word means that nobody
    knows. Words are compared as text, whatever their case: the number 0 is `0`, true is `true`. `price` is of the whole
    message, in `currency` (ISO 4217).
    """

    success: tuple[Annotated[int, Meta(ge=200, le=299)], ...] = (200, 201, 202)
    id: Pointer = ""
    status: Pointer = ""
    accepted: Words = ()
    transient: Words = ()
    permanent: Words = ()
    segments: Pointer = ""
    price: Pointer = ""
    currency: Annotated[str, Meta(pattern=r"\A([A-Z]{3})?\Z")] = ""


class Replies(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a call-back tells of a message that a payer sent back."""

    sender: Pointer
    text: Pointer


class CallBacks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the supplier tells what became of a message, at `<public url>/receipts/<name>`.

    `proof` and, where it needs one, `header` say how a call-back is authenticated; an HMAC is that of the body with
    `digest`, in hexadecimal or base64, behind `prefix`. `delivery` points at our delivery id; without it the URL that
    was given to the supplier (`{call_back_url}`) tells, and proves it with our MAC besides. Words that are neither
    `delivered` nor `undelivered` are not final.
    """

    status: Pointer
    delivered: Words
    undelivered: Words
    encoding: Encoding = Encoding.JSON
    proof: Proof = Proof.URL
    header: str = ""
    digest: Digest = Digest.SHA256
    prefix: Annotated[str, Meta(max_length=40)] = ""
    delivery: Pointer = ""
    price: Pointer = ""
    replies: Replies | None = None

    def __post_init__(self) -> None:
        """Check what belongs together. Raises ValueError."""
        if self.proof in (Proof.HMAC, Proof.HEADER) and not HEADER_NAME.fullmatch(self.header):
            raise ValueError("`header` must name the header of the proof")
        if self.proof is Proof.HMAC and self.encoding is Encoding.QUERY:
            raise ValueError("an HMAC of the body proves nothing of a query")
        if self.proof is Proof.URL and self.replies:
            raise ValueError("replies are not about a delivery: the URL cannot prove them")
        if self.proof is Proof.URL and self.delivery:
            raise ValueError("the URL proves only the delivery that it names itself; leave `delivery` out")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an HTTP API for text messages is called.

    `body` is a table of texts, numbers, truth values, lists and tables; forms and queries have texts only, on one
    level. It is filled in before it is encoded, so that nothing in a text can break out. A member that is one
    placeholder without a value is left out. `sender` stands for `{sender}` where no registered one is known.
    """

    url: str
    body: dict[str, Any]
    answer: Answer
    method: Annotated[str, Meta(pattern=r"\A(POST|PUT|GET)\Z")] = "POST"
    encoding: Encoding = Encoding.JSON
    headers: dict[str, str] = {}
    basic_auth: bool = False
    sender: Annotated[str, Meta(max_length=16)] = ""
    call_backs: CallBacks | None = None

    def __post_init__(self) -> None:
        """Check what no pattern can, and every placeholder. Raises ValueError."""
        check_base_url(self.url)
        if (self.method == "GET") != (self.encoding is Encoding.QUERY):
            raise ValueError("GET goes with `query`, and nothing else does")
        if self.answer.status and not self.answer.accepted:
            raise ValueError("`answer.status` needs `answer.accepted`")
        for name, value in self.headers.items():
            if not HEADER_NAME.fullmatch(name) or name.lower() in _OURS:
                raise ValueError("a header has no name, or one that is ours to set")
            if not value.isprintable() or not value.isascii():
                raise ValueError("a header holds what no header can")
            _check(value, HEADER_PLACEHOLDERS, secrets=True)
        found = list(leaves(self.body))
        if not found or len(found) > MOST_LEAVES:
            raise ValueError(f"`body` must have 1 to {MOST_LEAVES} values")
        for leaf in found:
            if isinstance(leaf, str):
                _check(leaf, PLACEHOLDERS, secrets=self.encoding is not Encoding.QUERY)
            elif self.encoding is not Encoding.JSON or not isinstance(leaf, int | float):
                raise ValueError("`body` holds a value that its encoding does not have")
        if self.encoding is not Encoding.JSON and any(
            isinstance(member, dict | list) for member in self.body.values()
        ):
            raise ValueError("`body` has one level in a form or a query")
        if not any(isinstance(leaf, str) and "{text}" in leaf for leaf in found):
            raise ValueError("`body` lacks {text}")


PLACEHOLDERS: Final = frozenset({
    "to",  # E.164 with its plus sign
    "to_digits",  # without it
    "text",
    "sender",
    "delivery_id",
    "call_back_url",
    "ttl_seconds",  # how long the message is of use; as a whole value of JSON a number
    "template",  # registered for the occasion (India, DLT)
    "entity",
    "brand",
    "campaign",
})  # fmt: skip
HEADER_PLACEHOLDERS: Final = frozenset({"delivery_id"})


def leaves(value: object) -> Iterator[object]:
    """Every value of a body template that is no table and no list."""
    if isinstance(value, Mapping):
        for member in value.values():
            yield from leaves(member)
    elif isinstance(value, list):
        for member in value:
            yield from leaves(member)
    else:
        yield value


def secrets_of(settings: Settings) -> frozenset[str]:
    """The names of the secrets that headers and body ask for."""
    texts = [*settings.headers.values(), *(leaf for leaf in leaves(settings.body) if isinstance(leaf, str))]
    return frozenset(name for text in texts for name in re.findall(rf"\{{{SECRET.pattern}\}}", text))


def _check(text: str, known: frozenset[str], *, secrets: bool) -> None:
    pieces = PLACEHOLDER.split(text)
    if any("{" in literal or "}" in literal for literal in pieces[::2]):
        raise ValueError("a brace stands alone; braces are for placeholders only")
    for name in pieces[1::2]:
        if name not in known and not (secrets and SECRET.fullmatch(name)):
            raise ValueError(f"there is no placeholder {{{name}}} here")
