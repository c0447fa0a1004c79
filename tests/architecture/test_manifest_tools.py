"""The manifests, the image and the alerts, as the tools of others judge them: `make manifests` brings most of these.

Each is skipped where its tool is not there; in `make test` only promtool may be, since the others are half a gigabyte.
"""

import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from sca_service.kernel.telemetry import DELIVERIES_DUE
from tests.architecture.test_manifests import OVERLAYS, ROOT, built, copied, documents, kinds

__all__ = ["copied"]

NOT_ASKED_FOR = {
    "CKV_K8S_11": "no CPU limits: one that is throttled in the middle of a decision makes a payer wait",
    "CKV_K8S_15": "a tag names one release for good, so the image need not be pulled again",
    "CKV_K8S_35": "the keyring comes by a variable, and may be in an envelope that only an HSM or a KMS opens",
    "CKV_K8S_43": "the digest of the image is the bank's to name: it builds it",
}
"""Checks of checkov that are not met, and why."""


def needs(tool: str) -> pytest.MarkDecorator:
    """Skips a test where its tool is not installed."""
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")


def said(*command: str) -> str:
    """What a tool has to say; fails the test when it found something."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest, copied: Path, tmp_path: Path) -> Path:
    """An overlay as one file."""
    path = tmp_path / f"{request.param}.json"
    items = list(built(copied, request.param))
    path.write_bytes(b"\n---\n".join(msgspec.json.encode(one) for one in items))
    return path


@needs("kubectl")
@needs("kubernetes-validate")
def test_every_manifest_fits_its_schema(overlay: Path) -> None:
    """Strictly: a member that Kubernetes does not know is a mistake, not something to ignore."""
    text = said("kubernetes-validate", "--strict", str(overlay))
    assert "deployment/sca-api" in text


@needs("kubectl")
@needs("checkov")
def test_checkov_finds_nothing_that_is_not_wanted(overlay: Path) -> None:
    """Its rules for Kubernetes, but for those that have a reason here; and nothing is looked up elsewhere."""
    if overlay.stem == "local":
        pytest.skip("a sandbox has stores in it that forget everything")
    skipped = ",".join(NOT_ASKED_FOR)
    said(
        "checkov",
        "--skip-download",
        "--quiet",
        "--compact",
        "--framework",
        "kubernetes",
        "-f",
        str(overlay),
        "--skip-check",
        skipped,
    )


@needs("checkov")
def test_checkov_finds_nothing_in_the_image() -> None:
    """Its rules for Dockerfiles."""
    said(
        "checkov",
        "--skip-download",
        "--quiet",
        "--compact",
        "--framework",
        "dockerfile",
        "-f",
        str(ROOT / "Dockerfile"),
    )


@needs("hadolint")
def test_hadolint_finds_nothing_in_the_image() -> None:
    """Every rule, warnings included."""
    said("hadolint", str(ROOT / "Dockerfile"))


@needs("promtool")
def test_alerts_are_rules_that_prometheus_reads(tmp_path: Path) -> None:
    """Expressions parse, and durations and labels are what they should be."""
    (rules,) = documents((ROOT / "k8s/components/monitoring/rules.yaml").read_bytes())
    path = tmp_path / "rules.json"
    path.write_bytes(msgspec.json.encode(rules["spec"]))
    assert "SUCCESS" in said("promtool", "check", "rules", str(path))


@needs("promtool")
def test_alerts_tell_when_codes_wait(tmp_path: Path) -> None:
    """Codes that wait for a worker are told of after two minutes, and not before."""
    (rules,) = documents((ROOT / "k8s/components/monitoring/rules.yaml").read_bytes())
    (tmp_path / "rules.json").write_bytes(msgspec.json.encode(rules["spec"]))
    series = [
        {"series": 'sca_deliveries_due_seconds{pod="a"}', "values": "0 30 30 30 30 30"},
        {"series": "sca_audit_sequencer_leader", "values": "1x6"},
        {"series": 'up{job="sca-api"}', "values": "1x6"},
    ]
    waiting = {
        "exp_labels": {"severity": "critical"},
        "exp_annotations": {
            "summary": next(
                rule["annotations"]["summary"]
                for group in rules["spec"]["groups"]
                for rule in group["rules"]
                if rule["alert"] == "ScaDeliveriesWait"
            )
        },
    }
    test = {
        "rule_files": ["rules.json"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": series,
                "alert_rule_test": [
                    {"eval_time": "2m", "alertname": "ScaDeliveriesWait", "exp_alerts": []},
                    {"eval_time": "4m", "alertname": "ScaDeliveriesWait", "exp_alerts": [waiting]},
                ],
            }
        ],
    }
    (tmp_path / "test.json").write_bytes(msgspec.json.encode(test))
    assert "SUCCESS" in said("promtool", "test", "rules", str(tmp_path / "test.json"))


@needs("kubectl")
def test_workers_are_scaled_by_a_metric_that_they_serve(copied: Path) -> None:
    """The autoscaler, the adapter that serves its metric, and the worker all name the same."""
    scalers = {
        one["spec"]["scaleTargetRef"]["name"]: one["spec"]
        for one in kinds(built(copied, "production"), "HorizontalPodAutoscaler")
    }
    (metric,) = scalers["sca-worker"]["metrics"]
    (served,) = DELIVERIES_DUE.collect()
    (adapter,) = documents((ROOT / "k8s/examples/prometheus-adapter.yaml").read_bytes())
    (rule,) = msgspec.yaml.decode(adapter["data"]["config.yaml"])["externalRules"]
    assert metric["external"]["metric"]["name"] == rule["name"]["as"] == served.name
    assert rule["seriesQuery"].startswith(f"{served.name}{{")
    assert sorted(scalers) == ["sca-api", "sca-worker"]
