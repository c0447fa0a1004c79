"""One question to a witness: will it sign this checkpoint? (C2SP tlog-witness, `add-checkpoint`)

The body says which size the witness signed last, proves that the checkpoint only adds to that tree, and holds the
checkpoint::

    old 20852014
    PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=

    sca.bank.example/log
    20852163
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

    — sca.bank.example/log Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=

The witness answers with its signature line, or with the size that it signed last.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from sca_service.audit.log.checkpoint import MAX_SIZE
from sca_service.audit.log.note import (
    NoteInvalid,
    NoteVerifier,
    Signature,
    SignatureType,
    encode,
    open_note,
    split_note,
)
from sca_service.kernel.errors import ConfigurationError, ScaError

_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n")
_REFUSALS = frozenset({400, 403, 404, 422})
_HEADERS = {"Content-Type": "text/plain; charset=utf-8"}


class Answer(Protocol):
    """What a witness answered."""

    @property
    def status(self) -> int:
        """The status code."""

    @property
    def body(self) -> bytes:
        """The body, cut off where it is far too long."""


class Http(Protocol):
    """HTTP with bounds on time and size, without redirects."""

    async def call(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes) -> Answer:
        """One request. Raises a ScaError when no answer came."""


@dataclass(frozen=True, slots=True)
class Witness:
    """Who is asked: our name for it, its submission prefix, and the key by which its signatures are believed."""

    name: str
    url: str
    verifier: NoteVerifier

    @classmethod
    def parse(cls, name: str, url: str, key: str) -> "Witness":
        """Read what the configuration says. Raises ConfigurationError when `key` is no witness's verifier key."""
        try:
            verifier = NoteVerifier.parse(key)
        except NoteInvalid as error:
            raise ConfigurationError(f"log.witnesses.{name}.key: {error.detail}") from error
        if verifier.kind is not SignatureType.COSIGNATURE:
            raise ConfigurationError(f"log.witnesses.{name}.key: must be a key for cosignatures (type 0x04)")
        return cls(name, url.rstrip("/"), verifier)


class Verdict(StrEnum):
    """What came of a question."""

    COSIGNED = "cosigned"
    CONFLICT = "conflict"
    """The witness signed another size last; the answer says which."""
    REFUSED = "refused"
    """It does not know the log or its key, or the trees do not belong to each other."""
    FORGED = "forged"
    """It said yes, but without a signature that its key made over this checkpoint."""
    AWAY = "away"


@dataclass(frozen=True, slots=True)
class Reply:
    """A verdict; with the witness's signature when it is `cosigned`, with the size it has when it is a `conflict`."""

    verdict: Verdict
    signature: Signature | None = None
    size: int = 0


async def add_checkpoint(
    http: Http, witness: Witness, note: str, *, old_size: int, proof: Sequence[bytes]
) -> Reply:
    """Ask a witness to sign the checkpoint `note`; `proof` leads from the tree of `old_size` to it."""
    lines = "".join(f"{encode(one)}\n" for one in proof)
    body = f"old {old_size}\n{lines}\n{note}".encode()
    try:
        answer = await http.call("POST", f"{witness.url}/add-checkpoint", headers=_HEADERS, body=body)
    except ScaError:
        return Reply(Verdict.AWAY)
    if answer.status == 200:
        return _cosigned(witness, note, answer.body)
    if answer.status == 409:
        return _conflict(answer.body)
    return Reply(Verdict.REFUSED if answer.status in _REFUSALS else Verdict.AWAY)


def _cosigned(witness: Witness, note: str, lines: bytes) -> Reply:
    text, _ = split_note(note)
    try:
        opened = open_note(f"{text}\n{lines.decode()}", [witness.verifier])
    except (NoteInvalid, UnicodeDecodeError):
        return Reply(Verdict.FORGED)
    signature = opened.signatures[0]
    if (
        opened.text != text or not signature.signed_at_seconds
    ):  # a time of zero says nothing of when it was seen
        return Reply(Verdict.FORGED)
    return Reply(Verdict.COSIGNED, signature)


def _conflict(body: bytes) -> Reply:
    match = _SIZE.fullmatch(body)
    if not match or int(match[1]) > MAX_SIZE:
        return Reply(Verdict.AWAY)
    return Reply(Verdict.CONFLICT, size=int(match[1]))
