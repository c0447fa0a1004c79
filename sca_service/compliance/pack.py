"""The pack that RTS Art. 3 asks for: how the measures are documented, how they are tested, and what changed.

A ZIP file of a source tree's documentation, policies, tests and changes, and the table of requirements, with a list of
the SHA-256 of each file: two packs of the same tree are the same bytes, so a difference means a change.
"""

import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

MANIFEST = "SHA256SUMS"
_WANTED = (
    "README.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "LICENSE",
    "pyproject.toml",
    "docs/**/*",
    "policies/*.toml",
    "requirements/*.txt",
    "tests/**/*.py",
    "sca_service/compliance/requirements.toml",
    "sca_service/migrations/**/*.py",
    "loadtests/README.md",
)
_AT = (1980, 1, 1, 0, 0, 0)
"""ZIP's first moment: when a file was written says nothing of what is in it."""


def write_pack(path: Path, source: Path, made: Mapping[str, str]) -> int:
    """Write the pack of a source tree, with files that were `made` for it beside; returns how many files it holds.

    Raises FileNotFoundError when `source` is no source tree of the service.
    """
    if not (source / "sca_service" / "compliance").is_dir():
        raise FileNotFoundError(source / "sca_service" / "compliance")
    contents = {name: (source / name).read_bytes() for name in _names(source)}
    contents |= {name: text.encode() for name, text in made.items()}
    sums = "".join(f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in sorted(contents.items()))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as pack:
        for name, body in [*sorted(contents.items()), (MANIFEST, sums.encode())]:
            pack.writestr(zipfile.ZipInfo(name, _AT), body, zipfile.ZIP_DEFLATED)
    return len(contents)


def _names(source: Path) -> Iterator[str]:
    for pattern in _WANTED:
        for path in sorted(source.glob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(source).as_posix()
