"""A witness (C2SP tlog-witness), written from the specification alone: it shares no code with the service."""

import base64
import hashlib
import re
import time
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tests.rude_server import Answer, RudeRequest

_BODY = re.compile(r"old (0|[1-9][0-9]*)\n((?:[A-Za-z0-9+/]{43}=\n)*)\n(.*)", re.DOTALL)
_CHECKPOINT = re.compile(r"((.+)\n(0|[1-9][0-9]*)\n([A-Za-z0-9+/]{43}=)\n(?:.+\n)*)\n((?:— .+ .+\n)+)")


@dataclass
class WitnessPeer:
    """What a witness knows: the keys of the logs it follows, and the size and root it signed last for each."""

    logs: dict[str, str]
    """Verifier keys by origin."""
    name: str = "witness.example/w1"
    private_key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    seen: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    clock_seconds: int | None = None

    @property
    def verifier_key(self) -> str:
        """What the log's configuration names it by."""
        public = self.private_key.public_key().public_bytes_raw()
        return f"{self.name}+{self._key_id.hex()}+{base64.b64encode(bytes((4,)) + public).decode()}"

    def answer(self, request: RudeRequest) -> Answer:
        """The answer to a request, in the order in which the specification checks."""
        body = _BODY.fullmatch(request.body.decode())
        note = _CHECKPOINT.fullmatch(body[3]) if body else None
        if request.method != "POST" or not request.path.endswith("/add-checkpoint") or not body or not note:
            return Answer(400)
        text, origin, size, root = note[1], note[2], int(note[3]), base64.b64decode(note[4])
        if origin not in self.logs:
            return Answer(404)
        if not _is_signed(text, note[5], self.logs[origin]):
            return Answer(403)
        old, proof = int(body[1]), [base64.b64decode(line) for line in body[2].split()]
        if old > size or len(proof) > 63:
            return Answer(400)
        known_size, known_root = self.seen.get(origin, (0, hashlib.sha256(b"").digest()))
        if old != known_size:
            return Answer(409, f"{known_size}\n", {"Content-Type": "text/x.tlog.size"})
        if not _adds_only(old, known_root, size, root, proof):
            return Answer(422)
        self.seen[origin] = (size, root)
        return Answer(200, self.line(text))

    def line(self, text: str) -> str:
        """The cosignature over a checkpoint's text."""
        now = int(time.time()) if self.clock_seconds is None else self.clock_seconds
        signed = self.private_key.sign(f"cosignature/v1\ntime {now}\n{text}".encode())
        return f"— {self.name} {base64.b64encode(self._key_id + now.to_bytes(8) + signed).decode()}\n"

    @property
    def _key_id(self) -> bytes:
        public = self.private_key.public_key().public_bytes_raw()
        return hashlib.sha256(f"{self.name}\n".encode() + b"\x04" + public).digest()[:4]


def _is_signed(text: str, lines: str, key: str) -> bool:
    name, named_id, encoded = key.split("+", 2)
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(encoded)[1:])
    for line in lines.splitlines():
        _, signer, value = line.split(" ")
        raw = base64.b64decode(value)
        if (signer, raw[:4].hex()) != (name, named_id):
            continue
        try:
            public.verify(raw[4:], text.encode())
        except InvalidSignature:
            return False
        return True
    return False


def _adds_only(old: int, old_root: bytes, size: int, root: bytes, proof: list[bytes]) -> bool:
    """Whether a consistency proof verifies: SUBPROOF of RFC 6962, section 2.1.2, read backwards."""
    if old == 0:
        return not proof and (size > 0 or root == old_root)
    if old == size:
        return not proof and root == old_root
    rest = list(proof)

    def both(old_part: int, part: int, whole: bool) -> tuple[bytes, bytes]:
        if old_part == part:
            one = old_root if whole else rest.pop()
            return one, one
        left = 1 << ((part - 1).bit_length() - 1)
        sibling = rest.pop()
        if old_part <= left:
            old_hash, new_hash = both(old_part, left, whole)
            return old_hash, _node(new_hash, sibling)
        old_hash, new_hash = both(old_part - left, part - left, False)
        return _node(sibling, old_hash), _node(sibling, new_hash)

    try:
        return both(old, size, True) == (old_root, root) and not rest
    except IndexError:
        return False


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
