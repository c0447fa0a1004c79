"""Signed notes (C2SP signed-note): text, an empty line, and one line for each signature. Pure.

::

    This is an example message.

    — example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=

A signature line holds the key's name and, in base 64, four bytes of the key's id and the signature. A verifier key
(`<name>+<id>+<key>`) says whose signature is believed. Two kinds are known: plain Ed25519, which logs sign with, and
the cosignature with its time, which witnesses sign with (C2SP tlog-cosignature).
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sca_service.kernel.errors import ScaError

MAX_NOTE_BYTES = 1_000_000
MAX_SIGNATURES = 100
_SIGNATURE_BYTES = 64
_KEY_BYTES = 32
_ID_BYTES = 4
_TIME_BYTES = 8
_MAX_TIME_SECONDS = 2**63 - 1
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_LINE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
_VERIFIER_KEY = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})")


class NoteInvalid(ScaError):
    """A note, a signature line or a verifier key has not its form, or a signature is not what it says."""


class SignatureType(IntEnum):
    """How a key signs: the byte before the public key in a verifier key."""

    ED25519 = 0x01
    COSIGNATURE = 0x04
    """Ed25519 over the note's text and the time of signing (cosignature/v1)."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line. `signed_at_seconds` is there only where a verified signature holds its time."""

    name: str
    key_id: bytes
    value: bytes
    signed_at_seconds: int | None = None

    @property
    def line(self) -> str:
        """The line as it stands in a note, with its newline."""
        return f"— {self.name} {encode(self.key_id + self.value)}\n"

    @classmethod
    def parse(cls, line: str) -> "Signature":
        """Read a line without its newline. Raises NoteInvalid."""
        match = _LINE.fullmatch(line)
        if not match:
            raise NoteInvalid("a signature line has not its form")
        raw = decode(match[2])
        if len(raw) <= _ID_BYTES:
            raise NoteInvalid("a signature line holds no signature")
        return cls(match[1], raw[:_ID_BYTES], raw[_ID_BYTES:])


@dataclass(frozen=True, slots=True)
class OpenedNote:
    """A note whose text is vouched for by at least one known key."""

    text: str
    signatures: tuple[Signature, ...]
    """The verified ones, one for each key."""
    unknown: tuple[Signature, ...]
    """Those of keys that were not given: they say nothing."""


class NoteSigner:
    """A private key and the name it signs by, as a log signs (Ed25519).

    A class because the private key must not show in a `repr`.
    """

    __slots__ = ("_key_id", "_private_key", "name", "verifier_key")

    def __init__(self, name: str, private_key: Ed25519PrivateKey) -> None:
        """Raises NoteInvalid when `name` cannot be a key's name: it is empty, or has a space or a plus."""
        public = private_key.public_key().public_bytes_raw()
        self.name = name
        self.verifier_key = verifier_key(name, public)
        self._key_id = key_id(name, SignatureType.ED25519, public)
        self._private_key = private_key

    def __repr__(self) -> str:
        return f"NoteSigner({self.verifier_key})"

    def signature(self, text: str) -> Signature:
        """The signature over a note's text."""
        return Signature(self.name, self._key_id, self._private_key.sign(text.encode()))


@dataclass(frozen=True, slots=True)
class NoteVerifier:
    """A public key, whose it is, and how it signs."""

    name: str
    key_id: bytes
    kind: SignatureType
    public_key: bytes

    @classmethod
    def parse(cls, text: str) -> "NoteVerifier":
        """Read a verifier key (`example.com/log+530d903a+A…`). Raises NoteInvalid.

        The id must be the one that the specification recommends, so that a key that was mistyped is found at once.
        """
        match = _VERIFIER_KEY.fullmatch(text)
        if not match:
            raise NoteInvalid("a verifier key must be <name>+<8 hexadecimal digits>+<base 64>")
        name, named_id, raw = match[1], bytes.fromhex(match[2]), decode(match[3])
        if raw[0] not in tuple(SignatureType) or len(raw) != 1 + _KEY_BYTES:
            raise NoteInvalid("a verifier key is not of a kind that is known here (Ed25519, cosignature/v1)")
        kind = SignatureType(raw[0])
        if named_id != key_id(name, kind, raw[1:]):
            raise NoteInvalid("a verifier key's id does not belong to its name and key")
        return cls(name, named_id, kind, raw[1:])

    def verified(self, text: str, signature: Signature) -> Signature:
        """The signature with what it is known to say. Raises NoteInvalid when this key did not make it."""
        at: int | None = None
        message, value = text.encode(), signature.value
        if self.kind is SignatureType.COSIGNATURE:
            at, value = int.from_bytes(value[:_TIME_BYTES]), value[_TIME_BYTES:]
            message = f"cosignature/v1\ntime {at}\n".encode() + message
            if at > _MAX_TIME_SECONDS:
                raise NoteInvalid("a cosignature's time cannot be")
        if len(value) != _SIGNATURE_BYTES:
            raise NoteInvalid("a signature has not the length of its kind")
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(value, message)
        except (InvalidSignature, ValueError) as error:
            raise NoteInvalid("the signature of a known key does not verify") from error
        return Signature(signature.name, signature.key_id, signature.value, at)


