"""The pack of RTS Art. 3: all that documents and tests the measures, each file with its digest."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from sca_service.compliance.deployment import Deployment, deployment_markdown
from sca_service.compliance.pack import MANIFEST, write_pack

_ROOT = Path(__file__).parents[3]


def test_the_pack_holds_what_article_3_asks_for(tmp_path: Path) -> None:
    """Documentation, policies, tests, changes and the report; the list of digests is that of the contents."""
    path = tmp_path / "pack.zip"
    count = write_pack(path, _ROOT, {"compliance.md": "a report"})
    with zipfile.ZipFile(path) as pack:
        lines = pack.read(MANIFEST).decode().splitlines()
        sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
        assert set(pack.namelist()) == {*sums, MANIFEST}
        assert count == len(sums)
        assert {name: hashlib.sha256(pack.read(name)).hexdigest() for name in sums} == sums
    assert {
        "SECURITY.md", "CHANGELOG.md", "docs/audit.md", "policies/lockout.toml", "compliance.md",
        "tests/compliance/test_rts_04_authentication_code.py", "sca_service/compliance/requirements.toml",
    } <= set(sums)  # fmt: skip


def test_the_same_tree_is_the_same_pack(tmp_path: Path) -> None:
    """So that a difference means a change, and not another day."""
    for name in ("a.zip", "b.zip"):
        write_pack(tmp_path / name, _ROOT, {})
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_what_is_no_source_tree_is_refused(tmp_path: Path) -> None:
    """Nothing is written of a folder that holds something else."""
    with pytest.raises(FileNotFoundError):
        write_pack(tmp_path / "pack.zip", tmp_path, {})


def test_a_report_says_that_policies_do_not_hold() -> None:
    """What `sca policy check` says stands in it."""
    page = deployment_markdown(
        Deployment(
            version="1", at="now", issuer="https://sca.example", environment="production",
            policy_digest="none", policy_mistakes=["code.toml:digits: must be 6 to 12"],
            verifier_keys=["log+1+x"], checkpoint="", settings={"witnesses": "none"},
        )
    )  # fmt: skip
    assert "do not hold" in page
    assert "- code.toml:digits: must be 6 to 12" in page
    assert "None was published yet." in page
