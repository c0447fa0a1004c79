"""Signed notes and cosignatures as C2SP has them (signed-note, tlog-cosignature): read, and checked by known keys."""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sca_service.audit.offline.findings import Refused

MOST_NOTE_BYTES = 65_536
_MOST_SIGNATURES = 64
_ED25519 = 0x01
_COSIGNATURE = 0x04
_KEY_NAME = re.compile(r"[^\s+\x00-\x20]+")
_SIGNATURE_LINE = re.compile(r"— (\S+) (\S+)")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A key that signatures are checked by, as its text says: `<name>+<8 hex>+<base64>`."""

    name: str
    key_id: bytes
    kind: int
    public: bytes

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Read one. Raises Refused when it is none, or of a kind that is not known here."""
        parts = text.strip().split("+", 2)
        if len(parts) != 3 or not _KEY_NAME.fullmatch(parts[0]):
            raise Refused("a verifier key reads <name>+<8 hexadecimal digits>+<base64>")
        name, key_id, encoded = parts
        material = _base64(encoded)
        if not re.fullmatch(r"[0-9a-f]{8}", key_id) or not material:
            raise Refused(f"the verifier key of {name} is damaged")
        if material[0] not in (_ED25519, _COSIGNATURE) or len(material) != 33:
            raise Refused(f"the verifier key of {name} is of a kind that is not supported; Ed25519 is")
        if hashlib.sha256(name.encode() + b"\n" + material).digest()[:4].hex() != key_id:
            raise Refused(
                f"the verifier key of {name} does not fit its own digits {key_id}: was it copied whole?"
            )
        return cls(name, bytes.fromhex(key_id), material[0], material[1:])

    @property
    def is_witness(self) -> bool:
        """Whether it signs with the time, as a witness does."""
        return self.kind == _COSIGNATURE

    def has_signed(self, text: str, signature: bytes) -> bool:
        """Whether this is its signature of the note's text."""
        message = text.encode()
        if self.is_witness:
            signed_at = int.from_bytes(signature[:8])
            message = b"cosignature/v1\ntime %d\n" % signed_at + message
            signature = signature[8:]
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class Note:
    """A note: its text with the final newline, and its signatures by name and key."""

    text: str
    signatures: tuple[tuple[str, bytes, bytes], ...]

    @classmethod
    def parse(cls, content: bytes) -> "Note":
        """Read one. Raises Refused when it has not the form."""
        if len(content) > MOST_NOTE_BYTES:
            raise Refused("a signed note is longer than any can be")
        try:
            note = content.decode()
        except UnicodeDecodeError:
            raise Refused("a signed note is not UTF-8") from None
        text, gap, lines = note.rpartition("\n\n")
        if not gap or not lines.endswith("\n") or _CONTROL.search(note):
            raise Refused("a signed note is damaged: it is text, an empty line, and lines of signatures")
        found = lines[:-1].split("\n")
        if len(found) > _MOST_SIGNATURES:
            raise Refused("a signed note has too many signatures")
        return cls(text + "\n", tuple(_signature(line) for line in found))

    def signers(self, keys: Sequence[VerifierKey]) -> list[VerifierKey]:
        """The keys among these that signed it. Raises Refused when a signature of one of them does not hold."""
        signed: list[VerifierKey] = []
        for name, key_id, signature in self.signatures:
            for key in keys:
                if (key.name, key.key_id) != (name, key_id) or key in signed:
                    continue
                if not key.has_signed(self.text, signature):
                    raise Refused(f"the signature of {name} does not hold")
                signed.append(key)
        return signed


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the log signed: its name, how many leaves it has, the root over them. `note` is the text it came in."""

    origin: str
    size: int
    root: bytes
    note: Note
    content: bytes

    @classmethod
    def open(cls, content: bytes, keys: Sequence[VerifierKey]) -> "Checkpoint":
        """Read a checkpoint that one of the keys signed. Raises Refused when none did, or it is no checkpoint."""
        note = Note.parse(content)
        signers = [key for key in note.signers(keys) if not key.is_witness]
        if not signers:
            named = ", ".join(sorted({f"{name}+{key_id.hex()}" for name, key_id, _ in note.signatures}))
            raise Refused(f"no key that was given signed it; it names {named}")
        lines = note.text[:-1].split("\n")
        if len(lines) < 3 or not all(lines) or not re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1]):
            raise Refused("it has not the form of a checkpoint: origin, size and root, each on a line")
        root = _base64(lines[2])
        if root is None or len(root) != 32:
            raise Refused("its root is not a hash of 32 bytes")
        if lines[0] not in {key.name for key in signers}:
            raise Refused(
                f"it is a checkpoint of {lines[0]}, which is not the name of the key that signed it"
            )
        return cls(lines[0], int(lines[1]), root, note, content)


def _signature(line: str) -> tuple[str, bytes, bytes]:
    matched = _SIGNATURE_LINE.fullmatch(line)
    signature = _base64(matched[2]) if matched else None
    if not matched or not _KEY_NAME.fullmatch(matched[1]) or signature is None or len(signature) < 5:
        raise Refused("a line of a signed note is no signature")
    return matched[1], signature[:4], signature[4:]


def _base64(text: str) -> bytes | None:
    """The bytes, or None for text that is not the one way to write them."""
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return content if base64.b64encode(content).decode() == text else None