def verifier_key(name: str, public_bytes: bytes, kind: SignatureType = SignatureType.ED25519) -> str:
    """The text that an auditor is given to believe this key's signatures. Raises NoteInvalid for a bad name."""
    text = f"{name}+{key_id(name, kind, public_bytes).hex()}+{encode(bytes((kind,)) + public_bytes)}"
    NoteVerifier.parse(text)
    return text


def key_id(name: str, kind: SignatureType, public_bytes: bytes) -> bytes:
    """The four bytes that tell one key of a name from another."""
    return hashlib.sha256(name.encode() + b"\n" + bytes((kind,)) + public_bytes).digest()[:_ID_BYTES]


def sign(text: str, signers: Sequence[NoteSigner]) -> str:
    """The note over `text`, which ends with a newline, signed by each of `signers`. Raises NoteInvalid."""
    if not text.endswith("\n") or _CONTROL.search(text) or not signers:
        raise NoteInvalid("a note needs a text of whole lines without control characters, and a signer")
    return text + "\n" + "".join(signer.signature(text).line for signer in signers)


def add_signatures(note: str, signatures: Iterable[Signature]) -> str:
    """The same note with more signature lines at its end; a line that it has already is not added again."""
    lines = dict.fromkeys(signature.line for signature in signatures)
    _, present = split_note(note)
    return note + "".join(line for line in lines if line not in {signature.line for signature in present})


def split_note(note: str) -> tuple[str, tuple[Signature, ...]]:
    """The text and the signature lines of a note; nothing is verified. Raises NoteInvalid."""
    try:
        too_large = len(note.encode()) > MAX_NOTE_BYTES
    except UnicodeEncodeError as error:
        raise NoteInvalid("a note is not UTF-8") from error
    if too_large or _CONTROL.search(note):
        raise NoteInvalid("a note is too large, or has control characters")
    head, gap, tail = note.rpartition("\n\n")
    if not gap or not tail.endswith("\n"):
        raise NoteInvalid("a note has no text, or no signature lines after an empty line")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteInvalid("a note has too many signatures")
    return head + "\n", tuple(Signature.parse(line) for line in lines)


def open_note(note: str, verifiers: Iterable[NoteVerifier]) -> OpenedNote:
    """Read a note that one of `verifiers` must have signed.

    Raises NoteInvalid when none did, when the signature of one of them does not verify, or when it is no note.
    """
    text, signatures = split_note(note)
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    verified: dict[tuple[str, bytes], Signature] = {}
    unknown: list[Signature] = []
    for signature in signatures:
        key = (signature.name, signature.key_id)
        if key not in known:
            unknown.append(signature)
            continue
        good = known[key].verified(text, signature)
        verified.setdefault(key, good)
    if not verified:
        raise NoteInvalid("no known key signed the note")
    return OpenedNote(text, tuple(verified.values()), tuple(unknown))


def encode(raw: bytes) -> str:
    """Base 64 (RFC 4648, section 4)."""
    return base64.b64encode(raw).decode()


def decode(text: str) -> bytes:
    """The bytes of a base 64 text in the one form that it has. Raises NoteInvalid for any other."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise NoteInvalid("base 64 was expected") from error
    if encode(raw) != text or not raw:
        raise NoteInvalid("base 64 was expected, in its canonical form")
    return raw
