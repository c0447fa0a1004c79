"""A log made for the tests from RFC 6962 and C2SP's texts alone: the tree by its recursive definition, tiles, notes."""

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.rfc6962 import Tree

ORIGIN = "sca.example/log"


class Signer:
    """A key with a name: a log's (kind 1), or a witness's (kind 4)."""

    def __init__(self, name: str = ORIGIN, *, seed: int = 1, kind: int = 1) -> None:
        self.name = name
        self.kind = kind
        self.key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self.material = bytes([kind]) + self.key.public_key().public_bytes_raw()
        self.key_id = hashlib.sha256(name.encode() + b"\n" + self.material).digest()[:4]

    @property
    def vkey(self) -> str:
        """The verifier key."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(self.material).decode()}"

    def line(self, text: str, *, at: int = 1_700_000_000) -> str:
        """The signature's line under a note."""
        if self.kind == 4:
            signed = f"cosignature/v1\ntime {at}\n{text}".encode()
            signature = at.to_bytes(8, "big") + self.key.sign(signed)
        else:
            signature = self.key.sign(text.encode())
        return f"— {self.name} {base64.b64encode(self.key_id + signature).decode()}\n"


LOG = Signer()
NEXT = Signer(seed=2)
WITNESS = Signer("witness.example/w1", seed=3, kind=4)


def leaf(number: int, **members: Any) -> bytes:
    """A leaf nobody else has."""
    whole = {
        "id": f"evt_{number:08x}",
        "type": "challenge.issued",
        "at_ms": 1_763_812_800_000 + number,
        **members,
    }
    return json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def note(text: str, *signers: Signer) -> bytes:
    """A signed note."""
    return (text + "\n" + "".join(signer.line(text) for signer in signers)).encode()


def checkpoint(leaves: Sequence[bytes], *signers: Signer, origin: str = ORIGIN) -> bytes:
    """The signed checkpoint of these leaves."""
    root = Tree(leaves).root()
    return note(f"{origin}\n{len(leaves)}\n{base64.b64encode(root).decode()}\n", *(signers or (LOG,)))


def write_log(folder: Path, leaves: Sequence[bytes], *signers: Signer, origin: str = ORIGIN) -> Path:
    """A whole log in a folder."""
    tree, size = Tree(leaves), len(leaves)
    for index in range(0, size, 256):
        bundle = leaves[index : index + 256]
        content = b"".join(len(one).to_bytes(2, "big") + one for one in bundle)
        write(folder, path_of("entries", index // 256, len(bundle)), content)
    level = 0
    while size >> (8 * level):
        below, count = 256**level, size >> (8 * level)
        for first in range(0, count, 256):
            hashes = [
                tree.mth(one * below, (one + 1) * below) for one in range(first, min(first + 256, count))
            ]
            write(folder, path_of(str(level), first // 256, len(hashes)), b"".join(hashes))
        level += 1
    write(folder, "checkpoint", checkpoint(leaves, *signers, origin=origin))
    return folder


def path_of(level: str, index: int, width: int) -> str:
    """A tile's path."""
    groups: list[str] = []
    while True:
        groups.insert(0, f"{index % 1000:03d}")
        index //= 1000
        if not index:
            break
    path = "/".join(["tile", level, *(f"x{one}" for one in groups[:-1]), groups[-1]])
    return path if width == 256 else f"{path}.p/{width}"


def write(folder: Path, path: str, content: bytes) -> None:
    """A file and its folders."""
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(content)
